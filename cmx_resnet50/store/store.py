"""The public face of the store: obtain, import, place, check, repair and prune objects."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cmx_resnet50.store.files import regular, remove
from cmx_resnet50.store.layout import Layout, checked_key, contradiction, drop_empty
from cmx_resnet50.store.link_or_copy import clone, disk_full_error
from cmx_resnet50.store.locks import PRUNING, Locks, StoreReadOnly, read_only_error
from cmx_resnet50.store.model import (
    ObjectMissing,
    Placement,
    Pruned,
    StoredObject,
    StoreError,
    WrongFile,
)
from cmx_resnet50.store.objects import Objects
from cmx_resnet50.store.place import Placer, destination
from cmx_resnet50.store.placements import PlacementRecords
from cmx_resnet50.store.stat_stamp import compare

if TYPE_CHECKING:
    from cmx_resnet50.digests import Digests
    from cmx_resnet50.store.usage import Usage

Make = Callable[[Path], "tuple[Digests, dict[str, Any]]"]
"""Leaves the complete, verified file at the path given and returns its digests and provenance."""

LOCK_TIMEOUT = 4 * 3600.0
"""Seconds to wait for another process that makes the same object; it has limits of its own."""


def _to_stderr(line: str) -> None:
    sys.stderr.write(f"cmx-resnet50: {line}\n")
    sys.stderr.flush()


class Store:
    """A folder of immutable files, each named by its sha256 and by any number of keys.

    Any number of processes and hosts may use one store at the same time (``locks`` says what
    a network file system must offer). No lock is held after a call returns. Keys are
    ``sha256-<hex>``, ``md5-<hex>`` or aliases such as ``url-<hex>``; a digest key is never
    answered by an object that contradicts it. A store that can only be read serves hits.

    Parameters
    ----------
    root : Path
        The store's folder; made when the first object comes.
    lock_timeout : float
        Seconds to wait for another process.
    notify : callable
        Takes one line at a time for the user: which process is waited for, what was repaired.
    """

    def __init__(
        self,
        root: Path,
        *,
        lock_timeout: float = LOCK_TIMEOUT,
        notify: Callable[[str], None] = _to_stderr,
    ) -> None:
        self.layout = Layout(root)
        self.root = self.layout.root
        self._notify = notify
        self._locks = Locks(self.layout, lock_timeout, notify)
        self._records = PlacementRecords(self.layout)
        self._objects = Objects(self.layout, self._records)
        self._places = Placer(self._objects)

    def find(self, *keys: str) -> StoredObject | None:
        """Return the object that one of `keys` names, or None; its bytes are not looked at."""
        return self._objects.find([checked_key(key) for key in keys])

    def check(self, stored: StoredObject) -> bool:
        """Whether both digests are those of the bytes: by the stamp, or by reading them all."""
        return self._objects.status(stored) is not None

    def find_valid(self, *keys: str) -> StoredObject | None:
        """Return the object of `keys`, checked, and repaired where need be; or None.

        Raises
        ------
        StoreError
            If it is damaged and the store cannot be written.
        """
        wanted = tuple(checked_key(key) for key in keys)
        found = self._objects.find(wanted)
        if found is None or self.check(found):
            return found
        repaired = self.repair_from_placement(found.sha256)
        if repaired and contradiction(wanted, repaired.sha256, repaired.md5) is None:
            return repaired
        return None

    def obtain(self, keys: Sequence[str], make: Make, *, name: str) -> tuple[StoredObject, bool]:
        """Return the object of `keys`; if the store has none that is whole, let `make` make it.

        Of all processes that ask with the same first key, one makes and the others wait. The
        path that `make` is given is the same on each attempt and may hold what an earlier one
        left; `make` may keep files of its own beside it.

        Returns
        -------
        StoredObject
            The object.
        bool
            Whether `make` was called.

        Raises
        ------
        StoreError
            If the store cannot be written, the disk is full, or what was made is not what a
            digest among `keys` says.
        """
        wanted = [checked_key(key) for key in keys]
        if not wanted:
            raise StoreError(f"{name}: an object needs at least one key.")
        found = self._valid(wanted)
        if found is not None:
            return found, False
        with (
            self._locks.hold(f"obtain-{wanted[0]}", f"prepares {name}") as waited,
            self.writing(name, None),
        ):
            found = self._valid(wanted)
            if found is None:
                if waited:
                    self._notify(f"{name}: {waited}, ended without it; taking over")
                found = self._repair(wanted, name)
            if found is not None:
                self._objects.bind(found.sha256, found.md5, wanted)
                return found, False
            return self._made(wanted, make, name), True

    def import_file(
        self,
        source: Path,
        *,
        keys: Iterable[str] = (),
        record: Mapping[str, Any],
        move: bool = False,
        name: str = "",
    ) -> StoredObject:
        """Take the user's file `source` into the store; it stays as it is unless `move`.

        Parameters
        ----------
        name : str
            What errors call the file, if not by its path.

        Raises
        ------
        StoreError
            If it cannot be read, or is not what a digest among `keys` says.
        """
        from cmx_resnet50.digests import digest_file

        wanted, name = tuple(checked_key(key) for key in keys), name or str(source)
        try:
            if not source.is_file():
                raise StoreError(f"{name} is no file that could be taken into the store.")
            digests = digest_file(source)
        except OSError as error:
            raise StoreError(f"{name} cannot be read ({error.strerror or error}).") from error
        self._must_agree(wanted, digests, name)
        provenance = {"name": source.name, **record}
        with self.writing(source.name, digests.size):
            there = self._valid([f"sha256-{digests.sha256}"])
            if there is not None:
                self._objects.bind(there.sha256, there.md5, wanted)
            else:
                there = self._taken(source, digests, provenance, wanted, move=move)
        if move:
            source.unlink(missing_ok=True)
        return there

    def bind(self, stored: StoredObject, keys: Iterable[str]) -> None:
        """Let `keys` stand for the object, too, in place of what they stood for.

        Raises
        ------
        StoreError
            If one is a digest of something else, or the store cannot be written.
        """
        wanted = tuple(checked_key(key) for key in keys)
        self._must_agree(wanted, stored.digests, stored.name)
        with self.writing(stored.name, None):
            self._objects.bind(stored.sha256, stored.md5, wanted)

    def place(self, stored: StoredObject, dest: Path) -> Placement:
        """Make sure that `dest` is a regular file with the object's bytes.

        A good place costs a look at two inodes. Anything but a folder with something in it, a
        device or the like is replaced, in one step.

        Raises
        ------
        ObjectMissing
            If the object is damaged or removed, and no view has its bytes.
        StoreError
            If `dest` cannot be written.
        """
        dest = destination(dest, self.root)
        status = self._objects.status(stored)
        if status is not None:
            seen = self._places.look(stored, status, dest)
            if isinstance(seen, Placement):
                return seen
        try:
            with self._locks.hold(f"object-{stored.sha256}", f"places {stored.name}"):
                status = self._objects.status(stored)
                if status is None:
                    self._repair_from_placement(stored.sha256, (dest,))
                    status = self._objects.status(stored)
                if status is None:
                    raise self._damaged(stored)
                seen = self._places.look(stored, status, dest)
                if isinstance(seen, Placement):
                    return seen
                return self._places.fill(stored, status, dest, seen, link=True)
        except StoreReadOnly:
            if status is None:
                raise self._damaged(stored) from None
            seen = self._places.look(stored, status, dest)
            if isinstance(seen, Placement):
                return seen
            return self._places.fill(stored, status, dest, seen, link=False)

    def placements(self, stored: StoredObject) -> list[Path]:
        """Return the recorded places of the object at which a file still stands."""
        paths = (view.path for _, view in self._records.of(stored.sha256))
        return sorted(path for path in paths if regular(path) is not None)

    def repair_from_placement(self, sha256: str) -> StoredObject | None:
        """Return the object, rebuilt from a placement if it is damaged; None if none has its bytes.

        Raises
        ------
        StoreError
            If the store cannot be written.
        """
        checked_key(f"sha256-{sha256}")
        with self._locks.hold(f"object-{sha256}", f"repairs {sha256}"):
            return self._repair_from_placement(sha256)

    def archive(self, stored: StoredObject) -> StoredObject | None:
        """Return the archive that the object was unpacked from, if the store has it whole."""
        return self._valid([f"sha256-{stored.archive}"]) if stored.archive else None

    def objects(self) -> Iterator[StoredObject]:
        """Every object that the store has a record of, whole or not."""
        for sha256 in self.layout.digests():
            stored = self._objects.load(sha256)
            if stored is not None:
                yield stored

    def verify(self) -> Iterator[tuple[StoredObject, bool]]:
        """Read every object, and yield it with whether both digests are those of its bytes."""
        for stored in self.objects():
            yield stored, self._objects.status(stored, read=True) is not None

    def prune(self, used: Callable[[StoredObject], bool], *, dry_run: bool) -> list[Pruned]:
        """Remove the objects that are not `used`, and what killed processes left long ago.

        An archive is used as long as what was unpacked from it stays. `used` is asked a second
        time with the object's lock held: a place may have been filled in between.

        Returns
        -------
        list of Pruned
            What was removed, or with `dry_run` would be.
        """
        from cmx_resnet50.store.prune import prune

        return prune(self.layout, self._objects, self._locks, self.objects(), used, dry_run)

    def usage(self) -> Usage:
        """Return who uses which object: what `prune` goes by."""
        from cmx_resnet50.store.usage import Usage

        return Usage(self.objects(), self.placements)

    @contextmanager
    def without_pruning(self, name: str) -> Iterator[None]:
        """Let nobody prune while the object `name` is obtained and given a place."""
        with self._locks.hold(PRUNING, f"prepares {name}"):
            yield

    def require(self, stored: StoredObject) -> None:
        """Make sure that the object is there and whole.

        Raises
        ------
        ObjectMissing
            If it is damaged or missing.
        """
        if not self.check(stored):
            raise self._damaged(stored)

    @contextmanager
    def writing(self, name: str, size: int | None) -> Iterator[None]:
        """Turn a full disk and a store that cannot be written into errors that say so.

        Parameters
        ----------
        name : str
            What is written, for the error.
        size : int, optional
            Its bytes, where they are known.
        """
        try:
            yield
        except OSError as error:
            explained: StoreError | None = disk_full_error(error, self.root, size, name)
            if explained is None and str(error.filename or "").startswith(str(self.root)):
                explained = read_only_error(self.root, error)
            if explained is None:
                raise
            raise explained from error

    def _valid(self, keys: Sequence[str]) -> StoredObject | None:
        found = self._objects.find(keys)
        return found if found is not None and self.check(found) else None

    def _repair(self, keys: Sequence[str], name: str) -> StoredObject | None:
        """Return the damaged or missing object of `keys`, rebuilt from a view, if one is good."""
        for sha256 in dict.fromkeys(self.layout.alias(key) for key in keys):
            if sha256 is None:
                continue
            with self._locks.hold(f"object-{sha256}", f"repairs {name}"):
                found = self._repair_from_placement(sha256)
            if found and contradiction(tuple(keys), found.sha256, found.md5) is None:
                return found
        return None

    def _made(self, keys: Sequence[str], make: Make, name: str) -> StoredObject:
        partial = self.layout.partial(keys[0])
        self.layout.make_folder(partial.parent)
        try:
            digests, record = make(partial)
        except BaseException:
            drop_empty(partial.parent)
            raise
        status = regular(partial)
        if status is None or status.st_size != digests.size:
            found = "no file" if status is None else f"{status.st_size:,} bytes"
            raise StoreError(f"{name}: {found} made at {partial}, expected {digests.size:,}.")
        self._must_agree(tuple(keys), digests, name)
        if status.st_nlink > 1:
            # Somebody else could write the object by the other name.
            self._separate(partial, digests.size)
        stored = self._publish(partial, digests, {"name": name, **record}, keys)
        remove(partial.parent)
        return stored

    def _publish(
        self, source: Path, digests: Digests, record: Mapping[str, Any], keys: Iterable[str]
    ) -> StoredObject:
        with self._locks.hold(f"object-{digests.sha256}", "publishes a file"):
            there = self._objects.load(digests.sha256)
            if there is not None and self.check(there):
                self._objects.bind(there.sha256, there.md5, keys)
                return there
            old = regular(self.layout.data(digests.sha256))
            state = self._state(digests.sha256)
            stored = self._objects.publish(source, digests, record, keys)
            if there is not None:
                self._replaced(stored, old, f"was {state} in the store; made again")
            return stored

    def _repair_from_placement(
        self, sha256: str, candidates: Iterable[Path] = ()
    ) -> StoredObject | None:
        """As `salvage`, with the object's lock held."""
        stored = self._objects.load(sha256)
        if stored is not None and self.check(stored):
            return stored
        old = regular(self.layout.data(sha256))
        state = self._state(sha256)
        with self.writing(sha256, None):
            rebuilt = self._objects.repair_from_placement(sha256, candidates)
        if rebuilt is None:
            return None
        self._replaced(rebuilt[0], old, f"was {state} in the store; rebuilt from {rebuilt[1]}")
        return rebuilt[0]

    def _replaced(self, stored: StoredObject, old: os.stat_result | None, what: str) -> None:
        """Give the links to the inode `old` the new object, and say in one line what was done."""
        places = self._places.refill(stored, old) if old is not None else []
        line = f"{stored.name} ({stored.sha256[:12]}) {what}"
        self._notify(line + "".join(f"; replaced in {path}" for path in places))

    def _state(self, sha256: str) -> str:
        return "damaged" if os.path.lexists(self.layout.data(sha256)) else "missing"

    def _taken(
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
        temporary = self.layout.temporary()
        try:
            if move and status is not None and status.st_nlink == 1:
                # Where a link can be made, a rename can; until it is done, the file stays.
                with suppress(OSError):
                    os.link(source, temporary)
                    temporary.unlink()
                    return self._publish(source, digests, record, keys)
            clone(source, temporary, digests.size)
            if not compare(temporary, digests.size, digests.sha256)[0]:
                raise StoreError(f"{source} changed while it was taken into the store. Run again.")
            return self._publish(temporary, digests, record, keys)
        finally:
            temporary.unlink(missing_ok=True)

    def _separate(self, path: Path, size: int) -> None:
        temporary = self.layout.temporary()
        clone(path, temporary, size)
        temporary.replace(path)

    @staticmethod
    def _must_agree(keys: tuple[str, ...], digests: Digests, name: str) -> None:
        wrong = contradiction(keys, digests.sha256, digests.md5)
        if wrong is not None:
            kind, _, expected = wrong.partition("-")
            raise WrongFile(
                f"{name}: {kind} is {getattr(digests, kind)}, expected {expected}. "
                "It is not taken into the store."
            )

    def _damaged(self, stored: StoredObject) -> ObjectMissing:
        state = self._state(stored.sha256)
        return ObjectMissing(
            f"{stored.name} is {state} in the store ({stored.path}, {stored.size:,} bytes, "
            f"sha256 {stored.sha256}, md5 {stored.md5}) and no place has its bytes. Ask for it "
            "again with the network, or import a bundle that holds it."
        )
