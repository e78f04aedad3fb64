"""What the last layers of an ONNX graph are, to count its classes."""

from __future__ import annotations

import math

from cmx_resnet50.formats.classifier import Kind, Layer, count_classes
from cmx_resnet50.formats.facts import TensorInfo
from cmx_resnet50.formats.onnx.graph import GEMMS, MAX_DEPTH, Graph, Node
from cmx_resnet50.formats.tensors import (
    layout_of,
)

_HEAD = {
    "ArgMax": Kind.ARGMAX,
    "AveragePool": Kind.POOL,
    "Cast": Kind.PASS,
    "Clip": Kind.RECTIFY,
    "Conv": Kind.CONVOLUTION,
    "DequantizeLinear": Kind.PASS,
    "Dropout": Kind.PASS,
    "Flatten": Kind.PASS,
    "Gemm": Kind.DENSE,
    "GlobalAveragePool": Kind.POOL,
    "GlobalMaxPool": Kind.POOL,
    "Hardmax": Kind.SOFTMAX,
    "Identity": Kind.PASS,
    "LogSoftmax": Kind.SOFTMAX,
    "MatMul": Kind.DENSE,
    "QGemm": Kind.DENSE,
    "QLinearAveragePool": Kind.POOL,
    "QLinearConv": Kind.CONVOLUTION,
    "QLinearGlobalAveragePool": Kind.POOL,
    "QLinearMatMul": Kind.DENSE,
    "QuantizeLinear": Kind.PASS,
    "ReduceMean": Kind.POOL,
    "Relu": Kind.RECTIFY,
    "Reshape": Kind.PASS,
    "Softmax": Kind.SOFTMAX,
    "Squeeze": Kind.PASS,
    "TopK": Kind.PASS,
    "Unsqueeze": Kind.PASS,
}

_UNITS = {
    "Conv": (1, 0),
    "Gemm": (1, 0),
    "MatMul": (1, -1),
    "QGemm": (3, 0),
    "QLinearConv": (3, 0),
    "QLinearMatMul": (3, -1),
}
"""The input with the weights, and their axis that is as long as there are scores."""

_SAME_WEIGHT = frozenset({"Cast", "DequantizeLinear", "Identity", "Transpose"})


def count_classes_of(graph: Graph, inputs: list[TensorInfo]) -> int | None:
    """Return the number of classes, None if the head is not a classifier's."""

    def layer_of(name: str) -> Layer | None:
        node = graph.makers.get(name)
        if node is None or not node.inputs:
            return None
        if node.op == "Add":
            return _bias_of(graph, node)
        kind = _HEAD.get(node.op)
        if kind is None:
            return None
        units = None
        if node.op in _UNITS:
            place, axis = _UNITS[node.op]
            dims = _constant_dims(graph, node.inputs[place]) if place < len(node.inputs) else None
            if dims is None or len(dims) < 2:
                return None
            if node.op in GEMMS and not node.transposed:
                axis = 1
            units = dims[axis]
        return Layer(kind, node.inputs[0], units)

    is_image = layout_of([info.shape for info in inputs]) is not None
    return count_classes(inputs, graph.outputs, layer_of, is_image=is_image)


def _bias_of(graph: Graph, node: Node) -> Layer | None:
    """Return an Add of a vector as a layer, None for any other Add."""
    for index, name in enumerate(node.inputs):
        dims = _constant_dims(graph, name)
        if dims is not None and len(dims) and math.prod(dims) == dims[-1]:
            return Layer(Kind.PASS, node.inputs[1 - index], dims[-1])
    return None


def _constant_dims(graph: Graph, name: str) -> tuple[int, ...] | None:
    """Return the shape of a weight, which may be stored quantized or transposed."""
    dims = None
    turned = False
    for _ in range(MAX_DEPTH):
        tensor = graph.parameters.get(name)
        if tensor is not None:
            dims = tensor.dims[::-1] if turned else tensor.dims
            break
        node = graph.makers.get(name)
        if node is None or node.op not in _SAME_WEIGHT or not node.inputs:
            break
        turned ^= node.op == "Transpose"
        name = node.inputs[0]
    return dims
