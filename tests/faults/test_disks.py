"""Disks that are full, read-only or elsewhere."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.faults.support import (
    IMPATIENT,
    REQUESTS,
    assert_failed,
    assert_good,
    assert_next_run_is_good,
    objects,
    store_of,
)
from tests.harness.artifacts import ARTIFACTS, delivered
from tests.harness.cm import CM
from tests.harness.origin import Origin

# The library alone, whatever engine calls it: the full run has these cases under MLC, too.
pytestmark = pytest.mark.under_mlc()

LONE = "tflite-no-argmax"
REQUEST = REQUESTS[LONE]


@contextmanager
def mounted(*arguments: str, at: Path) -> Iterator[None]:
    """Mount something at a folder for a while; skip where this user may not."""
    done = subprocess.run(["mount", *arguments, str(at)], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"mount: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(at)], check=True)


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Let `folder` be read-only, also for root, whom modes do not stop."""
    with mounted("--bind", str(folder), at=folder):
        done = subprocess.run(["mount", "-o", "remount,bind,ro", str(folder)], capture_output=True)
        if done.returncode:
            pytest.skip("no read-only bind mounts here")
        yield


@contextmanager
def small_disk(folder: Path, size: int) -> Iterator[None]:
    folder.mkdir(parents=True, exist_ok=True)
    with mounted("-t", "tmpfs", "-o", f"size={size}", "none", at=folder):
        yield


ROOM = [64 << 10, *(pytest.param(n << 10, marks=pytest.mark.full) for n in (8, 200, 360))]
ROOM += [384 << 10, pytest.param(376 << 10, marks=pytest.mark.full)]
"""The last two are for the file, and not for all that is written down about it."""


@pytest.mark.parametrize("room", ROOM)
def test_store_on_a_disk_that_is_too_small(
    engine: CM, origin: Origin, served: dict[str, Path], room: int
) -> None:
    store = engine.home / "disk"
    with small_disk(store, room):
        result = engine.get(*REQUEST, env={"CM_RESNET50_STORE": str(store)})
        assert_failed(engine, result, served, str(store), "free")
        assert not objects(store)
        # No source is to blame for a full disk: the next is not asked.
        assert len({record.url for record in origin.requests}) <= 1
        # More room, and it goes on.
        subprocess.run(["mount", "-o", "remount,size=8m", str(store)], check=True)
        good = engine.get(*REQUEST, env={"CM_RESNET50_STORE": str(store)})
        assert good.ok, good.text
        assert good.path.read_bytes() == delivered(served[LONE])
    assert_next_run_is_good(engine, origin, served, LONE)


@pytest.mark.parametrize("room", [100 << 10, 700 << 10])
def test_archive_on_a_disk_that_is_too_small(
    engine: CM, origin: Origin, served: dict[str, Path], room: int
) -> None:
    """Also where the archive fits, and what is in it does not."""
    store = engine.home / "disk"
    with small_disk(store, room):
        filler = store / "filler"
        if room > served["tflite-argmax"].stat().st_size:
            filler.write_bytes(bytes(room - served["tflite-argmax"].stat().st_size - (60 << 10)))
        result = engine.get("tflite", env={"CM_RESNET50_STORE": str(store)})
        assert result.code == 1, result.text
        assert "Traceback" not in result.text
        assert str(store) in result.err
        # The archive is an object of its own, and stays where it came whole.
        assert all(
            path.read_bytes() == served["tflite-argmax"].read_bytes()
            for path in objects(store).values()
        )
        filler.unlink(missing_ok=True)
        subprocess.run(["mount", "-o", "remount,size=8m", str(store)], check=True)
        good = engine.get("tflite", env={"CM_RESNET50_STORE": str(store)})
        assert good.ok, good.text


def test_output_folder_on_a_full_disk(engine: CM, origin: Origin, served: dict[str, Path]) -> None:
    folder = engine.home / "disk"
    with small_disk(folder, 64 << 10):
        result = engine.get(*REQUEST, outdirname=str(folder))
        assert_failed(engine, result, served, str(folder))
        assert not list(folder.iterdir())
        sent = origin.bytes_sent()
        subprocess.run(["mount", "-o", "remount,size=8m", str(folder)], check=True)
        good = engine.get(*REQUEST, outdirname=str(folder))
        assert good.ok, good.text
        assert [path.name for path in folder.iterdir()] == [served[LONE].name]
        assert (folder / served[LONE].name).read_bytes() == served[LONE].read_bytes()
        assert origin.bytes_sent() == sent
    assert_next_run_is_good(engine, origin, served, LONE)


@pytest.mark.under_mlc("mlc")
def test_read_only_store(
    engine: CM, new_engine: Callable[..., CM], origin: Origin, served: dict[str, Path]
) -> None:
    """It serves what it has to whoever can read it, and says what to do for the rest."""
    assert engine.get(*REQUEST).ok
    shared = {"CM_RESNET50_STORE": str(store_of(engine)), **IMPATIENT}
    other = new_engine("other").also(variables=shared)
    origin.clear_log()
    with read_only(store_of(engine)):
        for _ in range(2):
            hit = other.get(*REQUEST)
            assert hit.ok, hit.text
            assert hit.path.read_bytes() == delivered(served[LONE])
        # It is a copy, for which nothing can be written down in the store.
        assert_glanced(other, *REQUEST, **IMPATIENT)
        hit.path.unlink()
        again = other.get(*REQUEST)
        assert again.ok, again.text
        assert again.path.read_bytes() == delivered(served[LONE])
        assert not origin.connects
        miss = other.get("pytorch")
        assert_failed(other, miss, served, str(store_of(engine)), "CM_RESNET50_STORE")
    good = other.get("pytorch")
    assert good.ok, good.text


def assert_glanced(engine: CM, *variations: str, **env: str) -> None:
    """The run finds all in place by a look at inodes: it needs nothing of the library."""
    tags = ",".join(["get", "ml-model", "resnet50", *(f"_{name}" for name in variations)])
    imported = "import sys; assert 'cmx_resnet50.engines.env_run' not in sys.modules"
    code = f"{engine.calling(tags)}; {imported}"
    result = engine.command("python", "-c", code, env=env)
    assert result.ok, result.text


@pytest.fixture(params=["xfs", pytest.param("btrfs", marks=pytest.mark.full)])
def reflinking(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """Yield a folder on a file system that shares blocks between files."""
    image, folder = tmp_path / "image", tmp_path / "reflinking"
    image.touch()
    os.truncate(image, 400 << 20)
    folder.mkdir()
    make = shutil.which(f"mkfs.{request.param}", path=f"{os.environ['PATH']}:/sbin:/usr/sbin")
    if make is None or subprocess.run([make, "-q", str(image)], capture_output=True).returncode:
        pytest.skip(f"no mkfs.{request.param} here, or it makes nothing of 400 MB")
    with mounted("-o", "loop", str(image), at=folder):
        yield folder


def test_reflinks_where_the_disk_has_them(
    engine: CM, origin: Origin, served: dict[str, Path], reflinking: Path
) -> None:
    """A place is changed by itself, and mended from the object; a hit is as quick as any."""
    user = engine.also(repos=reflinking / "CM")
    first = user.get("ncnn")
    assert_good(user, first, served, "ncnn")
    assert first.path.stat().st_nlink == 1
    records = [json.loads(p.read_text()) for p in store_of(user).glob("placements/*/*.json")]
    assert {record["method"] for record in records} == {"reflink"}
    assert_glanced(user, "ncnn")
    origin.clear_log()
    before = first.path.stat()
    first.path.chmod(0o644)
    with first.path.open("r+b") as file:
        file.write(b"x")
    os.utime(first.path, ns=(before.st_atime_ns, before.st_mtime_ns))
    mended = user.get("ncnn")
    assert_good(user, mended, served, "ncnn")
    assert f"{first.path} was damaged" in mended.err
    assert_glanced(user, "ncnn")
    assert not origin.connects


@pytest.mark.under_mlc("mlc")
def test_read_only_cm_repos(engine: CM, origin: Origin, served: dict[str, Path]) -> None:
    """A hit is a hit where nothing at all can be written."""
    first = engine.get(*REQUEST)
    assert first.ok, first.text
    origin.clear_log()
    with read_only(engine.repos):
        for _ in range(2):
            hit = engine.get(*REQUEST)
            assert_good(engine, hit, served, LONE)
            assert hit.env == first.env
        out = engine.get(*REQUEST, outdirname=str(engine.home / "out"))
        assert_good(engine, out, served, LONE)
    assert not origin.connects
    assert_next_run_is_good(engine, origin, served, LONE)


def test_read_only_cm_repos_with_a_damaged_place(
    engine: CM, origin: Origin, served: dict[str, Path]
) -> None:
    first = engine.get(*REQUEST)
    first.path.unlink()
    with read_only(engine.repos):
        result = engine.get(*REQUEST)
        assert_failed_or_good(engine, result, served)
    assert_next_run_is_good(engine, origin, served, LONE)


def assert_failed_or_good(engine: CM, result: object, served: dict[str, Path]) -> None:
    """Read-only and broken: an error that names the place, or the model from elsewhere."""
    from tests.harness.cm import Result

    assert isinstance(result, Result)
    if result.ok:
        assert result.path.read_bytes() == delivered(served[LONE])
    else:
        assert_failed(engine, result, served, "cannot be written")


@pytest.mark.parametrize(
    "name",
    ["tflite-argmax", *(pytest.param(n, marks=pytest.mark.full) for n in (LONE, "ncnn"))],
)
def test_store_on_another_file_system(
    engine: CM, origin: Origin, served: dict[str, Path], other_disk: Path, name: str
) -> None:
    env = {"CM_RESNET50_STORE": str(other_disk / "store")}
    first = engine.get(*REQUESTS[name], env=env)
    assert_good(engine, first, served, name)
    assert first.path.stat().st_dev != other_disk.stat().st_dev
    origin.clear_log()
    assert_good(engine, engine.get(*REQUESTS[name], env=env), served, name)
    # Damaged on one side, repaired from the other.
    first.path.chmod(0o644)
    first.path.write_bytes(b"damaged")
    assert_good(engine, engine.get(*REQUESTS[name], env=env), served, name)
    for path in objects(other_disk / "store").values():
        path.chmod(0o644)
        path.write_bytes(b"damaged")
    assert_good(engine, engine.get(*REQUESTS[name], env=env, offline=True), served, name)
    assert not origin.connects


def test_cache_on_another_file_system_than_the_output(
    engine: CM, served: dict[str, Path], other_disk: Path
) -> None:
    for _ in range(2):
        result = engine.get("ncnn", outdirname=str(other_disk / "out"))
        assert_good(engine, result, served, "ncnn")
        names = sorted(path.name for path in (other_disk / "out").iterdir())
        assert names == [ARTIFACTS["ncnn"].file, ARTIFACTS["ncnn-param"].file]


@pytest.mark.parametrize("name", ["onnx-opset-11", "tflite-argmax", "ncnn"])
def test_small_files_that_a_power_loss_emptied(
    engine: CM, origin: Origin, served: dict[str, Path], name: str
) -> None:
    """The large ones are on the disk, so nothing is fetched again."""
    request = REQUESTS[name]
    assert engine.get(*request).ok
    emptied = [
        path
        for folder in ("aliases", "objects", "placements")
        for path in (store_of(engine) / folder).rglob("*")
        if path.is_file() and path.name != "data"
    ]
    assert {"record.json", "stamp"} < {path.name for path in emptied}
    for path in emptied:
        os.truncate(path, 0)
    assert engine.remove_entries().ok
    origin.clear_log()
    again = engine.get(*request, offline=True)
    assert_good(engine, again, served, name)
    assert not origin.requests
    assert engine.command("cmx-resnet50", "verify").ok
