"""What several subcommands take: paths, requests, ``--json``; and how a subcommand is added."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cmx_resnet50.cli.failure import DOCUMENTED

if TYPE_CHECKING:
    from cmx_resnet50.options import Bounds

Run = Callable[[argparse.Namespace], "int | None"]


def command(
    commands: Any,
    name: str,
    run: Run | None,
    about: str,
    details: str = "",
    *,
    examples: str,
    page: str,
) -> argparse.ArgumentParser:
    """Add a subcommand.

    Parameters
    ----------
    about : str
        One line, for the list of commands and for its own help.
    details : str
        Further lines of its own help.
    examples : str
        Command lines, one a line.
    page : str
        The page with all details.
    """
    added: argparse.ArgumentParser = commands.add_parser(
        name,
        help=about,
        description=f"{about[0].upper()}{about[1:]}.\n\n{details}".strip(),
        epilog="Examples:\n"
        + "\n".join(f"  {line}" for line in examples.split("\n"))
        + f"\n\n{DOCUMENTED}\nDetails: cmx-resnet50 docs {page}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    if run is not None:
        added.set_defaults(run=run, error=added.error)
    return added


def json_switch(to: argparse.ArgumentParser) -> None:
    """Add ``--json``."""
    to.add_argument("--json", action="store_true", help="print JSON")


def transfer_switches(to: argparse.ArgumentParser, result: str) -> None:
    """Add what decides how much is printed.

    Parameters
    ----------
    result : str
        What ``--quiet`` prints.
    """
    to.add_argument("-s", "--silent", action="store_true", help="print no progress")
    either = to.add_mutually_exclusive_group()
    either.add_argument(
        "-q",
        "--quiet",
        action="store_true",
        help=f"print {result}, one a line, and errors; no warnings",
    )
    either.add_argument("-v", "--verbose", action="store_true", help="log each request on stderr")


def requests(to: argparse.ArgumentParser) -> None:
    """Add ``[requests…|--all]``."""
    to.add_argument(
        "requests",
        nargs="*",
        default=[],  # without one, argparse calls it required
        metavar="REQUEST",
        help="variations separated by commas, such as _onnx,_opset-8",
    )
    to.add_argument("--all", action="store_true", help="all known files")


def path(text: str) -> Path:
    """Return the path that a user wrote, absolute, with ``~`` resolved."""
    from cmx_resnet50.options import unresolved

    problem = unresolved(text)
    if problem is not None:
        raise argparse.ArgumentTypeError(f"{text}: {problem}" if text else problem)
    try:
        return Path(Path.cwd(), Path(text).expanduser())
    except RuntimeError as error:
        raise argparse.ArgumentTypeError(f"{text}: {error}") from error


def batch(text: str) -> int:
    """Return the batch size that a user wrote."""
    from cmx_resnet50.options import BATCHES

    return _number(text, BATCHES)


def jobs(text: str) -> int:
    """Return how many files a user wants at the same time."""
    from cmx_resnet50.options import Bounds

    return _number(text, Bounds(1, 16, whole=True))


def _number(text: str, bounds: Bounds) -> int:
    if not text.isdecimal() or int(text) not in bounds:
        raise argparse.ArgumentTypeError(f"{text!r} must be {bounds}")
    return int(text)
