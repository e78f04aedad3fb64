"""Pruning: what is not used, what was left behind, and nothing that is alive."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from filelock import FileLock

from cmx_resnet50.store import Store, StoredObject, StoreError
from tests.store.helpers import (
    DATA,
    MAKE_SLOWLY,
    maker,
    never,
    put,
    python,
    sha256,
    until,
)

LEFT = ".cmx-01234567-elsewhere-4026531836-1-0123abcd"
"""The name of a temporary file that a process of another host left behind."""


def test_prune_removes_what_is_not_used_and_only_that(store: Store, tmp_path: Path) -> None:
    kept, gone = put(store, DATA, "url-kept"), put(store, b"gone" * 99, "url-gone")
    store.place(gone, tmp_path / "view")
    dry = store.prune(lambda stored: stored == kept, dry_run=True)
    assert [(item.kind, item.stored, item.size) for item in dry] == [("object", gone, 396)]
    assert store.check(gone)
    done = store.prune(lambda stored: stored == kept, dry_run=False)
    assert [item for item in done if item.kind == "object"] == dry
    assert list(store.objects()) == [kept]
    assert store.find("url-gone", f"md5-{gone.md5}", f"sha256-{gone.sha256}") is None
    assert store.check(kept)
    assert (tmp_path / "view").read_bytes() == b"gone" * 99
    assert not any(gone.sha256 in str(p) for p in store.root.rglob("*") if p.suffix != ".lock")


@pytest.mark.parametrize("used", [True, False])
@pytest.mark.parametrize("data", [b"1", b"2", b"3", b"4"])
def test_an_archive_stays_as_long_as_what_was_in_it(store: Store, data: bytes, used: bool) -> None:
    """In whatever order their digests come."""
    packed = put(store, b"packed", "url-archive")
    archive = {"archive": {"sha256": packed.sha256}}
    stored, _ = store.obtain(["url-a"], maker(data, **archive), name="model")
    assert store.archive(stored) == packed
    gone = store.prune(lambda one: used and one == stored, dry_run=False)
    removed = {item.path for item in gone if item.kind == "object"}
    assert removed == (set() if used else {stored.path.parent, packed.path.parent})


def test_an_archive_stays_with_a_file_that_is_in_use_just_now(store: Store) -> None:
    packed = put(store, b"packed", "url-archive")
    archive = {"archive": {"sha256": packed.sha256}}
    stored, _ = store.obtain(["url-a"], maker(DATA, **archive), name="model")
    with FileLock(store.root / "locks" / f"object-{stored.sha256}.lock"):
        assert store.prune(lambda _: False, dry_run=False) == []
    assert len(store.prune(lambda _: False, dry_run=False)) == 2


def test_prune_clears_old_leftovers_but_no_live_ones(tmp_path: Path) -> None:
    root, log = tmp_path / "store", tmp_path / "log"
    store = Store(root, notify=lambda _: None)
    alive = python(MAKE_SLOWLY, root, log, 600)
    until(alive, "making")
    try:
        with pytest.raises(OSError, match="stop"):
            store.obtain(["url-dead"], _stop, name="a")
        young = store.prune(lambda _: True, dry_run=False)
        assert young == []
        (root / "temporary").mkdir(exist_ok=True)
        (root / "temporary" / LEFT).write_text("x")
        (root / "aliases").mkdir(exist_ok=True)
        (root / "aliases" / "url-x").write_text("0" * 64 + "\n")
        (root / "objects" / "00" / ("0" * 64)).mkdir(parents=True)
        _age(root)
        dry = store.prune(lambda _: True, dry_run=True)
        assert {item.kind for item in dry} == {"partial", "lock", "leftover", "alias"}
        assert (root / "incoming" / "url-dead" / "partial").exists()
        removed = {
            str(i.path.relative_to(root)) for i in store.prune(lambda _: True, dry_run=False)
        }
        assert {"incoming/url-dead", f"temporary/{LEFT}", "aliases/url-x"} <= removed
        assert not removed & {"incoming/url-a", "locks/obtain-url-a.lock"}
        assert (root / "incoming" / "url-a" / "partial").exists()
        waiting = Store(root, lock_timeout=0.3, notify=lambda _: None)
        with pytest.raises(StoreError, match="Waited"):
            waiting.obtain(["url-a"], never, name="a")
    finally:
        alive.kill()
        alive.communicate()
    assert put(store, DATA, "url-dead").path.exists()


def _stop(partial: Path) -> None:  # type: ignore[return]
    partial.write_bytes(b"half")
    raise OSError("stop")


def _age(root: Path) -> None:
    past = time.time() - 30 * 24 * 3600
    for path in sorted(root.rglob("*"), reverse=True):
        os.utime(path, (past, past))


def test_an_object_in_use_by_another_process_is_not_pruned(store: Store) -> None:
    stored = put(store)
    code = """
        import sys, time
        from filelock import FileLock
        with FileLock(sys.argv[1]):
            print("held", flush=True)
            time.sleep(600)
    """
    holder = python(code, store.root / "locks" / f"object-{stored.sha256}.lock")
    until(holder, "held")
    try:
        assert store.prune(lambda _: False, dry_run=False) == []
    finally:
        holder.kill()
        holder.communicate()
    assert isinstance(store.find(f"sha256-{stored.sha256}"), StoredObject)
    assert store.obtain([f"md5-{stored.md5}"], maker(), name="a")[1] is False


def test_what_has_no_name_of_ours_is_not_pruned(store: Store, tmp_path: Path) -> None:
    """Nor is anything behind a link."""
    put(store)
    mine = tmp_path / "mine"
    files = [
        mine / LEFT,
        store.root / "temporary" / "notes.txt",
        store.root / "incoming" / "url-x" / "thesis.tex",
        store.root / "incoming" / "My Music" / "partial",
        store.root / "locks" / "backup.sh",
        store.root / "placements" / "old" / "0123456789abcdef.json",
        store.root / "placements" / sha256(DATA) / "notes.json",
        store.root / "objects" / "00" / ("0" * 64) / "notes.txt",
        store.root / "objects" / "old" / "notes.txt",
    ]
    for path in files:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("precious")
    (store.root / "temporary" / LEFT).symlink_to(mine)
    (store.root / "incoming" / "url-y").symlink_to(mine)
    (store.root / "locks" / "x.lock").symlink_to(files[0])
    past = time.time() - 30 * 24 * 3600
    for path in [*sorted(store.root.rglob("*"), reverse=True), *files]:
        os.utime(path, (past, past), follow_symlinks=False)
    store.prune(lambda _: False, dry_run=False)
    assert [path for path in files if not path.exists()] == []
    assert list(store.objects()) == []
    (store.root / "temporary" / "notes.txt").unlink()
    (store.root / "temporary").rmdir()
    (store.root / "temporary").symlink_to(mine)
    store.prune(lambda _: False, dry_run=False)
    assert files[0].exists()
    with pytest.raises(StoreError, match="temporary is not a folder"):
        put(store)
    assert list(mine.iterdir()) == [files[0]]
