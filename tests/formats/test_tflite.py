"""The reader of TensorFlow Lite files: facts of honest files, and cut, altered and hostile ones."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cmx_resnet50 import dummy
from cmx_resnet50.formats import read_facts, tflite
from cmx_resnet50.formats.facts import (
    Damaged,
    FormatError,
    ModelFacts,
    NotAModel,
    NotReadHere,
    TensorInfo,
)
from tests.formats.messages import read_cheaply
from tests.harness.edgetpu import edgetpu
from tests.harness.model_files import model_file

"""Examples may share a folder: each writes its file anew."""

IMAGE = (TensorInfo("input_tensor", (1, 224, 224, 3), "float32"),)
SCORES = TensorInfo("softmax_tensor", (1, 1001), "float32")


@pytest.fixture(scope="module")
def narrow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tflite") / "narrow.tflite"
    dummy.write("tflite-argmax", path, width=1)
    return path


def facts_of(tmp_path: Path, raw: bytes) -> ModelFacts:
    path = tmp_path / "model.tflite"
    path.write_bytes(raw)
    return read_facts(path, "tflite")


def test_file_with_argmax(narrow: Path) -> None:
    facts = read_facts(narrow)
    assert (facts.format, facts.version) == ("tflite", {"schema": 3})
    assert facts.inputs == IMAGE
    assert facts.outputs == (TensorInfo("ArgMax", (1,), "int64"), SCORES)
    assert (facts.layout, facts.precision, facts.classes) == ("NHWC", "fp32", 1001)
    assert "random weights" in facts.metadata["description"]


def test_file_without_argmax(tmp_path: Path) -> None:
    path = tmp_path / "model.tflite"
    dummy.write("tflite-no-argmax", path, width=1)
    facts = read_facts(path)
    assert (facts.inputs, facts.outputs) == (IMAGE, (SCORES,))


def test_quantized_file(tmp_path: Path) -> None:
    facts = facts_of(tmp_path, edgetpu())
    assert [one.dtype for one in facts.inputs + facts.outputs] == ["uint8", "uint8"]
    assert (facts.layout, facts.precision, facts.classes) == ("NHWC", "int8", 1000)


def test_parameters_are_those_of_the_file(tmp_path: Path) -> None:
    facts = facts_of(tmp_path, tiny())
    assert (facts.parameter_count, facts.parameter_bytes) == (6, 24)
    assert facts.inputs == (TensorInfo("x", (None, 3), "float32"),)


def test_a_model_without_buffers(tmp_path: Path) -> None:
    facts = facts_of(tmp_path, tiny(with_buffers=False))
    assert facts.inputs == (TensorInfo("x", (None, 3), "float32"),)
    assert (facts.precision, facts.parameter_count) == (None, 0)


def test_a_model_compiled_for_an_edge_tpu(tmp_path: Path) -> None:
    facts = facts_of(tmp_path, tiny(custom="edgetpu-custom-op"))
    assert (facts.precision, facts.parameter_count, facts.parameter_bytes) == (None, None, None)
    assert facts.requires == ("an Edge TPU (custom operator edgetpu-custom-op)",)


def test_another_custom_operator_is_named(tmp_path: Path) -> None:
    facts = facts_of(tmp_path, tiny(custom="Odd\x1b"))
    assert facts.requires == (r"the custom operator 'Odd\x1b'",)
    assert (facts.precision, facts.parameter_count) == ("fp32", 6)


@pytest.mark.parametrize(
    ("name", "need"),
    [
        ("keras_lstm_mnist_ptq_edgetpu.tflite", "an Edge TPU (custom operator edgetpu-custom-op)"),
        ("model_invoking_error.tflite", "the custom operator fake-op-double"),
    ],
)
def test_real_files(name: str, need: str) -> None:
    facts = read_facts(model_file(name), "tflite")
    assert facts.requires == (need,)
    assert (facts.precision, facts.classes) == (None, None)
    assert len(facts.inputs) == len(facts.outputs) == 1


def tiny(
    *,
    schema: int = 3,
    shape: tuple[int, ...] = (2, 3),
    inputs: tuple[int, ...] = (0,),
    buffer: int = 1,
    payload: bytes = bytes(24),
    custom: str = "",
    with_buffers: bool = True,
) -> bytes:
    """Return a model of one input ``x`` of shape [?, 3] and one constant tensor, ``w``."""
    import flatbuffers

    out = flatbuffers.Builder(256)

    def ints(values: tuple[int, ...]) -> int:
        out.StartVector(4, len(values), 4)
        for value in reversed(values):
            out.PrependInt32(value)
        return int(out.EndVector())

    def offsets(values: list[int]) -> int:
        out.StartVector(4, len(values), 4)
        for value in reversed(values):
            out.PrependUOffsetTRelative(value)
        return int(out.EndVector())

    def table(size: int, fields: dict[int, int], numbers: dict[int, int] | None = None) -> int:
        out.StartObject(size)
        for slot, value in fields.items():
            out.PrependUOffsetTRelativeSlot(slot, value, 0)
        for slot, value in (numbers or {}).items():
            out.PrependUint32Slot(slot, value, 0)
        return int(out.EndObject())

    data = out.CreateByteVector(payload)
    buffers = offsets([table(3, {}), table(3, {0: data})])
    x = table(8, {0: ints((1, 3)), 3: out.CreateString("x"), 7: ints((-1, 3))})
    w = table(8, {0: ints(shape), 3: out.CreateString("w")}, {2: buffer})
    tensors, ends, none = offsets([x, w]), ints(inputs), ints(())
    graphs = offsets([table(5, {0: tensors, 1: ends, 2: none})])
    fields = {2: graphs}
    if with_buffers:
        fields[4] = buffers
    if custom:
        name = out.CreateString(custom)
        fields[1] = offsets([table(4, {1: name}, {3: 32})])
    out.Finish(table(8, fields, {0: schema}), b"TFL3")
    return bytes(out.Output())


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (lambda: tiny(shape=(2, 4)), r"shape \[2, 4\] has 24 bytes"),
        (lambda: tiny(shape=(-2, -3)), r"shape \[-2, -3\]"),
        (lambda: tiny(shape=(1 << 30, 1 << 30)), "has 24 bytes"),
        (lambda: tiny(inputs=(2,)), "names tensor 2 of 2"),
        (lambda: tiny(inputs=(-1,)), "names tensor -1 of 2"),
        (lambda: tiny(buffer=9), "names buffer 9 of 2"),
        (lambda: b"\xff\xff\xff\x7fTFL3" + bytes(64), "points out of the file"),
        (lambda: bytes(4) + b"TFL3" + bytes(64), "points out of the file"),
        (lambda: b"\x08\0\0\0TFL3" + b"\0\0\0\x80" + bytes(64), "points out of the file"),
    ],
)
def test_contradictions_are_refused(tmp_path: Path, raw: Callable[[], bytes], reason: str) -> None:
    with pytest.raises(Damaged, match=reason):
        facts_of(tmp_path, raw())


def test_other_schemas_are_refused(tmp_path: Path) -> None:
    with pytest.raises(NotReadHere, match="schema 4"):
        facts_of(tmp_path, tiny(schema=4))


def test_other_files_are_no_models(tmp_path: Path) -> None:
    path = tmp_path / "model.tflite"
    path.write_bytes(b"<html>" + bytes(100))
    with pytest.raises(NotAModel, match="has no identifier TFL3"):
        tflite.read_facts(path)


def crowd(entries: int) -> bytes:
    """Return a model whose vector of buffers names one and the same table many times."""
    root = struct.pack("<I4s", 24, b"TFL3") + struct.pack("<8H", 14, 12, 4, 0, 0, 0, 8, 0)
    table = struct.pack("<iII", 24 - 8, 3, 4)
    start = len(root) + len(table)
    there = start + 4 + 4 * entries
    vector = struct.pack("<I", entries) + b"".join(
        struct.pack("<I", there - (start + 4 + 4 * index)) for index in range(entries)
    )
    return root + table + vector + struct.pack("<i2H", -4, 4, 4)


def test_what_a_hostile_file_costs(tmp_path: Path) -> None:
    path = tmp_path / "model.tflite"
    path.write_bytes(crowd(1_000_000))
    assert read_cheaply(path) == "NotReadHere"
    with pytest.raises(NotReadHere, match="steps to read"):
        read_facts(path)


@settings(max_examples=200)
@given(data=st.data())
def test_cut_files_are_refused(tmp_path: Path, narrow: Path, data: st.DataObject) -> None:
    for raw in (narrow.read_bytes(), tiny()):
        # Padding behind the last payload may be cut without a loss.
        length = data.draw(st.integers(0, len(raw) - 17))
        with pytest.raises(FormatError):
            facts_of(tmp_path, raw[:length])


@settings(max_examples=400)
@given(data=st.data())
def test_altered_bytes_end_in_facts_or_a_refusal(tmp_path: Path, data: st.DataObject) -> None:
    raw = bytearray(tiny())
    for _ in range(data.draw(st.integers(1, 3))):
        raw[data.draw(st.integers(0, len(raw) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    try:
        facts = facts_of(tmp_path, bytes(raw))
    except FormatError as error:
        assert str(tmp_path) in str(error)
    else:
        assert (facts.parameter_bytes or 0) <= len(raw)
