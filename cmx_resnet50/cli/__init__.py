"""The command ``cmx-resnet50``: the same library without CM.

One module a group of subcommands. Each imports what it needs when it runs, so that ``--help``
and ``inspect`` pay for nothing else.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from cmx_resnet50.cli.gc_tuning import collect_seldom
from cmx_resnet50.cli.output import print_error
from cmx_resnet50.errors import INTERRUPTED, Resnet50Error


@collect_seldom()
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code.

    Returns
    -------
    int
        0, or 1 for an error, 130 when interrupted. argparse itself ends with 2 when the
        command line is wrong.
    """
    _open_missing_streams()
    # A file name may hold what the terminal's encoding has not.
    for stream in (sys.stdout, sys.stderr):
        getattr(stream, "reconfigure", dict)(errors="backslashreplace")
    try:
        from cmx_resnet50.cli.parser import parser

        parsed = parser().parse_args(arguments)
        code = int(parsed.run(parsed) or 0)
        sys.stdout.flush()
    except Resnet50Error as error:
        print_error(str(error))
        return 1
    except BrokenPipeError:
        # The reader, say `head`, has closed its end. Python must not flush again when it exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        name = f"{os.fsdecode(error.filename)}: " if error.filename else _lost_folder()
        print_error(f"{name}{error.strerror or error}")
        return 1
    except KeyboardInterrupt:
        print_error(INTERRUPTED)
        return 130
    return code


def _open_missing_streams() -> None:
    """Let what is printed go nowhere where a stream is closed, as ``>&-`` closes stdout.

    Python has None for such a stream; and the next file that is opened would get its number.
    """
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "r" if name == "stdin" else "w", encoding="utf-8"))  # noqa: SIM115


def _lost_folder() -> str:
    """Say so where the working folder is what does not exist."""
    try:
        os.getcwd()  # noqa: PTH109
    except OSError:
        return "the working folder was removed; change to another one: "
    return ""
