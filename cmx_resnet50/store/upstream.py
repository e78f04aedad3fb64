"""A store that the user names and does not own: files are copied from it into the user's own.

Whatever such a store says of a file is only a hint where to look. A file is copied first, and then
both its digests are compared in the copy, which nobody else can write. So each user compares each
file once, and remembers it by having it. Keys that are not digests cannot be compared with the
bytes; they are not looked up there at all.

A foreign store is only read. In a shared store, a file that no member has is made once, under that
store's lock, and copied by the others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from cmx_resnet50.store.access import Access
from cmx_resnet50.store.files import regular
from cmx_resnet50.store.layout import checked_key, is_digest
from cmx_resnet50.store.model import Make, StoredObject, StoreError, StoreReadOnly
from cmx_resnet50.store.placements import PlacementRecord
from cmx_resnet50.store.store import Store

LARGEST = 4 << 30
"""Bytes that a file of another store may have; none of ours comes near."""
_PROVENANCE = ("artifact", "file", "name", "url", "license", "date", "plugin")
"""What is taken over of a record that somebody else wrote, where it is plain text."""


class OtherStore(Store):
    """The store of another user or of a group, as one's own copies from it.

    Nothing is read of it but small files, and what is copied, up to a bound.
    """

    def __init__(self, root: Path, *, notify: Callable[[str], None]) -> None:
        super().__init__(root, notify=notify)
        self._objects.rebuilds = False

    @property
    def shared(self) -> bool:
        """Whether this user is a member of the group that writes it."""
        return self.layout.access() is Access.SHARED

    def claims(self, stored: StoredObject) -> bool:
        """Whether the object is as whoever wrote its stamp found it: not compared again."""
        return self._objects.claimed(stored)

    def verify(self) -> Iterator[tuple[StoredObject, bool]]:
        """Read every object, up to the bound on those that are copied."""
        for stored in self.objects():
            good = stored.size <= LARGEST and self._objects.status(stored, read=True) is not None
            yield stored, good

    def record_copy(self, stored: StoredObject, path: Path) -> None:
        """Remember that the file at `path` was copied from the object, if the store lets us."""
        with suppress(OSError, StoreError):
            self._records.record(stored.sha256, PlacementRecord(path, "copy", None))

    def make_unless(
        self,
        keys: Sequence[str],
        make: Make,
        name: str,
        *,
        take: Callable[[], StoredObject | None],
    ) -> tuple[StoredObject | None, bool]:
        """Have the object of `keys` made here, unless `take` finds it; one process at a time.

        Returns
        -------
        StoredObject or None
            What `take` returned at last.
        bool
            Whether `make` was called.
        """
        with (
            self._locks.hold(f"obtain-{keys[0]}", f"prepares {name}"),
            self.writing(name, None),
        ):
            taken = take()
            if taken is not None:
                return taken, False
            self._objects.distrust(keys)
            self._intake.make(list(keys), make, name)
        return take(), True


class CopyingStore(Store):
    """A user's own store, which copies from `upstream` what it lacks and that has.

    Parameters
    ----------
    root : Path
        As for `Store`.
    upstream : OtherStore
        The store that the user named.
    notify : callable
        As for `Store`.
    """

    def __init__(self, root: Path, upstream: OtherStore, *, notify: Callable[[str], None]) -> None:
        super().__init__(root, notify=notify)
        self.upstream = upstream
        self._told: set[str] = set()

    def find(self, *keys: str) -> StoredObject | None:
        """Return the object that one of `keys` names, here or there."""
        return super().find(*keys) or self._claimed(self._checked(keys))

    def check(self, stored: StoredObject) -> bool:
        """Do as `Store.check`; there, a stamp will do, as the object is compared when copied."""
        return self.upstream.claims(stored) if self._is_there(stored) else super().check(stored)

    def require(self, stored: StoredObject) -> StoredObject:
        """Return the object, compared with both digests; from there it is copied for that."""
        if self._is_there(stored):
            taken = self._elsewhere([f"sha256-{stored.sha256}"], stored.name)
            if taken is not None:
                return taken
        return super().require(stored)

    def objects(self) -> Iterator[StoredObject]:
        """Every object that one of the two has a record of."""
        seen = set()
        for stored in super().objects():
            seen.add(stored.sha256)
            yield stored
        yield from (stored for stored in self.upstream.objects() if stored.sha256 not in seen)

    def verify(self) -> Iterator[tuple[StoredObject, bool]]:
        """Read every object of both."""
        yield from super().verify()
        yield from self.upstream.verify()

    def writable(self) -> list[Store]:
        """Return the own store, and that of a group."""
        return [self, self.upstream] if self.upstream.shared else [self]

    def _elsewhere(self, keys: Sequence[str], name: str) -> StoredObject | None:
        """Copy what the other store has of `keys`, if it is what they say."""
        found = self._claimed(keys)
        if found is None:
            return None
        status = regular(found.path)
        taken = None
        if status is not None and status.st_size == found.size <= LARGEST:
            with self.writing(name, found.size):
                taken = self._intake.copy(
                    found.path, found.digests, _provenance(found.record), keys
                )
        if taken is None:
            self._tell(
                f"{name}: the file in {self.upstream.root} ({found.path}) is damaged or cannot be "
                "read; it is not used"
            )
        elif self.upstream.shared:
            # For `prune` there, which knows of no other user.
            self.upstream.record_copy(found, taken.path)
        return taken

    def _make(self, keys: list[str], make: Make, name: str) -> tuple[StoredObject, bool]:
        """Have it made in the shared store, once for all members; else in this one."""
        digests = [key for key in keys if is_digest(key)]
        if not self.upstream.shared:
            self._tell(
                f"the store {self.upstream.root} belongs to another user and is only read; what "
                f"it lacks is kept in {self.root}"
            )
        elif digests:
            with suppress(StoreReadOnly):
                taken, made = self.upstream.make_unless(
                    digests, make, name, take=lambda: self._elsewhere(keys, name)
                )
                if taken is None:
                    raise StoreError(
                        f"{name} was just made in {self.upstream.root}, and is damaged there."
                    )
                return taken, made
        return super()._make(keys, make, name)

    def _claimed(self, keys: Sequence[str]) -> StoredObject | None:
        digests = [checked_key(key) for key in keys if is_digest(key)]
        return self.upstream.find(*digests) if digests else None

    def _is_there(self, stored: StoredObject) -> bool:
        return stored.path.is_relative_to(self.upstream.root)

    def _tell(self, line: str) -> None:
        """Say a line, once."""
        if line not in self._told:
            self._told.add(line)
            self.notify(line)


def _provenance(record: Mapping[str, Any]) -> dict[str, str]:
    return {
        name: record[name]
        for name in _PROVENANCE
        if isinstance(record.get(name), str) and record[name].isprintable()
    }
