"""The reader of TensorFlow frozen graphs (a GraphDef in one file), without TensorFlow.

A frozen graph is a list of nodes; the weights are in the attribute ``value`` of its Const nodes
and are skipped. The numbers of fields are those of TensorFlow's ``graph.proto`` and
``versions.proto`` (https://github.com/tensorflow/tensorflow).
"""

from __future__ import annotations

import math
import re
from collections import Counter
from pathlib import Path

from cmx_resnet50.formats.facts import ModelFacts, TensorInfo
from cmx_resnet50.formats.protobuf import LENGTH, VARINT, Document, Field, map_file, peek
from cmx_resnet50.formats.tensorflow.graph import Graph, read_graph
from cmx_resnet50.formats.tensorflow.head import count_classes_of
from cmx_resnet50.formats.tensorflow.nodes import (
    DTYPES,
    INPUT_OPS,
    NODE_NAME,
    OP_NAME,
    Node,
    producer_of,
    read_attributes,
    read_shape,
)
from cmx_resnet50.formats.tensorflow.outputs import read_dtype
from cmx_resnet50.formats.tensors import layout_of, precision_of

_GRAPH_FIELDS = {
    1: LENGTH,  # node
    2: LENGTH,  # library
    3: VARINT,  # version, of before VersionDef
    4: LENGTH,  # versions
    5: LENGTH,  # debug_info
}

_NO_RESULT = INPUT_OPS | {"Const", "NoOp"}

_SCALAR_PLACEHOLDERS = 24
"""Producers before this one wrote an empty shape for a Placeholder of unknown rank."""

_RESULTS = frozenset({"ArgMax", "softmax_tensor"})
"""The outputs by name of the MLPerf graph, which stay outputs where another node reads them."""


def sniff(head: bytes) -> bool:
    """Detect a TensorFlow graph by the first bytes of the file."""
    fields = peek(head)
    if not fields or any(_GRAPH_FIELDS.get(found.number) != found.wire for found in fields):
        return False
    node = next((found for found in fields if found.number == 1), None)
    if node is None:
        return False
    # Many a protobuf message begins with a length-delimited field 1: a node has a name and an op.
    inner = peek(head[node.value : node.end])
    name = next((found for found in inner if found.number == 1), None)
    op = next((found for found in inner if found.number == 2), None)
    return (
        name is not None
        and _looks_like(NODE_NAME, head, node, name)
        and (op is None or _looks_like(OP_NAME, head, node, op))
    )


def read_facts(path: Path) -> ModelFacts:
    """Read the facts of a frozen graph, without its weights.

    Raises
    ------
    NotAModel
        If `path` is not a regular file, or empty.
    Damaged
        If the file contradicts the format: cut, altered or hostile.
    NotReadHere
        If it exceeds a limit, or has types that are not known here.
    OSError
        If the file cannot be read.
    """
    with map_file(path) as document:
        graph = read_graph(document)
        consumed = {producer_of(name)[0] for node in graph.nodes.values() for name in node.inputs}
        inputs = [
            _describe(document, graph, node)
            for node in graph.nodes.values()
            if node.op in INPUT_OPS
        ]
        results = [
            node
            for node in graph.nodes.values()
            if node.op not in _NO_RESULT and (node.name not in consumed or node.name in _RESULTS)
        ]
        outputs = [_describe(document, graph, node) for node in results]
        classes = count_classes_of(document, graph, inputs, outputs)

    constants = [*graph.constants.values(), *graph.functions]
    sizes: Counter[str] = Counter()
    for constant in constants:
        sizes[DTYPES[constant.dtype][0]] += constant.size
    return ModelFacts(
        format="tensorflow",
        version=graph.version,
        inputs=tuple(inputs),
        outputs=tuple(outputs),
        layout=layout_of([info.shape for info in inputs]),
        precision=precision_of(sizes) if graph.frozen else None,
        classes=classes,
        parameter_count=sum(math.prod(c.dims) for c in constants) if graph.frozen else None,
        parameter_bytes=sum(c.size for c in constants) if graph.frozen else None,
    )


def _looks_like(pattern: re.Pattern[str], head: bytes, node: Field, part: Field) -> bool:
    """Whether the text `part` inside `node` matches, as far as it is in `head`."""
    if part.wire != LENGTH:
        return False
    text = head[node.value + part.value : node.value + part.end]
    return bool(text) and pattern.fullmatch(text.decode("latin-1")) is not None


def _describe(document: Document, graph: Graph, node: Node) -> TensorInfo:
    """Return name, shape and type of a node's first result, as far as its attributes have them."""
    attributes = read_attributes(document, node)
    record = None
    if "_output_shapes" in attributes:
        shapes = document.only(attributes["_output_shapes"], 1)
        if shapes is not None:
            record = next((item for item in document.fields(shapes) if item.number == 7), None)
    elif node.op in INPUT_OPS and "shape" in attributes:
        record = document.only(attributes["shape"], 7)
    shape = None if record is None else read_shape(document, record)
    if shape == () and node.op in INPUT_OPS:
        producer = graph.version.get("producer", 0)
        if isinstance(producer, int) and producer < _SCALAR_PLACEHOLDERS:
            shape = None
    return TensorInfo(node.name, shape, read_dtype(document, node, attributes))
