"""Folders that the user names: nothing of theirs is replaced, what is ours is, with a line."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.support import objects, store_of
from tests.harness.artifacts import delivered
from tests.harness.cm import CM, Result
from tests.harness.origin import Origin

TOOL = "cmx-resnet50"
FILE = "resnet50_v1.onnx"
PRECIOUS = b"weeks of training"


def _file(path: Path) -> None:
    path.write_bytes(PRECIOUS)


def _closed(path: Path) -> None:
    path.write_bytes(PRECIOUS)
    path.chmod(0)


def _link(path: Path) -> None:
    path.with_name("precious").write_bytes(PRECIOUS)
    path.symlink_to("precious")


def _dangling(path: Path) -> None:
    path.symlink_to("nowhere")


def _folder(path: Path) -> None:
    path.mkdir()


def _full_folder(path: Path) -> None:
    path.mkdir()
    (path / "precious").write_bytes(PRECIOUS)


def _pipe(path: Path) -> None:
    os.mkfifo(path)


def state(folder: Path) -> list[tuple[str, int, int, bytes | str]]:
    """Return names, inodes, modes and content of all that is in a folder."""
    found = []
    for path in sorted(folder.rglob("*")):
        status = path.lstat()
        content: bytes | str = b""
        if path.is_symlink():
            content = str(path.readlink())
        elif path.is_file():
            content = path.read_bytes()
        found.append((path.name, status.st_ino, status.st_mode, content))
    return found


def assert_refused(result: Result, path: Path) -> None:
    assert result.code == 1, result.text
    assert str(path) in result.err
    assert "CM_RESNET50_FORCE=yes" in result.err
    assert "--force" in result.err
    assert "Traceback" not in result.text


REPLACEABLE = [_file, _closed, _link, _dangling, _folder]


@pytest.mark.parametrize("make", [*REPLACEABLE, _full_folder, _pipe])
def test_get_leaves_the_users_own_alone_and_fetches_nothing(
    cm: CM, origin: Origin, served: dict[str, Path], make: Callable[[Path], None]
) -> None:
    path = cm.cwd / "mine" / FILE
    path.parent.mkdir()
    make(path)
    before = state(path.parent)
    result = cm.command(TOOL, "get", "--to", "mine")
    if make in REPLACEABLE:
        assert_refused(result, path)
    assert result.code == 1, result.text
    assert str(path) in result.err
    assert state(path.parent) == before
    assert not origin.requests
    assert not objects(store_of(cm))
    forced = cm.command(TOOL, "get", "--to", "mine", "--force")
    assert forced.ok == (make in REPLACEABLE), forced.text
    if forced.ok:
        assert path.read_bytes() == delivered(served["onnx-opset-11"])
        assert f"{path}: " in forced.err
        assert not path.is_symlink()
    else:
        assert state(path.parent) == before


@pytest.mark.parametrize("key", ["outdirname", "to", "download_path"])
@pytest.mark.parametrize("cached", [False, True])
def test_cm_leaves_the_users_own_alone(
    cm: CM, origin: Origin, served: dict[str, Path], key: str, cached: bool
) -> None:
    if cached:
        assert cm.get().ok
    origin.clear_log()
    path = cm.cwd / "mine" / FILE
    path.parent.mkdir()
    _file(path)
    result = cm.get(**{key: "mine"})
    assert_refused(result, path)
    assert path.read_bytes() == PRECIOUS
    assert not origin.requests
    elsewhere = cm.get(**{key: "other"})
    assert elsewhere.ok, elsewhere.text
    forced = cm.get(**{key: "mine", "force": "yes"})
    assert forced.ok, forced.text
    assert path.read_bytes() == delivered(served["onnx-opset-11"])


def test_one_of_a_pair_is_enough(cm: CM, origin: Origin) -> None:
    path = cm.cwd / "mine" / "resnet50_v1.param"
    path.parent.mkdir()
    _file(path)
    assert_refused(cm.command(TOOL, "get", "_ncnn", "--to", "mine"), path)
    assert [one.name for one in path.parent.iterdir()] == [path.name]
    assert not origin.requests


def test_what_was_placed_is_replaced_and_a_line_says_so(cm: CM, served: dict[str, Path]) -> None:
    path = cm.cwd / "models" / FILE

    def get(*request: str, **options: str) -> Result:
        result = cm.command(TOOL, "get", *request, "--to", "models", **options)
        assert result.ok, result.text
        return result

    assert get("_onnx").err.count("replaced") == 0
    assert get("_onnx").err.count("replaced") == 0
    other = get("_onnx,_opset-8")
    assert f"{path}: onnx-opset-11 (sha256 " in other.err
    assert "was replaced by onnx-opset-8 (sha256 " in other.err
    assert path.read_bytes() == delivered(served["onnx-opset-8"])
    assert "onnx-opset-8, batch 4 (sha256 " in get("_onnx,_opset-8,_batch_size.4").err
    assert "by onnx-opset-11 (sha256 " in get("_onnx").err
    # Touched, backed up, given another mode: still what was placed.
    path.chmod(0o644)
    os.utime(path)
    shutil.copy2(path, path.with_name("copy"))
    path.with_name("copy").replace(path)
    assert "was replaced by onnx-opset-8" in get("_onnx,_opset-8").err
    # Changed, and the user's since.
    path.chmod(0o644)
    path.write_bytes(PRECIOUS)
    assert_refused(cm.command(TOOL, "get", "_onnx", "--to", "models"), path)
    assert_refused(cm.command(TOOL, "get", "_onnx,_opset-8", "--to", "models"), path)
    assert path.read_bytes() == PRECIOUS
    path.unlink()
    assert get("_onnx").err.count("replaced") == 0


def test_the_users_own_copy_of_the_file_stays_theirs(cm: CM, served: dict[str, Path]) -> None:
    """It is what was asked for, so it is kept; another file does not take its place."""
    path = cm.cwd / "mine" / FILE
    path.parent.mkdir()
    path.write_bytes(delivered(served["onnx-opset-11"]))
    before = state(path.parent)
    for _ in range(2):
        kept = cm.command(TOOL, "get", "_onnx", "--to", "mine")
        assert kept.ok, kept.text
        assert state(path.parent) == before
    assert_refused(cm.command(TOOL, "get", "_onnx,_opset-8", "--to", "mine"), path)
    assert state(path.parent) == before


def test_what_is_written_in_a_users_folder_reaches_nobody_else(
    cm: CM, served: dict[str, Path]
) -> None:
    """As root, whom no mode of a file stops, and who writes in place."""
    for folder in ("one", "two"):
        assert cm.command(TOOL, "get", "--to", folder).ok
    assert cm.get(to="three").ok
    files = [cm.cwd / folder / FILE for folder in ("one", "two", "three")]
    assert [path.stat().st_nlink for path in files] == [1, 1, 1]
    with files[0].open("r+b") as file:
        file.write(b"changed")
    content = delivered(served["onnx-opset-11"])
    assert [path.read_bytes() == content for path in files] == [False, True, True]
    assert cm.command(TOOL, "verify").ok
    # CM's own entries link to the store.
    assert cm.get(offline=True).path.stat().st_nlink > 1


def test_a_folder_that_cannot_be_written_is_refused_before_anything_is_fetched(
    cm: CM, origin: Origin
) -> None:
    (cm.cwd / "file").write_text("x")
    for folder in ("file/models", "file"):
        result = cm.command(TOOL, "get", "--to", folder)
        assert result.code == 6
        assert "a part of its path is a file" in result.err
    assert not origin.requests


def test_the_file_that_is_given_may_be_where_it_is_to_go(cm: CM, served: dict[str, Path]) -> None:
    path = cm.cwd / "mine" / FILE
    path.parent.mkdir()
    content = bytearray(served["onnx-opset-11"].read_bytes())
    content[200_000] ^= 1
    path.write_bytes(content)
    env = {"CM_RESNET50_ACCEPT_ANY": "yes"}
    kept = cm.command(TOOL, "get", "--checkpoint", "mine", "--to", "mine", env=env)
    assert kept.ok, kept.text
    assert path.read_bytes() == content
