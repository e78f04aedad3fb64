"""Repairs damaged and missing objects from their placements, and reports each in one line."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path

from cmx_resnet50.store.files import regular
from cmx_resnet50.store.fill import Filler
from cmx_resnet50.store.locks import Locks
from cmx_resnet50.store.model import ObjectMissing, StoredObject
from cmx_resnet50.store.objects import Objects


class Repairer:
    """Repairs the objects of one store.

    Parameters
    ----------
    objects, filler, locks
        Of that store.
    notify : callable
        Takes the line that says what was repaired.
    """

    def __init__(
        self, objects: Objects, filler: Filler, locks: Locks, notify: Callable[[str], None]
    ) -> None:
        self._objects = objects
        self._filler = filler
        self._locks = locks
        self._notify = notify

    def repair(self, sha256: str, name: str) -> StoredObject | None:
        """Return the object, rebuilt from a placement if it is damaged; None if none has its bytes.

        Parameters
        ----------
        name : str
            What others read who wait for the lock meanwhile.
        """
        with self._locks.hold(f"object-{sha256}", f"repairs {name}"):
            return self.repair_locked(sha256)

    def repair_locked(self, sha256: str, candidates: Iterable[Path] = ()) -> StoredObject | None:
        """Do what `repair` does with the object's lock held; also from `candidates`."""
        stored = self._objects.load(sha256)
        if stored is not None and self._objects.status(stored) is not None:
            return stored
        old = regular(self._objects.layout.data(sha256))
        state = self.state(sha256)
        rebuilt = self._objects.rebuild(sha256, candidates)
        if rebuilt is None:
            return None
        self.replaced(rebuilt[0], old, f"was {state} in the store; rebuilt from {rebuilt[1]}")
        return rebuilt[0]

    def replaced(self, stored: StoredObject, old: os.stat_result | None, what: str) -> None:
        """Give the links to the inode `old` the new object, and say in one line what was done."""
        places = self._filler.refill(stored, old) if old is not None else []
        line = f"{stored.name} ({stored.sha256[:12]}) {what}"
        self._notify(line + "".join(f"; replaced in {path}" for path in places))

    def state(self, sha256: str) -> str:
        """Say in a word why an object is not valid."""
        return "damaged" if os.path.lexists(self._objects.layout.data(sha256)) else "missing"

    def missing(self, stored: StoredObject) -> ObjectMissing:
        """Return the error for an object that cannot be repaired here."""
        return ObjectMissing(
            f"{stored.name} is {self.state(stored.sha256)} in the store ({stored.path}, "
            f"{stored.size:,} bytes, sha256 {stored.sha256}, md5 {stored.md5}) and no placement "
            "has its bytes. Request it again with the network, or import a bundle that holds it."
        )
