"""Fix the batch size of an ONNX model.

The graph without its weights is a model of some 100 KB, in which each weight is an input. The
``onnx`` package infers every shape of it and checks it in milliseconds. Then only the records of
inputs, outputs and inner values are replaced in the file, and the old batch size where a Reshape
has it as a number; weights, operators and everything else stay the same, byte for byte. Weights
that are in another file are put into this one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, MutableSequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from cmx_resnet50.formats.facts import Damaged
from cmx_resnet50.formats.onnx.records import (
    External,
    Tensor,
    external_file,
    read_tensor,
    read_value_info,
)
from cmx_resnet50.formats.protobuf import (
    Document,
    Field,
    encode_bytes,
    encode_length_prefix,
    map_file,
)
from cmx_resnet50.rewrite.errors import ReshapeError
from cmx_resnet50.rewrite.onnx_rules import Graph, contributed_shape, follow, varies_in_rows
from cmx_resnet50.rewrite.onnx_values import (
    MAX_ELEMENTS,
    Value,
    attributes_of,
    constant,
    evaluate,
    shape_value,
)
from cmx_resnet50.rewrite.splice import Extent, Piece, size_of

if TYPE_CHECKING:
    import onnx
    from google.protobuf.message import Message

_GRAPH = 7
_NODE, _INITIALIZER, _INPUT, _OUTPUT, _VALUE_INFO = 1, 5, 11, 12, 13
_TENSOR_RAW_DATA, _TENSOR_EXTERNAL_DATA, _TENSOR_DATA_LOCATION = 9, 13, 14

_SMALL = 4096
"""Initializers up to this many bytes stay in the skeleton: shapes, axes and pads are such."""

_MAX_SKELETON = 256 << 20

_MAX_GRAPH = (1 << 31) - (1 << 20)
"""Bytes of a graph that protobuf can read in one file."""

_ROUNDS = 64
"""Runs of shape inference; each gets past a shape that operators compute."""


class _Layout(NamedTuple):
    """The parts of a model, as fields of its file."""

    model: list[Field]
    graph: Field
    parts: list[Field]
    weights: dict[Field, Tensor]
    external: dict[Field, Extent]


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
        layout = _read_layout(document, source.parent)
        try:
            skeleton = _read_skeleton(document, layout)
            weights = {tensor.name for tensor in layout.weights.values()}
            image, changed = _infer(skeleton, weights, batch)
            return _pieces(document, layout, skeleton.graph, image, changed)
        except (TypeError, UnicodeError):
            # What the protobuf library makes of such text depends on its version.
            raise Damaged("has text that is not UTF-8") from None
        except (LookupError, RuntimeError, ValueError) as error:
            reason = " ".join(str(error).split())[:200]
            raise Damaged(f"is not a valid ONNX model ({reason})") from None


def _read_layout(document: Document, folder: Path) -> _Layout:
    model = list(document.fields())
    graphs = [field for field in model if field.number == _GRAPH]
    if len(graphs) != 1:
        raise Damaged(f"contains {len(graphs)} graphs")
    parts = list(document.fields(graphs[0]))
    weights, external = {}, {}
    for part in parts:
        if part.number == _INITIALIZER:
            tensor = read_tensor(document, part)
            if tensor.external:
                external[part] = _external(folder, tensor)
            if document.payload(part) > _SMALL or (tensor.external and tensor.size > _SMALL):
                weights[part] = tensor
    return _Layout(model, graphs[0], parts, weights, external)


def _external(folder: Path, tensor: Tensor) -> Extent:
    """Return where the data of a tensor is that is not in the model's own file."""
    location, offset, length = tensor.external or External("", 0, None)
    file = external_file(folder, location)
    end = offset + tensor.size
    if file is None or file.stat().st_size < end or length not in (None, tensor.size):
        raise ReshapeError(f"its weights are not in the file {location[:200]!r} next to it")
    return Extent(offset, end, file)


def _embedded(document: Document, part: Field, data: Extent) -> list[Piece]:
    """Lay out the record of an external tensor with its data in it."""
    kept: list[Piece] = [
        Extent(field.at, field.end)
        for field in document.fields(part)
        if field.number not in (_TENSOR_EXTERNAL_DATA, _TENSOR_DATA_LOCATION)
    ]
    body = [*kept, encode_length_prefix(_TENSOR_RAW_DATA, data.end - data.start), data]
    return [encode_length_prefix(_INITIALIZER, size_of(body)), *body]


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


def _read_skeleton(document: Document, layout: _Layout) -> onnx.ModelProto:
    """Parse the model without its weights; each of them becomes an input of its type and shape."""
    import onnx
    from google.protobuf.message import DecodeError

    kept = [part for part in layout.parts if part not in layout.weights]
    around = [field for field in layout.model if field.number != _GRAPH]
    if sum(field.end - field.at for field in (*kept, *around)) > _MAX_SKELETON:
        raise ReshapeError("too much of it is not initializers")
    graph = b"".join(
        _bytes_of(document, _embedded(document, part, layout.external[part]))
        if part in layout.external
        else document.data[part.at : part.end]
        for part in kept
    )
    rest = b"".join(document.data[field.at : field.end] for field in around)
    try:
        model = onnx.ModelProto.FromString(encode_bytes(_GRAPH, graph) + rest)
    except DecodeError as error:
        raise Damaged(f"is not readable as an ONNX model ({error})") from None
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


def _infer(
    model: onnx.ModelProto, weights: set[str], batch: int
) -> tuple[onnx.ValueInfoProto, set[str]]:
    """Give the batch size to `model` and its shapes to every value.

    Returns
    -------
    image : ValueInfoProto
        The model's input.
    changed : set of str
        The constants that had the old batch size as the first number of a Reshape.
    """
    import onnx.checker
    import onnx.shape_inference

    graph = model.graph
    for node in graph.node:
        if any(attribute.HasField("g") or attribute.graphs for attribute in node.attribute):
            raise ReshapeError(f"it has control flow (the operator {node.op_type} {node.name!r})")
    constants = weights | {tensor.name for tensor in graph.initializer}
    constants |= {tensor.values.name for tensor in graph.sparse_initializer}
    image, old = _set_batch(graph, constants, batch)
    changed = _free_reshapes(graph, image.name, old, batch) if old > 0 and old != batch else set()

    annotations = {value.name: value for value in graph.value_info}
    del graph.value_info[:]
    for value in graph.output:
        value.type.tensor_type.ClearField("shape")
    read = {name for node in graph.node for name in node.input}
    read |= {value.name for value in graph.output}
    try:
        inferred, values = _infer_shapes(model, image.name, batch)
        _require_batch(inferred.graph, batch, read)
        _require_rows(inferred, model, image.name, values, batch, read)
        onnx.checker.check_model(inferred, full_check=True)
    except (onnx.shape_inference.InferenceError, onnx.checker.ValidationError) as error:
        reason = " ".join(str(error).split())[:500]
        raise ReshapeError(f"its operators do not allow it ({reason})") from None

    del graph.output[:]
    graph.output.extend(inferred.graph.output)
    given = {value.name for value in graph.input}
    replaced = [value for value in inferred.graph.input if value.name not in given]
    for value in (*inferred.graph.value_info, *replaced):
        if value.name not in read and _elements(value) is None:
            continue
        record = graph.value_info.add()
        # Keep other fields of the value, a comment for example.
        record.CopyFrom(annotations.get(value.name, value))
        record.type.CopyFrom(value.type)
    for name, value in annotations.items():
        if name in constants:
            graph.value_info.append(value)
    return image, changed


def _free_reshapes(graph: onnx.GraphProto, image: str, old: int, batch: int) -> set[str]:
    """Put the new batch size into the constants by which data is reshaped; return their names.

    Exporters write the fixed batch of the example as a number. Whether the rows stay rows is
    checked afterwards, as for any other Reshape.
    """
    from onnx import numpy_helper

    dependent = {image}
    shared = {value.name for value in graph.output}
    targets = set()
    for node in graph.node:
        if node.op_type not in ("Shape", "Size") and dependent.intersection(node.input):
            dependent.update(node.output)
        for index, name in enumerate(node.input):
            if node.op_type == "Reshape" and index == 1 and node.input[0] in dependent:
                targets.add(name)
            else:
                shared.add(name)
    targets -= shared
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant" and node.attribute and node.attribute[0].name == "value":
            tensors[node.output[0]] = node.attribute[0].t
    changed = set()
    for name in targets & tensors.keys():
        sizes = numpy_helper.to_array(tensors[name])
        if sizes.ndim == 1 and sizes.size and sizes[0] == old:
            sizes = sizes.copy()
            sizes[0] = batch
            tensors[name].CopyFrom(numpy_helper.from_array(sizes, tensors[name].name))
            changed.add(name)
    return changed


def _set_batch(
    graph: onnx.GraphProto, constants: set[str], batch: int
) -> tuple[onnx.ValueInfoProto, int]:
    """Fix the batch size of the model's one input; return that and its old batch, or 0."""
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
    old = first.dim_value
    first.dim_value = batch
    return image, old


def _infer_shapes(
    model: onnx.ModelProto, image: str, batch: int
) -> tuple[onnx.ModelProto, dict[str, Value]]:
    """Infer every shape of `model`; return a copy that has them, and the small values in it.

    Inference stops where a shape is computed by operators. These are evaluated here, replaced by
    constants in the copy, and inference is run again, until nothing new is found.
    """
    import onnx
    from onnx import numpy_helper

    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    # Until IR version 4, each initializer had to be an input as well.
    copy.ir_version = max(copy.ir_version, 4)
    values = {
        tensor.name: constant(numpy_helper.to_array(tensor))
        for tensor in copy.graph.initializer
        if math.prod(tensor.dims) <= MAX_ELEMENTS
    }
    weights = {value.name for value in copy.graph.input if value.name != image}
    for _ in range(_ROUNDS):
        inferred = onnx.shape_inference.infer_shapes(
            copy, check_type=True, strict_mode=True, data_prop=True
        )
        shapes = _known_shapes(inferred.graph)
        found = _evaluate(copy.graph, shapes, values, weights, batch)
        values.update(found)
        added = _infer_contributed(copy.graph, inferred.graph, shapes)
        if not _replace(copy.graph, found) and not added:
            break
    return inferred, values


def _known_shapes(graph: onnx.GraphProto) -> dict[str, tuple[int, ...]]:
    found = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    for value in (*graph.input, *graph.value_info, *graph.output):
        if _elements(value) is not None:
            dims = value.type.tensor_type.shape.dim
            found[value.name] = tuple(dim.dim_value for dim in dims)
    return found


def _evaluate(
    graph: onnx.GraphProto,
    shapes: Mapping[str, tuple[int, ...]],
    known: Mapping[str, Value],
    weights: set[str],
    batch: int,
) -> dict[str, Value]:
    """Return the values that can be computed now, and could not be before."""
    values = dict(known)
    static = {tensor.name for tensor in graph.initializer} | weights
    for node in graph.node:
        if all(name in values for name in node.output):
            continue
        outputs: list[Value] | None = None
        if node.op_type in ("Shape", "Size") and node.domain in ("", "ai.onnx"):
            name = node.input[0]
            if name in shapes:
                shape = shapes[name]
                rows = name not in static and bool(shape) and shape[0] == batch
                outputs = [_shape_of(node, shape_value(shape, rows=rows))]
        elif all(not name or name in values for name in node.input):
            outputs = evaluate(node, [values.get(name) for name in node.input])
        if outputs is not None:
            values.update(zip(node.output, outputs, strict=False))
        elif all(name in static or name in known for name in node.input):
            static.update(node.output)
    return {name: value for name, value in values.items() if name not in known}


def _shape_of(node: onnx.NodeProto, value: Value) -> Value:
    """Return the output of the operator Shape, or Size, for a shape."""
    import numpy as np

    if node.op_type == "Size":
        return Value(*(np.array(math.prod(one.tolist()), np.int64) for one in value))
    attributes = attributes_of(node)
    part = slice(attributes.get("start"), attributes.get("end"))
    return Value(*(one[part] for one in value))


def _replace(graph: onnx.GraphProto, values: Mapping[str, Value]) -> bool:
    """Replace the nodes that compute `values` by initializers; return whether there are some."""
    from onnx import numpy_helper

    nodes = list(graph.node)
    del graph.node[:]
    for node in nodes:
        if node.op_type == "Constant" or not any(name in values for name in node.output):
            graph.node.append(node)
            continue
        for name in filter(None, node.output):
            graph.initializer.append(numpy_helper.from_array(values[name].here, name))
    return len(graph.node) < len(nodes)


def _infer_contributed(
    graph: onnx.GraphProto, inferred: onnx.GraphProto, shapes: Mapping[str, tuple[int, ...]]
) -> bool:
    """Replace ONNX Runtime's own operators by inputs of their shape; return whether there were any.

    Quantized models consist of them as well; the onnx package knows none, and some of its releases
    infer nothing after one.
    """
    import onnx

    types = {value.name: value.type.tensor_type.elem_type for value in inferred.value_info}
    types |= {value.name: value.type.tensor_type.elem_type for value in inferred.input}
    types |= {tensor.name: tensor.data_type for tensor in inferred.initializer}
    nodes = list(graph.node)
    del graph.node[:]
    for node in nodes:
        shape, source = None, ""
        if node.domain == "com.microsoft":
            shape, source = contributed_shape(node, shapes)
        if shape is None or source not in types:
            graph.node.append(node)
            continue
        value = onnx.helper.make_tensor_value_info(node.output[0], types[source], shape)
        graph.input.append(value)
    return len(graph.node) < len(nodes)


def _require_rows(
    inferred: onnx.ModelProto,
    model: onnx.ModelProto,
    image: str,
    values: dict[str, Value],
    batch: int,
    read: set[str],
) -> None:
    """Require that every operator between input and outputs keeps a row an image."""
    opsets = {entry.domain: entry.version for entry in model.opset_import}
    graph = Graph(batch, opsets.get("", opsets.get("ai.onnx", 1)), _known_shapes(inferred.graph))
    graph.values, graph.read = values, read
    graph.rows.add(image)
    for name, value in values.items():
        if varies_in_rows(value, batch):
            graph.rows.add(name)
        elif value.varies:
            graph.varying.add(name)
    for node in model.graph.node:
        if not all(name in values for name in node.output):
            follow(graph, node)


def _require_batch(graph: onnx.GraphProto, batch: int, read: set[str]) -> None:
    """Compare every inferred shape with the batch size.

    Inference takes the numbers in a Reshape as they are, and a constant may have been made for
    another batch: both show in a count of elements or in an output.
    """
    values = {value.name: value for value in (*graph.input, *graph.value_info, *graph.output)}
    for value in (*graph.value_info, *graph.output):
        is_tensor = value.type.HasField("tensor_type") and value.name in read
        if is_tensor and _elements(value) is None:
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
    document: Document,
    layout: _Layout,
    new: onnx.GraphProto,
    image: onnx.ValueInfoProto,
    changed: set[str],
) -> list[Piece]:
    """Lay out the new file: the old one with the records of values replaced by those of `new`."""
    outputs = iter(new.output)
    nodes = iter(new.node)
    tensors = {tensor.name: tensor for tensor in new.initializer if tensor.name in changed}
    graph: list[Piece] = []
    for part in layout.parts:
        if part.number == _INPUT and read_value_info(document, part).name == image.name:
            graph.append(encode_bytes(_INPUT, image.SerializeToString()))
        elif part.number == _OUTPUT:
            graph.append(encode_bytes(_OUTPUT, next(outputs).SerializeToString()))
        elif part.number == _NODE:
            node = next(nodes)
            is_changed = node.op_type == "Constant" and node.output[0] in changed
            record = Extent(part.at, part.end)
            graph.append(encode_bytes(_NODE, node.SerializeToString()) if is_changed else record)
        elif part.number == _INITIALIZER and part not in layout.weights and tensors:
            name = read_tensor(document, part).name
            if name in tensors:
                graph.append(encode_bytes(_INITIALIZER, tensors[name].SerializeToString()))
            else:
                graph += _kept(document, layout, part)
        elif part.number == _INITIALIZER:
            graph += _kept(document, layout, part)
        elif part.number != _VALUE_INFO:
            graph.append(Extent(part.at, part.end))
    graph += [encode_bytes(_VALUE_INFO, value.SerializeToString()) for value in new.value_info]

    if size_of(graph) > _MAX_GRAPH:
        raise ReshapeError("it would be larger than 2 GB, with its weights in one file")
    pieces: list[Piece] = []
    for field in layout.model:
        if field is layout.graph:
            pieces.append(encode_length_prefix(_GRAPH, size_of(graph)))
            pieces += graph
        else:
            pieces.append(Extent(field.at, field.end))
    return pieces


def _kept(document: Document, layout: _Layout, part: Field) -> list[Piece]:
    """Lay out an initializer that stays, with its data in it."""
    if part in layout.external:
        return _embedded(document, part, layout.external[part])
    return [Extent(part.at, part.end)]


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
