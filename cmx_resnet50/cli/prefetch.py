"""``prefetch``: several files into the store; ``bundle export`` and ``publish`` begin with that."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from cmx_resnet50.cli.arguments import command, jobs, json_switch, requests, transfer_switches
from cmx_resnet50.cli.failure import CODES, common_kind, described
from cmx_resnet50.cli.output import (
    begin_transfer,
    print_error,
    print_json,
    print_line,
    print_note,
    print_table,
    print_warning,
)

if TYPE_CHECKING:
    from cmx_resnet50.delivery.pipeline import Pipeline
    from cmx_resnet50.delivery.prefetch import Prefetched


def add(commands: Any) -> None:
    """Add the subcommand."""
    prefetch = command(
        commands,
        "prefetch",
        _prefetch,
        "fetch files into the store, for later runs without a network",
        "Files that the store has are not fetched again; damaged ones are repaired. A\n"
        "request that fails does not stop the others. The exit code is that of the\n"
        "failure, or 1 if several failed for different reasons. Each line ends with the\n"
        "origin of the bytes: fetched, store (already there), dummy (random weights).",
        examples="cmx-resnet50 prefetch _onnx,_opset-8 _pytorch\ncmx-resnet50 prefetch --all",
        page="airgapped",
    )
    requests(prefetch)
    prefetch.add_argument(
        "--jobs",
        type=jobs,
        default=1,
        metavar="N",
        help="files at the same time, 1 to 16 (default: 1); helps where each connection is slow",
    )
    json_switch(prefetch)
    transfer_switches(prefetch, "the paths in the store")


def prefetched(
    pipeline: Pipeline, wanted: Sequence[str], every_file: bool, *, quiet: bool, jobs: int = 1
) -> list[Prefetched]:
    """Fetch what is requested into the store; print what fails, and go on."""
    from cmx_resnet50.delivery.prefetch import prefetch
    from cmx_resnet50.wording import COMMAND

    wanted = list(wanted)
    if every_file:
        wanted += [requests[0] for _, requests in pipeline.catalog.published()]
    shown: set[str] = set()

    def warn(line: str) -> None:
        if line not in shown and not quiet:
            print_warning(COMMAND.apply(line))
        shown.add(line)

    done = []
    for one in prefetch(pipeline, wanted, warn, jobs):
        done.append(one)
        if one.error is not None:
            print_error(f"{one.request}: {one.error}")
        elif one.archive_error is not None and not quiet:
            print_note(
                f"{one.request}: the file is in the store; its archive, for a mirror, is not: "
                f"{one.archive_error}"
            )
    failed = sum(one.error is not None for one in done)
    if failed and len(wanted) > 1:
        print_note(f"{failed} of {len(wanted)} requests failed, see above.")
    return done


def _prefetch(parsed: argparse.Namespace) -> int:
    from cmx_resnet50 import api

    if bool(parsed.requests) == parsed.all:
        parsed.error("name requests, or give --all.")
    pipeline = api.pipeline({}, begin_transfer(parsed))
    done = prefetched(pipeline, parsed.requests, parsed.all, quiet=parsed.quiet, jobs=parsed.jobs)
    files = [
        (one.request, one.delivery.origin, name, stored)
        for one in done
        if one.delivery is not None
        for stored, name in one.delivery.files()
    ]
    if parsed.json:
        print_json([_row(one) for one in done])
    elif parsed.quiet:
        for *_, stored in files:
            print_line(str(stored.path))
    else:
        print_table(
            [
                (request, origin, name, f"{stored.size:,} bytes", stored.sha256)
                for request, origin, name, stored in files
            ]
        )
    failures = [one.error for one in done if one.error is not None]
    return CODES[common_kind(failures)] if failures else 0


def _row(one: Prefetched) -> dict[str, Any]:
    if one.delivery is None:
        return {"request": one.request, "error": described(one.error or Exception())}
    return {
        "request": one.request,
        "origin": one.delivery.origin,
        "files": [
            {
                "file": name,
                "path": str(stored.path),
                "bytes": stored.size,
                "sha256": stored.sha256,
                "md5": stored.md5,
            }
            for stored, name in one.delivery.files()
        ],
    }
