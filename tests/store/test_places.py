"""Filling places, keeping them good, and rebuilding objects from them."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cmx_resnet50.cached_run.stat_check import unchanged
from cmx_resnet50.store import Placement, Store, StoreError, fill
from tests.store.helpers import DATA, bytes_read, flip, md5, never, put

KEPT = Placement("kept", False, "valid")


def test_a_place_is_filled_alone_and_then_kept(store: Store, tmp_path: Path) -> None:
    stored = put(store)
    dest = tmp_path / "mit Leerzeichen" / "модель" / "model.onnx"
    first = store.place(stored, dest)
    assert first.changed
    assert first.method in ("reflink", "hardlink")
    assert dest.read_bytes() == DATA
    assert [path.name for path in dest.parent.iterdir()] == ["model.onnx"]
    assert store.place(stored, dest) == KEPT
    assert store.placements(stored) == [dest]
    assert os.access(dest.parent, os.W_OK)


@pytest.mark.parametrize("force", [False, True])
def test_what_the_user_writes_while_a_file_is_replaced_is_left_alone(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, force: bool
) -> None:
    """The new file is written beside it first, which takes a while."""
    dest = tmp_path / "model.onnx"
    store.place(put(store), dest, named=True)

    def slow(source: Path, target: Path) -> bool:
        dest.unlink()
        dest.write_bytes(b"a month of work")
        return False

    monkeypatch.setattr(fill, "reflink", slow)
    with pytest.raises(StoreError, match="model"):
        store.place(put(store, b"another file"), dest, named=True, force=force)
    assert dest.read_bytes() == b"a month of work"
    assert list(tmp_path.glob("*model*")) == [dest]
    assert not list(tmp_path.glob(".cmx-*"))


def test_our_own_links_need_no_digest(store: Store, tmp_path: Path) -> None:
    stored = put(store)
    stamp = stored.path.with_name("stamp")
    for number in range(3):
        store.place(stored, tmp_path / str(number))
        now = stored.path.stat()
        assert stamp.read_text().split()[2] == str(now.st_ctime_ns)


def test_a_good_place_costs_no_reading(store: Store, tmp_path: Path) -> None:
    stored = put(store, b"\0" * (1 << 20))
    dest = tmp_path / "model"
    store.place(stored, dest)

    def hit() -> None:
        found = store.find(f"md5-{stored.md5}")
        assert found is not None
        assert store.check(found)
        assert store.place(found, dest) == KEPT

    assert bytes_read(hit) < 10_000


def test_a_glance_agrees_with_the_long_look(store: Store, tmp_path: Path) -> None:
    stored = put(store)
    dest, copied = tmp_path / "model", tmp_path / "copied"
    copied.write_bytes(DATA)
    if store.place(stored, dest).method != "hardlink":
        pytest.skip("no hard links here")
    root = str(store.root)
    assert unchanged(root, stored.sha256, str(dest))
    assert not unchanged(root, stored.sha256, str(copied))
    stamp = store.place(stored, copied).stamp
    assert stamp == store.place(stored, copied).stamp
    assert unchanged(root, stored.sha256, str(copied), stamp)
    flip(copied, keep_mtime=True)
    assert not unchanged(root, stored.sha256, str(copied), stamp)
    assert not unchanged(root, stored.sha256, str(tmp_path / "absent"))
    (tmp_path / "link").symlink_to(dest)
    assert not unchanged(root, stored.sha256, str(tmp_path / "link"))
    flip(dest, keep_mtime=True)
    assert not unchanged(root, stored.sha256, str(dest))
    store.place(put(store), dest)
    assert unchanged(root, stored.sha256, str(dest))


@pytest.mark.parametrize("keep_mtime", [False, True])
def test_a_changed_link_damages_nothing_unseen(
    store: Store, tmp_path: Path, said: list[str], keep_mtime: bool
) -> None:
    stored = put(store)
    first, second = tmp_path / "a" / "model", tmp_path / "b" / "model"
    store.place(stored, first)
    store.place(stored, second)
    flip(first, keep_mtime=keep_mtime)
    if first.stat().st_ino == stored.path.stat().st_ino:
        assert not store.check(stored)
        with pytest.raises(StoreError, match=stored.sha256):
            store.place(stored, tmp_path / "c")
        assert not (tmp_path / "c").exists()
    stored = put(store)
    assert {path.read_bytes() for path in (stored.path, second)} == {DATA}
    store.place(stored, first)
    assert first.read_bytes() == DATA
    assert len(said) <= 1


def test_a_copy_on_the_place_heals_the_object(
    store: Store, tmp_path: Path, said: list[str]
) -> None:
    stored = put(store)
    dest, linked = tmp_path / "copied", tmp_path / "linked"
    dest.write_bytes(DATA)
    assert store.place(stored, dest) == KEPT
    store.place(stored, linked)
    flip(stored.path)
    assert not store.check(stored)
    again, made = store.obtain([f"md5-{stored.md5}"], never, name="model")
    assert not made
    assert store.check(again)
    assert [path.read_bytes() for path in (dest, linked, again.path)] == [DATA] * 3
    assert len(said) == 1
    assert str(dest) in said[0]
    # The user's own file did not become the object.
    dest.write_bytes(b"changed")
    assert store.check(again)


@pytest.mark.parametrize("lost", ["data", "folder", "objects"])
def test_a_deleted_object_comes_back_from_its_link(
    store: Store, tmp_path: Path, said: list[str], lost: str
) -> None:
    import shutil

    stored = put(store, DATA)
    store.place(stored, tmp_path / "view")
    {
        "data": lambda: stored.path.unlink(),
        "folder": lambda: shutil.rmtree(stored.path.parent),
        "objects": lambda: shutil.rmtree(store.root / "objects"),
    }[lost]()
    again, made = store.obtain([f"md5-{stored.md5}"], never, name="model")
    assert not made
    assert again.path.read_bytes() == DATA
    assert store.check(again)
    assert store.place(again, tmp_path / "view") == KEPT
    assert len(said) == 1
    assert str(tmp_path / "view") in said[0]


def test_salvage_without_a_good_view_is_none(store: Store, tmp_path: Path) -> None:
    stored = put(store)
    store.place(stored, tmp_path / "view")
    flip(stored.path)
    if stored.path.stat().st_nlink == 1:
        flip(tmp_path / "view")
    assert store.repair_from_placement(stored.sha256) is None
    assert store.repair_from_placement("0" * 64) is None


def test_salvage_of_a_whole_object_is_the_object(store: Store) -> None:
    stored = put(store)
    assert store.repair_from_placement(stored.sha256) == stored


@pytest.mark.parametrize("what", ["link", "dead link", "folder", "other bytes", "same size"])
def test_what_stands_in_a_place_is_replaced(store: Store, tmp_path: Path, what: str) -> None:
    stored = put(store)
    dest, other = tmp_path / "out" / "model", tmp_path / "other"
    dest.parent.mkdir()
    other.write_bytes(DATA)
    if what.endswith("link"):
        dest.symlink_to(other if what == "link" else tmp_path / "nowhere")
    elif what == "folder":
        dest.mkdir()
    else:
        dest.write_bytes(b"x" * (len(DATA) if what == "same size" else 3))
    placed = store.place(stored, dest)
    assert placed.changed
    assert placed.was == {"dead link": "link", "same size": "other bytes"}.get(what, what)
    assert dest.read_bytes() == DATA
    assert stat.S_ISREG(dest.lstat().st_mode)
    assert other.read_bytes() == DATA
    assert [path.name for path in dest.parent.iterdir()] == ["model"]


def test_what_must_not_be_replaced_is_refused(store: Store, tmp_path: Path) -> None:
    stored = put(store)
    full, pipe, file = tmp_path / "full", tmp_path / "pipe", tmp_path / "file"
    full.mkdir()
    (full / "precious").write_text("mine")
    os.mkfifo(pipe)
    file.write_text("mine")
    for dest, said in ((full, "Move or remove"), (pipe, "left alone"), (file / "model", "file")):
        with pytest.raises(StoreError, match=said) as caught:
            store.place(stored, dest)
        assert str(dest) in str(caught.value)
    assert (full / "precious").read_text() == file.read_text() == "mine"
    assert stat.S_ISFIFO(pipe.lstat().st_mode)
    for dest in (stored.path, store.root / "aliases" / "x", Path("/"), tmp_path / "a\0b"):
        with pytest.raises(StoreError):
            store.place(stored, dest)
    assert store.check(stored)


def test_a_place_of_another_object_changes_over(store: Store, tmp_path: Path) -> None:
    first, second = put(store), put(store, b"second" * 500)
    for stored in (first, second, first):
        assert store.place(stored, tmp_path / "model").changed
        assert (tmp_path / "model").read_bytes() == stored.path.read_bytes()
    assert store.check(first)
    assert store.check(second)


def test_a_users_own_file_at_a_former_place_is_not_touched_by_repair(
    store: Store, tmp_path: Path
) -> None:
    stored = put(store)
    store.place(stored, tmp_path / "view")
    (tmp_path / "view").unlink()
    (tmp_path / "view").write_text("mine")
    flip(stored.path)
    put(store)
    assert (tmp_path / "view").read_text() == "mine"


def test_temporary_names_of_dead_processes_are_swept(store: Store, tmp_path: Path) -> None:
    from cmx_resnet50.store.link_or_copy import temporary_beside

    dest = tmp_path / "out" / "model"
    dest.parent.mkdir()
    mine = temporary_beside(dest)
    dead = mine.with_name(mine.name.replace(f"-{os.getpid()}-", "-4194305-"))
    mine.write_text("alive")
    dead.write_text("dead")
    store.place(put(store), dest)
    assert sorted(dest.parent.iterdir()) == sorted([mine, dest])


def test_the_longest_name_can_be_a_place(store: Store, tmp_path: Path) -> None:
    dest = tmp_path / ("ä" * 127)
    store.place(put(store), dest)
    assert dest.read_bytes() == DATA


def test_a_name_that_is_no_unicode_can_be_a_place(store: Store, tmp_path: Path) -> None:
    stored = put(store)
    dest = tmp_path / os.fsdecode(b"caf\xe9.onnx")
    store.place(stored, dest)
    assert store.place(stored, dest) == KEPT
    assert store.placements(stored) == [dest]


DAMAGE = st.sampled_from(
    ["flip", "flip old", "cut", "delete", "folder", "full", "link", "touch", "chmod", "own copy"]
)
STEP = st.tuples(
    st.one_of(DAMAGE, st.sampled_from(["check", "place", "salvage"])), st.integers(0, 2)
)


@settings(max_examples=60)
@given(st.lists(STEP, max_size=8))
def test_after_any_damage_bytes_are_right_or_refused(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int]]
) -> None:
    base = tmp_path_factory.mktemp("damage")
    store = Store(base / "store", notify=lambda _: None)
    stored = put(store)
    places = [base / "a" / "model", base / "b" / "model"]
    for place in places:
        store.place(stored, place)
    for step, which in steps:
        target = [stored.path, *places][which]
        if step == "check":
            assert store.check(stored) == _right(stored.path)
        elif step == "salvage":
            good = any(_right(path) for path in (stored.path, *places))
            salvaged = store.repair_from_placement(stored.sha256)
            assert (salvaged is not None) == good
            assert salvaged is None or _right(salvaged.path)
        elif step == "place":
            _place(store, places[which % 2])
        else:
            _damage(target, step, base)
    for place in places:
        if place.is_dir() and not place.is_symlink() and any(place.iterdir()):
            with pytest.raises(StoreError):
                store.place(put(store), place)
        else:
            store.place(put(store), place)
            assert _right(place)
            assert [path.name for path in place.parent.iterdir()] == ["model"]
    assert [good for _, good in store.verify()] == [True]


def _right(path: Path) -> bool:
    return path.is_file() and not path.is_symlink() and path.read_bytes() == DATA


def _place(store: Store, place: Path) -> None:
    stored = store.find(f"md5-{md5(DATA)}")
    if stored is None:
        return
    try:
        store.place(stored, place)
    except StoreError as error:
        assert str(place) in str(error) or stored.sha256 in str(error)
    else:
        assert _right(place)


def _damage(target: Path, step: str, base: Path) -> None:
    if step in ("flip", "flip old", "cut", "touch", "chmod"):
        if target.is_symlink() or not target.is_file():
            return
        if step.startswith("flip"):
            flip(target, keep_mtime=step == "flip old")
        elif step == "cut":
            os.truncate(target, target.stat().st_size // 2)
        elif step == "touch":
            target.touch()
        else:
            target.chmod(0o666)
        return
    if target.is_dir() and not target.is_symlink():
        for inside in target.iterdir():
            inside.unlink()
        target.rmdir()
    else:
        target.unlink(missing_ok=True)
    if step in ("folder", "full"):
        target.mkdir()
    if step == "full":
        (target / "x").write_text("x")
    if step == "link":
        target.symlink_to(base / "nowhere")
    if step == "own copy":
        target.write_bytes(DATA)
