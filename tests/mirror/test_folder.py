"""Bundle folders: what is there is kept, writers do not lose one another, nothing is half there."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path

import pytest

from cmx_resnet50.errors import Resnet50Error
from cmx_resnet50.mirror import bundle
from cmx_resnet50.mirror.errors import MirrorError
from cmx_resnet50.progress import Progress
from cmx_resnet50.store import Store
from tests.mirror.test_bundle import take
from tests.store.helpers import DATA, flip, md5, put, sha256

SECOND = b"second" * 1000


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store", notify=lambda _: None)


@pytest.fixture
def mirror(tmp_path: Path) -> Path:
    return tmp_path / "a mirror"


class Interrupted(Progress):
    """The user, who presses ctrl-C at the first bytes."""

    def advance(self, count: int) -> None:
        raise KeyboardInterrupt


def listed(mirror: Path) -> set[str]:
    """Return the sha256 of each object in the manifest."""
    content = json.loads((mirror / "manifest.json").read_bytes())
    return {entry["sha256"] for entry in content["objects"]}


def files(mirror: Path) -> dict[str, tuple[int, int]]:
    """Return inode and time of change of each file."""
    return {
        str(path.relative_to(mirror)): (path.stat().st_ino, path.stat().st_mtime_ns)
        for path in mirror.rglob("*")
        if path.is_file()
    }


def test_what_is_there_is_not_written_again(store: Store, mirror: Path) -> None:
    first = put(store)
    assert bundle.export(store, [first], mirror) == [first]
    before = files(mirror)
    assert bundle.export(store, [first], mirror) == []
    assert files(mirror) == before
    second = put(store, SECOND, name="second.onnx")
    assert bundle.export(store, [first, second], mirror) == [second]
    after = files(mirror)
    assert {name: after[name] for name in before if name != "manifest.json"} == {
        name: inode for name, inode in before.items() if name != "manifest.json"
    }


def test_a_folder_gains_and_loses_nothing(store: Store, mirror: Path) -> None:
    first, second = put(store), put(store, SECOND, name="second.onnx")
    bundle.export(store, [first], mirror)
    bundle.export(store, [second], mirror)
    assert listed(mirror) == {first.sha256, second.sha256}
    other = Store(mirror.with_name("other"))
    assert len(take(other, mirror)) == 2


@pytest.mark.parametrize("name", ["sha256", "md5", "model.onnx"])
def test_damage_is_repaired(store: Store, mirror: Path, name: str) -> None:
    stored = put(store)
    bundle.export(store, [stored], mirror)
    names = {"sha256": stored.sha256, "md5": stored.md5}
    path = mirror / name / names[name] if name in names else mirror / name
    if name != "model.onnx":
        # A file of its own, as where the file system makes no links.
        content = path.read_bytes()
        path.unlink()
        path.write_bytes(content)
    flip(path)
    bundle.export(store, [stored], mirror)
    for made in (f"sha256/{stored.sha256}", f"md5/{stored.md5}", "model.onnx"):
        assert (mirror / made).read_bytes() == DATA
    assert store.check(stored)


def test_a_link_planted_at_a_name_is_replaced_and_not_followed(store: Store, mirror: Path) -> None:
    stored = put(store)
    precious = mirror.with_name("precious")
    precious.write_bytes(b"of the user")
    (mirror / "sha256").mkdir(parents=True)
    (mirror / "sha256" / stored.sha256).symlink_to(precious)
    bundle.export(store, [stored], mirror)
    assert precious.read_bytes() == b"of the user"
    assert (mirror / "sha256" / stored.sha256).read_bytes() == DATA
    assert not (mirror / "sha256" / stored.sha256).is_symlink()


def test_a_file_of_somebody_else_is_left_alone(store: Store, mirror: Path) -> None:
    mirror.mkdir()
    (mirror / "model.onnx").write_bytes(b"trained for a month")
    (mirror / "index.html").write_bytes(b"of the web server")
    with pytest.raises(MirrorError, match=f"{mirror}/model.onnx is not a file of this bundle"):
        bundle.export(store, [put(store)], mirror)
    assert (mirror / "model.onnx").read_bytes() == b"trained for a month"
    assert sorted(files(mirror)) == ["index.html", "model.onnx"]


@pytest.mark.parametrize("name", ["sha256", "md5", "entries", "manifest.json"])
@pytest.mark.parametrize("kind", ["folder", "file", "nothing", "pipe"])
def test_a_link_of_the_user_is_left_alone_and_not_followed(
    store: Store, mirror: Path, name: str, kind: str
) -> None:
    mine, path = mirror.with_name("mine"), mirror / name
    mirror.mkdir()
    if kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to(mine)
    if kind == "folder":
        mine.mkdir()
    elif kind == "file":
        mine.write_bytes(b"a month of work")
    before = path.lstat().st_ino
    with pytest.raises(MirrorError, match=f"{path} is a link, or something else"):
        bundle.export(store, [put(store)], mirror)
    assert path.lstat().st_ino == before
    assert list(mirror.iterdir()) == [path]
    if kind == "folder":
        assert not list(mine.iterdir())


def test_a_pipe_is_not_a_bundle(store: Store, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "bundle.tar")
    with pytest.raises(MirrorError, match="neither a folder nor a regular file"):
        take(store, tmp_path / "bundle.tar")


def test_a_name_that_two_objects_share_is_taken_away(store: Store, mirror: Path) -> None:
    bundle.export(store, [put(store)], mirror)
    assert (mirror / "model.onnx").exists()
    bundle.export(store, [put(store, SECOND)], mirror)
    assert not (mirror / "model.onnx").exists()
    assert len(listed(mirror)) == 2


def test_a_break_leaves_nothing_half_written(store: Store, mirror: Path) -> None:
    stored = put(store)
    with pytest.raises(KeyboardInterrupt):
        bundle.export(store, [stored], mirror, Interrupted())
    assert files(mirror) == {}
    bundle.export(store, [stored], mirror)
    assert (mirror / "sha256" / stored.sha256).read_bytes() == DATA


def test_what_a_killed_writer_left_is_removed(store: Store, mirror: Path) -> None:
    stored = put(store)
    child = os.fork()
    if child == 0:

        class Killed(Progress):
            def advance(self, count: int) -> None:
                os._exit(9)

        bundle.export(store, [stored], mirror, Killed())
    os.waitpid(child, 0)
    (left,) = (mirror / "sha256").iterdir()
    assert left.name != stored.sha256
    bundle.export(store, [stored], mirror)
    assert [path.name for path in (mirror / "sha256").iterdir()] == [stored.sha256]


@pytest.mark.parametrize("shared", [False, True], ids=["own names", "one name"])
def test_no_writer_is_lost(tmp_path: Path, mirror: Path, shared: bool) -> None:
    """Many at once, each with one object of its own and one of all: nothing is missing."""
    count = 12
    start, failed = threading.Barrier(count), []

    def run(number: int) -> None:
        store = Store(tmp_path / f"store{number}")
        name = "model.onnx" if shared else f"model{number}.onnx"
        objects = [put(store, b"of all" * 9999, name="all.onnx")]
        objects += [put(store, str(number).encode() * 70_000, name=name)]
        start.wait()
        try:
            bundle.export(store, objects, mirror)
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    wanted = {sha256(str(number).encode() * 70_000) for number in range(count)}
    assert listed(mirror) == wanted | {sha256(b"of all" * 9999)}
    names = {path.name for path in mirror.iterdir()} - {"sha256", "md5", "entries"}
    own = set() if shared else {f"model{number}.onnx" for number in range(count)}
    assert names == {"manifest.json", "all.onnx", *own}
    assert len(take(Store(tmp_path / "reader"), mirror)) == count + 1


def test_what_another_user_wrote_serves_this_one(store: Store, mirror: Path) -> None:
    """Neither mode nor owner of files that are there is touched."""
    stored = put(store)
    bundle.export(store, [stored], mirror)
    (mirror / "md5" / stored.md5).unlink()
    (mirror / "sha256" / stored.sha256).chmod(0o444)
    bundle.export(store, [stored], mirror)
    assert (mirror / "sha256" / stored.sha256).stat().st_mode & 0o777 == 0o444
    assert (mirror / "md5" / stored.md5).read_bytes() == DATA


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("manifest.json", b"{}"),
        ("manifest.json", b"[" * 100_000),
        ("manifest.json", b" " * (2 << 20)),
        ("entries/x.json", b"{}"),
        ("entries/" + "0" * 64 + "-" + "0" * 16 + ".json", b'{"sha256": 1}'),
    ],
)
def test_what_is_not_a_manifest_is_left_alone(
    store: Store, mirror: Path, name: str, content: bytes
) -> None:
    (mirror / name).parent.mkdir(parents=True)
    (mirror / name).write_bytes(content)
    with pytest.raises(MirrorError, match=f"{mirror}/{name}"):
        bundle.export(store, [put(store)], mirror)
    assert sorted(files(mirror)) == [name]
    assert (mirror / name).read_bytes() == content


def test_a_bundle_without_entries_is_added_to(store: Store, mirror: Path) -> None:
    old = {"sha256": "0" * 64, "md5": "0" * 32, "bytes": 1, "keys": [], "record": {}}
    head = {"format": "cmx-resnet50-bundle", "version": 1}
    mirror.mkdir()
    (mirror / "manifest.json").write_text(json.dumps({**head, "objects": [old]}))
    bundle.export(store, [put(store)], mirror)
    objects = json.loads((mirror / "manifest.json").read_text())["objects"]
    assert len(objects) == 2
    assert old in objects


@pytest.mark.parametrize("place", [".", "sha256", "md5", "manifest.json"])
def test_a_place_that_cannot_be_written_is_named(store: Store, mirror: Path, place: str) -> None:
    """A file where a folder belongs, or the reverse."""
    path = mirror / place
    if place == "manifest.json":
        (path / "x").mkdir(parents=True)
    else:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"x")
    with pytest.raises(Resnet50Error, match="cannot be written") as caught:
        bundle.export(store, [put(store)], mirror)
    assert str(path.resolve()) in str(caught.value)


@pytest.mark.parametrize("name", ["b.zip", "models.tar.gz", "models.tar.zst", "m.TGZ", "a.xz"])
def test_a_compressed_bundle_is_refused_by_name(store: Store, tmp_path: Path, name: str) -> None:
    with pytest.raises(MirrorError, match=r"is not compressed.*\.tar"):
        bundle.export(store, [put(store)], tmp_path / name)
    assert not (tmp_path / name).exists()


@pytest.mark.parametrize("name", ["models.v2", "2024.11", "TAR.tar", "big.TAR"])
def test_other_names_are_taken(store: Store, tmp_path: Path, name: str) -> None:
    stored = put(store, DATA, f"md5-{md5(DATA)}")
    assert bundle.export(store, [stored], tmp_path / name) == [stored]
    assert (tmp_path / name).is_file() == name.lower().endswith(".tar")
    assert take(Store(tmp_path / "other"), tmp_path / name)
