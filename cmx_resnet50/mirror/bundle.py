"""Bundles: objects on their way to a machine without a network, and a site's own mirror.

A bundle is a folder or a plain ``.tar`` file that holds

- ``manifest.json``: ``{"format": "cmx-resnet50-bundle", "version": 1, "objects": [...]}``, an
  object being ``{"sha256", "md5", "bytes", "keys", "record"}``;
- ``sha256/<hex>``: the bytes of each object, once;
- ``md5/<hex>`` and ``<file name>``: further names of the same bytes, for a site that serves
  the folder by HTTP. A name that two objects share is left out.

Only the manifest and the ``sha256/`` files are read back. The store knows nothing of bundles:
they are written from its objects and read through its face.
"""

from __future__ import annotations

import io
import json
import os
import re
import tarfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from cmx_resnet50.store.files import SMALL, read_json, regular, to_json
from cmx_resnet50.store.layout import Layout, checked_key, is_digest, is_sha256, plain
from cmx_resnet50.store.link_or_copy import clone, disk_full_error, require_space, temporary_beside
from cmx_resnet50.store.model import StoredObject, StoreError

if TYPE_CHECKING:
    from cmx_resnet50.store import Store

FORMAT = "cmx-resnet50-bundle"
VERSION = 1
MAX_OBJECTS = 1000
MAX_MEMBERS = 4 * MAX_OBJECTS
_READ = 4 << 20
"""Bytes that tarfile may ask for at once; a header that claims more is hostile."""


@dataclass(frozen=True)
class Item:
    """An object of an opened bundle: its bytes at `path`, ours to move where `own`."""

    path: Path
    keys: tuple[str, ...]
    record: Mapping[str, Any]
    own: bool


def export(store: Store, chosen: Iterable[StoredObject], target: Path) -> Path:
    """Write a bundle of the objects `chosen` and return where it is.

    Parameters
    ----------
    store : Store
        The store that has the objects.
    chosen : iterable of StoredObject
        What to export, each once.
    target : Path
        A name that ends in ``.tar`` means one file, any other a folder.

    Raises
    ------
    StoreError
        If an object is damaged, there is no room, or `target` cannot be written.
    """
    objects = list(chosen)
    for stored in objects:
        store.require(stored)
    aliases = list(store.layout.aliases())
    target = plain(target)
    manifest = to_json(
        {
            "format": FORMAT,
            "version": VERSION,
            "objects": [_entry(stored, aliases) for stored in objects],
        }
    )
    if len(manifest.encode()) > SMALL or len(objects) > MAX_OBJECTS:
        raise StoreError(f"{len(objects)} objects are too many for one bundle.")
    size = sum(stored.size for stored in objects)
    require_space(target.parent, size, "the bundle")
    write = _write_tar if target.suffix == ".tar" else _write_folder
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        write(objects, _names(objects), manifest, target)
    except OSError as error:
        full = disk_full_error(error, target.parent, size, "the bundle")
        raise full or StoreError(
            f"The bundle {target} cannot be written ({error.strerror or error})."
        ) from error
    return target


def _entry(stored: StoredObject, aliases: Sequence[tuple[str, str]]) -> dict[str, Any]:
    return {
        "sha256": stored.sha256,
        "md5": stored.md5,
        "bytes": stored.size,
        "keys": sorted(key for key, sha256 in aliases if sha256 == stored.sha256),
        "record": dict(stored.record),
    }


def _names(objects: Sequence[StoredObject]) -> dict[str, list[str]]:
    """Return the further names of each object at a mirror."""
    count = Counter(stored.name for stored in objects)
    names = {}
    for stored in objects:
        own = [f"md5/{stored.md5}"]
        if count[stored.name] == 1 and re.fullmatch(r"\w[\w.+-]{0,150}", stored.name):
            own += [stored.name] if stored.name not in ("md5", "sha256", "manifest.json") else []
        names[stored.sha256] = own
    return names


def _write_folder(
    objects: Sequence[StoredObject], names: Mapping[str, list[str]], manifest: str, target: Path
) -> None:
    for stored in objects:
        first = target / "sha256" / stored.sha256
        _put(stored.path, first, stored.size)
        for name in names[stored.sha256]:
            _put(first, target / name, stored.size, link=True)
    temporary = temporary_beside(target / "manifest.json")
    temporary.write_text(manifest, encoding="utf-8")
    temporary.replace(target / "manifest.json")


def _put(source: Path, path: Path, size: int, *, link: bool = False) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_beside(path)
    try:
        if link:
            with suppress(OSError):
                os.link(source, temporary)
        if not temporary.exists():
            clone(source, temporary, size)
            temporary.chmod(0o644)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _write_tar(
    objects: Sequence[StoredObject], names: Mapping[str, list[str]], manifest: str, target: Path
) -> None:
    temporary = temporary_beside(target)
    try:
        with tarfile.open(temporary, "w", format=tarfile.PAX_FORMAT) as tar:
            content = manifest.encode()
            tar.addfile(_member("manifest.json", len(content)), io.BytesIO(content))
            for stored in objects:
                first = _member(f"sha256/{stored.sha256}", stored.size)
                with open(stored.path, "rb") as file:
                    tar.addfile(first, file)
                for name in names[stored.sha256]:
                    other = _member(name, 0)
                    other.type, other.linkname = tarfile.LNKTYPE, first.name
                    tar.addfile(other)
        with open(temporary, "rb") as written:
            os.fsync(written.fileno())
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def _member(name: str, size: int) -> tarfile.TarInfo:
    # No owner and no date: the same objects make the same file.
    member = tarfile.TarInfo(name)
    member.size, member.mode = size, 0o644
    return member


def import_(store: Store, source: Path) -> list[StoredObject]:
    """Take every object of the bundle `source`, a folder or a ``.tar`` file, into the store.

    Each is compared with its digest. Keys that are not digests are the bundle's word: they are
    taken where the store knows no complete object by that key.

    Raises
    ------
    StoreError
        If it is not a bundle, or anything in it is not what its manifest says.
    """
    taken = []
    with store.writing(str(source), None), opened(source, store.layout) as items:
        for item in items:
            new = [key for key in item.keys if is_digest(key) or not _known(store, key)]
            taken.append(store.import_file(item.path, keys=new, record=item.record, move=item.own))
    return taken


def _known(store: Store, key: str) -> bool:
    found = store.find(key)
    return found is not None and store.check(found)


@contextmanager
def opened(source: Path, layout: Layout) -> Iterator[Iterator[Item]]:
    """Open a bundle; yields its objects, whose bytes the caller compares with ``keys``.

    Raises
    ------
    StoreError
        If it is no bundle, or holds what its manifest does not say.
    """
    if source.is_dir():
        yield _from_folder(source)
        return
    try:
        file = open(source, "rb")  # noqa: SIM115  # closed by the with below
    except OSError as error:
        raise StoreError(f"The bundle {source} cannot be read ({error.strerror}).") from error
    bounded: Any = _Bounded(file)
    try:
        with file, tarfile.open(fileobj=bounded, mode="r:") as tar:
            yield _from_tar(tar, source, layout)
    except (tarfile.TarError, EOFError, ValueError, RecursionError, OverflowError) as error:
        raise StoreError(
            f"{source} is no bundle, or a cut one: not a plain tar file ({error}). Copy it again."
        ) from error


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


def _from_folder(source: Path) -> Iterator[Item]:
    manifest = read_json(source / "manifest.json")
    for entry in _entries(manifest, source):
        path = source / "sha256" / entry["sha256"]
        status = regular(path)
        if status is None or status.st_size != entry["bytes"]:
            raise _wrong(source, f"sha256/{entry['sha256']} is missing or cut")
        yield _item(entry, path, own=False)


def _from_tar(tar: tarfile.TarFile, source: Path, layout: Layout) -> Iterator[Item]:
    files: dict[str, tarfile.TarInfo] = {}
    links: dict[str, str] = {}
    for count, member in enumerate(tar):
        if count >= MAX_MEMBERS:
            raise _wrong(source, f"it has more than {MAX_MEMBERS} members")
        name = _safe(member.name, member, source)
        if member.isreg():
            files[name] = member
        elif member.islnk():
            links[name] = _safe(member.linkname, member, source)
    listed = files.get("manifest.json")
    if listed is None or listed.size > SMALL:
        raise _wrong(source, "it has no manifest.json")
    entries = _entries(_parse(tar, listed), source)
    total = sum(entry["bytes"] for entry in entries)
    require_space(layout.root, total, "the bundle's objects")
    for entry in entries:
        # tar, called by hand on a folder, packs whichever name of the bytes it meets first.
        name = f"sha256/{entry['sha256']}"
        inside = files.get(links.get(name, name))
        if inside is None or inside.size != entry["bytes"]:
            raise _wrong(source, f"sha256/{entry['sha256']} is missing or cut")
        path = layout.temporary()
        try:
            reader = tar.extractfile(inside)
            if reader is None:
                raise _wrong(source, f"{inside.name} is no file")
            with open(path, "xb") as writer:
                while block := reader.read(1 << 20):
                    writer.write(block)
            yield _item(entry, path, own=True)
        finally:
            path.unlink(missing_ok=True)


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
        raise _wrong(source, f"it holds {shown}, which no bundle has")
    return "/".join(parts)


def _parse(tar: tarfile.TarFile, member: tarfile.TarInfo) -> Any:
    reader = tar.extractfile(member)
    return json.loads(reader.read()) if reader is not None else None


def _entries(manifest: Any, source: Path) -> list[dict[str, Any]]:
    """Return the manifest's objects, each with what the rest relies on."""
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise _wrong(source, "manifest.json is missing or none of a bundle")
    if manifest.get("version") != VERSION:
        raise _wrong(source, f"it has version {manifest.get('version')!r}, known is {VERSION}")
    entries = manifest.get("objects")
    if not isinstance(entries, list) or len(entries) > MAX_OBJECTS:
        raise _wrong(source, "manifest.json lists no objects, or too many")
    for entry in entries:
        if not (
            isinstance(entry, dict)
            and isinstance(entry.get("sha256"), str)
            and is_sha256(entry["sha256"])
            and type(entry.get("bytes")) is int
            and entry["bytes"] >= 0
            and isinstance(entry.get("keys"), list)
            and all(isinstance(key, str) for key in entry["keys"])
            and isinstance(entry.get("record"), dict)
        ):
            raise _wrong(source, "manifest.json describes an object wrongly")
    return entries


def _item(entry: Mapping[str, Any], path: Path, *, own: bool) -> Item:
    keys = [f"sha256-{entry['sha256']}", *entry["keys"]]
    return Item(path, tuple(checked_key(key) for key in keys), entry["record"], own)


def _wrong(source: Path, what: str) -> StoreError:
    return StoreError(f"{source} is not taken: {what}. Export it again, or copy it again.")
