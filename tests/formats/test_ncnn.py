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
from tests.harness.model_files import model_file

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
        outputs=(TensorInfo("out0", None, "float32"),),
        layout="NCHW",
        precision=precision,
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


def test_weights_without_a_graph(tmp_path: Path) -> None:
    param = pair(tmp_path)
    param.unlink()
    with pytest.raises(NotAModel, match=r"model\.param is not next to it"):
        reader.read_facts(param.with_suffix(".bin"))
    with pytest.raises(NotAModel, match="is not a model but"):
        read_facts(param.with_suffix(".bin"))


def test_a_graph_without_weights(tmp_path: Path) -> None:
    param = pair(tmp_path)
    whole = read_facts(param)
    param.with_suffix(".bin").unlink()
    facts = read_facts(param)
    assert (facts.inputs, facts.outputs) == (whole.inputs, whole.outputs)
    assert (facts.layout, facts.classes) == (whole.layout, whole.classes)
    assert (facts.precision, facts.parameter_count, facts.parameter_bytes) == (None, None, None)
    assert "model.bin, are not next to it" in facts.warnings[0]


@pytest.mark.parametrize("change", [-4, -1])
def test_weights_that_are_cut(tmp_path: Path, change: int) -> None:
    with pytest.raises(Damaged, match="it is cut, or of another graph") as caught:
        read_facts(pair(tmp_path, held=weights(FP32, 4)[:change]))
    assert caught.value.offset is not None


@pytest.mark.parametrize("change", [1, 4, 4096])
def test_more_weights_than_needed(tmp_path: Path, change: int) -> None:
    """The runtime does not look at them."""
    facts = read_facts(pair(tmp_path, held=weights(FP32, 4) + bytes(change)))
    assert facts.precision == "fp32"
    assert f"{change:,} bytes follow the weights in model.bin" in facts.warnings[0]


LENIENT = {
    "more lines than declared": (GRAPH + "ReLU more 1 1 out0 out1\n", ""),
    "more blobs than there are": (GRAPH.replace("4 4", "4 9"), ""),
    "text": (GRAPH.replace("0=5 1=5 2=3", '0=5 1=5 2=3 6="1w,1h,128" 7=abc,8'), ""),
    "text with spaces": (GRAPH.replace("0=5 1=5", '6="1 2 3" 0=5 1=5'), ""),
    "an array without a length": (GRAPH.replace("-23310=2,0.5,6e0", "10=0.5,6e0,"), ""),
    "Windows": (GRAPH.replace("\n", "\r\n"), ""),
    "a blob that nobody produces": (
        GRAPH.replace("4 4", "4 5").replace("1 1 in0 1", "1 1 nowhere 1"),
        "layer conv reads nowhere, which no layer before it produces",
    ),
    "a blob that is produced twice": (GRAPH.replace("1 1 2 out0", "1 1 2 1"), ""),
}


@pytest.mark.parametrize("name", LENIENT)
def test_graphs_as_ncnn_reads_them(tmp_path: Path, name: str) -> None:
    graph, warning = LENIENT[name]
    facts = read_facts(pair(tmp_path, graph))
    assert facts.inputs[0] == TensorInfo("in0", (3, 5, 5), "float32")
    assert facts.parameter_count == CONV + DENSE + 2 + NORM + 7
    assert facts.warnings == ((warning,) if warning else ())


def test_a_layer_that_is_not_known_here(tmp_path: Path) -> None:
    facts = read_facts(pair(tmp_path, GRAPH.replace("BatchNorm", "BatchNorn"), b"anything"))
    assert facts.inputs == (TensorInfo("in0", (3, 5, 5), "float32"),)
    assert facts.precision is None
    assert "(BatchNorn): the length of model.bin was not checked" in facts.warnings[0]


def test_an_input_of_unknown_size(tmp_path: Path) -> None:
    facts = read_facts(pair(tmp_path, GRAPH.replace("0=5 1=5", "0=5 1=-233")))
    assert facts.inputs == (TensorInfo("in0", None, "float32"),)


def test_a_graph_in_binary_form(tmp_path: Path) -> None:
    path = tmp_path / "model.param.bin"
    path.write_bytes(struct.pack("<4i", 7767517, 4, 4, 0))
    with pytest.raises(NotAModel, match=r"an ncnn graph in binary form \(\.param\.bin\)"):
        read_facts(path)


LAYERS = [
    ("Embed", "0=4 1=5 2=1 3=20", [(20, True), (4, False)]),
    ("LSTM", "0=4 1=96 2=0", [(96, True), (16, True), (64, True)]),
    ("LSTM", "0=4 1=96 2=2 3=6", [(96, True), (48, True), (192, True), (48, True)]),
    ("GRU", "0=4 1=72 2=0", [(72, True), (16, True), (48, True)]),
    ("RNN", "0=4 1=24 2=1", [(24, True), (4, True), (16, True)]),
    ("LayerNorm", "0=6 2=1", [(6, False)] * 2),
    ("LayerNorm", "0=6 2=0", []),
    ("GroupNorm", "0=2 1=6", [(6, False)] * 2),
    ("InstanceNorm", "0=6", [(6, False)] * 2),
    ("RMSNorm", "0=6", [(6, False)]),
    ("MultiHeadAttention", "0=4 1=2 2=16", [(16, True), (4, False)] * 4),
    ("MultiHeadAttention", "0=4 1=2 2=24 3=5 4=7", None),
    ("Gemm", "3=1 5=1 6=1 8=3 9=5 10=4", [(15, True), (3, True)]),
    ("Gemm", "4=1 7=2 9=5", [(10, True)]),
    ("Normalize", "3=6", [(6, False)]),
    ("Dequantize", "0=6 1=2", [(6, False), (2, False)]),
    ("Quantize", "", [(1, False)]),
    ("Requantize", "0=2 1=3 2=4", [(2, False), (3, False), (4, False)]),
    ("DeformableConv2D", "0=2 1=1 5=1 6=6", [(6, True), (2, False)]),
    ("Convolution1D", "0=2 1=1 5=1 6=6", [(6, True), (2, False)]),
    ("Convolution1D", "0=2 1=1 5=1 6=6 19=1", []),
    ("Deconvolution", "0=2 1=1 6=6 28=1", []),
    ("Convolution3D", "0=2 1=1 6=6", [(6, True)]),
    ("PReLU", "0=3", [(3, False)]),
    ("Scale", "0=3 1=1", [(3, False)] * 2),
    ("Scale", "0=-233", []),
    ("MemoryData", "0=3 1=2", [(6, False)]),
    ("MemoryData", "0=3 21=0", [(3, True)]),
    ("PixelShuffle", "0=2", []),
]


def layer_file(tmp_path: Path, kind: str, values: str, length: int) -> Path:
    """Return the graph of one layer, with that many bytes of weights."""
    layer = f"{kind} l 1 1 in out {values}"
    return pair(tmp_path, f"7767517\n2 2\nInput in 0 1 in\n{layer}\n", bytes(length))


def length_of(runs: list[tuple[int, bool]]) -> int:
    return sum(4 * count + 4 * tagged for count, tagged in runs)


@pytest.mark.parametrize(("kind", "values", "runs"), LAYERS)
def test_weights_of_layers(
    tmp_path: Path, kind: str, values: str, runs: list[tuple[int, bool]] | None
) -> None:
    if runs is None:  # queries of another width than the output
        runs = [(24, True), (4, False), (20, True), (4, False), (28, True), (4, False)]
        runs += [(24, True), (6, False)]
    length = length_of(runs)
    facts = read_facts(layer_file(tmp_path, kind, values, max(length, 1)))
    assert facts.parameter_count == sum(count for count, _ in runs)
    if length:
        with pytest.raises(Damaged, match="it is cut"):
            read_facts(layer_file(tmp_path, kind, values, length - 1))


@pytest.mark.parametrize(
    ("name", "inputs", "classes"),
    [
        ("ncnn-ZF-input-minus233-nihui.param", {"data": (3, 224, 224), "im_info": None}, 21),
        ("ncnn-srmd_x2-pixelshuffle.param", {"input": None}, None),
        ("ncnn-yolo11n-string-parameter-nihui.param", {"in0": None}, None),
    ],
)
def test_real_graphs(
    name: str, inputs: dict[str, tuple[int, ...] | None], classes: int | None
) -> None:
    facts = read_facts(model_file(name))
    assert {one.name: one.shape for one in facts.inputs} == inputs
    assert facts.classes == classes


@pytest.mark.parametrize(("name", "scales"), [("resnet50.param", 0), ("resnet50_int8.param", 1)])
def test_a_real_resnet50(tmp_path: Path, name: str, scales: int) -> None:
    param = tmp_path / "resnet50.param"
    param.write_bytes(model_file(name).read_bytes())
    size = 102_122_104 if not scales else None
    if size is None:
        with param.with_suffix(".bin").open("wb") as file:
            file.truncate(200_000_000)
        warning = read_facts(param).warnings[0]
        size = 200_000_000 - int(warning.split(" ")[0].replace(",", ""))
    with param.with_suffix(".bin").open("wb") as file:
        file.truncate(size)
    facts = read_facts(param)
    assert (facts.classes, facts.layout, facts.precision) == (1000, "NCHW", "fp32")
    assert facts.warnings == ()
    with param.with_suffix(".bin").open("rb+") as file:
        file.truncate(size - 4)
    with pytest.raises(Damaged, match="it is cut"):
        read_facts(param)


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("4 4", "5 4", "declares 5 layers and has 4"),
        ("4 4", "4 3", "declares 3 blobs and has 4"),
        ("4 4", "4", "in place of an integer"),
        ("4 4", "0 4", "declares 0 layers"),
        ("4 4", "x 4", "in place of an integer"),
        ("1 1 in0 1 0=2", "1 1 nowhere 1 0=2", "declares 4 blobs and has 5"),
        ("1 1 2 out0", "1 900000000 2 out0", "declares 1 inputs, 900000000 outputs"),
        ("1 1 2 out0", "1 9000 2 out0", "is cut before a line"),
        ("1 1 2 out0", "-1 1 2 out0", "declares -1 inputs"),
        ("0=7", "0=-7", "not a count"),
        ("0=7", "0=99999999999", "not a count"),
        ("0=7", "0=" + "9" * 5000, "in place of an integer"),
        ("0=7", "0=7.0", "not an integer"),
        ("0=7", "0=1.e.5", "not a number"),
        ("0=7", "77=7", "invalid parameter 77"),
        ("0=7", "0=", "has no value"),
        ("0=7", "07", "layer 'fc' has an invalid parameter"),
        ("0=7", "0=7x", "in place of an integer"),
        ("0=7", '0=7 3="abc', "in place of an integer"),
        ("=2,0.5,6e0", "=3,0.5,6e0", "another length than it declares"),
        ("2=133", "2=2000000000", "need 8,000,000,004 bytes"),
        ("InnerProduct fc 1 1", "InnerProduct fc", "place of an integer"),
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
        assert read_cheaply(pair(tmp_path, hostile)) in (
            "Damaged",
            "NotAModel",
            "NotReadHere",
            "facts",
        )


@settings(max_examples=200)
@given(length=st.integers(0, GRAPH.index("fc 1 1 2 out0") + len("fc 1 1 2")))
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
