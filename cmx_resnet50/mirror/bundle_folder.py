"""A bundle that is a folder: filled by any number of machines, served as it is as a mirror.

A file appears under its name in one step and complete. One that is there and has the right bytes
is not written again. No locks are used, so any shared file system will do.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from cmx_resnet50.limits import because
from cmx_resnet50.mirror import manifest
from cmx_resnet50.mirror.errors import BundleNotWritable, MirrorError, rejected
from cmx_resnet50.store.files import children, is_folder, regular
from cmx_resnet50.store.link_or_copy import (
    reflink,
    remove_stale,
    temporary_beside,
)
from cmx_resnet50.store.stat_stamp import compare
from cmx_resnet50.store.write_errors import disk_full_error, require_space

if TYPE_CHECKING:
    from cmx_resnet50.mirror.manifest import Entry
    from cmx_resnet50.progress import Progress
    from cmx_resnet50.store import StoredObject

_FOLDERS = ("sha256", "md5", manifest.ENTRIES)
RESERVED = frozenset({*_FOLDERS, manifest.NAME})
_NAME = re.compile(r"\w[\w.+-]{0,150}")
_BLOCK = 1 << 20


class BundleFolder:
    """The files of one bundle folder, which need not exist."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.printable = str(root)

    def names(self, folder: str) -> list[str]:
        """Return the names in `folder`, sorted."""
        return [path.name for path in children(self.root / folder)]

    def read(self, name: str, limit: int) -> bytes | None:
        """Return up to `limit` bytes of a file; None if there is no regular file."""
        path = self.root / name
        if regular(path) is None:
            return None
        try:
            with open(path, "rb") as file:
                return file.read(limit)
        except FileNotFoundError:
            return None

    def write(self, name: str, content: bytes) -> None:
        """Write a small file."""
        with self._new(self.root / name) as temporary:
            temporary.write_bytes(content)
            temporary.chmod(0o644)

    def holds(self, name: str, size: int, sha256: str) -> bool:
        """Whether the file is there and has the right bytes, which are read."""
        return compare(self.root / name, size, sha256)[0]

    def copy(self, stored: StoredObject, name: str, progress: Progress) -> None:
        """Write the bytes of an object, as a file of their own."""
        with self._new(self.root / name) as temporary:
            progress.start(stored.name, stored.size, f"the store to {self.root}", 0)
            try:
                if not reflink(stored.path, temporary):
                    _copy(stored.path, temporary, progress)
            finally:
                progress.done()
            temporary.chmod(0o644)

    def link(self, stored: StoredObject, name: str) -> None:
        """Let the bytes that are under the sha256 of an object be found as `name`, too."""
        first, path = self.root / _first(stored.sha256), self.root / name
        if _same(path, first) or self.holds(name, stored.size, stored.sha256):
            return
        with self._new(path) as temporary:
            try:
                os.link(first, temporary)
            except OSError:
                if not reflink(first, temporary):
                    _copy(first, temporary, None)
                temporary.chmod(0o644)

    def check_layout(self) -> None:
        """Check that nothing else is in the place of a folder of ours or of the manifest.

        Raises
        ------
        MirrorError
            If something is. A link would have files of ours written elsewhere.
        """
        found = [self.root / name for name in _FOLDERS if not _is_free(self.root / name, is_folder)]
        if not _is_free(self.root / manifest.NAME, regular):
            found.append(self.root / manifest.NAME)
        if found:
            raise MirrorError(
                f"The bundle {self.root} cannot be written: {found[0]} is a link, or something "
                "else that no bundle has, and is left alone. Move it away, or name another folder."
            )

    def check_free(self, names: Iterable[str]) -> None:
        """Check that no file of somebody else's has one of `names`; before there are entries.

        Raises
        ------
        MirrorError
            If one has, or the manifest is not one.
        """
        own = set(_by_name(manifest.merged(self)))
        for name in names:
            if name not in own and os.path.lexists(self.root / name):
                raise self._foreign(name)

    def check_names(self, own: Sequence[Entry]) -> None:
        """Check that no file of somebody else's has the file name of an object of ours.

        Raises
        ------
        MirrorError
            If one has.
        """
        known: list[Entry] | None = None
        while (now := manifest.merged(self)) != known:
            known, sharing = now, _by_name([*own, *now])
            foreign = [name for name in _by_name(own) if self._is_foreign(name, sharing[name])]
            if not foreign:
                return
            # Unless it is of an object that another writer has added meanwhile.
        raise self._foreign(foreign[0])

    def _foreign(self, name: str) -> MirrorError:
        return MirrorError(
            f"{self.root / name} is not a file of this bundle, and is left alone. Move it away, or "
            "name another folder; or replace it: --force."
        )

    def name(self, objects: Sequence[StoredObject], own: Sequence[Entry]) -> None:
        """Let `objects` be found under their file names, too, each that no other object has."""
        stored = {one.sha256: one for one in objects}
        seen: list[Entry] | None = None
        # Whoever adds an object of the same name meanwhile may have looked before the name was
        # there. So the names are looked at again; whoever adds it later than that removes it.
        for _ in range(manifest.ROUNDS):
            now = manifest.merged(self)
            if now == seen:
                return
            seen, sharing = now, _by_name(now)
            for name in _by_name(own):
                entries = sharing[name]
                if len(entries) == 1:
                    self.link(stored[entries[0]["sha256"]], name)
                elif self._is_ours(name, entries):
                    (self.root / name).unlink(missing_ok=True)

    def _is_foreign(self, name: str, entries: Sequence[Entry]) -> bool:
        path = self.root / name
        there = os.path.lexists(path) and not self._is_ours(name, entries)
        return there and os.path.lexists(path)

    def _is_ours(self, name: str, entries: Iterable[Entry]) -> bool:
        return any(
            _same(self.root / name, self.root / _first(entry["sha256"]))
            or self.holds(name, entry["bytes"], entry["sha256"])
            for entry in entries
        )

    @contextmanager
    def _new(self, path: Path) -> Iterator[Path]:
        """Give a name for a new file, which appears as `path` when it is complete."""
        path.parent.mkdir(parents=True, exist_ok=True)
        remove_stale(path)
        temporary = temporary_beside(path)
        try:
            yield temporary
            temporary.replace(path)
        finally:
            # Also after success: a rename between two links of one inode does nothing.
            temporary.unlink(missing_ok=True)


def write(
    objects: Sequence[StoredObject],
    entries: Sequence[Entry],
    target: Path,
    progress: Progress,
    *,
    force: bool = False,
) -> list[StoredObject]:
    """Add `objects` to the bundle folder `target`; return those whose bytes were written.

    Parameters
    ----------
    force : bool
        Whether files of others that have the name of one of them are replaced.

    Raises
    ------
    MirrorError, StoreError
        If the folder holds something else in a place of ours, has no room or cannot be written.
    """
    folder = BundleFolder(target)
    size = sum(stored.size for stored in objects)
    try:
        if not force:
            folder.check_names(entries)
        missing = [
            stored
            for stored in objects
            if not folder.holds(_first(stored.sha256), stored.size, stored.sha256)
        ]
        size = sum(stored.size for stored in missing)
        require_space(target, size, "the bundle")
        for stored in missing:
            folder.copy(stored, _first(stored.sha256), progress)
        for stored in objects:
            folder.link(stored, f"md5/{stored.md5}")
        manifest.update(folder, entries)
        folder.name(objects, entries)
    except OSError as error:
        where = error.filename2 or error.filename or target
        raise disk_full_error(error, target, size, "the bundle") or BundleNotWritable(
            f"The bundle {target} cannot be written: {where} {because(error, '')}"
        ) from error
    return missing


def read(source: Path) -> Iterator[tuple[Entry, Path]]:
    """Return each entry of the bundle folder `source`, and the file that has its bytes.

    Raises
    ------
    MirrorError
        If it is not a bundle, or a file is missing.
    """
    try:
        entries = manifest.parse(BundleFolder(source).read(manifest.NAME, manifest.LIMIT + 1))
    except manifest.InvalidManifest as error:
        raise rejected(source, str(error)) from None
    except OSError as error:
        raise MirrorError(f"The bundle {source} cannot be read {because(error, '')}") from error
    for entry in entries:
        path = source / _first(entry["sha256"])
        status = regular(path)
        if status is None or status.st_size != entry["bytes"]:
            raise rejected(
                source,
                f"{manifest.label(entry)} is missing or truncated",
            )
        yield entry, path


def _is_free(path: Path, own: Callable[[Path], object]) -> bool:
    """Whether nothing is at `path`, or what `own` accepts."""
    # In this order, as another writer may just have made it.
    return not os.path.lexists(path) or bool(own(path))


def unshared_names(entries: Iterable[Entry]) -> dict[str, str]:
    """Return the sha256 of each object whose file name no other object has, by that name."""
    return {name: own[0]["sha256"] for name, own in _by_name(entries).items() if len(own) == 1}


def _by_name(entries: Iterable[Entry]) -> dict[str, list[Entry]]:
    """Return the entries, each once, by the file names under which a mirror may have them."""
    found: dict[str, dict[str, Entry]] = {}
    for entry in entries:
        name = manifest.file_name(entry)
        if _NAME.fullmatch(name) and name not in RESERVED:
            found.setdefault(name, {})[entry["sha256"]] = entry
    return {name: list(own.values()) for name, own in found.items()}


def _first(sha256: str) -> str:
    return f"sha256/{sha256}"


def _same(path: Path, other: Path) -> bool:
    one, two = regular(path), regular(other)
    return one is not None and two is not None and os.path.samestat(one, two)


def _copy(source: Path, target: Path, progress: Progress | None) -> None:
    with open(source, "rb") as reader, open(target, "xb") as writer:
        while block := reader.read(_BLOCK):
            writer.write(block)
            if progress is not None:
                progress.advance(len(block))
        writer.flush()
        with suppress(OSError):
            os.fsync(writer.fileno())
