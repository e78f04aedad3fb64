"""Takes complete files into the store: what was made for it, and what the user has already."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cmx_resnet50.store.files import children, is_mine, regular, remove
from cmx_resnet50.store.layout import contradiction, drop_empty
from cmx_resnet50.store.link_or_copy import clone
from cmx_resnet50.store.locks import Locks
from cmx_resnet50.store.model import Make, StoredObject, StoreError, WrongFile
from cmx_resnet50.store.objects import Objects
from cmx_resnet50.store.repair import Repairer
from cmx_resnet50.store.stat_stamp import measure
from cmx_resnet50.store.write_errors import FULL

if TYPE_CHECKING:
    from cmx_resnet50.digests import Digests


class Intake:
    """Publishes files as objects of one store.

    Parameters
    ----------
    objects, locks, repairer
        Of that store.
    """

    def __init__(self, objects: Objects, locks: Locks, repairer: Repairer) -> None:
        self._objects = objects
        self._layout = objects.layout
        self._locks = locks
        self._repairer = repairer

    def make(self, keys: list[str], make: Make, name: str) -> StoredObject:
        """Let `make` make the object of `keys`; with the lock on obtaining them held."""
        partial = self._layout.partial(keys[0])
        self._layout.make_folder(partial.parent)
        self._take_over(partial.parent)
        try:
            digests, record = make(partial)
        except BaseException:
            drop_empty(partial.parent)
            raise
        status = regular(partial)
        if status is None or status.st_size != digests.size:
            found = "no file" if status is None else f"{status.st_size:,} bytes"
            raise StoreError(f"{name}: {found} made at {partial}, expected {digests.size:,}.")
        require_match(keys, digests, name)
        if status.st_nlink > 1:
            # Somebody else could write the object by the other name.
            self._separate(partial, digests.size)
        stored = self._publish(partial, digests, {"name": name, **record}, keys)
        remove(partial.parent)
        return stored

    def take(
        self,
        source: Path,
        digests: Digests,
        record: Mapping[str, Any],
        keys: Iterable[str],
        *,
        move: bool,
    ) -> StoredObject:
        """Take a file whose bytes the store has not; a copy, so that nobody else can write it."""
        status = regular(source)
        temporary = self._layout.temporary()
        try:
            if move and status is not None and status.st_nlink == 1:
                # Where a link can be made, a rename can; until it is done, the file stays.
                with suppress(OSError):
                    os.link(source, temporary)
                    temporary.unlink()
                    return self._publish(source, digests, record, keys)
            taken = self._copy(source, temporary, digests, record, keys)
        finally:
            temporary.unlink(missing_ok=True)
        if taken is None:
            raise StoreError(f"{source} changed while it was taken into the store. Run again.")
        return taken

    def copy(
        self, source: Path, digests: Digests, record: Mapping[str, Any], keys: Iterable[str]
    ) -> StoredObject | None:
        """Copy the file `source` of another store; None where the copy has other digests."""
        temporary = self._layout.temporary()
        try:
            return self._copy(source, temporary, digests, record, keys)
        except OSError as error:
            if error.errno in FULL:
                raise
            return None
        finally:
            temporary.unlink(missing_ok=True)

    def _copy(
        self,
        source: Path,
        temporary: Path,
        digests: Digests,
        record: Mapping[str, Any],
        keys: Iterable[str],
    ) -> StoredObject | None:
        clone(source, temporary, digests.size)
        measured = measure(temporary)
        if measured is None or measured[0] != digests:
            return None
        return self._publish(temporary, digests, record, keys)

    def _take_over(self, folder: Path) -> None:
        """Make what an earlier attempt left this user's own, or remove it.

        In a shared store it may be another member's: it is copied, so that nobody writes in
        a file of somebody else, and begun anew where it cannot be read. A file with another
        name elsewhere is nobody's to write in.
        """
        for path in children(folder):
            status = regular(path)
            if status is not None and is_mine(status) and status.st_nlink == 1:
                continue
            temporary = self._layout.temporary()
            try:
                if status is not None and self._layout.shared:
                    with suppress(OSError):
                        clone(path, temporary, status.st_size)
                        temporary.replace(path)
                        continue
                remove(path)
            finally:
                temporary.unlink(missing_ok=True)

    def _publish(
        self, source: Path, digests: Digests, record: Mapping[str, Any], keys: Iterable[str]
    ) -> StoredObject:
        with self._locks.hold(f"object-{digests.sha256}", "publishes a file"):
            there = self._objects.load(digests.sha256)
            if there is not None and self._objects.status(there) is not None:
                self._objects.bind(there.sha256, there.md5, keys)
                return there
            old = regular(self._layout.data(digests.sha256))
            state = self._repairer.state(digests.sha256)
            stored = self._objects.publish(source, digests, record, keys)
            if there is not None:
                self._repairer.replaced(stored, old, f"was {state} in the store; made again")
            return stored

    def _separate(self, path: Path, size: int) -> None:
        temporary = self._layout.temporary()
        clone(path, temporary, size)
        temporary.replace(path)


def require_match(keys: Iterable[str], digests: Digests, name: str) -> None:
    """Make sure that no digest among `keys` is another one.

    Raises
    ------
    WrongFile
        If one is; the text has both.
    """
    wanted = tuple(keys)
    wrong = contradiction(wanted, digests.sha256, digests.md5)
    if wrong is not None:
        kind, _, expected = wrong.partition("-")
        text = f"{name}: {kind} is {getattr(digests, kind)}, expected {expected}"
        if kind == "sha256" and f"md5-{digests.md5}" in wanted:
            from cmx_resnet50.digests import COLLISION

            text += f"; {COLLISION}"
        raise WrongFile(f"{text}. Rejected.")
