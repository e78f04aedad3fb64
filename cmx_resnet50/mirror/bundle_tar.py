"""A bundle that is one plain tar file: written complete, read within bounds."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from cmx_resnet50.limits import because
from cmx_resnet50.mirror import manifest
from cmx_resnet50.mirror.bundle_folder import unshared_names
from cmx_resnet50.mirror.errors import BundleNotWritable, MirrorError, rejected
from cmx_resnet50.store.files import regular
from cmx_resnet50.store.link_or_copy import temporary_beside
from cmx_resnet50.store.write_errors import disk_full_error, require_space

if TYPE_CHECKING:
    from cmx_resnet50.mirror.manifest import Entry
    from cmx_resnet50.progress import Progress
    from cmx_resnet50.store import StoredObject
    from cmx_resnet50.store.layout import Layout

MAX_MEMBERS = 5 * manifest.MAX_OBJECTS
_READ = 4 << 20
"""Bytes that tarfile may ask for at once; a header that claims more is hostile."""
_BLOCK = 1 << 20
_COMPRESSED = {
    "gzip": b"\x1f\x8b",
    "bzip2": b"BZh",
    "xz": b"\xfd7zXZ\0",
    "zstd": b"\x28\xb5\x2f\xfd",
    "zip": b"PK\x03\x04",
}


def write(
    objects: Sequence[StoredObject], entries: Sequence[Entry], target: Path, progress: Progress
) -> None:
    """Write the tar file `target`; the same objects make the same bytes.

    Raises
    ------
    MirrorError, StoreError
        If there are too many objects, there is no room, or `target` cannot be written.
    """
    content = manifest.to_bytes(entries, str(target))
    size = sum(stored.size for stored in objects)
    require_space(target.parent, size, "the bundle")
    temporary = temporary_beside(target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _write(objects, entries, content, temporary, target, progress)
        temporary.replace(target)
    except OSError as error:
        full = disk_full_error(error, target.parent, size, "the bundle")
        raise full or BundleNotWritable(
            f"The bundle {target} cannot be written {because(error, '')}"
        ) from error
    finally:
        with suppress(OSError):  # there is none, or not even a folder for it
            temporary.unlink()


def _write(
    objects: Sequence[StoredObject],
    entries: Sequence[Entry],
    content: bytes,
    path: Path,
    target: Path,
    progress: Progress,
) -> None:
    names = {sha256: name for name, sha256 in unshared_names(entries).items()}
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
        tar.addfile(_member(manifest.NAME, len(content)), io.BytesIO(content))
        for stored in objects:
            first = _member(f"sha256/{stored.sha256}", stored.size)
            progress.start(stored.name, stored.size, f"the store to {target}", 0)
            try:
                with open(stored.path, "rb") as file:
                    shown: Any = _Shown(file, progress)
                    tar.addfile(first, shown)
            finally:
                progress.done()
            own = [f"md5/{stored.md5}", names.get(stored.sha256)]
            for name in filter(None, own):
                other = _member(name, 0)
                other.type, other.linkname = tarfile.LNKTYPE, first.name
                tar.addfile(other)
    with open(path, "rb") as written:
        os.fsync(written.fileno())


class _Shown:
    """A file whose reading is shown."""

    def __init__(self, file: IO[bytes], progress: Progress) -> None:
        self._file = file
        self._progress = progress

    def read(self, size: int = -1) -> bytes:
        """Read at most `size` bytes."""
        data = self._file.read(size)
        self._progress.advance(len(data))
        return data


def _member(name: str, size: int) -> tarfile.TarInfo:
    # No owner and no date: the same objects make the same file.
    member = tarfile.TarInfo(name)
    member.size, member.mode = size, 0o644
    return member


@contextmanager
def opened(source: Path, layout: Layout) -> Iterator[Iterator[tuple[Entry, Path]]]:
    """Open a tar file; yields each entry and a file with its bytes, which the caller may move.

    Parameters
    ----------
    layout : Layout
        Of the store that takes the objects: its folder has room for them.

    Raises
    ------
    MirrorError
        If it is not a bundle, or holds what its manifest does not list.
    """
    with _open(source) as tar:
        yield _read(tar, source, layout)


@contextmanager
def _open(source: Path) -> Iterator[tarfile.TarFile]:
    try:
        if source.exists() and not source.is_file():
            raise rejected(source, "it is neither a folder nor a regular file")
        file = open(source, "rb")  # noqa: SIM115  # closed by the with below
    except OSError as error:
        raise MirrorError(f"The bundle {source} cannot be read {because(error, '')}") from error
    magic = file.read(8)
    file.seek(0)
    for kind, start in _COMPRESSED.items():
        if magic.startswith(start):
            file.close()
            raise MirrorError(f"{source} rejected: it is compressed ({kind}). Decompress it first.")
    bounded: Any = _Bounded(file)
    try:
        with file, tarfile.open(fileobj=bounded, mode="r:") as tar:
            yield tar
    except (tarfile.TarError, EOFError, ValueError, RecursionError, OverflowError) as error:
        raise rejected(source, f"it is not a plain tar file, or is truncated ({error})") from error


class _Bounded:
    """A file of which only so much can be read at once, whatever a header claims."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.seek = file.seek
        self.tell = file.tell

    def read(self, size: int = -1) -> bytes:
        """Read at most `size` bytes."""
        if not 0 <= size <= _READ:
            raise tarfile.ReadError(f"a header claims {size:,} bytes")
        return self._file.read(size)


def check_target(target: Path, *, force: bool) -> bool:
    """Check that nothing but a bundle is at `target`, which is going to be replaced.

    Parameters
    ----------
    force : bool
        Whether the user gives up a file or a link that is there.

    Returns
    -------
    bool
        Whether something is there.

    Raises
    ------
    MirrorError
        If something else is there.
    """
    if not os.path.lexists(target):
        return False
    replaceable = target.is_symlink() or target.is_file()
    if force and replaceable:
        return True
    try:
        if regular(target) is None:
            raise rejected(target, "it is not a regular file")
        with _open(target) as tar:
            files, _ = _members(tar, target)
            _entries(tar, files.get(manifest.NAME), target)
    except MirrorError as error:
        advice = "name another file; or replace it: --force." if replaceable else "name another."
        raise MirrorError(
            f"{target} is there and is not a bundle, and is left alone. Move it away, or {advice}"
        ) from error
    return True


def _read(tar: tarfile.TarFile, source: Path, layout: Layout) -> Iterator[tuple[Entry, Path]]:
    files, links = _members(tar, source)
    entries = _entries(tar, files.get(manifest.NAME), source)
    require_space(layout.root, sum(entry["bytes"] for entry in entries), "the bundle's objects")
    for entry in entries:
        # tar, run on a folder, packs whichever name of the bytes it meets first.
        name = f"sha256/{entry['sha256']}"
        inside = files.get(links.get(name, name))
        if inside is None or inside.size != entry["bytes"]:
            raise rejected(source, f"{manifest.label(entry)} is missing or truncated")
        path = layout.temporary()
        try:
            reader = tar.extractfile(inside)
            if reader is None:
                raise rejected(source, f"{inside.name} is not a regular file")
            with open(path, "xb") as writer:
                while block := reader.read(_BLOCK):
                    writer.write(block)
            yield entry, path
        finally:
            path.unlink(missing_ok=True)


def _members(
    tar: tarfile.TarFile, source: Path
) -> tuple[dict[str, tarfile.TarInfo], dict[str, str]]:
    """Return the files of a bundle by name, and the names of links to them."""
    files: dict[str, tarfile.TarInfo] = {}
    links: dict[str, str] = {}
    for count, member in enumerate(_headers(tar, files, source)):
        if count >= MAX_MEMBERS:
            raise rejected(source, f"it has more than {MAX_MEMBERS} members")
        name = _safe(member.name, member, source)
        if member.isreg():
            files[name] = member
        elif member.islnk():
            links[name] = _safe(member.linkname, member, source)
    return files, links


def _headers(
    tar: tarfile.TarFile, files: Mapping[str, tarfile.TarInfo], source: Path
) -> Iterator[tarfile.TarInfo]:
    """Yield the members; where the bundle ends too early, name the file in which it does."""
    try:
        yield from tar
    except tarfile.ReadError as error:
        # What was found last is what the next header should come after; the manifest is first.
        *_, last = [None, *files]
        if last is None or last == manifest.NAME:
            raise
        entries = _entries(tar, files.get(manifest.NAME), source)
        names = {f"sha256/{entry['sha256']}": manifest.label(entry) for entry in entries}
        raise rejected(source, f"it ends within {names.get(last, last)} ({error})") from error


def _safe(name: str, member: tarfile.TarInfo, source: Path) -> str:
    """Return `name`, of a member or of what it links to, in the form that the manifest uses."""
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if (
        name.startswith(("/", "\\"))
        or ".." in parts
        or len(parts) > 2
        or not (member.isreg() or member.isdir() or member.islnk())
        or member.issparse()
    ):
        shown = name[:200].encode("unicode_escape").decode()
        raise rejected(source, f"it holds {shown}, which no bundle has")
    return "/".join(parts)


def _entries(tar: tarfile.TarFile, member: tarfile.TarInfo | None, source: Path) -> list[Entry]:
    content = None
    if member is not None and member.size <= manifest.LIMIT:
        reader = tar.extractfile(member)
        content = reader.read() if reader is not None else None
    try:
        return manifest.parse(content)
    except manifest.InvalidManifest as error:
        raise rejected(source, str(error)) from None
