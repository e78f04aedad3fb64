"""Files of a store as they are read: regular, bounded, and never through a link.

Others may be able to write in a store's folder, or may have made the store. So a link, a pipe, a
device or a file of absurd size under a name of ours is as good as no file: opening it does not
follow it, does not wait for it, and reads no more of it than ours have.
"""

from __future__ import annotations

import errno
import json
import os
import re
import stat
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from cmx_resnet50.limits import because
from cmx_resnet50.store.model import StoreError

SMALL = 1 << 20
"""Bound in bytes on every small file that the store reads."""

_BLOCK = 1 << 16

_READ = (
    os.O_RDONLY
    | getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_NONBLOCK", 0)
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_BINARY", 0)
)
_NO_FILE = (errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENXIO, errno.EINVAL)
"""Errors that mean that there is no regular file of that name; ELOOP is a link."""


class NotRegularError(OSError):
    """What is there is a link, a folder, a pipe or a device."""


def open_regular(path: Path) -> int:
    """Return a descriptor to read the regular file at `path` with.

    Raises
    ------
    NotRegularError
        If something else is there.
    OSError
        If nothing is there, or it cannot be opened.
    """
    descriptor = os.open(path, _READ)
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return descriptor
    os.close(descriptor)
    raise NotRegularError(errno.EINVAL, "not a regular file", str(path))


def regular(path: Path) -> os.stat_result | None:
    """Return the status of the regular file at `path`, or None where there is none."""
    try:
        status = os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return status if stat.S_ISREG(status.st_mode) else None


def visible(path: Path) -> os.stat_result | None:
    """Do as `regular`; None also where this user may not look."""
    try:
        return regular(path)
    except OSError:
        return None


def may_exist(path: Path) -> bool:
    """Whether a regular file is at `path`, or this user may not look."""
    try:
        return regular(path) is not None
    except OSError:
        return True


def is_folder(path: Path) -> bool:
    """Whether `path` is a folder itself, not a link to one."""
    try:
        return stat.S_ISDIR(os.lstat(path).st_mode)
    except OSError:
        return False


def children(folder: Path) -> list[Path]:
    """Return what is in `folder`, sorted; nothing where it is not a folder or is a link.

    Raises
    ------
    StoreError
        If it is a folder and cannot be read.
    """
    if not is_folder(folder):
        return []
    try:
        return sorted(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        advice = "Make it readable for this user, or name another one."
        raise StoreError(f"The folder {folder} cannot be read {because(error, advice)}") from error


def is_mine(status: os.stat_result) -> bool:
    """Whether this user owns the file; always true where files have no owners (Windows)."""
    return sys.platform == "win32" or status.st_uid == os.geteuid()


def read_small(path: Path, *, mine: bool = False) -> str | None:
    """Return the text of a small regular file, or None where there is none.

    Parameters
    ----------
    mine : bool
        Whether a file that another user owns counts as none.

    Raises
    ------
    StoreError
        If it is there and may not be read.
    """
    try:
        with open(open_regular(path), "rb", buffering=0) as file:
            if mine and not is_mine(os.fstat(file.fileno())):
                return None
            content = b""
            while block := file.read(min(_BLOCK, SMALL + 1 - len(content))):
                content += block
        return content.decode("utf-8") if len(content) <= SMALL else None
    except UnicodeDecodeError:
        return None
    except OSError as error:
        if error.errno in _NO_FILE:
            return None
        raise StoreError(
            f"The store cannot read {path} "
            + because(
                error,
                "Make it readable for this user, or name another store with CM_RESNET50_STORE.",
            )
        ) from error


def read_json(path: Path) -> dict[str, Any] | None:
    """Return the object of a small JSON file, or None where there is none."""
    text = read_small(path)
    if text is None:
        return None
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None


def to_json(content: Mapping[str, Any]) -> str:
    """Return `content` as the text of a small JSON file."""
    return json.dumps(content, indent=1) + "\n"


def remove(path: Path) -> None:
    """Remove a file, a link or a whole folder; nothing happens where there is nothing."""
    if is_folder(path):
        from shutil import rmtree

        rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def remove_folder(folder: Path, names: re.Pattern[str]) -> bool:
    """Remove a folder and the files in it that have one of our names; whether it is gone.

    A folder that holds anything else stays, and so does that.
    """
    for path in children(folder):
        if names.fullmatch(path.name) and not is_folder(path):
            path.unlink(missing_ok=True)
    try:
        folder.rmdir()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


def sync_folder(folder: Path) -> None:
    """Write the names in `folder` to the disk, where the system can."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
