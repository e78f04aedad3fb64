"""What the last layers of a frozen graph are, to count its classes."""

from __future__ import annotations

from cmx_resnet50.formats.classifier import Kind, Layer, count_classes
from cmx_resnet50.formats.facts import TensorInfo
from cmx_resnet50.formats.protobuf import Document
from cmx_resnet50.formats.tensorflow.graph import Graph
from cmx_resnet50.formats.tensorflow.nodes import is_true, producer_of
from cmx_resnet50.formats.tensors import layout_of

_HEAD = {
    "Add": Kind.PASS,
    "AddV2": Kind.PASS,
    "ArgMax": Kind.ARGMAX,
    "AvgPool": Kind.POOL,
    "BiasAdd": Kind.PASS,
    "Cast": Kind.PASS,
    "Conv2D": Kind.CONVOLUTION,
    "ExpandDims": Kind.PASS,
    "Identity": Kind.PASS,
    "LogSoftmax": Kind.SOFTMAX,
    "MatMul": Kind.DENSE,
    "Mean": Kind.POOL,
    "Relu": Kind.RECTIFY,
    "Relu6": Kind.RECTIFY,
    "Reshape": Kind.PASS,
    "Softmax": Kind.SOFTMAX,
    "Squeeze": Kind.PASS,
    "TopKV2": Kind.PASS,
}

_BIASES = frozenset({"Add", "AddV2", "BiasAdd"})

_UNITS = {"Conv2D": (4, 3), "MatMul": (2, 1)}
"""The rank of the weights, and their axis that is as long as there are scores."""


def count_classes_of(
    document: Document, graph: Graph, inputs: list[TensorInfo], outputs: list[TensorInfo]
) -> int | None:
    """Return the number of classes, None if the head is not a classifier's."""

    def dims_of(name: str) -> tuple[int, ...] | None:
        # A graph that was frozen from variables reads each of them through an Identity.
        node = graph.nodes[name]
        if node.op == "Identity" and node.inputs:
            name = producer_of(node.inputs[0])[0]
        constant = graph.constants.get(name)
        return None if constant is None else constant.dims

    def layer_of(name: str) -> Layer | None:
        node = graph.nodes[name]
        sources = [producer_of(edge)[0] for edge in node.inputs if not edge.startswith("^")]
        kind = _HEAD.get(node.op)
        if not sources or kind is None:
            return None
        if node.op in _BIASES:
            for index, source in enumerate(sources[:2]):
                dims = dims_of(source)
                if dims is not None and len(dims) == 1:
                    return Layer(kind, sources[1 - index], dims[0])
            return None
        units = None
        if node.op in _UNITS:
            dims = dims_of(sources[1]) if len(sources) > 1 else None
            rank, axis = _UNITS[node.op]
            if dims is None or len(dims) != rank:
                return None
            if node.op == "MatMul" and is_true(document, node, "transpose_b"):
                axis = 0
            units = dims[axis]
        return Layer(kind, sources[0], units)

    is_image = layout_of([info.shape for info in inputs]) is not None
    return count_classes(inputs, outputs, layer_of, is_image=is_image)
