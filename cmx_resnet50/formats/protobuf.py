"""Protobuf's wire format: read in place, payloads skipped; and encoded, field by field.

ONNX files and TensorFlow graphs are protobuf messages whose weights fill nearly all bytes.
A `Document` reads the few kilobytes around them from a memory map and never loads them.
Input may be hostile: a document has a budget of fields and of text, and the depth is bounded by the
calling reader. What exceeds them raises `NotReadHere`, and every contradiction `Damaged`. Fields
are encoded in the order of the calls, so the bytes are the same everywhere, which a library does
not promise for maps.

The wire format is specified at https://protobuf.dev/programming-guides/encoding/.
"""

from __future__ import annotations

import mmap
import os
import stat
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from cmx_resnet50.formats.facts import Damaged, FormatError, NotAModel, NotReadHere

VARINT, FIXED64, LENGTH, FIXED32 = 0, 1, 2, 5
"""Wire types. The two types for groups (3, 4) occur in none of the formats read here."""

FIELD_BUDGET = 250_000
"""Fields and packed numbers read of one document; a ResNet-50 has about 10,000."""

TEXT_BUDGET = 8 << 20
"""Bytes of names and other text taken from one document; a ResNet-50 has about 100 KB."""

_RELEASE_EVERY = 128
"""Fields after which the touched pages are released, so that resident memory stays small however
many weights are skipped (touching a page maps up to 64 KB around it)."""

_ENDLESS = 1 << 62
_MAX_NUMBER = (1 << 29) - 1


class Field(NamedTuple):
    """One field of a message.

    Parameters
    ----------
    number : int
        The field's number in the message's schema.
    wire : int
        Its wire type.
    at : int
        Offset of its tag.
    value : int
        The unsigned number itself for a varint, the offset of the payload otherwise.
    end : int
        Offset of the first byte after it.
    """

    number: int
    wire: int
    at: int
    value: int
    end: int


class Document:
    """The bytes of one protobuf message, and the budget left for reading it.

    Parameters
    ----------
    data : bytes or mmap
        The bytes.
    size : int, optional
        Where the message ends; by default where `data` does.
    """

    def __init__(self, data: bytes | mmap.mmap, size: int | None = None) -> None:
        self.data = data
        self.size = len(data) if size is None else size
        self._fields_left = FIELD_BUDGET
        self._text_left = TEXT_BUDGET

    def fields(self, inside: Field | None = None) -> Iterator[Field]:
        """Yield the fields of the document, or of the message that is a field's payload.

        Raises
        ------
        Damaged
            If a tag, a length or a number contradicts the wire format.
        NotReadHere
            If the budget is used up.
        """
        if inside is None:
            position, stop = 0, self.size
        else:
            self._require(inside, LENGTH)
            position, stop = inside.value, inside.end
        data = self.data
        while position < stop:
            at = position
            self._spend(at)
            key = data[position]
            position += 1
            if key & 0x80:
                key, position = self._varint(at, stop)
            number, wire = key >> 3, key & 7
            if not 0 < number <= _MAX_NUMBER:
                raise Damaged(f"invalid field number {number}", at)
            if wire == LENGTH:
                length, position = self._varint(position, stop)
                value = position
                position += length
            elif wire == VARINT:
                value, position = self._varint(position, stop)
            elif wire in (FIXED32, FIXED64):
                value = position
                position += 4 if wire == FIXED32 else 8
            else:
                raise Damaged(f"field {number} has the invalid wire type {wire}", at)
            if position > stop:
                raise Damaged(
                    f"field {number} claims {position - value:,} bytes where {stop - value:,} are"
                    " left: the file is cut or altered",
                    at,
                )
            yield Field(number, wire, at, value, position)

    def only(self, inside: Field, number: int) -> Field | None:
        """Return the field `number` of the message in `inside`, None if it is absent.

        Raises
        ------
        Damaged
            If it occurs twice, which is legal protobuf, never written, and would let two programs
            see two different models.
        """
        found = None
        for field in self.fields(inside):
            if field.number == number:
                if found is not None:
                    raise Damaged(f"field {number} occurs twice where one is allowed", field.at)
                found = field
        return found

    def text(self, field: Field) -> str:
        """Return a field's payload as text.

        Raises
        ------
        Damaged
            If it is not UTF-8.
        NotReadHere
            If the budget of text is used up.
        """
        self._require(field, LENGTH)
        self._text_left -= field.end - field.value
        if self._text_left < 0:
            raise NotReadHere(
                f"contains more than {TEXT_BUDGET:,} bytes of names, the limit here", field.at
            )
        try:
            return self.data[field.value : field.end].decode()
        except UnicodeDecodeError:
            raise Damaged(f"the text of field {field.number} is not UTF-8", field.at) from None

    def integer(self, field: Field) -> int:
        """Return a varint field as a signed 64-bit number."""
        self._require(field, VARINT)
        return _signed(field.value)

    def integers(self, field: Field) -> list[int]:
        """Return one occurrence of a repeated integer: a packed run of varints, or one."""
        if field.wire == VARINT:
            return [_signed(field.value)]
        self._require(field, LENGTH)
        numbers = []
        position = field.value
        while position < field.end:
            self._spend(position)
            number, position = self._varint(position, field.end)
            numbers.append(_signed(number))
        return numbers

    def payload(self, field: Field) -> int:
        """Return the number of bytes in a length-delimited field."""
        self._require(field, LENGTH)
        return field.end - field.value

    def _require(self, field: Field, wire: int) -> None:
        if field.wire != wire:
            raise Damaged(f"field {field.number} has the wire type {field.wire}", field.at)

    def _spend(self, at: int) -> None:
        self._fields_left -= 1
        if self._fields_left < 0:
            raise NotReadHere(f"contains more than {FIELD_BUDGET:,} fields, the limit here", at)
        if self._fields_left % _RELEASE_EVERY == 0 and isinstance(self.data, mmap.mmap):
            release = getattr(self.data, "madvise", None)
            if release is not None and hasattr(mmap, "MADV_DONTNEED"):
                release(mmap.MADV_DONTNEED)

    def _varint(self, position: int, stop: int) -> tuple[int, int]:
        """Read one varint; return it with the offset after it."""
        start = position
        result = shift = 0
        data = self.data
        while position < stop:
            byte = data[position]
            position += 1
            result |= (byte & 0x7F) << shift
            if byte < 0x80:
                if result >> 64:
                    raise Damaged("a number has more than 64 bits", start)
                return result, position
            shift += 7
            if shift == 70:
                raise Damaged("a number has more than 10 bytes", start)
        raise Damaged("a number is cut", start)


def peek(head: bytes) -> list[Field]:
    """Return the top-level fields that begin in a file's first bytes, as far as they are valid.

    The last of them may end beyond `head`. Never raises: this is for detecting formats.
    """
    found = []
    document = Document(head, _ENDLESS)
    try:
        for field in document.fields():
            found.append(field)
    except (FormatError, IndexError):
        pass
    return found


@contextmanager
def map_file(path: Path) -> Iterator[Document]:
    """Map the file at `path` into memory, read-only, for as long as the context lasts.

    Raises
    ------
    NotAModel
        If it is not a regular file, or empty.
    OSError
        If the file cannot be read.
    """
    # A named pipe would block in open() until somebody writes to it.
    if not stat.S_ISREG(path.stat().st_mode):
        raise NotAModel("is not a regular file")
    with path.open("rb", buffering=0) as file:
        if file.seek(0, os.SEEK_END) == 0:
            raise NotAModel("is empty", 0)
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            yield Document(data)


def encode_varint(number: int) -> bytes:
    """Return `number`, taken as signed 64-bit, in wire format."""
    number &= (1 << 64) - 1
    encoded = bytearray()
    while number >= 0x80:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


def encode_tag(field: int, wire: int) -> bytes:
    """Return the tag that a field begins with: its number and its wire type."""
    return encode_varint(field << 3 | wire)


def encode_length_prefix(field: int, length: int) -> bytes:
    """Return the tag and the length that precede the `length` bytes of a field."""
    return encode_tag(field, LENGTH) + encode_varint(length)


def encode_bytes(field: int, data: bytes | str) -> bytes:
    """Return a field that holds bytes, text or a message."""
    data = data.encode() if isinstance(data, str) else data
    return encode_length_prefix(field, len(data)) + data


def encode_varint_field(field: int, value: int) -> bytes:
    """Return a field that holds an integer, boolean or enumerator."""
    return encode_tag(field, VARINT) + encode_varint(value)


def encode_float(field: int, value: float) -> bytes:
    """Return a field that holds a float32."""
    return encode_tag(field, FIXED32) + struct.pack("<f", value)


def _signed(number: int) -> int:
    return number - (1 << 64) if number >> 63 else number
