"""Limits of the system that a user can raise: what an error means, and what to do.

One row an error number. Whoever turns an `OSError` into an error for users asks here first.
"""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path
from typing import NamedTuple


class Limit(NamedTuple):
    """A limit that was reached, and how to go on."""

    what: str
    advice: str

    def __str__(self) -> str:
        return f"{self.what}. {self.advice}"


class _Row(NamedTuple):
    what: str
    advice: str
    resource: str = ""
    """The name of the limit in ``resource``, whose value is shown."""


_MEMORY = _Row(
    "there is not enough memory",
    "Give this process more (ulimit -v, the memory of the container or job); with "
    "CM_RESNET50_CONNECTIONS=1 it needs less.",
    "RLIMIT_AS",
)
_LOCKS = _Row(
    "the file system has no file locks",
    "Name a store on a local disk with CM_RESNET50_STORE, or mount the file system with locks.",
)
_ROWS = {
    errno.EFBIG: _Row(
        "the file is larger than this process may write, or the file system can hold",
        "Raise the limit (ulimit -f unlimited), or name another disk.",
        "RLIMIT_FSIZE",
    ),
    errno.EMFILE: _Row(
        "this process has as many files open as it may",
        "Raise the limit (ulimit -n 256).",
        "RLIMIT_NOFILE",
    ),
    errno.ENFILE: _Row(
        "the system has as many files open as it can",
        "End other programs, or raise the sysctl fs.file-max.",
    ),
    errno.ENAMETOOLONG: _Row(
        "the name, or the whole path, is too long for the file system",
        "Choose a folder with a shorter path, or a shorter file name.",
    ),
    errno.ENOMEM: _MEMORY,
    errno.ENOLCK: _LOCKS,
    errno.EOPNOTSUPP: _LOCKS,
}

FEW_INODES = 8
_UNMAPPED = "failed to map segment"
"""What the loader of glibc says where there is no memory for a compiled module."""


def limit_of(error: BaseException) -> Limit | None:
    """Return the limit that `error` reports, None where it reports none."""
    if isinstance(error, MemoryError):
        row = _MEMORY
    elif isinstance(error, SystemError) and _value(_MEMORY.resource):
        # The interpreter's own code that meets no memory loses the error that says so.
        row = _MEMORY
    elif isinstance(error, ImportError):
        # A compiled module that is not loaded yet: the loader's text is all that there is.
        texts = {_UNMAPPED: _MEMORY} | {os.strerror(number): row for number, row in _ROWS.items()}
        found = [row for text, row in texts.items() if text in str(error)]
        if not found:
            return None
        row = found[0]
    elif isinstance(error, OSError) and error.errno in _ROWS:
        row = _ROWS[error.errno]
    else:
        return None
    return Limit(row.what + _value(row.resource), row.advice)


def because(error: OSError | MemoryError, otherwise: str) -> str:
    """Return the reason in parentheses and the way out; that is `otherwise` for no limit.

    Examples
    --------
    >>> because(OSError(errno.EACCES, "Permission denied"), "Name another folder.")
    '(Permission denied). Name another folder.'
    """
    limit = limit_of(error)
    if limit is not None:
        return f"({limit.what}). {limit.advice}"
    return f"({getattr(error, 'strerror', None) or error}). {otherwise}".rstrip()


def explanation(error: BaseException) -> str:
    """Return what `error` says, with the file, and with a way out where that is known."""
    name = getattr(error, "filename", None) or getattr(error, "path", None)
    where = f"{os.fsdecode(name)}: " if isinstance(name, (str, bytes)) else ""
    limit = limit_of(error)
    if limit is not None:
        return f"{where}{limit}"
    return f"{where}{getattr(error, 'strerror', None) or error}"


def no_inode(folder: Path) -> bool:
    """Whether the file system of `folder` has inodes for hardly one more file.

    What failed for want of one has removed a few temporary files since.
    """
    if sys.platform == "win32":
        return False
    try:
        status = os.statvfs(folder)
    except OSError:
        return False
    return status.f_files > 0 and status.f_favail < FEW_INODES


def _value(name: str) -> str:
    """Return the value of a limit of this process, as a clause; nothing where it has none."""
    if sys.platform == "win32":
        return ""
    import resource

    try:
        limit = resource.getrlimit(getattr(resource, name))[0] if name else -1
        return "" if limit == resource.RLIM_INFINITY else f": the limit is {limit:,}"
    except (AttributeError, OSError):
        return ""
