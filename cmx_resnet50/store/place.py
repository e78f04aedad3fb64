"""Places objects: looks, repairs, asks whose file is there, and fills; under the object's lock."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

from cmx_resnet50.store.fill import Filler
from cmx_resnet50.store.layout import plain
from cmx_resnet50.store.locks import Locks
from cmx_resnet50.store.mark import FOLDERS
from cmx_resnet50.store.model import Placement, StoredObject, StoreError, StoreReadOnly
from cmx_resnet50.store.objects import Objects
from cmx_resnet50.store.repair import Repairer
from cmx_resnet50.store.user_folders import UserFolders, is_replaceable, occupant, taken_error


class Placer:
    """Places the objects of one store.

    Parameters
    ----------
    objects, filler, locks, repairer
        Of that store.
    notify : callable
        Takes the line that says what replaced what in a folder of the user's.
    """

    def __init__(
        self,
        objects: Objects,
        filler: Filler,
        locks: Locks,
        repairer: Repairer,
        notify: Callable[[str], None],
    ) -> None:
        self._objects = objects
        self._filler = filler
        self._locks = locks
        self._repairer = repairer
        self._notify = notify
        self._root = objects.layout.root
        self._user_folders = UserFolders(objects)

    def place(
        self, stored: StoredObject, dest: Path, *, named: bool, force: bool, link: bool
    ) -> Placement:
        """See `Store.place`."""
        dest = destination(dest, self._root)
        for last in (False, True):
            try:
                return self._place(stored, dest, named=named, force=force, link=link)
            except FileExistsError as error:  # made since we looked
                if last:
                    raise StoreError(f"{dest} was made by somebody else meanwhile.") from error
        raise AssertionError

    def require_free(self, dest: Path, keys: Sequence[str], *, force: bool) -> None:
        """See `Store.require_free`."""
        self._user_folders.require_free(destination(dest, self._root), keys, force=force)

    def _place(
        self, stored: StoredObject, dest: Path, *, named: bool, force: bool, link: bool
    ) -> Placement:
        status = self._objects.status(stored)
        if status is not None:
            seen = self._filler.look(stored, status, dest, named=named)
            if isinstance(seen, Placement):
                return seen
        writable, replaced, there = True, "", None
        with ExitStack() as stack:
            try:
                lock = self._locks.hold(f"object-{stored.sha256}", f"places {stored.name}")
                stack.enter_context(lock)
                status = self._objects.status(stored)
                if status is None:
                    self._repairer.repair_locked(stored.sha256, (dest,))
                    status = self._objects.status(stored)
            except StoreReadOnly:
                writable = False
            if status is None:
                raise self._repairer.missing(stored)
            seen = self._filler.look(stored, status, dest, named=named)
            if isinstance(seen, Placement):
                return seen
            there = occupant(dest) if named else None
            if there is not None:
                replaced = self._may_replace(dest, there, force=force)
            placed = self._filler.fill(
                stored,
                status,
                dest,
                seen,
                writable=writable,
                named=named,
                replacing=there,
                link=link,
            )
        if replaced:
            self._notify(f"{dest}: {replaced} was replaced by {stored.label}")
        return placed

    def _may_replace(self, dest: Path, there: os.stat_result, *, force: bool) -> str:
        """Say what is at `dest`, in a folder that the user named, if it may be replaced.

        `there` is its status.

        Raises
        ------
        PathTaken
            If it is the user's own, and they do not give it up.
        """
        former = self._user_folders.former(dest)
        if former is not None:
            return former.label
        if not (force and is_replaceable(dest, there)):
            raise taken_error(dest, there)
        return "what was there"


def destination(dest: Path, root: Path) -> Path:
    """Return `dest` as an absolute path.

    Raises
    ------
    StoreError
        If it is not a file name, or is where the store keeps its own files.
    """
    path = plain(dest)
    if "\0" in str(path) or not path.name:
        raise StoreError(f"{str(dest)!r} is not a name for a file.")
    for name in FOLDERS:
        if name != "models" and path.is_relative_to(root / name):
            raise StoreError(f"{path} is among the store's own files. Name another folder.")
    return path
