"""The reader of ncnn's pairs: facts from either file, and lengths held against the graph."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cmx_resnet50 import dummy
from cmx_resnet50.formats import read_facts
from cmx_resnet50.formats.facts import Damaged, FormatError, ModelFacts, NotAModel, TensorInfo
from cmx_resnet50.formats.ncnn import reader
from tests.formats.messages import read_cheaply

"""Examples may share a folder: each writes its files anew."""

FP32, FP16, INT8, SCALED, TABLE = 0, 0x01306B47, 0x000D4B38, 0x0002C056, 0x01010101

GRAPH = """7767517
4 4
Input in0 0 1 in0 0=5 1=5 2=3
Convolution conv 1 1 in0 1 0=2 1=3 5=1 6=54 -23310=2,0.5,6e0
BatchNorm bn 1 1 1 2 0=2
InnerProduct fc 1 1 2 out0 0=7 1=1 2=133
"""
"""A convolution of 54 weights, a normalization, and 7 scores from an odd number of weights."""

CONV, NORM, DENSE = 54, 8, 133


def weights(tag: int, bytes_each: int, ahead: int = 0) -> bytes:
    """Return the `.bin` of `GRAPH` with matrices of one type."""

    def matrix(count: int) -> bytes:
        return struct.pack("<I", tag) + bytes(ahead) + bytes(-(-count * bytes_each // 4) * 4)

    return matrix(CONV) + bytes(4 * 2) + bytes(4 * NORM) + matrix(DENSE) + bytes(4 * 7)


def pair(tmp_path: Path, graph: str | bytes = GRAPH, held: bytes | None = None) -> Path:
    param = tmp_path / "model.param"
    param.write_bytes(graph if isinstance(graph, bytes) else graph.encode())
    param.with_suffix(".bin").write_bytes(weights(FP32, 4) if held is None else held)
    return param


@pytest.mark.parametrize(
    ("tag", "each", "ahead", "precision"),
    [
        (FP32, 4, 0, "fp32"),
        (SCALED, 4, 0, "fp32"),
        (FP16, 2, 0, "fp16"),
        (INT8, 1, 0, "int8"),
        (TABLE, 1, 1024, "uint8"),
    ],
)
def test_facts_from_either_file(
    tmp_path: Path, tag: int, each: int, ahead: int, precision: str
) -> None:
    param = pair(tmp_path, held=weights(tag, each, ahead))
    facts = read_facts(param)
    small = 4 * (2 + NORM + 7)
    assert facts == ModelFacts(
        format="ncnn",
        version={"magic": 7767517},
        inputs=(TensorInfo("in0", (3, 5, 5), "float32"),),
        outputs=(TensorInfo("out0", (7,), "float32"),),
        layout="NCHW",
        precision=precision,
        classes=7,
        parameter_count=CONV + DENSE + 2 + NORM + 7,
        parameter_bytes=each * (CONV + DENSE) + small,
    )
    assert read_facts(param.with_suffix(".bin"), "ncnn") == facts


def test_file_of_the_published_kind(tmp_path: Path) -> None:
    path = tmp_path / "resnet50.bin"
    dummy.write("ncnn", path, width=2)
    dummy.write("ncnn-param", path.with_suffix(".param"), width=2)
    facts = read_facts(path)
    assert facts.inputs == (TensorInfo("in0", (3, 224, 224), "float32"),)
    assert facts.outputs == (TensorInfo("out0", (1000,), "float32"),)
    # Each of 54 matrices has a tag of 4 bytes before it.
    assert (facts.parameter_bytes or 0) + 4 * 54 == path.stat().st_size


def test_int8_scales_follow_the_weights(tmp_path: Path) -> None:
    graph = GRAPH.replace("6=54", "6=54 8=102").replace("2=133", "2=133 8=2")
    scales = bytes(4 * (2 + 1 + 1)), bytes(4 * (7 + 1))
    plain = weights(INT8, 1)
    held = plain[: 4 + 56 + 8] + scales[0] + plain[4 + 56 + 8 :] + scales[1]
    assert read_facts(pair(tmp_path, graph, held)).precision == "int8"


def test_input_without_a_shape(tmp_path: Path) -> None:
    facts = read_facts(pair(tmp_path, GRAPH.replace(" 0=5 1=5 2=3", "")))
    assert facts.inputs == (TensorInfo("in0", None, "float32"),)


@pytest.mark.parametrize("left", [".param", ".bin"])
def test_half_a_pair(tmp_path: Path, left: str) -> None:
    param = pair(tmp_path)
    other = {".param": ".bin", ".bin": ".param"}[left]
    param.with_suffix(other).unlink()
    with pytest.raises(NotAModel, match=rf"model\{other} is not next to it"):
        reader.read_facts(param.with_suffix(left))


@pytest.mark.parametrize("change", [-4, -1, 1, 4, 4096])
def test_weights_of_another_length(tmp_path: Path, change: int) -> None:
    held = weights(FP32, 4)
    held = held[:change] if change < 0 else held + bytes(change)
    with pytest.raises(Damaged, match="of another graph") as caught:
        read_facts(pair(tmp_path, held=held))
    assert caught.value.offset is not None


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("4 4", "5 4", "declares 5 layers and has 4"),
        ("4 4", "4 9", "declares 9 blobs and has 4"),
        ("4 4", "4", "lacks the numbers"),
        ("4 4", "x 4", "in place of an integer"),
        ("1 1 in0 1 0=2", "1 1 nowhere 1 0=2", "reads 'nowhere', which no layer produces"),
        ("1 1 2 out0", "1 1 2 1", "produces '1' a second time"),
        ("1 1 2 out0", "1 900000000 2 out0", "fewer blobs than it declares"),
        ("1 1 2 out0", "-1 1 2 out0", "fewer blobs than it declares"),
        ("BatchNorm", "BatchNorn", "'BatchNorn', unknown here"),
        ("0=7", "0=-7", "not a count"),
        ("0=7", "0=99999999999", "not a count"),
        ("0=7", "0=" + "9" * 5000, "in place of an integer"),
        ("0=7", "0=7.0", "not an integer"),
        ("0=7", "0=1.e.5", "not a number"),
        ("0=7", "77=7", "an invalid parameter"),
        ("0=7", "07", "an invalid parameter"),
        ("=2,0.5,6e0", "=3,0.5,6e0", "another length than it declares"),
        ("2=133", "2=2000000000", "claim 8,000,000,004 bytes"),
        ("InnerProduct fc 1 1", "InnerProduct fc", "fewer blobs|place of an integer"),
    ],
)
def test_contradictions_are_refused(tmp_path: Path, old: str, new: str, reason: str) -> None:
    assert old in GRAPH
    with pytest.raises(Damaged, match=reason):
        read_facts(pair(tmp_path, GRAPH.replace(old, new)))


def test_hostile_graphs_cost_little(tmp_path: Path) -> None:
    for hostile in (
        "7767517\n1 1\n" + "Input i 0 1 a\n" * 70_000,
        "7767517\n1 1\nInput i 0 1 a " + "0=1 " * 250_000,
        "7767517\n1 1\nInput i 0 1 a -23300=500000," + "1," * 500_000,
        "7767517\n1 1\n" + "a" * 1_000_000,
        "7767517" + "\n" * 1_000_000,
        "7767517\n1 1\n" + "Input i 0 1 a\n" * 700_000,
    ):
        assert read_cheaply(pair(tmp_path, hostile)) in ("Damaged", "NotAModel")


@settings(max_examples=200)
@given(length=st.integers(0, len(GRAPH) - 2))
def test_cut_graphs_are_refused(tmp_path: Path, length: int) -> None:
    path = pair(tmp_path, GRAPH[:length])
    with pytest.raises(FormatError):
        reader.read_facts(path)


@settings(max_examples=400)
@given(data=st.data())
def test_altered_bytes_end_in_facts_or_a_refusal(tmp_path: Path, data: st.DataObject) -> None:
    graph, held = bytearray(GRAPH.encode()), bytearray(weights(FP16, 2))
    for target in (graph, held):
        at = data.draw(st.integers(0, len(target) - 1))
        target[at] ^= data.draw(st.integers(0, 255))
    path = pair(tmp_path, bytes(graph), bytes(held))
    try:
        facts = reader.read_facts(path)
    except FormatError as error:
        assert error.reason
    else:
        assert (facts.parameter_bytes or 0) <= len(held)
