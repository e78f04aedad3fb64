"""An ONNX model without its weights: a model of some 100 KB, in which each weight is an input.

The onnx package infers and checks that in milliseconds. Weights in another file are put into the
model's own.
"""

from __future__ import annotations

from collections.abc import MutableSequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from cmx_resnet50.formats.facts import Damaged
from cmx_resnet50.formats.onnx.records import (
    External,
    Tensor,
    external_file,
    read_tensor,
)
from cmx_resnet50.formats.protobuf import (
    Document,
    Field,
    encode_bytes,
    encode_length_prefix,
)
from cmx_resnet50.rewrite.errors import ReshapeError
from cmx_resnet50.rewrite.splice import Extent, Piece, size_of

if TYPE_CHECKING:
    import onnx
    from google.protobuf.message import Message


GRAPH = 7
NODE, INITIALIZER, INPUT, OUTPUT, VALUE_INFO = 1, 5, 11, 12, 13
_TENSOR_RAW_DATA, _TENSOR_EXTERNAL_DATA, _TENSOR_DATA_LOCATION = 9, 13, 14

_SMALL = 4096
"""Initializers up to this many bytes stay in the skeleton: shapes, axes and pads are such."""

_MAX_SKELETON = 256 << 20


class Layout(NamedTuple):
    """The parts of a model, as fields of its file."""

    model: list[Field]
    graph: Field
    parts: list[Field]
    weights: dict[Field, Tensor]
    external: dict[Field, Extent]


def read_layout(document: Document, folder: Path) -> Layout:
    """Read where the parts of a model are, and which of them are weights."""
    model = list(document.fields())
    graphs = [field for field in model if field.number == GRAPH]
    if len(graphs) != 1:
        raise Damaged(f"contains {len(graphs)} graphs")
    parts = list(document.fields(graphs[0]))
    weights, external = {}, {}
    for part in parts:
        if part.number == INITIALIZER:
            tensor = read_tensor(document, part)
            if tensor.external:
                external[part] = _external(folder, tensor)
            if document.payload(part) > _SMALL or (tensor.external and tensor.size > _SMALL):
                weights[part] = tensor
    return Layout(model, graphs[0], parts, weights, external)


def _external(folder: Path, tensor: Tensor) -> Extent:
    """Return where the data of a tensor is that is not in the model's own file."""
    location, offset, length = tensor.external or External("", 0, None)
    file = external_file(folder, location)
    end = offset + tensor.size
    if file is None or file.stat().st_size < end or length not in (None, tensor.size):
        raise ReshapeError(f"its weights are not in the file {location[:200]!r} next to it")
    return Extent(offset, end, file)


def embedded(document: Document, part: Field, data: Extent) -> list[Piece]:
    """Lay out the record of an external tensor with its data in it."""
    kept: list[Piece] = [
        Extent(field.at, field.end)
        for field in document.fields(part)
        if field.number not in (_TENSOR_EXTERNAL_DATA, _TENSOR_DATA_LOCATION)
    ]
    body = [*kept, encode_length_prefix(_TENSOR_RAW_DATA, data.end - data.start), data]
    return [encode_length_prefix(INITIALIZER, size_of(body)), *body]


def _bytes_of(document: Document, pieces: list[Piece]) -> bytes:
    found = []
    for piece in pieces:
        if isinstance(piece, bytes):
            found.append(piece)
        elif piece.file is None:
            found.append(document.data[piece.start : piece.end])
        else:
            with piece.file.open("rb") as file:
                file.seek(piece.start)
                found.append(file.read(piece.end - piece.start))
    return b"".join(found)


def read_skeleton(document: Document, layout: Layout) -> onnx.ModelProto:
    """Parse the model without its weights; each of them becomes an input of its type and shape."""
    import onnx
    from google.protobuf.message import DecodeError

    kept = [part for part in layout.parts if part not in layout.weights]
    around = [field for field in layout.model if field.number != GRAPH]
    if sum(field.end - field.at for field in (*kept, *around)) > _MAX_SKELETON:
        raise ReshapeError("too much of it is not initializers")
    graph = b"".join(
        _bytes_of(document, embedded(document, part, layout.external[part]))
        if part in layout.external
        else document.data[part.at : part.end]
        for part in kept
    )
    rest = b"".join(document.data[field.at : field.end] for field in around)
    try:
        model = onnx.ModelProto.FromString(encode_bytes(GRAPH, graph) + rest)
    except DecodeError as error:
        raise Damaged(f"the onnx package does not read it ({error})") from None
    _require_text(model)
    known = {value.name for value in model.graph.input}
    for tensor in layout.weights.values():
        if tensor.name not in known:
            model.graph.input.append(
                onnx.helper.make_tensor_value_info(tensor.name, tensor.dtype, tensor.dims)
            )
    return model


def _require_text(message: Message) -> None:
    """Require that all text of a message is UTF-8; the library may not look at it on parsing."""
    for field, value in message.ListFields():
        items = value if isinstance(value, MutableSequence) else (value,)
        if field.message_type is not None:
            for item in items:
                _require_text(item)
        elif field.type == field.TYPE_STRING and not all(isinstance(item, str) for item in items):
            raise Damaged(f"the text {field.name!r} of it is not UTF-8")
