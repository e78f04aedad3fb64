"""Fills placements: model files under a name that somebody asked for, with an object's bytes.

A placement is a reflink, a hard link to the read-only object or a copy, tried in that order; in a
folder that the user names there are no hard links, so that what is written there reaches nobody
else. It is replaced in one step, so nobody ever sees half of it.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from cmx_resnet50.limits import because
from cmx_resnet50.store.files import regular, visible
from cmx_resnet50.store.link_or_copy import (
    clone,
    reflink,
    remove_stale,
    temporary_beside,
)
from cmx_resnet50.store.model import NotWritable, Placement, StoredObject, StoreError
from cmx_resnet50.store.objects import Objects
from cmx_resnet50.store.placements import FOUND, PlacementRecord
from cmx_resnet50.store.stat_stamp import Stamp, compare
from cmx_resnet50.store.user_folders import occupant, taken_error
from cmx_resnet50.store.write_errors import disk_full_error


class Filler:
    """Fills placements from the objects of one store."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self._records = objects.records

    def look(
        self, stored: StoredObject, status: os.stat_result, dest: Path, *, named: bool
    ) -> Placement | str:
        """Report that `dest` is filled, or what is there instead.

        Parameters
        ----------
        status : os.stat_result
            The inode of the valid object.
        named : bool
            Whether `dest` is in a folder that the user named.
        """
        there = occupant(dest)
        if there is None:
            return "absent"
        if stat.S_ISLNK(there.st_mode):
            return "link"
        if stat.S_ISDIR(there.st_mode):
            return "folder"
        if not stat.S_ISREG(there.st_mode):
            raise taken_error(dest, there)
        kept = Placement("kept", False, "valid")
        known = self._records.find(stored.sha256, dest)
        if os.path.samestat(there, status):
            if known is None or known.method != "hardlink":
                self._record(stored, PlacementRecord(dest, "hardlink", None))
            return kept
        if known is not None and known.stamp == Stamp.of(there):
            return replace(kept, stamp=known.stamp.text)
        right, settled = compare(dest, stored.size, stored.sha256)
        if not right:
            return "other bytes"
        if settled is None:
            return kept
        method = FOUND if named else "copy"
        if known is not None and known.method != "hardlink":
            method = known.method
        self._record(stored, PlacementRecord(dest, method, Stamp.of(settled)))
        return replace(kept, stamp=Stamp.of(settled).text)

    def fill(
        self,
        stored: StoredObject,
        status: os.stat_result,
        dest: Path,
        was: str,
        *,
        writable: bool,
        named: bool = False,
        replacing: os.stat_result | None = None,
        link: bool = True,
    ) -> Placement:
        """Put the object at `dest`; with the object's lock held where the store is writable.

        Parameters
        ----------
        writable : bool
            Whether the store is, so that a hard link's new ctime can be recorded and the
            placement remembered.
        named : bool
            Whether `dest` is in a folder that the user named.
        replacing : os.stat_result, optional
            What may be replaced in such a folder, where anything is there.
        link : bool
            Whether it may be a hard link, where the user did not name the folder.

        Raises
        ------
        FileExistsError
            If `named`, and something is there now that was not, or is not as it was.
        """
        temporary = temporary_beside(dest)
        try:
            dest.parent.mkdir(parents=True, exist_ok=True)
            remove_stale(dest)
            if was == "folder":
                self._remove_empty(dest)
                replacing = None
            method = self._bring(stored, temporary, link=link and writable and not named)
            if named and replacing is None:
                _put_new(temporary, dest)
            else:
                if replacing is not None:
                    _require_unchanged(dest, replacing)
                temporary.replace(dest)
        except FileExistsError:
            raise
        except OSError as error:
            full = disk_full_error(error, dest.parent, stored.size, stored.name)
            raise full or NotWritable(
                f"{dest} cannot be written "
                + because(error, "Make its folder writable, or name another one.")
            ) from error
        finally:
            # Also after success: a rename between two links of one inode does nothing.
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
        placed = regular(dest)
        stamp = None if placed is None or method == "hardlink" else Stamp.of(placed)
        if writable and method == "hardlink":
            self._objects.restamp_after_link(stored, status)
        if writable and placed is not None:
            self._record(stored, PlacementRecord(dest, method, stamp))
            with suppress(OSError, StoreError):
                self._records.forget_others(stored.sha256, dest)
        return Placement(method, True, was, stamp.text if stamp else "")

    def refill(self, stored: StoredObject, old: os.stat_result) -> list[Path]:
        """Give the placements that still link to the damaged inode `old` the new object."""
        filled = []
        for _, record in list(self._records.of(stored.sha256)):
            there = visible(record.path)
            status = regular(stored.path)
            if there is None or status is None or not os.path.samestat(there, old):
                continue
            with suppress(StoreError, FileExistsError):
                self.fill(stored, status, record.path, "other bytes", writable=True)
                filled.append(record.path)
        return filled

    def _bring(self, stored: StoredObject, temporary: Path, *, link: bool) -> str:
        method = "reflink" if reflink(stored.path, temporary) else ""
        if not method and link:
            with suppress(OSError):
                os.link(stored.path, temporary)
                return "hardlink"
        if not method:
            method = clone(stored.path, temporary, stored.size, stored.name)
        temporary.chmod(0o444)
        return method

    def _record(self, stored: StoredObject, record: PlacementRecord) -> None:
        with suppress(OSError, StoreError):
            self._records.record(stored.sha256, record)

    @staticmethod
    def _remove_empty(dest: Path) -> None:
        try:
            dest.rmdir()
        except OSError as error:
            raise StoreError(
                f"{dest} is a folder with something in it, where the model file belongs. "
                "Move or remove that folder, or name another place."
            ) from error


def _require_unchanged(dest: Path, seen: os.stat_result) -> None:
    """Make sure that `dest` was not changed while the new file was written beside it."""
    there = occupant(dest)
    if there is not None and Stamp.of(there) != Stamp.of(seen):
        raise FileExistsError(17, "File exists", str(dest))


def _put_new(temporary: Path, dest: Path) -> None:
    """Give `temporary` the name `dest`, unless something has it by now."""
    try:
        os.link(temporary, dest)
    except FileExistsError:
        raise
    except OSError:  # a file system without links
        if os.path.lexists(dest):
            raise FileExistsError(17, "File exists", str(dest)) from None
        temporary.rename(dest)
