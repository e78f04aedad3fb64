"""A frozen graph: its nodes and constants, and whether it is frozen at all."""

from __future__ import annotations

from dataclasses import dataclass, field

from cmx_resnet50.formats.facts import Damaged
from cmx_resnet50.formats.protobuf import Document, Field
from cmx_resnet50.formats.tensorflow.nodes import (
    Constant,
    Node,
    producer_of,
    read_attributes,
    read_constant,
    read_node,
)

_VARIABLES = frozenset(
    {
        "AutoReloadVariable",
        "ReadVariableOp",
        "ResourceGather",
        "TemporaryVariable",
        "VarHandleOp",
        "Variable",
        "VariableV2",
    }
)
"""Operations of a graph that is not frozen: its weights are in another file."""


@dataclass
class Graph:
    """What is read of a GraphDef."""

    nodes: dict[str, Node] = field(default_factory=dict)
    constants: dict[str, Constant] = field(default_factory=dict)
    functions: list[Constant] = field(default_factory=list)
    """The constants inside functions of the graph's library."""
    version: dict[str, int | str] = field(default_factory=dict)
    frozen: bool = True
    """Whether all weights are constants in this file."""


def read_graph(document: Document) -> Graph:
    """Read a GraphDef.

    Raises
    ------
    Damaged
        If two nodes have one name, or one reads what does not exist.
    """
    graph = Graph()
    for item in document.fields():
        if item.number == 1:
            node = read_node(document, item)
            if node.name in graph.nodes:
                raise Damaged(f"two nodes have the name {node.name!r}", item.at)
            if node.op == "Const":
                graph.constants[node.name] = _read_const(document, node, item)
            graph.nodes[node.name] = node
            graph.frozen &= node.op not in _VARIABLES
        elif item.number == 2:
            _read_library(document, item, graph)
        elif item.number == 3:
            graph.version.setdefault("producer", document.integer(item))
        elif item.number == 4:
            for entry in document.fields(item):
                if entry.number in (1, 2):
                    key = "producer" if entry.number == 1 else "min_consumer"
                    graph.version[key] = document.integer(entry)
    for node in graph.nodes.values():
        for edge in node.inputs:
            if producer_of(edge)[0] not in graph.nodes:
                raise Damaged(f"the node {node.name!r} reads {edge!r}, which does not exist")
    return graph


def _read_const(document: Document, node: Node, record: Field) -> Constant:
    value = read_attributes(document, node).get("value")
    if value is None:
        raise Damaged(f"the constant {node.name!r} has no value", record.at)
    return read_constant(document, node, value)


def _read_library(document: Document, record: Field, graph: Graph) -> None:
    """Collect the constants of the functions that the nodes of `graph` may call."""
    for function in document.fields(record):
        if function.number != 1:
            continue
        for item in document.fields(function):
            if item.number == 3:
                node = read_node(document, item)
                if node.op == "Const":
                    graph.functions.append(_read_const(document, node, item))
                graph.frozen &= node.op not in _VARIABLES
