"""Removal of what nothing uses: objects, and what killed processes left long ago."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from cmx_resnet50.store.files import children, read_json, regular, remove
from cmx_resnet50.store.layout import Layout
from cmx_resnet50.store.locks import PRUNING, Locks
from cmx_resnet50.store.model import Pruned, StoredObject
from cmx_resnet50.store.objects import Objects

ABANDONED = 7 * 24 * 3600.0
"""Seconds after which a partial file, a lock file or a temporary file counts as left behind."""


def prune(
    layout: Layout,
    objects: Objects,
    locks: Locks,
    stored: Iterable[StoredObject],
    used: Callable[[StoredObject], bool],
    dry_run: bool,
) -> list[Pruned]:
    """See `Store.prune`. Nothing is taken from a process that holds its lock."""
    gone = []
    candidates = list(stored)
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
    gone += _strays(layout, objects, removed, dry_run)
    gone += _locks(layout, locks, dry_run)
    return gone


def _remove_object(layout: Layout, sha256: str) -> None:
    # The keys go first: one that leads nowhere is worse than bytes without a key.
    for key, target in list(layout.aliases()):
        if target == sha256:
            remove(layout.root / "aliases" / key)
    layout.clear(layout.folder(sha256))
    layout.clear(layout.placements(sha256))


def _partials(layout: Layout, locks: Locks, dry_run: bool) -> Iterator[Pruned]:
    for folder in children(layout.root / "incoming"):
        if not _old(folder, *children(folder)):
            continue
        size = sum(_bytes(path) for path in children(folder))
        if not dry_run:
            with locks.free(f"obtain-{folder.name}") as held:
                if not held:
                    continue
                remove(folder)
        yield Pruned("partial", folder, size)


def _strays(layout: Layout, objects: Objects, removed: set[str], dry_run: bool) -> Iterator[Pruned]:
    """Temporary files, object folders without a record, and what points to nothing."""
    found = [("leftover", path) for path in children(layout.root / "temporary") if _old(path)]
    kept = set()
    for sha256 in layout.digests():
        folder = layout.folder(sha256)
        if objects.load(sha256) is not None:
            kept.add(sha256)
        elif _old(folder, *children(folder)):
            found.append(("leftover", folder))
    kept -= removed
    for key, sha256 in layout.aliases():
        path = layout.root / "aliases" / key
        if sha256 not in kept and _old(path):
            found.append(("alias", path))
    for folder in children(layout.root / "placements"):
        for path in children(folder):
            place = (read_json(path) or {}).get("path")
            if not isinstance(place, str) or "\0" in place or regular(Path(place)) is None:
                found.append(("placement", path))
    for kind, path in found:
        size = _bytes(path)
        if not dry_run:
            remove(path)
        yield Pruned(kind, path, size)


def _locks(layout: Layout, locks: Locks, dry_run: bool) -> Iterator[Pruned]:
    for path in children(layout.root / "locks"):
        if path.suffix != ".lock" or not _old(path):
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
