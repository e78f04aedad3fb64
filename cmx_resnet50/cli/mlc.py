"""``mlc``: tell MLC, the successor of CM, of our script, and take it out again."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from cmx_resnet50.cli.arguments import command, json_switch
from cmx_resnet50.cli.output import print_json, print_line, print_note

if TYPE_CHECKING:
    from pathlib import Path

TAGS = "get,ml-model,resnet50"


def add(commands: Any) -> None:
    """Add the subcommands."""
    mlc = command(
        commands,
        "mlc",
        None,
        "register the script with MLC, the successor of CM",
        "CM finds an installed package by itself; MLC requires this once. add and remove\n"
        "have a --help of their own.",
        examples=f"cmx-resnet50 mlc add\nmlcr {TAGS},_onnx\ncmx-resnet50 mlc remove",
        page="mlc",
    )
    ways: Any = mlc.add_subparsers(required=True, metavar="add|remove")
    for name, run, about, more in (
        (
            "add",
            _add,
            "let MLC use this script",
            "Registers it in $MLC_REPOS (~/MLC/repos by default), after all other\n"
            f"repositories, and reports which script answers {TAGS} now.\n"
            "Repeat it if another repository was pulled later and answers instead.",
        ),
        ("remove", _remove, "undo mlc add", "Cache entries and the store stay."),
    ):
        way = command(ways, name, run, about, more, examples=f"cmx-resnet50 mlc {name}", page="mlc")
        json_switch(way)


def _add(parsed: argparse.Namespace) -> int:
    from cmx_resnet50.engines import mlc_registry

    repos = mlc_registry.home()
    changed = mlc_registry.add(repos)
    done = "registered" if changed else "registered already"
    _print_unless(parsed.json, f"{mlc_registry.REPOSITORY}: {done} in {repos / 'repos.json'}")
    return _report(parsed.json, repos, changed)


def _remove(parsed: argparse.Namespace) -> int:
    from cmx_resnet50.engines import mlc_registry

    repos = mlc_registry.home()
    changed = mlc_registry.remove(repos)
    done = "removed from" if changed else "was not in"
    _print_unless(parsed.json, f"{mlc_registry.REPOSITORY}: {done} {repos / 'repos.json'}")
    if parsed.json:
        print_json({"home": str(repos), "changed": changed})
    return 0


def _report(as_json: bool, repos: Path, changed: bool) -> int:
    """Report who answers now; 1 if that is not our script."""
    from cmx_resnet50.engines import mlc_registry

    found = mlc_registry.who_answers(repos, TAGS)
    first = found[0] if found else None
    ours = first is not None and first.parent.parent == mlc_registry.REPOSITORY
    if as_json:
        print_json(
            {
                "home": str(repos),
                "repository": str(mlc_registry.REPOSITORY),
                "changed": changed,
                "answers": [str(path) for path in found],
                "ours": ours,
            }
        )
    else:
        print_line(f"{TAGS} is answered by {first or 'no script'}")
    if not ours:
        print_note("That is not this script. Run `mlc reindex`, then `cmx-resnet50 mlc add` again.")
    return 0 if ours else 1


def _print_unless(as_json: bool, line: str) -> None:
    """Print a line, unless JSON was asked for."""
    if not as_json:
        print_line(line)
