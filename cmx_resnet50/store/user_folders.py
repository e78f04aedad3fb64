"""Folders that the user names: what may be replaced there, and what is left alone.

A file in such a folder is replaced only if it was placed there by us and is still as we left it:
by its stamp, or else by its bytes. Everything else there is the user's own.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from pathlib import Path

from cmx_resnet50.limits import because
from cmx_resnet50.store.files import visible
from cmx_resnet50.store.model import NotWritable, PathTaken, StoredObject
from cmx_resnet50.store.objects import Objects
from cmx_resnet50.store.placements import FOUND
from cmx_resnet50.store.stat_stamp import Stamp, compare, measure


class UserFolders:
    """Knows what one store placed in folders of the user's."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects

    def former(self, dest: Path) -> StoredObject | None:
        """Return the object that was placed at `dest`, if the file there is still as it was."""
        there = visible(dest)
        if there is None:
            return None
        for sha256, record in self._objects.records.at(dest):
            known = self._objects.load(sha256)
            if known is None or record.method == FOUND or there.st_size != known.size:
                continue
            if record.stamp == Stamp.of(there) or compare(dest, known.size, sha256)[0]:
                return known
        return None

    def require_free(self, dest: Path, keys: Sequence[str], *, force: bool) -> None:
        """Make sure that a file with one of the digests `keys` may be put at `dest`.

        Parameters
        ----------
        force : bool
            Whether the user gives up what is there.

        Raises
        ------
        PathTaken
            If something of the user's is there.
        StoreError
            If nothing can be put there at all.
        """
        there = occupant(dest)
        if there is None:
            _require_writable(dest)
        elif not (
            (force and is_replaceable(dest, there))
            or (stat.S_ISREG(there.st_mode) and (_has(dest, keys) or self.former(dest) is not None))
        ):
            raise taken_error(dest, there)


def occupant(dest: Path) -> os.stat_result | None:
    """Return the status of whatever is at `dest`, a link not followed; None where nothing is.

    Raises
    ------
    NotWritable
        If no file can be there.
    """
    try:
        return dest.lstat()
    except FileNotFoundError:
        return None
    except NotADirectoryError as error:
        raise NotWritable(
            f"{dest} cannot be a file: a part of its path is a file itself. Name another folder."
        ) from error
    except OSError as error:
        raise NotWritable(
            f"{dest} cannot be looked at {because(error, 'Name another folder.')}"
        ) from error


def is_replaceable(dest: Path, there: os.stat_result) -> bool:
    """Whether a file can replace what is at `dest`, if the user wants that."""
    if stat.S_ISDIR(there.st_mode):
        return not any(dest.iterdir())
    return stat.S_ISREG(there.st_mode) or stat.S_ISLNK(there.st_mode)


def taken_error(dest: Path, there: os.stat_result) -> PathTaken:
    """Return the error for what is at `dest` and is left alone."""
    if stat.S_ISREG(there.st_mode):
        what = f"a file of {there.st_size:,} bytes"
    elif stat.S_ISLNK(there.st_mode):
        what = "a link"
    elif stat.S_ISDIR(there.st_mode):
        what = "a folder"
    else:
        what = "a device, pipe or socket"
    advice = "Move it, or name another folder."
    if is_replaceable(dest, there):
        advice = (
            "Name another folder; or replace it: --force, CM_RESNET50_FORCE=yes, in Python "
            "force=True."
        )
    return PathTaken(
        f"{dest} exists already: {what} that was not placed there by cmx-resnet50, or was changed "
        f"since. It is left alone. {advice}"
    )


def _has(dest: Path, keys: Sequence[str]) -> bool:
    measured = measure(dest) if keys else None
    if measured is None:
        return False
    digests = measured[0]
    return not {f"sha256-{digests.sha256}", f"md5-{digests.md5}"}.isdisjoint(keys)


def _require_writable(dest: Path) -> None:
    folder = next(path for path in dest.parents if os.path.lexists(path))
    if not os.access(folder, os.W_OK | os.X_OK):
        raise NotWritable(
            f"{dest} cannot be written: the folder {folder} is not writable for this user. Make it "
            "writable, or name another one."
        )
