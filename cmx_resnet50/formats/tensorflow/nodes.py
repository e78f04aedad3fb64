"""The nodes of a frozen graph: attributes, shapes and the records of constants.

The numbers of fields are those of TensorFlow's ``node_def.proto``, ``attr_value.proto``,
``tensor.proto``, ``tensor_shape.proto`` and ``types.proto``
(https://github.com/tensorflow/tensorflow).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import NamedTuple

from cmx_resnet50.formats.facts import Damaged, NotReadHere
from cmx_resnet50.formats.protobuf import Document, Field

DTYPES: dict[int, tuple[str, int | None]] = {
    1: ("float32", 4),
    2: ("float64", 8),
    3: ("int32", 4),
    4: ("uint8", 1),
    5: ("int16", 2),
    6: ("int8", 1),
    7: ("string", None),
    8: ("complex64", 8),
    9: ("int64", 8),
    10: ("bool", 1),
    11: ("int8", 1),  # qint8
    12: ("uint8", 1),  # quint8
    13: ("int32", 4),  # qint32
    14: ("bfloat16", 2),
    15: ("int16", 2),  # qint16
    16: ("uint16", 2),  # quint16
    17: ("uint16", 2),
    18: ("complex128", 16),
    19: ("float16", 2),
    20: ("resource", None),
    21: ("variant", None),
    22: ("uint32", 4),
    23: ("uint64", 8),
    24: ("float8_e5m2", 1),
    25: ("float8_e4m3fn", 1),
    26: ("float8_e4m3fnuz", 1),
    27: ("float8_e4m3b11fnuz", 1),
    28: ("float8_e5m2fnuz", 1),
    29: ("int4", None),
    30: ("uint4", None),
    31: ("int2", None),
    32: ("uint2", None),
    33: ("float4_e2m1fn", None),
}
"""DataType: NumPy's name, and bytes an element in tensor_content (None: not fixed)."""

NODE_NAME = re.compile(r"[A-Za-z0-9.][A-Za-z0-9_.\\/>-]*")

OP_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.>]*")

_MAX_RANK = 254

INPUT_OPS = frozenset({"Placeholder", "PlaceholderV2"})


class Constant(NamedTuple):
    """The record of a Const node's tensor, without its data."""

    dtype: int
    dims: tuple[int, ...]

    @property
    def size(self) -> int:
        """Bytes of all elements; 0 for text."""
        return math.prod(self.dims) * (DTYPES[self.dtype][1] or 0)


class Node(NamedTuple):
    """A node of the graph; its attributes are the fields that hold them."""

    name: str
    op: str
    inputs: tuple[str, ...]
    attributes: tuple[Field, ...]


def producer_of(edge: str) -> tuple[str, int | None]:
    """Split a node's input into the node that produces it and the port, None for control only."""
    if edge.startswith("^"):
        return edge[1:], None
    name, colon, port = edge.rpartition(":")
    return (name, int(port)) if colon and port.isdecimal() and len(port) < 10 else (edge, 0)


def read_node(document: Document, record: Field) -> Node:
    """Read a node (NodeDef).

    Raises
    ------
    Damaged
        If it has no name or no operation.
    """
    name = op = ""
    inputs = []
    attributes = []
    for item in document.fields(record):
        if item.number == 1:
            name = document.text(item)
        elif item.number == 2:
            op = document.text(item)
        elif item.number == 3:
            inputs.append(document.text(item))
        elif item.number == 5:
            attributes.append(item)
    if not NODE_NAME.fullmatch(name) or not OP_NAME.fullmatch(op):
        raise Damaged(f"a node has the name {name[:80]!r} and the operation {op[:80]!r}", record.at)
    return Node(name, op, tuple(inputs), tuple(attributes))


def read_attributes(document: Document, node: Node) -> Mapping[str, Field]:
    """Return the values (AttrValue) of a node's attributes by their names."""
    values: dict[str, Field] = {}
    for entry in node.attributes:
        key = document.only(entry, 1)
        value = document.only(entry, 2)
        if key is not None and value is not None:
            values[document.text(key)] = value
    return values


def read_shape(document: Document, record: Field) -> tuple[int | None, ...] | None:
    """Read a TensorShapeProto; None is an unknown rank or, inside, an unknown size."""
    sizes: list[int | None] = []
    unknown = False
    for item in document.fields(record):
        if item.number == 2:
            size = document.only(item, 1)
            number = 0 if size is None else document.integer(size)
            if number < -1:
                raise Damaged("a shape has a negative size", item.at)
            sizes.append(None if number == -1 else number)
        elif item.number == 3:
            unknown = bool(document.integer(item))
    if len(sizes) > _MAX_RANK:
        raise Damaged(f"a shape has {len(sizes):,} dimensions", record.at)
    return None if unknown else tuple(sizes)


def read_constant(document: Document, node: Node, value: Field) -> Constant:
    """Read the record of a Const node's tensor, and compare the length of its data with its shape.

    Raises
    ------
    Damaged
        If it has an unknown type, no shape, or data of another length.
    """
    tensor = document.only(value, 8)
    if tensor is None:
        raise Damaged(f"the constant {node.name!r} has no tensor", value.at)
    dtype = 0
    dims: tuple[int | None, ...] | None = ()
    content: int | None = None
    for item in document.fields(tensor):
        if item.number == 1:
            dtype = document.integer(item)
        elif item.number == 2:
            dims = read_shape(document, item)
        elif item.number == 4:
            content = document.payload(item)
    if dtype not in DTYPES:
        if dtype <= 0:
            raise Damaged(f"the constant {node.name!r} has no type", tensor.at)
        raise NotReadHere(
            f"the constant {node.name!r} has the type {dtype}, unknown here", tensor.at
        )
    if dims is None:
        raise Damaged(f"the constant {node.name!r} has no full shape", tensor.at)
    sizes = tuple(size for size in dims if size is not None)
    if len(sizes) != len(dims) or math.prod(sizes) >> 63:
        raise Damaged(f"the constant {node.name!r} has an impossible shape", tensor.at)
    constant = Constant(dtype, sizes)
    # Without tensor_content the values are in lists, where the last one repeats to the end.
    if content and DTYPES[dtype][1] and content != constant.size:
        raise Damaged(
            f"the constant {node.name!r} has {content:,} bytes, its shape {list(sizes)} and type"
            f" {DTYPES[dtype][0]} need {constant.size:,}",
            tensor.at,
        )
    return constant


def is_true(document: Document, node: Node, name: str) -> bool:
    """Whether a node has the attribute `name`, and that is true."""
    value = read_attributes(document, node).get(name)
    flag = None if value is None else document.only(value, 5)
    return flag is not None and bool(document.integer(flag))
