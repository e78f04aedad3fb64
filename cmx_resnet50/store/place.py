"""Placer: a model file under a name that somebody asked for, with the bytes of an object.

A place is a reflink, a hard link to the read-only object or a copy, tried in that order. It
is replaced in one step, so nobody ever sees half of it.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from cmx_resnet50.store.files import regular, visible
from cmx_resnet50.store.layout import plain
from cmx_resnet50.store.link_or_copy import (
    clone,
    disk_full_error,
    reflink,
    remove_stale,
    temporary_beside,
)
from cmx_resnet50.store.mark import FOLDERS
from cmx_resnet50.store.model import Placement, StoredObject, StoreError
from cmx_resnet50.store.objects import Objects
from cmx_resnet50.store.placements import PlacementRecord
from cmx_resnet50.store.stat_stamp import Stamp, compare


class Placer:
    """Fills places from the objects of one store."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self._records = objects.records

    def look(self, stored: StoredObject, status: os.stat_result, dest: Path) -> Placement | str:
        """Say that `dest` is filled, or what stands there.

        Parameters
        ----------
        status : os.stat_result
            The inode of the intact object.
        """
        try:
            there = os.lstat(dest)
        except FileNotFoundError:
            return "absent"
        except NotADirectoryError as error:
            raise StoreError(
                f"{dest} cannot be a file: a part of its path is a file itself. "
                "Name another folder."
            ) from error
        if stat.S_ISLNK(there.st_mode):
            return "link"
        if stat.S_ISDIR(there.st_mode):
            return "folder"
        if not stat.S_ISREG(there.st_mode):
            raise StoreError(
                f"{dest} is a device, pipe or socket; it is left alone. Name another folder."
            )
        kept = Placement("kept", False, "whole")
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
        self._record(stored, PlacementRecord(dest, "copy", Stamp.of(settled)))
        return replace(kept, stamp=Stamp.of(settled).text)

    def fill(
        self, stored: StoredObject, status: os.stat_result, dest: Path, was: str, *, link: bool
    ) -> Placement:
        """Put the object at `dest`; with the object's lock held unless `link` is False.

        Parameters
        ----------
        link : bool
            Whether the store can be written, so that a hard link's new ctime can be recorded
            and the place remembered.
        """
        temporary = temporary_beside(dest)
        try:
            dest.parent.mkdir(parents=True, exist_ok=True)
            remove_stale(dest)
            if was == "folder":
                self._remove_empty(dest)
            method = self._bring(stored, temporary, link=link)
            temporary.replace(dest)
        except OSError as error:
            full = disk_full_error(error, dest.parent, stored.size, stored.name)
            raise full or StoreError(
                f"{dest} cannot be written ({error.strerror or error}). Make its folder "
                "writable, or name another one."
            ) from error
        finally:
            # Also after success: a rename between two links of one inode does nothing.
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
        placed = regular(dest)
        stamp = None if placed is None or method == "hardlink" else Stamp.of(placed)
        if link and method == "hardlink":
            self._objects.restamp_after_link(stored, status)
        if link and placed is not None:
            self._record(stored, PlacementRecord(dest, method, stamp))
        return Placement(method, True, was, stamp.text if stamp else "")

    def refill(self, stored: StoredObject, old: os.stat_result) -> list[Path]:
        """Give the places that still link to the damaged inode `old` the new object."""
        filled = []
        for _, view in list(self._records.of(stored.sha256)):
            there = visible(view.path)
            status = regular(stored.path)
            if there is None or status is None or not os.path.samestat(there, old):
                continue
            with suppress(StoreError):
                self.fill(stored, status, view.path, "other bytes", link=True)
                filled.append(view.path)
        return filled

    def _bring(self, stored: StoredObject, temporary: Path, *, link: bool) -> str:
        if link:
            if reflink(stored.path, temporary):
                temporary.chmod(0o444)
                return "reflink"
            with suppress(OSError):
                os.link(stored.path, temporary)
                return "hardlink"
        method = clone(stored.path, temporary, stored.size)
        temporary.chmod(0o444)
        return method

    def _record(self, stored: StoredObject, view: PlacementRecord) -> None:
        with suppress(OSError, StoreError):
            self._records.record(stored.sha256, view)

    @staticmethod
    def _remove_empty(dest: Path) -> None:
        try:
            dest.rmdir()
        except OSError as error:
            raise StoreError(
                f"{dest} is a folder with something in it, where the model file belongs. "
                "Move or remove that folder, or name another place."
            ) from error


def destination(dest: Path, root: Path) -> Path:
    """Return `dest` as an absolute path.

    Raises
    ------
    StoreError
        If it is no file name, or lies where the store keeps its own files.
    """
    path = plain(dest)
    if "\0" in str(path) or not path.name:
        raise StoreError(f"{str(dest)!r} is no name for a file.")
    for name in FOLDERS:
        if name != "models" and path.is_relative_to(root / name):
            raise StoreError(f"{path} lies among the store's own files. Name another folder.")
    return path
