"""Removal of what nothing uses: objects, and what killed processes left long ago.

Only what has the name and the place of something of ours is removed, and no link is followed.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from cmx_resnet50.store.access import Access
from cmx_resnet50.store.files import (
    children,
    is_folder,
    may_exist,
    read_json,
    regular,
    remove,
    remove_folder,
)
from cmx_resnet50.store.layout import Layout, is_key, is_sha256
from cmx_resnet50.store.leftovers import PARTIAL
from cmx_resnet50.store.locks import PRUNING, Locks
from cmx_resnet50.store.model import Pruned, StoredObject
from cmx_resnet50.store.objects import Objects

_OBJECT = re.compile(r"data|record\.json|stamp|keys")
_TEMPORARY = re.compile(r"\.cmx-[0-9a-f]{8}-\w{1,64}-\d+-\d+-[0-9a-f]{8}", re.ASCII)
_RECORD = re.compile(r"[0-9a-f]{16}\.json")

ABANDONED = 7 * 24 * 3600.0
"""Seconds after which a partial file, a lock file or a temporary file counts as left behind."""


def prune(
    layout: Layout,
    objects: Objects,
    locks: Locks,
    used: Callable[[StoredObject], bool],
    dry_run: bool,
) -> list[Pruned]:
    """See `Store.prune`. Nothing is removed of which a process holds the lock."""
    gone = []
    candidates = list(objects.all())
    # An archive comes after what was unpacked from it, and stays where that stays.
    archives = {candidate.archive for candidate in candidates} - {None}
    needed = set()
    for candidate in sorted(candidates, key=lambda one: one.sha256 in archives):
        if used(candidate) or candidate.sha256 in needed:
            needed.add(candidate.archive)
            continue
        size = _bytes(candidate.path)
        if not dry_run:
            with (
                locks.free(PRUNING) as allowed,
                locks.free(f"object-{candidate.sha256}") as held,
            ):
                if not (allowed and held) or used(candidate):
                    needed.add(candidate.archive)
                    continue
                _remove_object(layout, candidate.sha256)
        gone.append(Pruned("object", candidate.path.parent, size, candidate))
    removed = {item.stored.sha256 for item in gone if item.stored}
    gone += _partials(layout, locks, dry_run)
    gone += _orphans(layout, objects, removed, dry_run)
    gone += _locks(layout, locks, dry_run)
    return gone


def _remove_object(layout: Layout, sha256: str) -> None:
    # The keys go first: one that leads nowhere is worse than bytes without a key.
    for key, target in list(layout.aliases()):
        if target == sha256:
            remove(layout.root / "aliases" / key)
    layout.clear(layout.folder(sha256))
    remove_folder(layout.placements(sha256), _RECORD)


def _partials(layout: Layout, locks: Locks, dry_run: bool) -> Iterator[Pruned]:
    for folder in children(layout.root / "incoming"):
        if not is_key(folder.name) or not is_folder(folder) or not _old(folder, *children(folder)):
            continue
        size = sum(_bytes(path) for path in children(folder))
        if not dry_run:
            with locks.free(f"obtain-{folder.name}") as held:
                if not held or not remove_folder(folder, PARTIAL):
                    continue
        yield Pruned("partial", folder, size)


def _orphans(
    layout: Layout, objects: Objects, removed: set[str], dry_run: bool
) -> Iterator[Pruned]:
    """Temporary files, object folders without a record, and what points to nothing."""
    kept = set()
    for path in children(layout.root / "temporary"):
        if _TEMPORARY.fullmatch(path.name) and _old(path):
            yield from _removed("leftover", path, dry_run)
    for sha256 in layout.digests():
        folder = layout.folder(sha256)
        if objects.load(sha256) is not None:
            kept.add(sha256)
        elif _old(folder, *children(folder)) and (dry_run or remove_folder(folder, _OBJECT)):
            yield Pruned("leftover", folder, 0)
    kept -= removed
    for key, sha256 in layout.aliases():
        path = layout.root / "aliases" / key
        if sha256 not in kept and _old(path):
            yield from _removed("alias", path, dry_run)
    for folder in children(layout.root / "placements"):
        for path in children(folder) if is_sha256(folder.name) else ():
            place = _place(path)
            if _RECORD.fullmatch(path.name) and not (place and may_exist(Path(place))):
                yield from _removed("placement", path, dry_run, place)


def _locks(layout: Layout, locks: Locks, dry_run: bool) -> Iterator[Pruned]:
    if layout.access() is Access.FOREIGN:  # Its locks are not for others to see.
        return
    for path in children(layout.root / "locks"):
        if path.suffix != ".lock" or regular(path) is None or not _old(path):
            continue
        if not dry_run:
            # filelock looks whether the file that it locked still has its name, so that a
            # process that waits meanwhile tries again with the new one.
            with locks.free(path.stem) as held:
                if not held:
                    continue
                remove(path.with_suffix(".holder"))
                remove(path)
        yield Pruned("lock", path, 0)


def _removed(kind: str, path: Path, dry_run: bool, place: str | None = None) -> Iterator[Pruned]:
    size = _bytes(path)
    if not dry_run:
        remove(path)
    yield Pruned(kind, path, size, place=place)


def _place(record: Path) -> str | None:
    """Return the path that the record of a placement names."""
    place = (read_json(record) or {}).get("path")
    return place if isinstance(place, str) and "\0" not in place else None


def _old(*paths: Path) -> bool:
    """Whether all of `paths` were last changed long ago; a file of the future is young."""
    try:
        newest = max(os.lstat(path).st_mtime for path in paths)
    except FileNotFoundError:
        return False
    return time.time() - newest > ABANDONED


def _bytes(path: Path) -> int:
    status = regular(path)
    return status.st_size if status is not None else 0
