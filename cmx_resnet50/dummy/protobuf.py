"""The few lines of the protobuf wire format that writing takes.

TensorFlow's message classes come only with TensorFlow. Fields are written in the order of the
calls, so the bytes are the same everywhere, which a library does not promise for maps.
Source: the protobuf encoding specification.
"""

from __future__ import annotations

import struct

_VARINT, _BYTES, _FIXED32 = 0, 2, 5


def varint(value: int) -> bytes:
    """Return `value` in base 128, low digits first; a negative one as 64-bit two's complement."""
    value &= (1 << 64) - 1
    digits = bytearray()
    while value > 0x7F:
        digits.append(value & 0x7F | 0x80)
        value >>= 7
    digits.append(value)
    return bytes(digits)


def integer(field: int, value: int) -> bytes:
    """Return a field that holds a whole number, truth value or enumerator."""
    return varint(field << 3 | _VARINT) + varint(value)


def number(field: int, value: float) -> bytes:
    """Return a field that holds a float32."""
    return varint(field << 3 | _FIXED32) + struct.pack("<f", value)


def opening(field: int, length: int) -> bytes:
    """Return what comes before the `length` bytes of a field of bytes."""
    return varint(field << 3 | _BYTES) + varint(length)


def chunk(field: int, data: bytes | str) -> bytes:
    """Return a field that holds bytes, text or a message."""
    data = data.encode() if isinstance(data, str) else data
    return opening(field, len(data)) + data
