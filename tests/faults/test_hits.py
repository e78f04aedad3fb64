"""What was altered between two runs: noticed on the next one, and repaired without a question."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.support import assert_failed, assert_good, objects, only_object, store_of
from tests.harness.artifacts import ARTIFACTS, delivered
from tests.harness.cm import CM, Result
from tests.harness.origin import Origin

NAME = "onnx-opset-11"
OFFLINE = {"CM_RESNET50_OFFLINE": "yes"}


def _truncated(path: Path) -> None:
    path.chmod(0o644)
    os.truncate(path, path.stat().st_size // 2)


def _emptied(path: Path) -> None:
    path.chmod(0o644)
    os.truncate(path, 0)


def _flipped(path: Path) -> None:
    path.chmod(0o644)
    with path.open("r+b") as file:
        file.seek(1000)
        byte = file.read(1)
        file.seek(1000)
        file.write(bytes([byte[0] ^ 4]))


def _flipped_and_set_back(path: Path) -> None:
    before = path.stat()
    _flipped(path)
    path.chmod(before.st_mode)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def _appended(path: Path) -> None:
    path.chmod(0o644)
    with path.open("ab") as file:
        file.write(b"more")


def _replaced(path: Path) -> None:
    """Another file under the name, as an editor saves: of the same length, other bytes."""
    size = path.stat().st_size
    path.unlink()
    path.write_bytes(bytes(size))


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _linked(path: Path) -> None:
    """A link to a file with other bytes."""
    other = path.with_name("other")
    other.write_bytes(b"not the model")
    path.unlink()
    path.symlink_to(other)


def _dangling(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.with_name("nowhere"))


def _deleted(path: Path) -> None:
    path.unlink()


DAMAGES = [
    _truncated,
    _emptied,
    _flipped,
    _flipped_and_set_back,
    _appended,
    _replaced,
    _folder,
    _linked,
    _dangling,
    _deleted,
]
IN_PLACE = DAMAGES[:5]
"""Those that reach every hard link of the file at once."""
EVERYDAY = (_flipped_and_set_back, _linked, _deleted)
FEW = [
    pytest.param(damage, marks=[] if damage in EVERYDAY else [pytest.mark.full])
    for damage in DAMAGES
]


def said(result: Result) -> list[str]:
    """The lines in which the run told of a repair."""
    return [line for line in result.err.splitlines() if line.startswith("cmx-resnet50: ")]


def assert_whole(engine: CM, result: Result, served: dict[str, Path], name: str = NAME) -> None:
    assert_good(engine, result, served, name)
    assert not result.path.is_symlink()
    assert only_object(store_of(engine)).read_bytes() == delivered(served[name])


def assert_quiet_hit(engine: CM, served: dict[str, Path], **options: str) -> None:
    """The run after a repair has nothing to say, and needs no network."""
    result = engine.get(env=OFFLINE, **options)
    assert_whole(engine, result, served)
    assert not said(result)


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("what", ["place", pytest.param("object", marks=pytest.mark.full)])
@pytest.mark.under_mlc(
    "place-_truncated",
    "place-_emptied",
    "place-_flipped_and_set_back",
    "place-_folder",
    "place-_deleted",
)
def test_damage_is_noticed_and_repaired(
    engine: CM, origin: Origin, served: dict[str, Path], what: str, damage: Callable[[Path], None]
) -> None:
    first = engine.get()
    assert first.ok, first.text
    origin.clear_log()
    damage(first.path if what == "place" else only_object(store_of(engine)))
    result = engine.get()
    assert_whole(engine, result, served)
    assert result.path == first.path
    assert result.env == first.env
    assert len(said(result)) == 1, result.text
    assert result.path.name in said(result)[0]
    # What reaches all links at once has to be fetched again, and nothing else.
    assert bool(origin.requests) == (damage in IN_PLACE)
    assert_quiet_hit(engine, served)


@pytest.mark.parametrize("damage", FEW)
@pytest.mark.parametrize("what", ["object", pytest.param("place", marks=pytest.mark.full)])
@pytest.mark.under_mlc("object-_deleted")
def test_damage_offline(
    engine: CM, origin: Origin, served: dict[str, Path], what: str, damage: Callable[[Path], None]
) -> None:
    first = engine.get()
    assert first.ok, first.text
    origin.clear_log()
    damage(first.path if what == "place" else only_object(store_of(engine)))
    result = engine.get(offline=True)
    assert not origin.requests and not origin.connects
    if damage in IN_PLACE:
        content = served[NAME].read_bytes()
        md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
        assert result.code == 1, result.text
        assert "resnet50_v1.onnx" in result.err
        # The sha256 is known since the first download was verified.
        assert md5 in result.err or first.env["CM_ML_MODEL_SHA256"] in result.err
        assert f"{len(content):,} bytes" in result.err
        assert "Traceback" not in result.text
        result = engine.get()
    assert_whole(engine, result, served)
    assert len(said(result)) == 1, result.text
    assert_quiet_hit(engine, served)


@pytest.mark.parametrize("damage", [_truncated, _flipped_and_set_back])
@pytest.mark.under_mlc()
def test_copy_elsewhere_repairs_all_links_offline(
    engine: CM,
    origin: Origin,
    served: dict[str, Path],
    other_disk: Path,
    damage: Callable[[Path], None],
) -> None:
    first = engine.get()
    copy = engine.get(outdirname=str(other_disk / "out"))
    assert copy.path.stat().st_dev != first.path.stat().st_dev
    origin.clear_log()
    damage(first.path)
    result = engine.get(env=OFFLINE)
    assert_whole(engine, result, served)
    assert result.path == first.path
    assert len(said(result)) == 1, result.text
    assert not origin.connects
    assert_quiet_hit(engine, served)


@pytest.mark.parametrize("damage", FEW)
@pytest.mark.under_mlc("_deleted", "_linked")
def test_changed_output_folder(
    engine: CM, origin: Origin, served: dict[str, Path], damage: Callable[[Path], None]
) -> None:
    """What was changed there is the user's since, and is replaced when they say so."""
    folder = engine.home / "out"
    first = engine.get(outdirname=str(folder))
    assert_whole(engine, first, served)
    damage(folder / "resnet50_v1.onnx")
    if damage is not _deleted:
        refused = engine.get(outdirname=str(folder))
        assert refused.code == 1
        assert str(folder / "resnet50_v1.onnx") in refused.err
    result = engine.get(outdirname=str(folder), force="no" if damage is _deleted else "yes")
    assert_whole(engine, result, served)
    assert result.path == folder / "resnet50_v1.onnx"
    assert_quiet_hit(engine, served, outdirname=str(folder))


def test_another_model_in_the_same_output_folder(engine: CM, served: dict[str, Path]) -> None:
    """Two files have one name: what was there was placed by us, and a line says so."""
    folder = engine.home / "out"
    assert engine.get("onnx", outdirname=str(folder)).ok
    result = engine.get("onnx", "opset-8", outdirname=str(folder))
    assert result.ok, result.text
    assert result.path.read_bytes() == served["onnx-opset-8"].read_bytes()
    assert f"{result.path}: onnx-opset-11 (sha256 " in result.err
    assert result.err.count("was replaced by onnx-opset-8 (sha256 ") == 1


@pytest.mark.parametrize(
    ("half", "damage"),
    [
        ("resnet50_v1.param", _flipped_and_set_back),
        pytest.param("resnet50_v1.param", _folder, marks=pytest.mark.full),
        ("resnet50_v1.param", _deleted),
        pytest.param("resnet50_v1.bin", _flipped_and_set_back, marks=pytest.mark.full),
        pytest.param("resnet50_v1.bin", _folder, marks=pytest.mark.full),
        ("resnet50_v1.bin", _deleted),
    ],
)
@pytest.mark.under_mlc("_deleted-resnet50_v1.param", "resnet50_v1.param-_deleted")
def test_damaged_half_of_a_pair(
    engine: CM, served: dict[str, Path], half: str, damage: Callable[[Path], None]
) -> None:
    first = engine.get("ncnn")
    damage(first.path.with_name(half))
    result = engine.get("ncnn")
    assert_good(engine, result, served, "ncnn")
    assert result.path == first.path
    param = result.path.with_name("resnet50_v1.param")
    assert param.read_bytes() == served["ncnn-param"].read_bytes()
    assert len(said(result)) == 1, result.text


def _model_folder(engine: CM, result: Result) -> Path:
    return result.path.parent


def _entry(engine: CM, result: Result) -> Path:
    return result.path.parent.parent


def _store(engine: CM, result: Result) -> Path:
    return store_of(engine)


def _cache(engine: CM, result: Result) -> Path:
    return engine.cache


def _object_folder(engine: CM, result: Result) -> Path:
    return only_object(store_of(engine)).parent


@pytest.mark.parametrize(
    "what", [_model_folder, _entry, _store, _cache, _object_folder], ids=lambda f: f.__name__
)
@pytest.mark.parametrize("offline", [True, pytest.param(False, marks=pytest.mark.full)])
@pytest.mark.under_mlc("_entry", "_store")
def test_whole_folder_is_gone(
    engine: CM,
    origin: Origin,
    served: dict[str, Path],
    what: Callable[[CM, Result], Path],
    offline: bool,
) -> None:
    """One of the two, store and place, is left in each case: nothing is fetched again."""
    first = engine.get()
    folder = what(engine, first)
    shutil.rmtree(folder)
    origin.clear_log()
    result = engine.get(offline=offline)
    assert_whole(engine, result, served)
    assert not origin.connects
    assert_whole(engine, engine.get(env=OFFLINE), served)


@pytest.mark.under_mlc("mlc")
def test_plain_request_never_exports_somebodys_output_folder(
    engine: CM, served: dict[str, Path]
) -> None:
    """Nor does one output folder answer for another, in whatever order they are asked for."""
    one, two = str(engine.home / "one"), str(engine.home / "two")
    for asked in (one, None, None, two, None, one, None, None):
        result = engine.get(**({"outdirname": asked} if asked else {}))
        assert_whole(engine, result, served)
        if asked:
            assert result.path.parent == Path(asked)
        else:
            assert engine.repos in result.path.parents
        assert result.env["CM_ML_MODEL_PATH"] == str(result.path.parent)


def test_rm_cache_keeps_the_object(engine: CM, origin: Origin, served: dict[str, Path]) -> None:
    first = engine.get()
    origin.clear_log()
    removed = engine.remove_entries()
    assert removed.ok, removed.text
    assert not first.path.exists()
    assert_whole(engine, engine.get(env=OFFLINE), served)
    assert not origin.connects


@pytest.mark.under_mlc()
def test_clock_that_was_set_back(engine: CM, origin: Origin, served: dict[str, Path]) -> None:
    """Every file of store and cache lies in the future: still a hit, and damage still shows."""
    first = engine.get()
    ahead = 4_000_000_000
    for path in [*store_of(engine).rglob("*"), *first.path.parent.rglob("*")]:
        os.utime(path, (ahead, ahead))
    origin.clear_log()
    for _ in range(2):
        assert_whole(engine, engine.get(), served)
    assert not origin.requests
    _flipped(only_object(store_of(engine)))
    os.utime(only_object(store_of(engine)), (ahead, ahead))
    assert_whole(engine, engine.get(), served)
    assert origin.requests


@pytest.mark.parametrize("variations", [(), ("ncnn",), ("tflite",)], ids=["onnx", "pair", "gz"])
@pytest.mark.parametrize("how", ["flag", pytest.param("variable", marks=pytest.mark.full)])
@pytest.mark.under_mlc("flag-onnx", "onnx-flag")
def test_offline_with_nothing_there(
    engine: CM, origin: Origin, served: dict[str, Path], variations: tuple[str, ...], how: str
) -> None:
    if how == "flag":
        result = engine.get(*variations, offline=True)
    else:
        result = engine.get(*variations, env=OFFLINE)
    name = {"": NAME, "ncnn": "ncnn", "tflite": "tflite-argmax"}["".join(variations)]
    md5 = hashlib.md5(served[name].read_bytes(), usedforsecurity=False).hexdigest()
    assert_failed(
        engine, result, served, ARTIFACTS[name].file, md5, "offline mode is on", "curl -fL"
    )
    assert not origin.connects and not origin.requests
    assert not objects(store_of(engine))
    assert_good(engine, engine.get(*variations), served, name)
    # What is there answers offline, by either way of asking for it.
    assert_good(engine, engine.get(*variations, offline=True), served, name)
    assert_good(engine, engine.get(*variations, env=OFFLINE), served, name)


@pytest.mark.under_mlc()
def test_changed_place_does_not_reach_another_user_of_the_store(
    engine: CM, new_engine: Callable[..., CM], served: dict[str, Path]
) -> None:
    """Two users, one store: what one does to the file, the other is not served."""
    shared = {"CM_RESNET50_STORE": str(store_of(engine))}
    other = new_engine("other").also(variables=shared)
    mine, theirs = engine.get(env=shared), other.get()
    assert mine.ok and theirs.ok
    _flipped(mine.path)
    again = other.get()
    assert again.ok, again.text
    assert again.path.read_bytes() == delivered(served[NAME])
    assert_whole(engine, engine.get(env=shared), served)


@pytest.mark.parametrize("name", ["stamp", "record.json"])
@pytest.mark.under_mlc()
def test_a_pipe_in_place_of_a_small_file_of_the_store_keeps_nobody_waiting(
    engine: CM, origin: Origin, served: dict[str, Path], name: str
) -> None:
    assert engine.get().ok
    origin.clear_log()
    pipe = only_object(store_of(engine)).with_name(name)
    pipe.unlink()
    os.mkfifo(pipe)
    result = engine.get()
    assert_whole(engine, result, served)
    assert engine.command("cmx-resnet50", "verify").ok
    assert not pipe.is_fifo() or name == "record.json"
    assert_quiet_hit(engine, served)
