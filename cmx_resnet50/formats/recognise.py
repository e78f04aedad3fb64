"""Detect a file's format by its first bytes, not by its name, and describe what is not a model.

A format is one row of `_FORMATS`: its name, what its files are called, the module that reads them,
and how they begin.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import NamedTuple, cast

from cmx_resnet50.formats.facts import ModelFacts

HEAD = 4096
"""Bytes from the start of a file that are enough to recognise it."""

_ARCHIVES = {
    b"\x1f\x8b": "gzip data",
    b"PK\x05\x06": "an empty zip archive",
    b"BZh": "bzip2 data",
    b"\xfd7zXZ\x00": "xz data",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive",
    b"\x28\xb5\x2f\xfd": "Zstandard data",
    b"Rar!": "a RAR archive",
    b"\x89HDF": "an HDF5 file, as Keras writes",
    b"\x93NUMPY": "a NumPy array",
    b"GGUF": "a GGUF file",
    b"\x7fELF": "a program",
    b"\xdd\x85\x76\0": "an ncnn graph in binary form (.param.bin), which is not read here",
    b"%PDF": "a PDF document",
    b"\x89PNG": "a PNG image",
    b"\xff\xd8\xff": "a JPEG image",
}
_LFS_POINTER = b"version https://git-lfs"
_TITLE = re.compile(rb"<title[^>]*>\s*(.*?)\s*</title", re.IGNORECASE | re.DOTALL)
_TEXT_CONTROLS = frozenset(b"\t\n\r\f")


class _Format(NamedTuple):
    """A format: its name, what a file of it is called, its reader's module, the test of a head."""

    name: str
    title: str
    module: str
    matches: Callable[[bytes], bool]


def _is_pytorch(head: bytes) -> bool:
    is_pickle = head[:1] == b"\x80" and head[1:2] in (b"\x01", b"\x02", b"\x03", b"\x04", b"\x05")
    return is_pickle or head.startswith(b"PK\x03\x04") or head[257:262] == b"ustar"


def _is_onnx(head: bytes) -> bool:
    from cmx_resnet50.formats.onnx import reader

    return reader.sniff(head)


def _is_tensorflow(head: bytes) -> bool:
    from cmx_resnet50.formats.tensorflow import reader

    return reader.sniff(head)


_FORMATS = (
    _Format("tflite", "TensorFlow Lite model", "tflite", lambda head: head[4:8] == b"TFL3"),
    _Format("ncnn", "ncnn model", "ncnn.reader", lambda head: head.startswith(b"7767517")),
    _Format("pytorch", "PyTorch file", "pytorch.reader", _is_pytorch),
    _Format("onnx", "ONNX model", "onnx.reader", _is_onnx),
    _Format("tensorflow", "TensorFlow graph", "tensorflow.reader", _is_tensorflow),
)
"""In the order of the tests: the last two import a module for theirs."""


def recognise(head: bytes) -> str | None:
    """Return the format (`ModelFacts.format`) by a file's first `HEAD` bytes, or None."""
    return next((row.name for row in _FORMATS if row.matches(head)), None)


def reader_of(name: str) -> Callable[[Path], ModelFacts]:
    """Return the function that reads the facts of a file of the format `name`."""
    module = _row(name).module
    reader = import_module(f"cmx_resnet50.formats.{module}")
    return cast(Callable[[Path], ModelFacts], reader.read_facts)


def title_of(name: str) -> str:
    """Return what a file of the format `name` is called in messages."""
    return _row(name).title


def _row(name: str) -> _Format:
    return next(row for row in _FORMATS if row.name == name)


def describe(head: bytes) -> str:
    """Describe a file that no reader recognises."""
    if not head:
        return "an empty file"
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    opening = text[:256].lower()
    if opening.startswith((b"<!doctype html", b"<html")) or b"<html" in opening:
        return _html(head)
    if opening.startswith(b"<?xml"):
        return "an XML document" + _quote(text)
    if text[:1] in (b"{", b"["):
        return "JSON" + _quote(text)
    if head.startswith(_LFS_POINTER):
        return "a Git LFS pointer in place of the file, which `git lfs pull` fetches"
    for magic, name in _ARCHIVES.items():
        if head.startswith(magic):
            return name
    if head[8:10] == b'{"':
        return "a safetensors file"
    if head[:2] == b"\x08\x01" and head[2:3] == b"\x12":
        return "a TensorFlow SavedModel"
    if not head.strip(b"\0"):
        return "a file of zeros"
    if all(byte >= 0x20 or byte in _TEXT_CONTROLS for byte in head):
        return "text" + _quote(text)
    return f"unknown data, which begins with the bytes {head[:8].hex(' ')}"


def _html(head: bytes) -> str:
    title = _TITLE.search(head)
    return "an HTML page" + (f" titled {_printable(title[1])!r}" if title and title[1] else "")


def _quote(text: bytes) -> str:
    shown = _printable(text)
    return f" that begins with {shown!r}" if shown else ""


def _printable(text: bytes) -> str:
    return "".join(
        letter if letter.isprintable() else " " for letter in text[:80].decode("utf-8", "replace")
    ).strip()
