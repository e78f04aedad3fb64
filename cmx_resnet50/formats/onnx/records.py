"""The records of an ONNX file: tensors without their data, values of a graph, pairs of text.

The numbers of fields and types are those of ``onnx.proto3`` (https://github.com/onnx/onnx, IR
versions 3 to 13).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from stat import S_ISREG
from typing import NamedTuple

from cmx_resnet50.formats.facts import Damaged, NotReadHere, TensorInfo
from cmx_resnet50.formats.protobuf import FIXED32, Document, Field
from cmx_resnet50.formats.tensors import (
    Shape,
)

DTYPES: dict[int, tuple[str, int | None]] = {
    1: ("float32", 32),
    2: ("uint8", 8),
    3: ("int8", 8),
    4: ("uint16", 16),
    5: ("int16", 16),
    6: ("int32", 32),
    7: ("int64", 64),
    8: ("object", None),
    9: ("bool", 8),
    10: ("float16", 16),
    11: ("float64", 64),
    12: ("uint32", 32),
    13: ("uint64", 64),
    14: ("complex64", 64),
    15: ("complex128", 128),
    16: ("bfloat16", 16),
    17: ("float8_e4m3fn", 8),
    18: ("float8_e4m3fnuz", 8),
    19: ("float8_e5m2", 8),
    20: ("float8_e5m2fnuz", 8),
    21: ("uint4", 4),
    22: ("int4", 4),
    23: ("float4_e2m1fn", 4),
    24: ("float8_e8m0fnu", 8),
    25: ("uint2", 2),
    26: ("int2", 2),
    27: ("float6_e2m3fn", None),
    28: ("float6_e3m2fn", None),
}
"""TensorProto.DataType: NumPy's name, and bits an element in raw_data (None: not fixed)."""

_EXTERNAL = 1

_MAX_RANK = 64


class External(NamedTuple):
    """The place of a tensor's data in another file."""

    location: str
    offset: int
    length: int | None


class Tensor(NamedTuple):
    """An initializer's record, without its data."""

    name: str
    dtype: int
    dims: tuple[int, ...]
    external: External | None = None

    @property
    def elements(self) -> int:
        """The number of elements."""
        return math.prod(self.dims)

    @property
    def size(self) -> int:
        """Bytes of all elements, packed; 0 for text, whose length is not in the record."""
        bits = DTYPES[self.dtype][1]
        return 0 if bits is None else (self.elements * bits + 7) // 8


def read_tensor(document: Document, record: Field) -> Tensor:
    """Read the record of a tensor (TensorProto), and compare the length of its data with its shape.

    Raises
    ------
    Damaged
        If it has an unknown type, an impossible shape, or data of another length.
    """
    name = ""
    dtype = 0
    dims: list[int] = []
    external = False
    entries: dict[str, str] = {}
    raw: int | None = None
    floats = doubles = others = 0
    for item in document.fields(record):
        if item.number == 1:
            dims += document.integers(item)
        elif item.number == 2:
            dtype = document.integer(item)
        elif item.number == 8:
            name = document.text(item)
        elif item.number == 9:
            raw = document.payload(item)
        elif item.number == 4:
            floats += 4 if item.wire == FIXED32 else document.payload(item)
        elif item.number == 10:
            doubles += item.end - item.value
        elif item.number in (5, 6, 7, 11):
            others += 1
        elif item.number == 13:
            key, value = read_pair(document, item)
            entries[key] = value
        elif item.number == 14:
            external = document.integer(item) == _EXTERNAL
    where = f"the tensor {name!r}"
    if dtype not in DTYPES:
        if dtype <= 0:
            raise Damaged(f"{where} has no type", record.at)
        raise NotReadHere(f"{where} has the type {dtype}, unknown here", record.at)
    if len(dims) > _MAX_RANK:
        raise NotReadHere(
            f"{where} has more than {_MAX_RANK} dimensions, the limit here", record.at
        )
    if min(dims, default=0) < 0 or math.prod(dims) >> 63:
        raise Damaged(f"{where} has an impossible shape", record.at)
    tensor = Tensor(name, dtype, tuple(dims))
    numpy_name, bits = DTYPES[dtype]
    if external:
        return tensor._replace(external=_read_external(where, entries, record))
    if raw is not None:
        if bits is not None and raw != tensor.size:
            raise Damaged(
                f"{where} has {raw:,} bytes, its shape {list(dims)} and type {numpy_name} need"
                f" {tensor.size:,}",
                record.at,
            )
    elif (numpy_name == "float32" and floats != tensor.size) or (
        numpy_name == "float64" and doubles != tensor.size
    ):
        raise Damaged(
            f"{where} has {floats + doubles:,} bytes, its shape {list(dims)} needs {tensor.size:,}",
            record.at,
        )
    elif tensor.elements and not (floats or doubles or others):
        raise Damaged(f"{where} has no data", record.at)
    return tensor


def _read_external(where: str, entries: Mapping[str, str], record: Field) -> External:
    numbers = [entries.get(key, "") for key in ("offset", "length")]
    if not entries.get("location") or any(
        text and not (text.isascii() and text.isdigit() and len(text) < 20) for text in numbers
    ):
        raise Damaged(f"{where} is in another file, but its place there is not valid", record.at)
    offset, length = numbers
    return External(entries["location"], int(offset or 0), int(length) if length else None)


def external_file(folder: Path, location: str) -> Path | None:
    """Return the file `location` below `folder`, None if there is none or it would be elsewhere."""
    pure = PurePosixPath(location)
    if pure.is_absolute() or ".." in pure.parts or not location.isprintable():
        return None
    file = folder / pure
    try:
        return file if S_ISREG(file.stat().st_mode) else None
    except OSError:
        return None


def read_value_info(document: Document, record: Field) -> TensorInfo:
    """Read the name, shape and type of a value (ValueInfoProto) of a graph.

    A value of another kind (a sequence, a map) has neither shape nor dtype.
    """
    name_field = document.only(record, 1)
    name = "" if name_field is None else document.text(name_field)
    kind = document.only(record, 2)
    tensor = None if kind is None else document.only(kind, 1)
    if tensor is None:
        return TensorInfo(name, None, None)
    shape: Shape | None = None
    dtype = None
    for item in document.fields(tensor):
        if item.number == 1:
            dtype = DTYPES.get(document.integer(item), (None, None))[0]
        elif item.number == 2:
            shape = tuple(
                _read_dimension(document, dimension)
                for dimension in document.fields(item)
                if dimension.number == 1
            )
            if len(shape) > _MAX_RANK:
                raise NotReadHere(
                    f"the value {name!r} has more than {_MAX_RANK} dimensions, the limit here",
                    item.at,
                )
    return TensorInfo(name, shape, dtype)


def _read_dimension(document: Document, record: Field) -> int | str | None:
    size: int | str | None = None
    for item in document.fields(record):
        if item.number == 1:
            size = document.integer(item)
            # Some exporters write -1 for an unknown size.
            if size < 0:
                size = None
        elif item.number == 2:
            size = document.text(item) or None
    return size


def read_opset(document: Document, record: Field) -> tuple[str, int]:
    """Read a set of operators (OperatorSetIdProto): its domain and version."""
    domain = ""
    number = 0
    for item in document.fields(record):
        if item.number == 1:
            domain = document.text(item)
        elif item.number == 2:
            number = document.integer(item)
    return domain, number


def read_pair(document: Document, record: Field) -> tuple[str, str]:
    """Read a pair of texts (StringStringEntryProto)."""
    key = document.only(record, 1)
    value = document.only(record, 2)
    return "" if key is None else document.text(key), "" if value is None else document.text(value)
