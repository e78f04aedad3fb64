"""The graph of an ONNX file: inputs, outputs, nodes and weights, also of the graphs inside it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from cmx_resnet50.formats.facts import NotReadHere, TensorInfo
from cmx_resnet50.formats.onnx.records import Tensor, read_tensor, read_value_info
from cmx_resnet50.formats.protobuf import Document, Field

_BODIES = frozenset({"If", "Loop", "Scan", "SequenceMap"})
"""Operators whose attributes are graphs."""

MAX_DEPTH = 16
"""Graphs inside graphs."""

STANDARD = frozenset({"", "ai.onnx", "ai.onnx.ml", "ai.onnx.training", "ai.onnx.preview.training"})
"""The domains of operators that ONNX defines."""

GEMMS = frozenset({"Gemm", "QGemm"})


class Node(NamedTuple):
    """An operator: what it is, and what it reads."""

    op: str
    inputs: tuple[str, ...]
    transposed: bool
    """The attribute transB."""


@dataclass
class Graph:
    """What is read of a graph."""

    parameters: dict[str, Tensor] = field(default_factory=dict)
    initializers: set[str] = field(default_factory=set)
    inputs: list[TensorInfo] = field(default_factory=list)
    outputs: list[TensorInfo] = field(default_factory=list)
    makers: dict[str, Node] = field(default_factory=dict)
    inner: list[Tensor] = field(default_factory=list)
    """The constants of graphs inside this one, and of the model's functions."""
    operators: dict[str, set[str]] = field(default_factory=dict)
    """The operators in it and inside it, by domain."""


def read_graph(document: Document, record: Field, depth: int = 0) -> Graph:
    """Read a GraphProto; `depth` counts the graphs around it.

    Raises
    ------
    Damaged
        If it contradicts the format.
    NotReadHere
        If it exceeds a limit.
    """
    if depth > MAX_DEPTH:
        raise NotReadHere(f"nests graphs deeper than {MAX_DEPTH}, the limit here", record.at)
    graph = Graph()
    for item in document.fields(record):
        if item.number == 1:
            _read_node(document, item, graph, depth)
        elif item.number == 5:
            tensor = read_tensor(document, item)
            graph.parameters[tensor.name] = tensor
            graph.initializers.add(tensor.name)
        elif item.number == 15:
            values = document.only(item, 1)
            if values is not None:
                tensor = read_tensor(document, values)
                graph.parameters[tensor.name] = tensor
                graph.initializers.add(tensor.name)
        elif item.number == 11:
            graph.inputs.append(read_value_info(document, item))
        elif item.number == 12:
            graph.outputs.append(read_value_info(document, item))
    return graph


def read_function(document: Document, record: Field, functions: Graph) -> tuple[str, str]:
    """Add the nodes of a FunctionProto to `functions`; return its domain and name."""
    name = domain = ""
    for item in document.fields(record):
        if item.number == 1:
            name = document.text(item)
        elif item.number == 7:
            function = Graph()
            _read_node(document, item, function, 1)
            _add_inner(functions, function)
        elif item.number == 10:
            domain = document.text(item)
    return domain, name


def _add_inner(graph: Graph, inner: Graph) -> None:
    graph.inner += [*inner.parameters.values(), *inner.inner]
    for domain, operators in inner.operators.items():
        graph.operators.setdefault(domain, set()).update(operators)


def _read_node(document: Document, record: Field, graph: Graph, depth: int) -> None:
    inputs = []
    outputs = []
    attributes = []
    op = domain = ""
    for item in document.fields(record):
        if item.number == 1:
            inputs.append(document.text(item))
        elif item.number == 2:
            outputs.append(document.text(item))
        elif item.number == 4:
            op = document.text(item)
        elif item.number == 5:
            attributes.append(item)
        elif item.number == 7:
            domain = document.text(item)
    graph.operators.setdefault(domain, set()).add(op)
    if op in _BODIES or domain not in STANDARD:
        for attribute in attributes:
            for item in document.fields(attribute):
                if item.number in (6, 11):
                    _add_inner(graph, read_graph(document, item, depth + 1))
    if op == "Constant" and len(outputs) == 1:
        for attribute in attributes:
            value = document.only(attribute, 5)
            if value is not None:
                graph.parameters[outputs[0]] = read_tensor(document, value)
    else:
        node = Node(op, tuple(inputs), op in GEMMS and _is_transposed(document, attributes))
        for output in outputs:
            graph.makers[output] = node


def _is_transposed(document: Document, attributes: list[Field]) -> bool:
    for attribute in attributes:
        name, value = document.only(attribute, 1), document.only(attribute, 3)
        if name is not None and value is not None and document.text(name) == "transB":
            return bool(document.integer(value))
    return False
