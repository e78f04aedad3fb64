"""The manifest of a mirror that many may fill at once, without locks.

What is said of one object is a file of its own in ``entries``, which is written once and never
altered: its name has the object's sha256 and a mark of the keys, so that two publishers never
write different things under one name. ``manifest.json`` is made of all of them. Whoever has
written it looks again whether an entry has come since, and writes it anew then. The last one to
write has looked after all others had written their entries, so that it has them all.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from cmx_resnet50.mirror.target import PublishError, Target

NAME = "manifest.json"
FOLDER = "entries"
LIMIT = 1 << 20
"""Bytes of a manifest, as for that of a bundle."""
MAX_ENTRIES = 1000
ROUNDS = 100
"""Times that others may come in between."""

_ENTRY = re.compile(r"([0-9a-f]{64})-[0-9a-f]{16}\.json")

Entry = dict[str, Any]


def update(target: Target, entries: Iterable[Mapping[str, Any]], head: Mapping[str, Any]) -> None:
    """Add `entries` to the manifest of `target`.

    Raises
    ------
    PublishError
        If the manifest that is there is none, or there are too many objects.
    """
    there = set(target.names(FOLDER))
    for entry in entries:
        name = _name(entry)
        if name not in there:
            target.write(f"{FOLDER}/{name}", _text(entry))
    for _ in range(ROUNDS):
        present = target.read(NAME, LIMIT + 1)
        known = _parse(present, target, head) if present is not None else []
        wanted = _text({**head, "objects": _merged(target, known)})
        if len(wanted) > LIMIT:
            raise PublishError(f"{target.printable}: there are too many objects for one manifest.")
        if wanted == present:
            return
        target.write(NAME, wanted)
    raise PublishError(f"{target.printable}/{NAME} is changed by others all the time. Run again.")


def _name(entry: Mapping[str, Any]) -> str:
    mark = hashlib.sha256("\n".join(sorted(entry["keys"])).encode()).hexdigest()[:16]
    return f"{entry['sha256']}-{mark}.json"


def _merged(target: Target, known: Iterable[Entry]) -> list[Entry]:
    """Return what all entries say, and the manifest of objects that have none."""
    names = [name for name in target.names(FOLDER) if name.endswith(".json")]
    if len(names) > MAX_ENTRIES:
        raise PublishError(f"{target.printable}/{FOLDER} holds more than {MAX_ENTRIES} files.")
    found: dict[str, Entry] = {}
    for name in names:
        match = _ENTRY.fullmatch(name)
        entry = _sound(target.read(f"{FOLDER}/{name}", LIMIT)) if match else None
        if match is None or entry is None or entry["sha256"] != match[1]:
            raise PublishError(
                f"{target.printable}/{FOLDER}/{name} is no entry of a mirror. Remove it."
            )
        first = found.setdefault(entry["sha256"], entry)
        first["keys"] = sorted({*first["keys"], *entry["keys"]})
    for entry in known:
        found.setdefault(entry["sha256"], entry)
    return [found[sha256] for sha256 in sorted(found)]


def _parse(content: bytes, target: Target, head: Mapping[str, Any]) -> list[Entry]:
    try:
        manifest = json.loads(content) if len(content) <= LIMIT else None
    except (ValueError, RecursionError):
        manifest = None
    if isinstance(manifest, dict) and all(manifest.get(key) == head[key] for key in head):
        entries = manifest.get("objects")
        if isinstance(entries, list) and all(map(_is_entry, entries)):
            return entries
    raise PublishError(
        f"{target.printable}/{NAME} is not the manifest of a mirror. Remove it, or publish "
        "elsewhere."
    )


def _sound(content: bytes | None) -> Entry | None:
    try:
        entry = json.loads(content or b"")
    except (ValueError, RecursionError):
        return None
    return entry if _is_entry(entry) else None


def _is_entry(entry: Any) -> bool:
    return (
        isinstance(entry, dict)
        and isinstance(entry.get("sha256"), str)
        and isinstance(entry.get("keys"), list)
        and all(isinstance(key, str) for key in entry["keys"])
    )


def _text(content: Mapping[str, Any]) -> bytes:
    return (json.dumps(content, indent=1, sort_keys=True) + "\n").encode()
