"""Who uses an object: the placements that hold it, what was unpacked from it, other hard links."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path

from cmx_resnet50.store.model import StoredObject


class Usage:
    """Names the users of each object of one store.

    Parameters
    ----------
    objects : iterable of StoredObject
        Every object of the store.
    placements : callable
        Takes an object and returns the paths at which it was placed and something still is.
    """

    def __init__(
        self,
        objects: Iterable[StoredObject],
        placements: Callable[[StoredObject], list[Path]],
    ) -> None:
        self.objects = list(objects)
        self._placements = placements
        self._unpacked = [stored for stored in self.objects if stored.archive is not None]
        self._owners = {
            (status.st_dev, status.st_ino): stored.sha256
            for stored in self.objects
            if (status := _status(stored.path)) is not None
        }

    def of(self, stored: StoredObject) -> list[str]:
        """Return the users of an object as they are now, each as text for a person."""
        users = [str(path) for path in self._placements(stored) if self._holds(path, stored)]
        own = _status(stored.path)
        if not users and own is not None and own.st_nlink > 1:
            users.append("a hard link that the store has no record of")
        return users + [
            f"{other.name}, which was unpacked from it"
            for other in self._unpacked
            if other.archive == stored.sha256 and self.of(other)
        ]

    def is_used(self, stored: StoredObject) -> bool:
        """Whether an object has a user now."""
        return bool(self.of(stored))

    def _holds(self, path: Path, stored: StoredObject) -> bool:
        """Whether the file at `path` may still be that object.

        Another object may have been placed there since. A copy counts as what it was: where
        there is doubt, nothing is removed.
        """
        status = _status(path)
        return status is not None and (
            self._owners.get((status.st_dev, status.st_ino), stored.sha256) == stored.sha256
        )


def _status(path: Path) -> os.stat_result | None:
    try:
        return os.lstat(path)
    except OSError:
        return None
