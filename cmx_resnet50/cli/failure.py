"""How a failure ends the command: its kind, the exit code of that kind, and what is printed."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from cmx_resnet50.cli.output import print_error, print_json, print_note
from cmx_resnet50.errors import (
    INTERRUPTED,
    DigestError,
    DiskFullError,
    NotWritableError,
    Resnet50Error,
)
from cmx_resnet50.limits import explanation

CODES = {
    "done": 0,
    "failed": 1,
    "usage": 2,
    "request": 3,
    "network": 4,
    "digest": 5,
    "disk": 6,
    "interrupted": 130,
}
"""The exit code of each kind; `kind_of` says which errors are of which kind."""

DOCUMENTED = """\
Exit codes: 0 done, 1 failed, 2 wrong command line, 3 no such file in the
catalog, 4 network, 5 digest, 6 disk, 130 interrupted."""

_DISK = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG})
_COMMAND = re.compile(r"`(cmx-resnet50 [^`]+)`")


class Incomplete(Resnet50Error):
    """Several requests, of which some failed; each failure has been printed.

    Parameters
    ----------
    text : str
        What follows from that.
    failures : iterable of Exception
        The errors of those that failed.
    """

    def __init__(self, text: str, failures: Iterable[Exception]) -> None:
        super().__init__(text)
        self.failures = tuple(failures)


@dataclass(eq=False)
class UsageError(Exception):
    """A command line that cannot be understood, with the usage of the subcommand that it names."""

    command: str
    usage: str
    text: str


def kind_of(error: BaseException) -> str:
    """Return the kind of `error`, a key of `CODES`; of several failures the one that all have."""
    # Here, for the modules are light, but of no use to a command that succeeds.
    from cmx_resnet50 import FetchError, RequestError
    from cmx_resnet50.mirror.errors import MirrorUnreachable

    kinds: dict[str, type[BaseException] | tuple[type[BaseException], ...]] = {
        "usage": UsageError,
        "interrupted": KeyboardInterrupt,
        # A fetch may also fail for the bytes, or for the disk: what is more exact comes first.
        "digest": DigestError,
        "disk": (DiskFullError, NotWritableError),
        "network": (FetchError, MirrorUnreachable),
        "request": RequestError,
    }
    if isinstance(error, Incomplete):
        return common_kind(error.failures)
    if isinstance(error, OSError) and error.errno in _DISK:
        return "disk"
    return next((kind for kind, family in kinds.items() if isinstance(error, family)), "failed")


def common_kind(errors: Iterable[BaseException]) -> str:
    """Return the kind of all `errors`; ``failed`` where they differ."""
    found = {kind_of(error) for error in errors}
    return found.pop() if len(found) == 1 else "failed"


def described(error: BaseException) -> dict[str, Any]:
    """Return what ``--json`` has of `error`: its kind, its text, and the commands to run next."""
    kind, text = kind_of(error), text_of(error)
    commands = [*getattr(error, "commands", ()), *_COMMAND.findall(text)]
    if isinstance(error, UsageError):
        commands.append(f"{error.command} --help")
    return {
        "kind": kind,
        "exit_code": CODES[kind],
        "message": text,
        "what_to_do": list(dict.fromkeys(commands)),
    }


def end(error: BaseException, *, as_json: bool) -> int:
    """Print `error`, with `as_json` on stdout too; return the exit code."""
    if isinstance(error, UsageError):
        print_note(error.usage.rstrip())
        print_error(error.text, error.command)
        print_note(f"Details: run `{error.command} --help`.")
    else:
        print_error(text_of(error))
    if as_json:
        with suppress(OSError):  # stdout is full, which may be what `error` is about
            print_json({"error": described(error)})
    return CODES[kind_of(error)]


def text_of(error: BaseException) -> str:
    """Return what a user reads of `error`."""
    if isinstance(error, KeyboardInterrupt):
        return INTERRUPTED
    if isinstance(error, UsageError):
        return error.text
    if isinstance(error, (OSError, MemoryError, ImportError)):
        lost = "" if getattr(error, "filename", None) else _lost_folder()
        return lost + explanation(error)
    return str(error)


def _lost_folder() -> str:
    """Say so where the working folder is what does not exist."""
    try:
        os.getcwd()  # noqa: PTH109
    except OSError:
        return "the working folder was removed; change to another one: "
    return ""
