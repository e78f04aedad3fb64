"""Every kind: the same bytes for the same seed, within its memory, complete or absent."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

from cmx_resnet50 import dummy
from cmx_resnet50.catalog.table import Catalog
from cmx_resnet50.errors import Resnet50Error
from tests.dummy.shared import NARROW

# Size and sha256 at full width under the default seed, which the table of artifacts states. A
# change there is a new generation of dummies: cached ones no longer match, so it must be meant.
FULL = {
    artifact.name: (artifact.dummy["bytes"], artifact.dummy["sha256"])
    for artifact in Catalog.load().artifacts.values()
    if artifact.dummy is not None
}

# VmHWM is the peak of this process alone; getrusage's would count the parent's pages before exec.
MEASURED = """
import sys
from pathlib import Path
from cmx_resnet50 import dummy
dummy.write(sys.argv[1], Path(sys.argv[2]))
status = Path("/proc/self/status").read_text()
print(int(status.split("VmHWM:")[1].split()[0]) // 1024)
"""


def test_every_kind_has_a_known_digest() -> None:
    assert sorted(dummy.available()) == sorted(FULL)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from /proc")
@pytest.mark.parametrize("kind", FULL)
def test_full_width_is_the_known_bytes_within_its_memory(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "file"
    command = [sys.executable, "-c", MEASURED, kind, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    peak = int(done.stdout)
    found = (path.stat().st_size, hashlib.sha256(path.read_bytes()).hexdigest())
    path.unlink()
    assert found == FULL[kind]
    assert peak < 600


@pytest.mark.parametrize("kind", FULL)
def test_seed_decides_the_bytes(kind: str, tmp_path: Path) -> None:
    contents = []
    for number, seed in enumerate((3, 3, 4)):
        path = tmp_path / str(number)
        dummy.write(kind, path, seed=seed, width=NARROW)
        contents.append(path.read_bytes())
    assert contents[0] == contents[1]
    assert contents[0] != contents[2]
    assert len(contents[0]) == len(contents[2])


def test_a_file_that_is_there_is_replaced_and_nothing_else_left(tmp_path: Path) -> None:
    path = tmp_path / "weights.bin"
    path.write_bytes(b"old")
    dummy.write("ncnn", path, width=1)
    assert path.stat().st_size > 3
    assert list(tmp_path.iterdir()) == [path]


def test_a_failed_write_leaves_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "taken"
    folder.mkdir()
    with pytest.raises(OSError, match="taken"):
        dummy.write("ncnn", folder, width=1)
    assert list(tmp_path.iterdir()) == [folder]
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("kind", ["pytorch-int8", "tflite-edgetpu"])
def test_int8_is_refused_in_plain_words(kind: str, tmp_path: Path) -> None:
    with pytest.raises(dummy.DummyError, match=rf"{kind}.*fp32.*onnx-opset-11") as caught:
        dummy.write(kind, tmp_path / "file")
    assert isinstance(caught.value, Resnet50Error)
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_kind_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(dummy.DummyError, match=r"caffe.*onnx-opset-8.*ncnn"):
        dummy.write("caffe", tmp_path / "file")


@pytest.mark.parametrize("width", [0, -64])
def test_a_width_below_one_is_refused(width: int, tmp_path: Path) -> None:
    with pytest.raises(dummy.DummyError, match=str(width)):
        dummy.write("ncnn", tmp_path / "file", width=width)
    assert list(tmp_path.iterdir()) == []


def test_importing_costs_neither_numpy_nor_onnx() -> None:
    program = "import sys, cmx_resnet50.dummy; print({'numpy', 'onnx'} & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "set()"
