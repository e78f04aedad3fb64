"""The wire format: what is written is read back, and only the formats' own errors are raised."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmx_resnet50.formats.facts import Damaged, NotAModel, NotReadHere
from cmx_resnet50.formats.protobuf import (
    FIELD_BUDGET,
    LENGTH,
    TEXT_BUDGET,
    Document,
    Field,
    encode_bytes,
    encode_float,
    encode_varint,
    encode_varint_field,
    map_file,
    peek,
)

numbers = st.integers(1, (1 << 29) - 1)
signed = st.integers(-(1 << 63), (1 << 63) - 1)
fields = st.lists(
    st.tuples(numbers, st.one_of(signed, st.binary(max_size=300))), min_size=1, max_size=20
)


def encode(content: list[tuple[int, int | bytes]]) -> bytes:
    return b"".join(
        encode_bytes(number, value)
        if isinstance(value, bytes)
        else encode_varint_field(number, value)
        for number, value in content
    )


def decode(document: Document, field: Field) -> tuple[int, int | bytes]:
    if field.wire == LENGTH:
        return field.number, document.data[field.value : field.end]
    return field.number, document.integer(field)


@given(fields)
def test_reads_back_what_was_encoded(content: list[tuple[int, int | bytes]]) -> None:
    document = Document(encode(content))
    assert [decode(document, field) for field in document.fields()] == content


@given(signed)
def test_encodes_integers_as_protobuf_does(number: int) -> None:
    message = onnx.OperatorSetIdProto(version=number)
    assert encode_varint_field(2, number) == message.SerializeToString()


@given(st.floats(width=32, allow_nan=False))
def test_encodes_floats_as_protobuf_does(number: float) -> None:
    message = onnx.AttributeProto(f=number)
    assert encode_float(2, number) == message.SerializeToString()


@given(st.lists(signed, max_size=30))
def test_packed_numbers(values: list[int]) -> None:
    document = Document(encode_bytes(1, b"".join(encode_varint(value) for value in values)))
    (field,) = document.fields()
    assert document.integers(field) == values


@given(fields, st.data())
def test_a_cut_message_gives_its_first_fields_and_then_is_damaged(
    content: list[tuple[int, int | bytes]], data: st.DataObject
) -> None:
    whole = encode(content)
    cut = data.draw(st.integers(0, len(whole) - 1))
    document = Document(whole[:cut])
    seen = []
    try:
        for field in document.fields():
            seen.append(decode(document, field))
        complete = True
    except Damaged as error:
        complete = False
        assert error.offset is not None
        assert error.offset <= cut
    assert seen == content[: len(seen)]
    assert complete == (encode(content[: len(seen)]) == whole[:cut])


@given(st.binary(max_size=400))
def test_any_bytes_are_fields_or_damaged(data: bytes) -> None:
    document = Document(data)
    end = 0
    try:
        for field in document.fields():
            assert end == field.at < field.end <= len(data)
            end = field.end
    except Damaged:
        pass
    peek(data)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"\x00\x01", "field number 0"),
        (b"\x0b\x0c", "wire type 3"),
        (b"\x0c", "wire type 4"),
        (b"\x0e\x00", "wire type 6"),
        (b"\x08", "cut"),
        (b"\x08\xff", "cut"),
        (b"\x08" + b"\x80" * 10 + b"\x01", "10 bytes"),
        (b"\x08" + b"\xff" * 9 + b"\x7f", "64 bits"),
        (b"\x0a\x05abc", "claims 5 bytes where 3 are left"),
        (b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\x7f", "claims"),
        (b"\x0d\x00\x00\x00", "claims 4 bytes"),
        (b"\x09\x00\x00\x00\x00", "claims 8 bytes"),
        (b"\xff\xff\xff\xff\xff\x01\x00", "invalid field number"),
    ],
)
def test_contradictions(data: bytes, reason: str) -> None:
    with pytest.raises(Damaged, match=reason):
        list(Document(data).fields())


def test_an_inner_message_ends_where_its_field_ends() -> None:
    document = Document(encode_bytes(1, b"\x0a\x7f") + bytes(200))
    outer = next(document.fields())
    with pytest.raises(Damaged, match="claims 127 bytes where 0 are left"):
        list(document.fields(outer))


def test_a_field_that_may_stand_once() -> None:
    document = Document(
        encode_bytes(1, encode_varint_field(2, 5))
        + encode_bytes(1, encode_varint_field(2, 5) + encode_varint_field(2, 6))
    )
    once, twice = document.fields()
    found = document.only(once, 2)
    assert found is not None
    assert document.integer(found) == 5
    assert document.only(once, 3) is None
    with pytest.raises(Damaged, match="twice"):
        document.only(twice, 2)


@pytest.mark.parametrize(
    "access",
    [Document.text, Document.payload, lambda document, field: list(document.fields(field))],
)
def test_a_number_is_no_text(access: Callable[[Document, Field], object]) -> None:
    document = Document(encode_varint_field(1, 5))
    (field,) = document.fields()
    with pytest.raises(Damaged, match="wire type 0"):
        access(document, field)


def test_text_is_utf_8() -> None:
    document = Document(encode_bytes(1, "Größe") + encode_bytes(1, b"\xff"))
    good, bad = document.fields()
    assert document.text(good) == "Größe"
    with pytest.raises(Damaged, match="UTF-8"):
        document.text(bad)


def test_budget_of_fields() -> None:
    document = Document(b"\x08\x01" * (FIELD_BUDGET + 1))
    start = time.process_time()
    with pytest.raises(NotReadHere, match="more than 250,000 fields"):
        for _ in document.fields():
            pass
    assert time.process_time() - start < 1


def test_budget_of_packed_numbers() -> None:
    document = Document(encode_bytes(1, bytes(FIELD_BUDGET + 1)))
    (field,) = document.fields()
    with pytest.raises(NotReadHere, match="more than 250,000 fields"):
        document.integers(field)


def test_budget_of_text() -> None:
    document = Document(encode_bytes(1, bytes(TEXT_BUDGET // 2 + 1)))
    (field,) = document.fields()
    document.text(field)
    with pytest.raises(NotReadHere, match="bytes of names"):
        document.text(field)


def test_nothing_to_map(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.touch()
    with pytest.raises(NotAModel, match="empty"), map_file(empty):
        pass
    with pytest.raises(NotAModel, match="regular"), map_file(tmp_path):
        pass
    with pytest.raises(FileNotFoundError), map_file(tmp_path / "absent"):
        pass


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes are of Unix")
def test_a_named_pipe_does_not_block(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(NotAModel, match="regular"), map_file(pipe):
        pass
