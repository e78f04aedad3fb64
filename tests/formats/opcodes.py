"""Opcodes of pickles, to put hostile and honest ones together by hand."""

from __future__ import annotations

import struct


def pickle(body: bytes) -> bytes:
    """Return a whole pickle of protocol 2."""
    return b"\x80\x02" + body + b"."


def text(value: str) -> bytes:
    raw = value.encode()
    return b"X" + struct.pack("<I", len(raw)) + raw


def integer(value: int) -> bytes:
    return b"J" + struct.pack("<i", value)


def mark(*items: bytes) -> bytes:
    """Return a tuple of items."""
    return b"(" + b"".join(items) + b"t"


def name(module: str, what: str) -> bytes:
    return f"c{module}\n{what}\n".encode()


def call(module: str, what: str, *args: bytes) -> bytes:
    return name(module, what) + mark(*args) + b"R"
