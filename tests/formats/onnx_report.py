"""What the onnx package says of a model, in the words of our reader."""

from __future__ import annotations

import math

import onnx
from onnx import TensorProto, helper

from cmx_resnet50.formats.facts import ModelFacts, TensorInfo

SMALL = {
    "BFLOAT16": "bfloat16",
    "FLOAT8E4M3FN": "float8_e4m3fn",
    "FLOAT8E4M3FNUZ": "float8_e4m3fnuz",
    "FLOAT8E5M2": "float8_e5m2",
    "FLOAT8E5M2FNUZ": "float8_e5m2fnuz",
    "INT4": "int4",
    "UINT4": "uint4",
}


def weights(graph: onnx.GraphProto | onnx.FunctionProto) -> list[onnx.TensorProto]:
    """Return the constants of a graph, and of those inside it."""
    found = []
    if isinstance(graph, onnx.GraphProto):
        found = [*graph.initializer, *(sparse.values for sparse in graph.sparse_initializer)]
    for node in graph.node:
        for attribute in node.attribute:
            if node.op_type == "Constant" and attribute.HasField("t"):
                found.append(attribute.t)
            for inner in (*attribute.graphs, *([attribute.g] if attribute.HasField("g") else ())):
                found += weights(inner)
    return found


def reported(model: onnx.ModelProto) -> dict[str, object]:
    """Say of a parsed model what the reader says of its file."""
    graph = model.graph
    initializers = [*graph.initializer, *(sparse.values for sparse in graph.sparse_initializer)]
    constants = weights(graph) + [w for function in model.functions for w in weights(function)]
    names = {tensor.name for tensor in initializers}
    opsets = {entry.domain: entry.version for entry in model.opset_import}
    default = opsets.get("", opsets.get("ai.onnx"))
    return {
        "version": {"ir": model.ir_version} | ({} if default is None else {"opset": default}),
        "producer": " ".join(filter(None, [model.producer_name, model.producer_version])) or None,
        "inputs": tuple(info(value) for value in graph.input if value.name not in names),
        "outputs": tuple(info(value) for value in graph.output),
        "parameter_count": sum(math.prod(tensor.dims) for tensor in constants),
        "metadata": {entry.key: entry.value for entry in model.metadata_props},
    }


def info(value: onnx.ValueInfoProto) -> TensorInfo:
    kind = value.type.tensor_type
    if not value.type.HasField("tensor_type"):
        return TensorInfo(value.name, None, None)
    known = kind.elem_type != TensorProto.UNDEFINED
    dtype = dtype_name(kind.elem_type) if known else None
    if not kind.HasField("shape"):
        return TensorInfo(value.name, None, dtype)
    shape = tuple(
        dim.dim_value if dim.HasField("dim_value") and dim.dim_value >= 0 else dim.dim_param or None
        for dim in kind.shape.dim
    )
    return TensorInfo(value.name, shape, dtype)


def dtype_name(number: int) -> str:
    """Name an element type as NumPy does; older releases of onnx only have a wider one for some."""
    name = TensorProto.DataType.Name(number)
    return SMALL.get(name) or helper.tensor_dtype_to_np_dtype(number).name


def seen(facts: ModelFacts) -> dict[str, object]:
    keys = ("version", "producer", "inputs", "outputs", "parameter_count", "metadata")
    return {key: getattr(facts, key) for key in keys}
