"""Finding, obtaining, checking and adopting objects in one process."""

from __future__ import annotations

import json
import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmx_resnet50.digests import Digests, digest_file
from cmx_resnet50.store import Store, StoreError, init_store
from tests.store.helpers import DATA, bytes_read, flip, maker, md5, never, put, sha256

OTHER = b"other" * 1000


def test_obtained_object_is_found_by_every_key(store: Store) -> None:
    keys = [f"md5-{md5(DATA)}", "archive-md5-" + "0" * 32, "url-abc"]
    stored, made = store.obtain(keys, maker(url="https://host/f", license=None), name="a.onnx")
    assert made
    assert stored.path.read_bytes() == DATA
    assert stat.S_IMODE(stored.path.stat().st_mode) == 0o444
    assert (stored.sha256, stored.md5, stored.size) == (sha256(DATA), md5(DATA), len(DATA))
    for key in [*keys, f"sha256-{sha256(DATA)}"]:
        assert store.find(key) == stored
    assert store.find("url-other", "url-abc") == stored
    assert store.find("url-other") is None
    assert {"url": "https://host/f", "license": None, "name": "a.onnx"}.items() <= dict(
        stored.record
    ).items()
    assert stored.record["bytes"] == len(DATA)
    assert store.obtain(keys, never, name="a.onnx") == (stored, False)


def test_nothing_but_the_object_is_left(store: Store) -> None:
    def make(partial: Path) -> tuple[Digests, dict[str, Any]]:
        partial.with_name("partial.journal").write_text("mine")
        return maker()(partial)

    store.obtain(["url-a"], make, name="a")
    assert list((store.root / "incoming").iterdir()) == []
    assert list((store.root / "temporary").iterdir()) == []


def test_an_unmade_store_is_empty_and_stays_unmade(store: Store) -> None:
    assert store.find("url-a") is None
    assert list(store.objects()) == []
    assert list(store.verify()) == []
    assert store.prune(lambda _: False, dry_run=False) == []
    assert not store.root.exists()


def test_a_digest_key_is_never_answered_by_other_bytes(store: Store) -> None:
    put(store, OTHER, "url-a")
    wanted = [f"md5-{md5(DATA)}", "url-a"]
    assert store.find(*wanted) is None
    stored, made = store.obtain(wanted, maker(), name="a")
    assert made
    assert stored.path.read_bytes() == DATA
    assert store.find("url-a") == stored


@pytest.mark.parametrize("key", [f"md5-{md5(OTHER)}", f"sha256-{sha256(OTHER)}"])
def test_made_bytes_that_contradict_a_digest_key_are_refused(store: Store, key: str) -> None:
    with pytest.raises(StoreError, match=r"expected [0-9a-f]+") as caught:
        store.obtain([key], maker(), name="a.onnx")
    assert key.partition("-")[2] in str(caught.value)
    assert store.find(key) is None


def test_a_make_that_leaves_no_complete_file_is_refused(store: Store) -> None:
    digests = Digests(md5(DATA), sha256(DATA), len(DATA))
    with pytest.raises(StoreError, match="no file"):
        store.obtain(["url-a"], lambda _: (digests, {}), name="a")

    def short(partial: Path) -> tuple[Digests, dict[str, Any]]:
        partial.write_bytes(DATA[:-1])
        return digests, {}

    with pytest.raises(StoreError, match="expected"):
        store.obtain(["url-a"], short, name="a")
    assert store.find("url-a") is None


def test_a_record_that_is_no_json_is_refused(store: Store) -> None:
    with pytest.raises(StoreError, match="JSON"):
        store.obtain(["url-a"], maker(url=Path("x")), name="a")


def test_an_interrupted_make_finds_its_partial_again(store: Store) -> None:
    seen: list[Path] = []

    def half(partial: Path) -> tuple[Digests, dict[str, Any]]:
        seen.append(partial)
        partial.write_bytes(DATA[:100])
        raise KeyboardInterrupt

    def rest(partial: Path) -> tuple[Digests, dict[str, Any]]:
        seen.append(partial)
        with open(partial, "ab") as file:
            file.write(DATA[file.tell() :])
        return digest_file(partial), {}

    with pytest.raises(KeyboardInterrupt):
        store.obtain(["url-a"], half, name="a")
    assert store.obtain(["url-a"], rest, name="a")[0].path.read_bytes() == DATA
    assert seen[0] == seen[1]


def test_what_is_not_ours_beside_a_partial_file_stays(store: Store, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "note").write_text("mine")
    (store.root / "incoming" / "url-a").mkdir(parents=True)
    (store.root / "incoming" / "url-a" / "note").write_text("mine")
    (store.root / "incoming" / "url-b").symlink_to(mine)
    for key in ("url-a", "url-b"):
        with suppress(StoreError):  # A link in the place of a folder is refused.
            put(store, DATA, key)
            put(store, DATA, key)
    assert (mine / "note").exists()
    assert (store.root / "incoming" / "url-a" / "note").read_text() == "mine"


@pytest.mark.parametrize("left", [None, b"", b"half"])
def test_a_failed_make_leaves_what_can_be_gone_on_from_and_no_more(
    store: Store, left: bytes | None
) -> None:
    def fail(partial: Path) -> NoReturn:
        if left is not None:
            partial.write_bytes(left)
        raise OSError("stop")

    with pytest.raises(OSError, match="stop"):
        store.obtain(["url-a"], fail, name="model")
    kept = [path for path in (store.root / "incoming").rglob("*") if path.is_file()]
    assert [path.read_bytes() for path in kept] == ([left] if left else [])
    assert bool(list((store.root / "incoming").iterdir())) == bool(left)
    assert put(store, DATA, "url-a").path.read_bytes() == DATA


def test_a_made_file_with_another_name_is_not_shared_with_it(store: Store, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.write_bytes(DATA)

    def link(partial: Path) -> tuple[Digests, dict[str, Any]]:
        partial.hardlink_to(mine)
        return digest_file(partial), {}

    stored, _ = store.obtain(["url-a"], link, name="a")
    mine.write_bytes(OTHER)
    assert stored.path.read_bytes() == DATA
    assert store.check(stored)


@pytest.mark.parametrize("keep_mtime", [False, True])
def test_a_flipped_bit_is_noticed_and_made_again(
    store: Store, said: list[str], keep_mtime: bool
) -> None:
    stored = put(store)
    old = stored.path.stat().st_ino
    flip(stored.path, keep_mtime=keep_mtime)
    assert not store.check(stored)
    with open(stored.path, "rb"):  # keeps the old inode number from being used again
        again, made = store.obtain([f"md5-{stored.md5}"], maker(), name="model.onnx")
        assert again.path.stat().st_ino != old
    assert made
    assert store.check(again)
    assert again.path.read_bytes() == DATA
    assert len(said) == 1
    assert "damaged" in said[0]


@pytest.mark.parametrize("what", ["cut", "empty", "gone", "folder", "full folder", "link", "pipe"])
def test_what_is_no_object_any_more_is_made_again(store: Store, tmp_path: Path, what: str) -> None:
    stored = put(store)
    good = tmp_path / "good"
    good.write_bytes(DATA)
    if what in ("cut", "empty"):
        os.truncate(stored.path, 0 if what == "empty" else len(DATA) - 1)
    else:
        stored.path.unlink()
    if what.endswith("folder"):
        stored.path.mkdir()
    if what == "full folder":
        (stored.path / "x").write_text("x")
    if what == "link":
        stored.path.symlink_to(good)
    if what == "pipe":
        os.mkfifo(stored.path)
    assert not store.check(stored)
    again, made = store.obtain([f"md5-{stored.md5}"], maker(), name="a")
    assert made
    assert again.path.read_bytes() == DATA
    assert not again.path.is_symlink()
    assert store.check(again)


def test_a_good_check_reads_nothing(store: Store) -> None:
    stored = put(store, b"\0" * (1 << 20))
    assert store.check(stored)
    assert bytes_read(lambda: store.check(stored)) < 10_000


def test_a_foreign_link_costs_one_digest_and_renews_the_stamp(store: Store, tmp_path: Path) -> None:
    stored = put(store)
    stamp = stored.path.with_name("stamp")
    before = stamp.read_text()
    (tmp_path / "foreign").hardlink_to(stored.path)
    assert store.check(stored)
    renewed = stamp.read_text()
    assert renewed != before
    assert store.check(stored)
    assert stamp.read_text() == renewed
    (tmp_path / "foreign").unlink()
    assert store.check(stored)
    assert stamp.read_text() not in (before, renewed)


def test_an_object_made_writable_is_sealed_again(store: Store) -> None:
    stored = put(store)
    stored.path.chmod(0o644)
    assert store.check(stored)
    assert stat.S_IMODE(stored.path.stat().st_mode) == 0o444
    stamp = stored.path.with_name("stamp").read_text()
    assert store.check(stored)
    assert stored.path.with_name("stamp").read_text() == stamp


@pytest.mark.parametrize("text", ["", "{", "[]", '{"sha256": "x"}', "[" * 100_000, "\0\xff"])
def test_a_broken_record_is_rebuilt_from_the_bytes(store: Store, text: str) -> None:
    stored = put(store)
    record = stored.path.with_name("record.json")
    record.write_text(text)
    found = store.find(f"md5-{stored.md5}")
    assert found is not None
    assert (found.sha256, found.md5, found.size) == (stored.sha256, stored.md5, stored.size)
    assert json.loads(record.read_text())["md5"] == stored.md5
    record.unlink()
    assert [item.md5 for item in store.objects()] == [stored.md5]
    record.write_text(text)
    flip(stored.path)
    assert store.find(f"md5-{stored.md5}") is None


@pytest.mark.parametrize("text", ["", "no digest", "../../../etc/passwd", "A" * 64])
def test_a_broken_alias_or_stamp_costs_no_more_than_a_look(store: Store, text: str) -> None:
    stored = put(store, DATA, "url-a")
    (store.root / "aliases" / "url-a").write_text(text)
    assert store.find("url-a") is None
    assert store.obtain(["url-a"], maker(), name="a")[0] == stored
    stored.path.with_name("stamp").write_text(text)
    assert store.check(stored)


@pytest.mark.parametrize("wrong", ["objects/{0:.2}", "objects/{0:.2}/{0}", "incoming/url-a"])
def test_a_file_where_a_folder_of_the_store_belongs_is_cleared(store: Store, wrong: str) -> None:
    init_store(store.root)
    path = store.root / wrong.format(sha256(DATA))
    path.parent.mkdir(parents=True)
    path.write_text("not mine")
    assert put(store, DATA, "url-a").path.read_bytes() == DATA


@pytest.mark.parametrize("wrong", ["objects", "aliases", "incoming", "locks", "temporary"])
def test_a_root_that_is_no_store_is_not_cleared(store: Store, wrong: str) -> None:
    store.root.mkdir(parents=True)
    (store.root / wrong).write_text("mine")
    with pytest.raises(StoreError, match=wrong):
        put(store)
    with pytest.raises(StoreError, match=wrong):
        init_store(store.root)
    assert (store.root / wrong).read_text() == "mine"
    assert [path.name for path in store.root.iterdir()] == [wrong]


def test_verify_reads_everything(store: Store) -> None:
    good, bad = put(store), put(store, OTHER)
    flip(bad.path)
    assert {o.sha256: g for o, g in store.verify()} == {good.sha256: True, bad.sha256: False}


def test_adopted_file_stays_the_users_own(store: Store, tmp_path: Path) -> None:
    mine = tmp_path / "mine.onnx"
    mine.write_bytes(DATA)
    mine.chmod(0o640)
    stored = store.import_file(mine, keys=[f"md5-{md5(DATA)}", "local-1"], record={"url": "file:"})
    assert stored.path.stat().st_ino != mine.stat().st_ino
    assert stat.S_IMODE(mine.stat().st_mode) == 0o640
    mine.write_bytes(OTHER)
    assert store.check(stored)
    assert store.find("local-1") == stored
    assert stored.name == "mine.onnx"


@pytest.mark.parametrize("linked", [False, True])
def test_moved_file_is_gone_and_safe(store: Store, tmp_path: Path, linked: bool) -> None:
    mine, second = tmp_path / "mine.onnx", tmp_path / "second"
    mine.write_bytes(DATA)
    if linked:
        second.hardlink_to(mine)
    inode = mine.stat().st_ino
    stored = store.import_file(mine, record={}, move=True)
    assert not mine.exists()
    assert (stored.path.stat().st_ino == inode) is not linked
    if linked:
        second.write_bytes(OTHER)
    assert store.check(stored)
    assert stored.path.read_bytes() == DATA


def test_adoption_refuses_what_is_not_as_said(store: Store, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.write_bytes(DATA)
    with pytest.raises(StoreError, match=f"expected {md5(OTHER)}"):
        store.import_file(mine, keys=[f"md5-{md5(OTHER)}"], record={})
    for path in (tmp_path, tmp_path / "absent"):
        with pytest.raises(StoreError, match=str(path)):
            store.import_file(path, record={})
    assert list(store.objects()) == []


def test_adopting_known_bytes_adds_keys_and_heals(store: Store, tmp_path: Path) -> None:
    stored = put(store)
    mine = tmp_path / "mine"
    mine.write_bytes(DATA)
    assert store.import_file(mine, keys=["local-1"], record={}) == stored
    assert store.find("local-1") == stored
    flip(stored.path)
    assert store.check(store.import_file(mine, record={}))


@given(st.text(max_size=200))
def test_a_key_is_usable_or_refused(tmp_path_factory: pytest.TempPathFactory, key: str) -> None:
    store = Store(tmp_path_factory.mktemp("keys"))
    try:
        found = store.find(key)
    except StoreError as error:
        assert "key" in str(error)
        assert list(store.root.iterdir()) == []
    else:
        assert found is None


@given(
    st.lists(
        st.from_regex(r"[a-z0-9]([a-z0-9._-]{0,158}[a-z0-9])?", fullmatch=True).filter(
            lambda key: not key.startswith(("md5-", "sha256-"))
        ),
        min_size=1,
        max_size=4,
        unique=True,
    )
)
def test_good_keys_lead_to_their_own_object(
    tmp_path_factory: pytest.TempPathFactory, keys: list[str]
) -> None:
    store = Store(tmp_path_factory.mktemp("keys"))
    made = {key: put(store, key.encode() * 3, key) for key in keys}
    assert {key: store.find(key) for key in keys} == made


SMALL_FILES = ("record.json", "stamp", "alias", "placement")


@pytest.mark.parametrize("what", ["pipe", "link to a pipe", "link", "folder", "200 KB of ["])
@pytest.mark.parametrize("name", SMALL_FILES)
def test_a_small_file_that_is_not_one_of_ours_costs_a_look(
    store: Store, tmp_path: Path, name: str, what: str
) -> None:
    """It is neither waited for nor followed, and replaced; the object is delivered."""
    stored = put(store, DATA, "url-a")
    store.place(stored, tmp_path / "model")
    path = {
        "alias": store.root / "aliases" / "url-a",
        "placement": next((store.root / "placements").glob("*/*.json")),
    }.get(name, stored.path.with_name(name))
    text = path.read_text()
    other = tmp_path / "other"
    path.unlink()
    if what == "pipe":
        os.mkfifo(path)
    elif what == "folder":
        path.mkdir()
    elif what == "200 KB of [":
        path.write_text("[" * 200_000)
    else:
        os.mkfifo(other) if what == "link to a pipe" else other.write_text(text)
        path.symlink_to(other)
    again, _ = store.obtain(["url-a"], maker(), name="a")
    assert (again.sha256, again.md5) == (stored.sha256, stored.md5)
    assert store.check(again)
    assert store.place(again, tmp_path / "model").method == "kept"
    assert not other.exists() or other.is_fifo() or other.read_text() == text
    if name != "placement":
        assert path.read_text()
        assert not path.is_symlink()


def test_a_holder_file_that_is_a_link_is_not_written_through(store: Store, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.write_text("precious")
    (put(store).path.parents[3] / "locks" / "obtain-url-b.holder").symlink_to(mine)
    put(store, DATA, "url-b")
    assert mine.read_text() == "precious"


def test_an_md5_that_only_a_record_claims_answers_nobody(store: Store) -> None:
    """Two small files are changed, in a store where the bytes themselves are as they were."""
    other = put(store, OTHER, "url-a")
    record = other.path.with_name("record.json")
    record.write_text(json.dumps({**json.loads(record.read_text()), "md5": md5(DATA)}))
    (store.root / "aliases" / f"md5-{md5(DATA)}").write_text(other.sha256 + "\n")
    assert [valid for _, valid in store.verify()] == [False]
    assert store.find_valid(f"md5-{md5(DATA)}") is None
    stored, made = store.obtain([f"md5-{md5(DATA)}"], maker(), name="a")
    assert made
    assert stored.path.read_bytes() == DATA
    # The bytes keep the names that are theirs.
    assert store.find_valid("url-a") == other
    assert all(valid for _, valid in store.verify())


def test_a_stamp_without_an_md5_is_not_enough(store: Store) -> None:
    stored = put(store)
    stamp = stored.path.with_name("stamp")
    text = stamp.read_text()
    stamp.write_text(" ".join(text.split()[:4]) + "\n")
    assert store.check(stored)
    assert stamp.read_text() == text
    stamp.write_text(text.replace(stored.md5, md5(OTHER)))
    assert store.check(stored)
    assert stamp.read_text() == text


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root can give files away")
def test_a_stamp_of_another_user_is_not_believed(store: Store) -> None:
    stored = put(store)
    flip(stored.path)
    status = stored.path.stat()
    numbers = (status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)
    stamp = stored.path.with_name("stamp")
    stamp.write_text(" ".join(map(str, numbers)) + f" {stored.md5}\n")
    assert store.check(stored)  # Of this user's own: nobody else could have written it.
    os.chown(stamp, 65534, 65534)
    assert not store.check(stored)


@pytest.mark.parametrize("key", ["archive-md5-" + "0" * 32, "derived-x-batch-8-r1", "url-b"])
def test_an_alias_alone_names_no_object(store: Store, key: str) -> None:
    """What it says cannot be compared with the bytes, so the object must name it too."""
    other = put(store, OTHER, "url-a")
    (store.root / "aliases" / key).write_text(other.sha256 + "\n")
    assert store.find(key) is None
    stored, made = store.obtain([key], maker(), name="a")
    assert made
    assert stored.path.read_bytes() == DATA
    assert store.find(key) == stored
    # The same bytes under one more key are not made again.
    assert store.obtain(["url-a", "url-c"], never, name="a") == (other, False)
