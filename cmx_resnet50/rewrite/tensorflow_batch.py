"""Fix the batch size of a TensorFlow frozen graph, without TensorFlow.

TensorFlow infers every shape itself when it imports a graph; the shapes in a file are the
attribute ``shape`` of the Placeholder, which stays a Placeholder, and, in some files, the
annotation ``_output_shapes``, which an import compares with what it infers. These sizes are
replaced; everything else, the weights above all, stays the same, byte for byte.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from struct import unpack_from

from cmx_resnet50.formats.facts import Damaged
from cmx_resnet50.formats.protobuf import (
    Document,
    Field,
    encode_bytes,
    encode_length_prefix,
    encode_varint_field,
    map_file,
)
from cmx_resnet50.formats.tensorflow import (
    INPUT_OPS,
    Node,
    producer_of,
    read_attributes,
    read_node,
    read_shape,
)
from cmx_resnet50.rewrite.errors import ReshapeError
from cmx_resnet50.rewrite.splice import Extent, Piece, size_of

_NODE = 1  # of a GraphDef
_LIST, _SHAPE, _TENSOR = 1, 7, 8  # of an AttrValue; a list holds its shapes under 7, too
_DIM = 2  # of a TensorShapeProto
_DT_INT32, _DT_INT64 = 3, 9

_WITHOUT_BATCH = frozenset({"Shape", "ShapeN", "Size", "Rank"})
"""Operations whose result is about shapes: no axis of it is the batch."""

_FIRST_RESULT_ONLY = frozenset({"FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3"})
"""Operations whose further results are statistics of channels."""


@dataclass
class _Sizes:
    """The fields of a file that are the batch size, and those around them."""

    places: set[Field] = field(default_factory=set)
    around: set[Field] = field(default_factory=set)


def plan(source: Path, batch: int) -> list[Piece]:
    """Return the pieces of the file in which the graph at `source` has the batch size `batch`.

    Raises
    ------
    ReshapeError
        If the graph has not exactly one input, a Reshape in it binds another batch, or a shape
        stays unknown.
    FormatError
        If the file is damaged.
    """
    with map_file(source) as document:
        records = list(document.fields())
        nodes = {
            record: read_node(document, record) for record in records if record.number == _NODE
        }
        graph = {node.name: node for node in nodes.values()}
        image = _input(graph)
        old = _batch_of(document, image)
        carriers = _carriers(graph, image)
        _require_free(document, graph, carriers, batch)

        sizes = _Sizes()
        for record, node in nodes.items():
            if node.name in carriers:
                _find_sizes(document, record, node, (None, old, batch), sizes)
        return [piece for record in records for piece in _rebuild(document, record, sizes, batch)]


def _input(graph: dict[str, Node]) -> Node:
    inputs = [node for node in graph.values() if node.op in INPUT_OPS]
    if len(inputs) != 1:
        names = ", ".join(node.name for node in inputs) or "none"
        raise ReshapeError(f"it must have one Placeholder to be fixed, and has: {names}")
    return inputs[0]


def _batch_of(document: Document, image: Node) -> int | None:
    """Return the batch size of the input as it is, None for any."""
    attribute = read_attributes(document, image).get("shape")
    record = None if attribute is None else document.only(attribute, _SHAPE)
    shape = None if record is None else read_shape(document, record)
    if not shape:
        raise ReshapeError(
            f"its Placeholder {image.name!r} does not state how many dimensions it has"
        )
    if any(size is None or size < 1 for size in shape[1:]):
        shown = ["?" if size is None else size for size in shape]
        raise ReshapeError(
            f"its Placeholder {image.name!r} leaves more unknown than the batch: {shown}"
        )
    return shape[0]


def _carriers(graph: dict[str, Node], image: Node) -> set[str]:
    """Return the names of the nodes whose (first) result has the batch as its first axis.

    These are the nodes that data from the input reaches, but not by way of its shape alone.
    """
    readers: dict[str, list[str]] = {}
    for node in graph.values():
        for edge in node.inputs:
            name, port = producer_of(edge)
            maker = graph.get(name)
            if maker is None:
                raise Damaged(f"the node {node.name!r} reads {edge!r}, which does not exist")
            if port is not None and not (port and maker.op in _FIRST_RESULT_ONLY):
                readers.setdefault(name, []).append(node.name)
    carriers = {image.name}
    waiting = [image.name]
    while waiting:
        for name in readers.get(waiting.pop(), ()):
            if name not in carriers and graph[name].op not in _WITHOUT_BATCH:
                carriers.add(name)
                waiting.append(name)
    return carriers


def _require_free(
    document: Document, graph: dict[str, Node], carriers: set[str], batch: int
) -> None:
    """Reject a graph in which a Reshape of the data has another batch as a constant."""
    for name in carriers:
        node = graph[name]
        if node.op != "Reshape" or len(node.inputs) < 2:
            continue
        if producer_of(node.inputs[0])[0] not in carriers:
            continue
        shape = graph[producer_of(node.inputs[1])[0]]
        numbers = _numbers(document, shape) if shape.op == "Const" else []
        if numbers and numbers[0] not in (-1, batch):
            raise ReshapeError(f"its Reshape {name!r} binds another batch: it makes {numbers}")


def _numbers(document: Document, constant: Node) -> list[int]:
    """Return the numbers in a constant of integers that is used as a shape."""
    value = read_attributes(document, constant).get("value")
    tensor = None if value is None else document.only(value, _TENSOR)
    if tensor is None:
        return []
    kind = 0
    numbers: list[int] = []
    content: Field | None = None
    for item in document.fields(tensor):
        if item.number == 1:
            kind = document.integer(item)
        elif item.number == 4:
            content = item
        elif item.number in (7, 10):  # int_val, int64_val
            numbers += document.integers(item)
    if content is None:
        return numbers
    letter, width = {_DT_INT32: ("i", 4), _DT_INT64: ("q", 8)}.get(kind, ("", 1))
    count = document.payload(content) // width
    if not letter or not 0 < count < 255:
        return numbers
    return list(unpack_from(f"<{count}{letter}", document.data, content.value))


def _find_sizes(
    document: Document, record: Field, node: Node, known: tuple[int | None, ...], found: _Sizes
) -> None:
    """Add to `found` each batch size in the attributes of a node.

    `record` is the field of the node, `known` the values that may be in place of the batch size.
    """
    for entry in node.attributes:
        key = document.only(entry, 1)
        value = document.only(entry, 2)
        if key is None or value is None:
            continue
        name = document.text(key)
        holders = [record, entry, value]
        shapes: list[Field] = []
        if name == "shape" and node.op in INPUT_OPS:
            shapes = [item for item in document.fields(value) if item.number == _SHAPE]
        elif name == "_output_shapes":
            results = document.only(value, _LIST)
            if results is not None:
                holders.append(results)
                shapes = [item for item in document.fields(results) if item.number == _SHAPE]
            if node.op in _FIRST_RESULT_ONLY:
                shapes = shapes[:1]
        for shape in shapes:
            sizes = read_shape(document, shape)
            if sizes is None or None in sizes[1:]:
                raise ReshapeError(f"the shape of its node {node.name!r} stays unknown")
            if not sizes or sizes[0] not in known:
                raise ReshapeError(
                    f"something inside binds another batch: the result of its node {node.name!r} is"
                    f" declared with the shape {list(sizes)}"
                )
            found.places.add(next(item for item in document.fields(shape) if item.number == _DIM))
            found.around.update((*holders, shape))


def _rebuild(document: Document, record: Field, sizes: _Sizes, batch: int) -> Iterator[Piece]:
    """Lay out a field with the batch sizes in it replaced."""
    if record in sizes.places:
        yield encode_bytes(_DIM, encode_varint_field(1, batch))
    elif record in sizes.around:
        inner = [
            piece
            for child in document.fields(record)
            for piece in _rebuild(document, child, sizes, batch)
        ]
        yield encode_length_prefix(record.number, size_of(inner))
        yield from inner
    else:
        yield Extent(record.at, record.end)
