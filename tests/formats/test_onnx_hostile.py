"""The ONNX reader on cut, altered, hostile and huge files: facts or a refusal, cheaply."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
from google.protobuf.message import DecodeError
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto

from cmx_resnet50 import dummy
from cmx_resnet50.formats import read_facts
from cmx_resnet50.formats.facts import Damaged, FormatError, NotAModel
from cmx_resnet50.formats.protobuf import (
    Document,
    encode_bytes,
    encode_length_prefix,
    encode_varint_field,
)
from tests.formats.messages import onnx_model, onnx_tensor, onnx_value, read_cheaply
from tests.formats.onnx_report import reported, seen

IMAGE = onnx_value(11, "image", ("N", 3, 224, 224))
SCORES = onnx_value(12, "scores", ("N", 1000))


@functools.cache
def small() -> bytes:
    """Return the bytes of a small model with the true graph, as tf2onnx orders them."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model"
        dummy.write("onnx-opset-8", path, width=1)
        return path.read_bytes()


def boundaries(data: bytes) -> set[int]:
    """Return every offset at which a field of the model, the graph or a part begins or ends."""
    document = Document(data)
    model = list(document.fields())
    graph = [field for top in model if top.number == 7 for field in document.fields(top)]
    messages = [field for field in graph if field.number in (1, 5, 11, 12, 13)]
    parts = [field for message in messages for field in document.fields(message)]
    return {offset for field in (*model, *graph, *parts) for offset in (field.at, field.end)}


def test_a_cut_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model"
    data = small()
    fields = list(Document(data).fields())
    # What follows the operator sets is optional, so a cut there leaves a smaller whole model.
    opsets = max(field.end for field in fields if field.number == 8)
    whole = {field.end for field in fields if field.end >= opsets}
    cuts = boundaries(data) | {offset + 1 for offset in boundaries(data)} | set(range(100))
    assert len(cuts) > 500
    path.write_bytes(data)
    with path.open("rb+") as file:
        for cut in sorted((cut for cut in cuts if cut < len(data)), reverse=True):
            file.truncate(cut)
            if cut in whole:
                read_facts(path)
                continue
            with pytest.raises(FormatError) as caught:
                read_facts(path)
            # A few bytes are not an ONNX model yet, nor are complete fields without a graph.
            begins = cut > 3 and cut not in {field.end for field in fields if field.number < 7}
            assert isinstance(caught.value, Damaged if begins else NotAModel), cut


@functools.cache
def header_bits() -> st.SearchStrategy[int]:
    """Choose a bit outside the weights."""
    data = small()
    document = Document(data)
    graph = next(field for field in document.fields() if field.number == 7)
    weights = [field for field in document.fields(graph) if field.number == 5]
    outside = [0, *range(weights[0].at), *range(weights[-1].end, len(data))]
    starts = [offset for field in weights for offset in range(field.at, field.at + 24)]
    return st.sampled_from([8 * byte + bit for byte in outside + starts for bit in range(8)])


@settings(max_examples=300)
@given(data=st.data())
def test_a_flipped_bit_ends_in_facts_or_a_refusal(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    content = bytearray(small())
    bit = data.draw(header_bits())
    content[bit // 8] ^= 1 << bit % 8
    path = tmp_path_factory.getbasetemp() / "flipped.onnx"
    path.write_bytes(content)
    try:
        facts = read_facts(path)
    except FormatError:
        return
    if facts.format != "onnx":
        return
    try:
        model = onnx.ModelProto.FromString(bytes(content))
    except DecodeError:
        return  # in a part of a node that says nothing of inputs, outputs or weights
    assert seen(facts) == reported(model)


@settings(max_examples=200)
@given(st.binary(max_size=200), st.binary(max_size=200))
def test_noise_in_a_model_ends_in_facts_or_a_refusal(
    tmp_path_factory: pytest.TempPathFactory, graph: bytes, after: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "noise.onnx"
    path.write_bytes(onnx_model(graph) + after)
    with contextlib.suppress(FormatError):
        read_facts(path)


MIB = 1 << 20
HOSTILE: dict[str, Callable[[], bytes]] = {
    "a length beyond the file": lambda: (
        encode_varint_field(1, 8) + b"\x3a\xff\xff\xff\xff\xff\xff\xff\xff\x7f"
    ),
    "a length beyond the graph": lambda: onnx_model(b"\x0a\xff\x7f" + IMAGE),
    "two graphs": lambda: onnx_model(IMAGE) + encode_bytes(7, SCORES),
    "no operator set": lambda: encode_varint_field(1, 8) + encode_bytes(7, IMAGE + SCORES),
    "no graph": lambda: encode_varint_field(1, 8) + encode_bytes(8, encode_varint_field(2, 13)),
    "a graph that is a number": lambda: (
        encode_varint_field(1, 8)
        + encode_varint_field(7, 1)
        + encode_bytes(8, encode_varint_field(2, 13))
    ),
    "more elements than bytes": lambda: onnx_model(IMAGE + onnx_tensor("w", (1 << 40,), bytes(4))),
    "more bytes than elements": lambda: onnx_model(IMAGE + onnx_tensor("w", (1,), bytes(400))),
    "elements beyond counting": lambda: onnx_model(IMAGE + onnx_tensor("w", (1 << 62,) * 60, b"")),
    "a negative size": lambda: onnx_model(IMAGE + onnx_tensor("w", (-1,), b"")),
    "a rank beyond reason": lambda: onnx_model(IMAGE + onnx_tensor("w", (1,) * 1000, bytes(4))),
    "a type that does not exist": lambda: onnx_model(IMAGE + onnx_tensor("w", (1,), bytes(4), 99)),
    "an input of a thousand axes": lambda: onnx_model(onnx_value(11, "x", (1,) * 1000)),
    "a weight without data": lambda: onnx_model(
        encode_bytes(
            5, encode_varint_field(1, 3) + encode_varint_field(2, 7) + encode_bytes(8, "w")
        )
    ),
    "float weights without data": lambda: onnx_model(
        encode_bytes(5, encode_varint_field(1, 3) + encode_varint_field(2, 1))
    ),
    "a name that is no text": lambda: onnx_model(
        onnx_value(11, "x", (1,)) + encode_bytes(11, encode_bytes(1, b"\xff"))
    ),
    "millions of nodes": lambda: onnx_model(b"\x0a\x00" * (10 * MIB)),
    "millions of weights": lambda: onnx_model(b"\x2a\x00" * (10 * MIB)),
    "millions of operator sets": lambda: onnx_model(IMAGE) + b"\x42\x00" * (10 * MIB),
    "millions of packed sizes": lambda: onnx_model(
        encode_bytes(5, encode_bytes(1, bytes(20 * MIB)))
    ),
    "names of many megabytes": lambda: onnx_model(onnx_value(11, "x" * (50 * MIB), (1,))),
    "metadata of many megabytes": lambda: (
        onnx_model(IMAGE) + encode_bytes(14, encode_bytes(2, bytes(50 * MIB)))
    ),
    "nested without end": lambda: onnx_model(
        functools.reduce(lambda inner, _: encode_bytes(1, inner), range(2000), b"")
    ),
}


MAY_BE_VALID = {
    "a rank beyond reason",
    "a type that does not exist",
    "an input of a thousand axes",
    "metadata of many megabytes",
    "millions of nodes",
    "millions of operator sets",
    "millions of packed sizes",
    "names of many megabytes",
}
"""Of those, what exceeds a limit of the reader, or is of a later version."""
NO_ONNX_MODEL = {"no graph", "a length beyond the file", "a graph that is a number"}
"""Of those, what does not even begin as a model does."""


@pytest.mark.unmeasured
@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_is_refused_cheaply(name: str, tmp_path: Path) -> None:
    path = tmp_path / "model"
    path.write_bytes(HOSTILE[name]())
    expected = "NotReadHere" if name in MAY_BE_VALID else "Damaged"
    assert read_cheaply(path) == ("NotAModel" if name in NO_ONNX_MODEL else expected)


@pytest.mark.unmeasured
def test_weights_are_not_read(tmp_path: Path) -> None:
    """Step over 4 GB of weights in 40,000 tensors, which are a hole in the file."""
    path = tmp_path / "model"
    count, each = 40_000, 100_000
    record = (
        encode_bytes(8, "w")
        + encode_varint_field(1, each)
        + encode_varint_field(2, TensorProto.INT8)
        + encode_length_prefix(9, each)
    )
    header = encode_length_prefix(5, len(record) + each) + record
    tail = IMAGE + SCORES
    size = count * (len(header) + each) + len(tail)
    with path.open("wb") as file:
        file.write(encode_varint_field(1, 8) + encode_length_prefix(7, size))
        for _ in range(count):
            file.write(header)
            file.seek(each, 1)
        file.write(tail + encode_bytes(8, encode_varint_field(2, 13)))
    assert read_cheaply(path) == "facts"
