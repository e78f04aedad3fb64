"""Every shape of an ONNX model at a given batch size, and whether its rows stay rows.

The onnx package infers shapes; where operators compute one, they are evaluated and inference goes
on.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from cmx_resnet50.rewrite.errors import ReshapeError
from cmx_resnet50.rewrite.onnx_rules.call import Graph
from cmx_resnet50.rewrite.onnx_rules.contributed import contributed_shape
from cmx_resnet50.rewrite.onnx_rules.table import follow, varies_in_rows
from cmx_resnet50.rewrite.onnx_values import (
    MAX_ELEMENTS,
    Value,
    attributes_of,
    constant,
    evaluate,
    shape_value,
)

if TYPE_CHECKING:
    import onnx


_ROUNDS = 64
"""Runs of shape inference; each gets past a shape that operators compute."""


def infer(
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
