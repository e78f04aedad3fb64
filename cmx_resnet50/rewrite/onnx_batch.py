"""Fix the batch size of an ONNX model.

The graph without its weights is a model of some 100 KB, in which each weight is an input. The
``onnx`` package infers every shape of it and checks it in milliseconds. Then only the records of
inputs, outputs and inner values are replaced in the file; nodes, weights, operator sets and
everything else stay the same, byte for byte.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from cmx_resnet50.formats.facts import Damaged
from cmx_resnet50.formats.onnx import Tensor, read_tensor, read_value_info
from cmx_resnet50.formats.protobuf import (
    Document,
    Field,
    encode_bytes,
    encode_length_prefix,
    map_file,
)
from cmx_resnet50.rewrite.errors import ReshapeError
from cmx_resnet50.rewrite.splice import Extent, Piece, size_of

if TYPE_CHECKING:
    import onnx

_GRAPH = 7
_INITIALIZER, _INPUT, _OUTPUT, _VALUE_INFO = 5, 11, 12, 13

_SMALL = 4096
"""Initializers up to this many bytes stay in the skeleton: shapes, axes and pads are such."""

_MAX_SKELETON = 256 << 20


class _Layout(NamedTuple):
    """The parts of a model, as fields of its file."""

    model: list[Field]
    graph: Field
    parts: list[Field]
    weights: dict[Field, Tensor]


def plan(source: Path, batch: int) -> list[Piece]:
    """Return the pieces of the file in which the model at `source` has the batch size `batch`.

    Raises
    ------
    ReshapeError
        If the model has not exactly one input, a part of it binds another batch, or a shape
        stays unknown.
    FormatError
        If the file is damaged.
    """
    with map_file(source) as document:
        layout = _read_layout(document)
        skeleton = _read_skeleton(document, layout)
        image = _infer(skeleton, {tensor.name for tensor in layout.weights.values()}, batch)
        return _pieces(document, layout, skeleton.graph, image)


def _read_layout(document: Document) -> _Layout:
    model = list(document.fields())
    graphs = [field for field in model if field.number == _GRAPH]
    if len(graphs) != 1:
        raise Damaged(f"contains {len(graphs)} graphs")
    parts = list(document.fields(graphs[0]))
    weights = {}
    for part in parts:
        if part.number == _INITIALIZER:
            tensor = read_tensor(document, part)
            if tensor.external:
                raise ReshapeError("its weights are in another file")
            if document.payload(part) > _SMALL:
                weights[part] = tensor
    return _Layout(model, graphs[0], parts, weights)


def _read_skeleton(document: Document, layout: _Layout) -> onnx.ModelProto:
    """Parse the model without its weights; each of them becomes an input of its type and shape."""
    import onnx
    from google.protobuf.message import DecodeError

    kept = [part for part in layout.parts if part not in layout.weights]
    around = [field for field in layout.model if field.number != _GRAPH]
    if sum(field.end - field.at for field in (*kept, *around)) > _MAX_SKELETON:
        raise ReshapeError("too much of it is not initializers")
    graph = b"".join(document.data[part.at : part.end] for part in kept)
    rest = b"".join(document.data[field.at : field.end] for field in around)
    try:
        model = onnx.ModelProto.FromString(encode_bytes(_GRAPH, graph) + rest)
    except DecodeError as error:
        raise Damaged(f"is not readable as an ONNX model ({error})") from None
    known = {value.name for value in model.graph.input}
    for tensor in layout.weights.values():
        if tensor.name not in known:
            model.graph.input.append(
                onnx.helper.make_tensor_value_info(tensor.name, tensor.dtype, tensor.dims)
            )
    return model


def _infer(model: onnx.ModelProto, weights: set[str], batch: int) -> onnx.ValueInfoProto:
    """Give the batch size to `model` and its shapes to every value; return the model's input."""
    import onnx.checker
    import onnx.shape_inference

    graph = model.graph
    for node in graph.node:
        if any(attribute.HasField("g") or attribute.graphs for attribute in node.attribute):
            raise ReshapeError(f"it has control flow (the operator {node.op_type} {node.name!r})")
    constants = weights | {tensor.name for tensor in graph.initializer}
    constants |= {tensor.values.name for tensor in graph.sparse_initializer}
    image = _set_batch(graph, constants, batch)

    annotations = {value.name: value for value in graph.value_info}
    del graph.value_info[:]
    for value in graph.output:
        value.type.tensor_type.ClearField("shape")
    try:
        inferred = onnx.shape_inference.infer_shapes(
            model, check_type=True, strict_mode=True, data_prop=True
        )
        _require_batch(inferred.graph, batch)
        onnx.checker.check_model(inferred, full_check=True)
    except (onnx.shape_inference.InferenceError, onnx.checker.ValidationError) as error:
        reason = " ".join(str(error).split())[:500]
        raise ReshapeError(f"its operators do not allow it ({reason})") from None

    del graph.output[:]
    graph.output.extend(inferred.graph.output)
    for value in inferred.graph.value_info:
        record = graph.value_info.add()
        # Keep other fields of the value, a comment for example.
        record.CopyFrom(annotations.get(value.name, value))
        record.type.CopyFrom(value.type)
    for name, value in annotations.items():
        if name in constants:
            graph.value_info.append(value)
    return image


def _set_batch(graph: onnx.GraphProto, constants: set[str], batch: int) -> onnx.ValueInfoProto:
    """Fix the batch size of the model's one input, and return that."""
    inputs = [value for value in graph.input if value.name not in constants]
    if len(inputs) != 1:
        names = ", ".join(value.name for value in inputs) or "none"
        raise ReshapeError(f"it must have one input to be fixed, and has: {names}")
    image = inputs[0]
    if not image.type.tensor_type.shape.dim:
        raise ReshapeError(f"its input {image.name!r} has no dimensions")
    first, *rest = image.type.tensor_type.shape.dim
    if any(dim.dim_value < 1 for dim in rest):
        shown = _shown(image)
        raise ReshapeError(f"its input {image.name!r} leaves more unknown than the batch: {shown}")
    first.dim_value = batch
    return image


def _require_batch(graph: onnx.GraphProto, batch: int) -> None:
    """Compare every inferred shape with the batch size.

    Inference takes the numbers in a Reshape as they are, and a constant may have been made for
    another batch: both show in a count of elements or in an output.
    """
    values = {value.name: value for value in (*graph.input, *graph.value_info, *graph.output)}
    for value in (*graph.value_info, *graph.output):
        if value.type.HasField("tensor_type") and _elements(value) is None:
            raise ReshapeError(
                f"the shape of its value {value.name!r} stays unknown: {_shown(value)}"
            )
    for node in graph.node:
        if node.op_type in ("Reshape", "Flatten") and node.domain in ("", "ai.onnx"):
            taken, given = values.get(node.input[0]), values.get(node.output[0])
            if taken and given and _elements(taken) != _elements(given):
                raise ReshapeError(
                    f"its operator {node.op_type} {node.name!r} binds another batch:"
                    f" {_shown(taken)} becomes {_shown(given)}"
                )
    for value in graph.output:
        dims = value.type.tensor_type.shape.dim
        if dims and dims[0].dim_value != batch:
            raise ReshapeError(
                f"something inside binds another batch: its output {value.name!r}"
                f" would be {_shown(value)}"
            )


def _pieces(
    document: Document, layout: _Layout, new: onnx.GraphProto, image: onnx.ValueInfoProto
) -> list[Piece]:
    """Lay out the new file: the old one with the records of values replaced by those of `new`."""
    outputs = iter(new.output)
    graph: list[Piece] = []
    for part in layout.parts:
        if part.number == _INPUT and read_value_info(document, part).name == image.name:
            graph.append(encode_bytes(_INPUT, image.SerializeToString()))
        elif part.number == _OUTPUT:
            graph.append(encode_bytes(_OUTPUT, next(outputs).SerializeToString()))
        elif part.number != _VALUE_INFO:
            graph.append(Extent(part.at, part.end))
    graph += [encode_bytes(_VALUE_INFO, value.SerializeToString()) for value in new.value_info]

    pieces: list[Piece] = []
    for field in layout.model:
        if field is layout.graph:
            pieces.append(encode_length_prefix(_GRAPH, size_of(graph)))
            pieces += graph
        else:
            pieces.append(Extent(field.at, field.end))
    return pieces


def _elements(value: onnx.ValueInfoProto) -> int | None:
    """Return the number of elements of a value, or None if a size of it is unknown."""
    kind = value.type.tensor_type
    if not kind.HasField("shape") or not all(dim.HasField("dim_value") for dim in kind.shape.dim):
        return None
    return math.prod(dim.dim_value for dim in kind.shape.dim)


def _shown(value: onnx.ValueInfoProto) -> str:
    kind = value.type.tensor_type
    if not kind.HasField("shape"):
        return "no shape"
    return str(
        [
            dim.dim_value if dim.HasField("dim_value") else dim.dim_param or "?"
            for dim in kind.shape.dim
        ]
    )
