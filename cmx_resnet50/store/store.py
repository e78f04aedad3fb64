"""The public face of the store: obtain, import, place, check, repair and prune objects."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cmx_resnet50.limits import because
from cmx_resnet50.store.files import may_exist
from cmx_resnet50.store.fill import Filler
from cmx_resnet50.store.layout import Layout, checked_key, contradiction
from cmx_resnet50.store.leftovers import clear_leftovers
from cmx_resnet50.store.locks import LOCK_TIMEOUT, PRUNING, Locks
from cmx_resnet50.store.model import (
    Make,
    Placement,
    Pruned,
    StoredObject,
    StoreError,
)
from cmx_resnet50.store.objects import Objects
from cmx_resnet50.store.place import Placer
from cmx_resnet50.store.placements import PlacementRecords
from cmx_resnet50.store.repair import Repairer
from cmx_resnet50.store.verified import VerifiedDigests
from cmx_resnet50.store.write_errors import explained

if TYPE_CHECKING:
    from cmx_resnet50.store.intake import Intake
    from cmx_resnet50.store.usage import Usage


def to_stderr(line: str) -> None:
    """Print one line of ours to stderr."""
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
        notify: Callable[[str], None] = to_stderr,
    ) -> None:
        self.layout = Layout(root)
        self.root = self.layout.root
        self.notify = notify
        self._locks = Locks(self.layout, lock_timeout, notify)
        self._records = PlacementRecords(self.layout)
        self._objects = Objects(self.layout, self._records)
        self.verified = VerifiedDigests(self.layout)
        filler = Filler(self._objects)
        self._repairer = Repairer(self._objects, filler, self._locks, notify)
        self._placer = Placer(self._objects, filler, self._locks, self._repairer, notify)

    def models(self, name: str) -> Path:
        """Return the folder for what is delivered where the user names none."""
        return self.layout.models(name)

    def uncached(self) -> Path:
        """Return a working folder for runs that have no cache entry; it is made if missing.

        Raises
        ------
        StoreError
            If the store cannot be written.
        """
        folder = self.layout.models("uncached")
        with self.writing(str(folder), None):
            self.layout.make_folder(folder)
        return folder

    def find(self, *keys: str) -> StoredObject | None:
        """Return the object that one of `keys` names, or None; its bytes are not looked at."""
        return self._objects.find(self._checked(keys))

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
        wanted = tuple(self._checked(keys))
        found = self._objects.find(wanted)
        if found is not None and self.check(found):
            return found
        if found is None:
            return self._elsewhere(wanted, keys[0])
        repaired = self.repair_from_placement(found.sha256)
        if repaired and contradiction(wanted, repaired.sha256, repaired.md5) is None:
            return repaired
        return self._elsewhere(wanted, found.name)

    def obtain(self, keys: Sequence[str], make: Make, *, name: str) -> tuple[StoredObject, bool]:
        """Return the object of `keys`; if the store has no valid one, let `make` make it.

        Of all processes that request the same first key, one makes and the others wait. The
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
        wanted = self._checked(keys)
        if not wanted:
            raise StoreError(f"{name}: an object needs at least one key.")
        found = self._valid(wanted)
        if found is None:
            found, made = self._obtain(wanted, make, name)
        else:
            made = False
        clear_leftovers(self.layout, self._locks, wanted[0], found.sha256)
        return found, made

    def _obtain(self, wanted: list[str], make: Make, name: str) -> tuple[StoredObject, bool]:
        with (
            self._locks.hold(f"obtain-{wanted[0]}", f"prepares {name}") as waited,
            self.writing(name, None),
        ):
            found = self._valid(wanted)
            if found is None:
                if waited:
                    self.notify(f"{name}: {waited}, ended without it; taking over")
                found = self._repaired(wanted, name) or self._elsewhere(wanted, name)
            if found is not None:
                self._bind(found, wanted)
                return found, False
            return self._make(wanted, make, name)

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
        from cmx_resnet50.store.intake import require_match

        wanted, name = tuple(self._checked(keys)), name or str(source)
        try:
            if not source.is_file():
                raise StoreError(f"{name} is not a file that can be taken into the store.")
            digests = digest_file(source)
        except OSError as error:
            raise StoreError(f"{name} cannot be read {because(error, '')}") from error
        md5 = digests.md5 if f"md5-{digests.md5}" in wanted else None
        with self.verified.explained(md5):
            require_match(wanted, digests, name)
        provenance = {"name": source.name, **record}
        with self.writing(source.name, digests.size):
            there = self._valid([f"sha256-{digests.sha256}"])
            if there is not None:
                self._bind(there, wanted)
            else:
                there = self._intake.take(source, digests, provenance, wanted, move=move)
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
        from cmx_resnet50.store.intake import require_match

        wanted = tuple(self._checked(keys))
        require_match(wanted, stored.digests, stored.name)
        with self.writing(stored.name, None):
            self._bind(stored, wanted)

    def place(
        self,
        stored: StoredObject,
        dest: Path,
        *,
        named: bool = False,
        force: bool = False,
        link: bool = True,
    ) -> Placement:
        """Make sure that `dest` is a regular file with the object's bytes.

        A valid placement costs a look at two inodes. In a folder of ours anything but a folder
        with something in it, a device or the like is replaced. In one that the user named only
        what was placed there, and is as it was left, is; and then a line says what replaced what.

        Parameters
        ----------
        stored : StoredObject
            What to place.
        dest : Path
            Where.
        named : bool
            Whether the user named the folder.
        force : bool
            Whether they give up what is there.
        link : bool
            Whether it may be a hard link, which it never is in a folder that the user named.

        Raises
        ------
        PathTaken
            If something of the user's is there.
        ObjectMissing
            If the object is damaged or removed, and no placement has its bytes.
        StoreError
            If `dest` cannot be written.
        """
        with self.writing(stored.name, stored.size):
            return self._placer.place(stored, dest, named=named, force=force, link=link)

    def require_free(self, dest: Path, keys: Sequence[str], *, force: bool = False) -> None:
        """Make sure that the object of `keys` may be placed at `dest`, in a folder of the user's.

        To be called before the object is fetched; `place` looks again.

        Raises
        ------
        PathTaken
            If something of the user's is there.
        StoreError
            If `dest` cannot be written.
        """
        found = self.find(*keys) if keys else None
        wanted = [*keys, f"sha256-{found.sha256}"] if found else keys
        self._placer.require_free(dest, wanted, force=force)

    def placements(self, stored: StoredObject) -> list[Path]:
        """Return the paths at which the object was placed and a file still is."""
        paths = (record.path for _, record in self._records.of(stored.sha256))
        return sorted(path for path in paths if may_exist(path))

    def repair_from_placement(self, sha256: str) -> StoredObject | None:
        """Return the object, rebuilt from a placement if it is damaged; None if none has its bytes.

        Raises
        ------
        StoreError
            If the store cannot be written.
        """
        checked_key(f"sha256-{sha256}")
        with self.writing(sha256, None):
            return self._repairer.repair(sha256, sha256)

    def archive(self, stored: StoredObject) -> StoredObject | None:
        """Return the archive that the object was unpacked from, if the store has a valid one."""
        return self.find_valid(f"sha256-{stored.archive}") if stored.archive else None

    def objects(self) -> Iterator[StoredObject]:
        """Every object that the store has a record of, valid or not."""
        return self._objects.all()

    def verify(self) -> Iterator[tuple[StoredObject, bool]]:
        """Read every object, and yield it with whether both digests are those of its bytes."""
        for stored in self._objects.all():
            yield stored, self._objects.status(stored, read=True) is not None

    def prune(self, used: Callable[[StoredObject], bool], *, dry_run: bool) -> list[Pruned]:
        """Remove the objects that are not `used`, and what killed processes left long ago.

        An archive is used as long as what was unpacked from it stays. `used` is called a second
        time with the object's lock held: it may have been placed in between.

        Returns
        -------
        list of Pruned
            What was removed, or with `dry_run` would be.
        """
        from cmx_resnet50.store.prune import prune

        return prune(self.layout, self._objects, self._locks, used, dry_run)

    def writable(self) -> list[Store]:
        """Return the stores behind this one that this user prunes: only itself."""
        return [self]

    def usage(self) -> Usage:
        """Return who uses which object: what `prune` goes by."""
        from cmx_resnet50.store.usage import Usage

        return Usage(self._objects.all(), self.placements)

    @contextmanager
    def without_pruning(self, name: str) -> Iterator[None]:
        """Let nobody prune while the object `name` is obtained and placed."""
        with self._locks.hold(PRUNING, f"prepares {name}"):
            yield

    def require(self, stored: StoredObject) -> StoredObject:
        """Return the object, compared with both digests.

        Raises
        ------
        ObjectMissing
            If it is damaged or missing.
        """
        if not self.check(stored):
            raise self._repairer.missing(stored)
        return stored

    @contextmanager
    def writing(self, name: str, size: int | None) -> Iterator[None]:
        """Let errors say why `name`, of `size` bytes if they are known, cannot be written."""
        with explained(self.root, name, size):
            yield

    @property
    def _intake(self) -> Intake:
        from cmx_resnet50.store.intake import Intake

        return Intake(self._objects, self._locks, self._repairer)

    def _checked(self, keys: Iterable[str]) -> list[str]:
        """Return valid keys, and the sha256 that the first download of an md5 among them had."""
        return self.verified.added_to(checked_key(key) for key in keys)

    def _valid(self, keys: Sequence[str]) -> StoredObject | None:
        found = self._objects.find(keys)
        return found if found is not None and self.check(found) else None

    def _elsewhere(self, keys: Sequence[str], name: str) -> StoredObject | None:
        """Return the object of `keys` from another place than this store; here there is none."""
        return None

    def _make(self, keys: list[str], make: Make, name: str) -> tuple[StoredObject, bool]:
        """Have the object of `keys` made, with the lock on obtaining them held."""
        return self._intake.make(keys, make, name), True

    def _repaired(self, keys: Sequence[str], name: str) -> StoredObject | None:
        """Return the damaged or missing object of `keys`, rebuilt from a placement, or None."""
        for sha256 in self._objects.named(keys):
            found = self._repairer.repair(sha256, name)
            if found and contradiction(tuple(keys), found.sha256, found.md5) is None:
                return found
        return None

    def _bind(self, stored: StoredObject, keys: Sequence[str]) -> None:
        if self._objects.unbound(stored, keys):
            with self._locks.hold(f"object-{stored.sha256}", f"names {stored.name}"):
                self._objects.bind(stored.sha256, stored.md5, keys)
