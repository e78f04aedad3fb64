"""A node of an ONNX graph as a rule reads it: shapes, values, and which of them have rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cmx_resnet50.rewrite.errors import ReshapeError
from cmx_resnet50.rewrite.onnx_values import Value, attributes_of

if TYPE_CHECKING:
    import onnx


Shape = tuple[int, ...]


@dataclass
class Graph:
    """What is known of the values of a graph at the new batch size."""

    batch: int
    opset: int
    shapes: dict[str, Shape] = field(default_factory=dict)
    values: dict[str, Value] = field(default_factory=dict)
    rows: set[str] = field(default_factory=set)
    """The values with a row an image along axis 0."""
    varying: set[str] = field(default_factory=set)
    """The values that depend on the batch size, other than by having rows."""
    read: set[str] = field(default_factory=set)
    """The values that an operator reads, or that are outputs."""


class Call:
    """A node, and what is known of its inputs and outputs."""

    def __init__(self, graph: Graph, node: onnx.NodeProto) -> None:
        self.graph = graph
        self.node = node
        self.attributes: Mapping[str, Any] = attributes_of(node)

    def refuse(self, why: str) -> ReshapeError:
        """Return the error that names the node."""
        return ReshapeError(f"its operator {self.node.op_type} {self.node.name!r} {why}")

    def has(self, index: int) -> bool:
        """Whether an input is there."""
        return len(self.node.input) > index and bool(self.node.input[index])

    def rows(self, index: int) -> bool:
        """Whether an input has a row an image."""
        return self.has(index) and self.node.input[index] in self.graph.rows

    def shape(self, index: int) -> Shape:
        """Return the shape of an input, which must be known."""
        name = self.node.input[index] if self.has(index) else ""
        if name not in self.graph.shapes:
            raise self.refuse(f"reads {name!r}, whose shape is not known here")
        return self.graph.shapes[name]

    def output(self, index: int = 0) -> Shape:
        """Return the shape of an output, which must be known."""
        name = self.node.output[index]
        if name not in self.graph.shapes:
            raise self.refuse(f"gives {name!r}, whose shape is not known here")
        return self.graph.shapes[name]

    def integers(self, index: int, name: str) -> list[int] | None:
        """Return integers that are an input or, in older operator sets, an attribute."""
        if self.has(index):
            value = self.graph.values.get(self.node.input[index])
            if value is None:
                raise self.refuse(f"reads {self.node.input[index]!r}, which is not known here")
            return [int(item) for item in value.here.reshape(-1)]
        given = self.attributes.get(name)
        return None if given is None else [int(item) for item in given]

    def constants(self, indices: Iterable[int]) -> None:
        """Require that inputs depend on neither images nor batch."""
        for index in indices:
            if self.has(index):
                name = self.node.input[index]
                if name in self.graph.rows or name in self.graph.varying:
                    raise self.refuse(f"reads {name!r}, which depends on the batch")

    def axis(self, axis: int, rank: int, *, rows: bool = True) -> int:
        """Return a valid axis from 0 on; that of the images is refused if there are `rows`."""
        found = axis + rank if axis < 0 else axis
        if not 0 <= found < rank:
            raise self.refuse(f"has the axis {axis} of {rank}")
        if rows and found == 0:
            raise self.refuse("works along the axis of the images")
        return found


Rule = Callable[[Call], "tuple[int, ...] | None"]
"""Returns the outputs that have rows; None for all of them, if an input has."""


def require_constant(call: Call, index: int, rank: int) -> None:
    """Require that an input is the same for all images, in a result of `rank` axes."""
    name = call.node.input[index]
    shape = call.shape(index)
    if name in call.graph.varying or (len(shape) == rank and shape and shape[0] != 1):
        raise call.refuse(f"binds another batch: {name!r} has the shape {list(shape)}")
