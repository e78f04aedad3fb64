"""The command ``cmx-resnet50``: the same library without CM.

One module a group of subcommands. Each imports what it needs when it runs, so that ``--help``
and ``inspect`` pay for nothing else.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from cmx_resnet50.cached_run import streams
from cmx_resnet50.cli.gc_tuning import collect_seldom
from cmx_resnet50.cli.light_imports import leave_out_detectors
from cmx_resnet50.errors import Resnet50Error

_LIMITS = (MemoryError, OSError, ImportError, SystemError)
"""What Python raises where a limit of the system is reached."""
_NO_MEMORY = (
    b"cmx-resnet50: there is not enough memory. Give this process more (ulimit -v, the memory of "
    b"the container or job).\n"
)


@collect_seldom()
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code, one of `failure.CODES`."""
    streams.open_missing()
    leave_out_detectors()
    try:
        return _main(sys.argv[1:] if arguments is None else arguments)
    except _LIMITS as error:
        # While another error was reported, perhaps: there may be no memory for a message.
        try:
            from cmx_resnet50.limits import explanation, limit_of

            known = limit_of(error) is not None
            text = f"cmx-resnet50: {explanation(error)}\n".encode()
        except _LIMITS:
            known, text = True, _NO_MEMORY
        if not known:
            raise
        os.write(2, text)
        return 1


def _main(arguments: Sequence[str]) -> int:
    # A file name may hold what the terminal's encoding has not.
    for stream in (sys.stdout, sys.stderr):
        getattr(stream, "reconfigure", dict)(errors="backslashreplace")
    from cmx_resnet50.cli import failure, output

    try:
        from cmx_resnet50.cli.parser import parser

        parsed = parser().parse_args(arguments)
        code = int(parsed.run(parsed) or 0)
        with output.reader_may_leave(sys.stdout):
            sys.stdout.flush()
    except (Resnet50Error, failure.UsageError, OSError, MemoryError, KeyboardInterrupt) as error:
        code = failure.end(error, as_json="--json" in arguments)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:  # Python would fail on it at exit, and end with 120.
            output.drop(stream)
    return code
