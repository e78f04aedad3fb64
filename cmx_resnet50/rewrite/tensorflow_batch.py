"""Fix the batch size of a TensorFlow frozen graph, without TensorFlow.

TensorFlow infers every shape itself when it imports a graph; the shapes in a file are the
attribute ``shape`` of the Placeholder, which stays a Placeholder, and, in some files, the
annotation ``_output_shapes``, which an import compares with what it infers. These sizes are
replaced; everything else, the weights above all, stays the same, byte for byte. What operators do
with the batch is in `tensorflow_rules`.
"""

from __future__ import annotations

import math
import re
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
from cmx_resnet50.formats.tensorflow.nodes import (
    INPUT_OPS,
    Node,
    producer_of,
    read_attributes,
    read_constant,
    read_node,
    read_shape,
)
from cmx_resnet50.rewrite.errors import ReshapeError
from cmx_resnet50.rewrite.splice import Extent, Piece, size_of
from cmx_resnet50.rewrite.tensorflow_rules.call import MAX_NUMBERS, Tensor
from cmx_resnet50.rewrite.tensorflow_rules.table import apply

_NODE = 1  # of a GraphDef
_LIST, _SHAPE, _TENSOR = 1, 7, 8  # of an AttrValue; a list holds its shapes under 7, too
_DIM = 2  # of a TensorShapeProto
_LAYOUTS = {3: ("i", 4), 9: ("q", 8)}  # DT_INT32, DT_INT64

_STATEFUL = re.compile(
    r"Variable(V2)?|VarHandleOp|ReadVariableOp|TemporaryVariable|AutoReloadVariable|Assign\w*"
    r"|(Resource)?Scatter(Nd)?(Add|Sub|Mul|Div|Min|Max|Update)|Restore(V2|Slice)?|Save(V2|Slices)?"
    r"|(Ref)?(Switch|Merge|Enter|Exit|NextIteration)|LoopCond|RefSelect|_?(Stateless)?(If|Case|While)"
)
"""Variables, assignments and control flow: the graph is then not a function of the image alone."""


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
        If the graph has not exactly one input, is not frozen, or an operator does not keep a row
        an image.
    FormatError
        If the file is damaged.
    """
    with map_file(source) as document:
        records = list(document.fields())
        nodes = {
            record: read_node(document, record) for record in records if record.number == _NODE
        }
        graph = {node.name: node for node in nodes.values()}
        for node in graph.values():
            if _STATEFUL.fullmatch(node.op):
                raise ReshapeError(
                    "it has variables, assignments or control flow (the operator"
                    f" {node.op} {node.name!r})"
                )
        image = _input(graph)
        old, sizes_of_image = _shape_of(document, image)
        found = _evaluate(document, graph, image, (batch, *sizes_of_image))

        sizes = _Sizes()
        for record, node in nodes.items():
            if node.name in found:
                known = (None, old, batch)
                _find_sizes(document, record, node, found[node.name], known, sizes)
        return [piece for record in records for piece in _rebuild(document, record, sizes, batch)]


def _input(graph: dict[str, Node]) -> Node:
    inputs = [node for node in graph.values() if node.op in INPUT_OPS]
    if len(inputs) != 1:
        names = ", ".join(node.name for node in inputs) or "none"
        raise ReshapeError(f"it must have one Placeholder to be fixed, and has: {names}")
    return inputs[0]


def _shape_of(document: Document, image: Node) -> tuple[int | None, tuple[int, ...]]:
    """Return the batch size of the input, None for any, and the sizes of an image."""
    attribute = read_attributes(document, image).get("shape")
    record = None if attribute is None else document.only(attribute, _SHAPE)
    shape = None if record is None else read_shape(document, record)
    if not shape:
        raise ReshapeError(
            f"its Placeholder {image.name!r} does not state how many dimensions it has"
        )
    sizes = tuple(size for size in shape[1:] if size)
    if len(sizes) != len(shape) - 1:
        shown = ["?" if size is None else size for size in shape]
        raise ReshapeError(
            f"its Placeholder {image.name!r} leaves more unknown than the batch: {shown}"
        )
    return shape[0], sizes


def _evaluate(
    document: Document, graph: dict[str, Node], image: Node, shape: tuple[int, ...]
) -> dict[str, list[Tensor]]:
    """Return the outputs of all nodes that depend on the image, and of those that they read.

    Raises
    ------
    ReshapeError
        If one of them does not keep a row an image.
    """
    found = {image.name: [Tensor(shape, rows=True)]}
    for node in _ordered(graph, _dependent(graph, image)):
        if node.name in found:
            continue
        edges = [producer_of(edge) for edge in node.inputs]
        read = []
        for name, port in edges:
            if port is not None:
                outputs = found[name]
                read.append(outputs[port] if port < len(outputs) else Tensor(None))
        if node.op == "Const":
            found[node.name] = [_constant(document, node)]
        else:
            found[node.name] = apply(document, node, tuple(read), shape[0])
    return found


def _dependent(graph: dict[str, Node], image: Node) -> list[Node]:
    """Return the nodes that data from the input reaches."""
    readers: dict[str, list[str]] = {}
    for node in graph.values():
        for edge in node.inputs:
            name, port = producer_of(edge)
            if name not in graph:
                raise Damaged(f"the node {node.name!r} reads {edge!r}, which does not exist")
            if port is not None:
                readers.setdefault(name, []).append(node.name)
    reached = {image.name}
    waiting = [image.name]
    while waiting:
        for name in readers.get(waiting.pop(), ()):
            if name not in reached:
                reached.add(name)
                waiting.append(name)
    return [node for node in graph.values() if node.name in reached]


def _ordered(graph: dict[str, Node], wanted: list[Node]) -> Iterator[Node]:
    """Yield the nodes that `wanted` need, and these, each after what it reads."""
    state: dict[str, bool] = {}  # whether it was yielded
    for last in wanted:
        stack = [last]
        while stack:
            node = stack[-1]
            if state.get(node.name):
                stack.pop()
                continue
            if node.name in state:
                state[node.name] = True
                yield stack.pop()
                continue
            state[node.name] = False
            for edge in node.inputs:
                name, port = producer_of(edge)
                if port is None or state.get(name):
                    continue
                if name in state:
                    raise ReshapeError(f"it has a loop through its node {name!r}")
                stack.append(graph[name])


def _constant(document: Document, node: Node) -> Tensor:
    value = read_attributes(document, node).get("value")
    if value is None:
        raise Damaged(f"the constant {node.name!r} has no value")
    shape = read_constant(document, node, value).dims
    count = math.prod(shape)
    numbers = _numbers(document, node) if count <= MAX_NUMBERS else None
    if numbers is None:
        return Tensor(shape)
    # In lists the last element repeats to the end.
    numbers += [numbers[-1] if numbers else 0] * (count - len(numbers))
    return Tensor(shape, numbers=tuple((number, number) for number in numbers[:count]))


def _numbers(document: Document, constant: Node) -> list[int] | None:
    """Return the elements of a small constant of integers, None if it has another type."""
    value = read_attributes(document, constant).get("value")
    tensor = None if value is None else document.only(value, _TENSOR)
    if tensor is None:
        return None
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
    if kind not in _LAYOUTS:
        return None
    letter, width = _LAYOUTS[kind]
    if content is not None and document.payload(content):
        count = document.payload(content) // width
        numbers = list(unpack_from(f"<{count}{letter}", document.data, content.value))
    return numbers


def _find_sizes(
    document: Document,
    record: Field,
    node: Node,
    outputs: list[Tensor],
    known: tuple[int | None, ...],
    found: _Sizes,
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
        for shape, output in zip(shapes, outputs, strict=False):
            sizes = read_shape(document, shape)
            if sizes is None or output.shape is None:
                continue
            wanted = (known, *((None, size) for size in output.shape[1:]))
            if not output.rows:
                wanted = tuple((None, size) for size in output.shape)
            if len(sizes) != len(wanted) or any(
                size not in allowed for size, allowed in zip(sizes, wanted, strict=True)
            ):
                raise ReshapeError(
                    f"something inside binds another batch: the result of its node {node.name!r} is"
                    f" declared with the shape {['?' if size is None else size for size in sizes]},"
                    f" and would be {list(output.shape)}"
                )
            if output.rows:
                places = (item for item in document.fields(shape) if item.number == _DIM)
                found.places.add(next(places))
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
