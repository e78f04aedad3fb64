"""The other formats, as far as they can be read without their runtimes."""

from __future__ import annotations

import pickletools
import tarfile
from pathlib import Path

import pytest

from cmx_resnet50 import dummy
from tests.dummy.shared import NARROW, written

NOTE = b"weights=dummy seed=0 generator="


def _words(data: bytes) -> list[object]:
    """All arguments of a pickle's opcodes, without running it."""
    return [argument for _, argument, _ in pickletools.genops(data) if argument is not None]


def test_pytorch_is_the_tar_of_old_with_torchvisions_names(tmp_path: Path) -> None:
    path = written(tmp_path, "pytorch-fp32")
    with tarfile.open(path) as tar:
        assert tar.getnames() == ["sys_info", "pickle", "tensors", "storages"]
        assert all(member.mtime == 0 for member in tar)
        assert path.stat().st_size % tarfile.RECORDSIZE == 0
        members = {}
        for name in ("sys_info", "pickle"):
            file = tar.extractfile(name)
            assert file is not None
            members[name] = file.read()
    words = _words(members["sys_info"])
    assert words[words.index("weights") + 1] == "dummy"
    assert words[words.index("seed") + 1] == "0"
    names = [word for word in _words(members["pickle"]) if "." in str(word)]
    # 53 convolutions, five tensors each with their normalization, and a dense layer of two.
    assert len(names) == 53 * 5 + 2
    assert names[:5] == [
        "conv1.weight",
        "bn1.weight",
        "bn1.bias",
        "bn1.running_mean",
        "bn1.running_var",
    ]
    assert {"layer1.0.downsample.0.weight", "layer4.2.bn3.running_var"} < set(map(str, names))
    assert names[-2:] == ["fc.weight", "fc.bias"]
    assert not any("num_batches_tracked" in str(name) for name in names)


def test_ncnn_bin_has_the_length_that_the_param_says(tmp_path: Path) -> None:
    weights, graph = written(tmp_path, "ncnn"), tmp_path / "param"
    dummy.write("ncnn-param", graph, width=NARROW)
    magic, counts, *layers = [line.split() for line in graph.read_text().splitlines()]
    assert magic == ["7767517"]
    blobs, length = set(), 0
    for layer in layers:
        inputs, outputs = int(layer[2]), int(layer[3])
        assert set(layer[4 : 4 + inputs]) <= blobs, "used before it is made"
        blobs |= set(layer[4 + inputs : 4 + inputs + outputs])
        numbers = dict(item.split("=") for item in layer[4 + inputs + outputs :])
        if layer[0] == "Convolution":
            length += 4 + 4 * (int(numbers["6"]) + int(numbers["0"]))
        if layer[0] == "InnerProduct":
            length += 4 + 4 * (int(numbers["2"]) + int(numbers["0"]))
    assert counts == [str(len(layers)), str(len(blobs))]
    assert {"in0", "out0"} < blobs
    assert sum(layer[0] == "Convolution" for layer in layers) == 53
    assert weights.stat().st_size == length
    assert "weights=dummy" in layers[0][1]


def test_tensorflow_carries_the_note_and_the_names(tmp_path: Path) -> None:
    data = written(tmp_path, "tensorflow").read_bytes()
    assert NOTE in data
    for name in (b"input_tensor", b"ArgMax", b"softmax_tensor"):
        assert b"\n" + bytes([len(name)]) + name in data


@pytest.mark.parametrize("kind", ["tflite-argmax", "tflite-no-argmax"])
def test_tflite_carries_the_note_and_the_identifier(kind: str, tmp_path: Path) -> None:
    data = written(tmp_path, kind).read_bytes()
    assert data[4:8] == b"TFL3"
    assert NOTE in data
    assert (b"ArgMax" in data) == (kind == "tflite-argmax")
