"""What holds for every format: refusals, faults while writing, and what reshaping may cost."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from cmx_resnet50 import dummy
from cmx_resnet50.formats import read_facts
from cmx_resnet50.formats.facts import NotAModel
from cmx_resnet50.formats.protobuf import encode_bytes, encode_length_prefix, encode_varint_field
from cmx_resnet50.rewrite import RESHAPEABLE, ReshapeError, reshape
from tests.formats.messages import onnx_value, tf_placeholder

KINDS = {"onnx-opset-11": "onnx", "tensorflow": "tensorflow"}


@pytest.fixture(scope="module", params=KINDS)
def source(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("source") / request.param
    dummy.write(request.param, path, width=4)
    return path


def test_what_can_be_reshaped() -> None:
    assert set(KINDS.values()) == RESHAPEABLE


@pytest.mark.parametrize("batch", [0, -1, 1 << 31])
def test_a_batch_that_cannot_be(source: Path, batch: int, tmp_path: Path) -> None:
    with pytest.raises(ReshapeError, match=rf"at least 1, .*, not {batch}$"):
        reshape(source, tmp_path / "fixed", batch=batch)


def test_another_format(tmp_path: Path) -> None:
    path = tmp_path / "model"
    path.write_bytes(b"7767517\n1 1\n")
    with pytest.raises(ReshapeError, match="this is a model for ncnn"):
        reshape(path, tmp_path / "fixed", batch=2)
    path.write_bytes(b"<html></html>")
    with pytest.raises(NotAModel, match="HTML"):
        reshape(path, tmp_path / "fixed", batch=2)


def test_what_is_there_is_never_overwritten(source: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_text("precious")
    with pytest.raises(FileExistsError):
        reshape(source, other, batch=2)
    assert other.read_text() == "precious"
    content = source.read_bytes()
    with pytest.raises(FileExistsError):
        reshape(source, source, batch=2)
    assert source.read_bytes() == content


@pytest.mark.skipif(sys.platform == "win32", reason="limits of file size are of Unix")
def test_a_full_disk_leaves_nothing(source: Path, tmp_path: Path) -> None:
    """A limit of file size is to the writer what a full disk is: an error amid writing."""
    program = (
        "import resource, sys; from pathlib import Path; from cmx_resnet50.rewrite import reshape\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "try: reshape(Path(sys.argv[1]), Path(sys.argv[2]), batch=2)\n"
        "except OSError as error: print(error.strerror)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(source), str(tmp_path / "fixed")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "File too large\n"
    assert list(tmp_path.iterdir()) == []


def test_between_file_systems(source: Path, tmp_path: Path) -> None:
    """Where the kernel cannot copy between the two, the bytes go through this process."""
    memory = Path("/dev/shm")
    if not os.access(memory, os.W_OK) or memory.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("needs a second file system")
    reshape(source, near := tmp_path / "near", batch=2)
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        far = Path(folder) / "far"
        reshape(source, far, batch=2)
        assert far.read_bytes() == near.read_bytes()


_COST = """
import sys, time
from pathlib import Path
if sys.argv[3] == "onnx":
    import onnx.checker, onnx.shape_inference
from cmx_resnet50.rewrite import reshape

start = time.process_time()
reshape(Path(sys.argv[1]), Path(sys.argv[2]), batch=8)
seconds = time.process_time() - start
status = Path("/proc/self/status").read_text().split()
print(seconds, int(status[status.index("VmHWM:") + 1]) / 1024)
"""


def large(path: Path, kind: str, size: int) -> None:
    """Write a model with `size` bytes of weights."""
    if kind == "onnx":
        weight = (
            encode_varint_field(1, size // 4)
            + encode_varint_field(2, 1)
            + encode_bytes(8, "w")
            + encode_length_prefix(9, size)
        )
        node = encode_bytes(
            1, encode_bytes(1, "x") + encode_bytes(2, "y") + encode_bytes(4, "Relu")
        )
        head = node + encode_bytes(2, "g") + encode_length_prefix(5, len(weight) + size) + weight
        tail = onnx_value(11, "x", ("N", 3, 4, 4)) + onnx_value(12, "y", ("N", 3, 4, 4))
        head = (
            encode_varint_field(1, 8) + encode_length_prefix(7, len(head) + size + len(tail)) + head
        )
        tail += encode_bytes(8, encode_varint_field(2, 13))
    else:
        shape = encode_bytes(2, encode_bytes(2, encode_varint_field(1, size // 4)))
        tensor = encode_varint_field(1, 1) + shape + encode_length_prefix(4, size)
        value = encode_length_prefix(8, len(tensor) + size) + tensor
        entry = encode_bytes(1, "value") + encode_length_prefix(2, len(value) + size) + value
        node = (
            encode_bytes(1, "w")
            + encode_bytes(2, "Const")
            + encode_length_prefix(5, len(entry) + size)
            + entry
        )
        head = tf_placeholder((-1, 4, 4, 3)) + encode_length_prefix(1, len(node) + size) + node
        tail = encode_bytes(4, encode_varint_field(1, 27))
    with path.open("wb") as file:
        file.write(head)
        file.write(bytes(range(256)) * (size // 256))
        file.write(tail)


@pytest.mark.parametrize(("kind", "megabytes"), [("onnx", 120), ("tensorflow", 60)])
def test_weights_stay_outside_this_process(kind: str, megabytes: int, tmp_path: Path) -> None:
    source, dest = tmp_path / "model", tmp_path / "fixed"
    large(source, kind, 100 << 20)
    assert read_facts(source).parameter_bytes == 100 << 20
    done = subprocess.run(
        [sys.executable, "-c", _COST, str(source), str(dest), kind],
        capture_output=True,
        text=True,
        check=True,
    )
    seconds, peak = map(float, done.stdout.split())
    facts = read_facts(dest)
    assert facts.inputs[0].shape[0] == 8
    assert facts.parameter_bytes == 100 << 20
    assert peak < megabytes
    # CPU time; about 0.15 s.
    assert seconds < 1.5
