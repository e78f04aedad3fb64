"""What a bundle or a mirror holds, and how several machines write that down without locks.

``manifest.json`` is ``{"format": "cmx-resnet50-bundle", "version": 1, "objects": [...]}``. An
object is an entry ``{"sha256", "md5", "bytes", "keys", "record"}``: its digests and size, the
keys of the store that stand for it, and its provenance.

A folder or a bucket, which several machines may fill at the same time, also holds each entry as
a file ``entries/<sha256>-<hash of the keys>.json``. Such a file is written once and never
altered. Every writer first writes its entries, then makes ``manifest.json`` of all entries, and
repeats that until no other entry has appeared in between. So the last writer has read the
entries of all others, and no object is lost.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from cmx_resnet50.mirror.errors import MirrorError
from cmx_resnet50.store.layout import is_sha256

if TYPE_CHECKING:
    from cmx_resnet50.store import Store, StoredObject

FORMAT = "cmx-resnet50-bundle"
VERSION = 1
NAME = "manifest.json"
ENTRIES = "entries"
LIMIT = 1 << 20
"""Bound in bytes of the manifest and of each entry."""
MAX_OBJECTS = 1000
ROUNDS = 100
"""How often other writers may come in between."""

Entry = dict[str, Any]


class InvalidManifest(ValueError):
    """A manifest that cannot be used; the text is what is wrong with it."""


class Files(Protocol):
    """Where a manifest is kept. What is written appears under its name in one step."""

    @property
    def printable(self) -> str:
        """The address, without its secrets."""

    def names(self, folder: str) -> list[str]:
        """Return the names of the files in `folder`, sorted."""

    def read(self, name: str, limit: int) -> bytes | None:
        """Return up to `limit` bytes of a small file; None if there is no such file."""

    def write(self, name: str, content: bytes) -> None:
        """Write a small file."""


def entries_of(store: Store, objects: Iterable[StoredObject]) -> list[Entry]:
    """Return the entries of `objects`, which are of `store`."""
    keys: dict[str, list[str]] = {}
    for key, sha256 in store.layout.aliases():
        keys.setdefault(sha256, []).append(key)
    return [
        {
            "sha256": stored.sha256,
            "md5": stored.md5,
            "bytes": stored.size,
            "keys": sorted(keys.get(stored.sha256, ())),
            "record": dict(stored.record),
        }
        for stored in objects
    ]


def file_name(entry: Entry) -> str:
    """Return the name of the file, for messages; it may be anything."""
    record = entry["record"]
    return str(record.get("file") or record.get("name") or entry["sha256"])


def label(entry: Entry) -> str:
    """Return what errors call the file of an entry: its name in the bundle, and its own."""
    return f"sha256/{entry['sha256']} ({file_name(entry)[:80]})"


def to_bytes(entries: Sequence[Entry], where: str) -> bytes:
    """Return the manifest of `entries`.

    Raises
    ------
    MirrorError
        If there are too many of them.
    """
    content = _json({"format": FORMAT, "version": VERSION, "objects": list(entries)})
    if len(content) > LIMIT or len(entries) > MAX_OBJECTS:
        raise MirrorError(f"{where}: {len(entries)} objects are too many for one manifest.")
    return content


def parse(content: bytes | None) -> list[Entry]:
    """Return the entries of a manifest, each with all that an entry has.

    Raises
    ------
    InvalidManifest
        If it is not one.
    """
    manifest = _loads(content)
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise InvalidManifest(f"{NAME} is missing, or is not the manifest of a bundle")
    if manifest.get("version") != VERSION:
        version = repr(manifest.get("version"))[:40]
        raise InvalidManifest(f"{NAME} has version {version}; this release reads {VERSION}")
    entries = manifest.get("objects")
    if not isinstance(entries, list) or len(entries) > MAX_OBJECTS:
        raise InvalidManifest(f"{NAME} lists no objects, or too many")
    if not all(map(_is_entry, entries)):
        raise InvalidManifest(f"{NAME} has an object with missing or invalid fields")
    return entries


def check(files: Files) -> None:
    """Check that `files` has no manifest, or one that entries can be added to.

    Raises
    ------
    MirrorError
        If something else is in its place.
    """
    _present(files)


def update(files: Files, entries: Iterable[Entry]) -> list[Entry]:
    """Add `entries` to the manifest of `files`; return all entries that it has then.

    Raises
    ------
    MirrorError
        If the manifest that is there is not one, or there are too many objects.
    """
    there = set(files.names(ENTRIES))
    for entry in entries:
        name = _entry_name(entry)
        if name not in there:
            files.write(f"{ENTRIES}/{name}", _json(entry))
    for _ in range(ROUNDS):
        present, known = _present(files)
        merged = _merged(files, known)
        content = to_bytes(merged, files.printable)
        if content == present:
            return merged
        files.write(NAME, content)
    raise MirrorError(f"{files.printable}/{NAME} keeps being changed by others. Run again.")


def merged(files: Files) -> list[Entry]:
    """Return the entries of all that `files` holds, its manifest and what is to be added to it.

    Raises
    ------
    MirrorError
        If the manifest or an entry that is there is not one.
    """
    return _merged(files, _present(files)[1])


def _present(files: Files) -> tuple[bytes | None, list[Entry]]:
    content = files.read(NAME, LIMIT + 1)
    if content is None:
        return None, []
    try:
        return content, parse(content)
    except InvalidManifest as error:
        raise MirrorError(
            f"{files.printable}/{NAME} is not the manifest of a mirror ({error}). Move it away, or "
            "name another target."
        ) from None


def _merged(files: Files, known: Iterable[Entry]) -> list[Entry]:
    names = [name for name in files.names(ENTRIES) if name.endswith(".json")]
    if len(names) > MAX_OBJECTS:
        raise MirrorError(f"{files.printable}/{ENTRIES} holds more than {MAX_OBJECTS} files.")
    found: dict[str, Entry] = {}
    for name in names:
        entry = _loads(files.read(f"{ENTRIES}/{name}", LIMIT + 1))
        if not _is_entry(entry) or _entry_name(entry) != name:
            raise MirrorError(
                f"{files.printable}/{ENTRIES}/{name} is not an entry of a mirror. Remove it."
            )
        first = found.setdefault(entry["sha256"], entry)
        first["keys"] = sorted({*first["keys"], *entry["keys"]})
    for entry in known:
        found.setdefault(entry["sha256"], entry)
    return [found[sha256] for sha256 in sorted(found)]


def _entry_name(entry: Entry) -> str:
    # The keys are part of the name: no two writers write different entries under one name.
    keys = "\n".join(sorted(entry["keys"])).encode("utf-8", "surrogatepass")
    return f"{entry['sha256']}-{hashlib.sha256(keys).hexdigest()[:16]}.json"


def _is_entry(entry: Any) -> bool:
    return (
        isinstance(entry, dict)
        and isinstance(entry.get("sha256"), str)
        and is_sha256(entry["sha256"])
        and type(entry.get("bytes")) is int
        and entry["bytes"] >= 0
        and isinstance(entry.get("keys"), list)
        and all(isinstance(key, str) for key in entry["keys"])
        and isinstance(entry.get("record"), dict)
    )


def _loads(content: bytes | None) -> Any:
    if content is None or len(content) > LIMIT:
        return None
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return None


def _json(content: Any) -> bytes:
    return (json.dumps(content, indent=1, sort_keys=True) + "\n").encode()
