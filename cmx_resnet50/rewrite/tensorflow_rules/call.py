"""A node and the tensors that it reads, as far as a graph can be evaluated without data."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from cmx_resnet50.formats.protobuf import Document, Field
from cmx_resnet50.formats.tensorflow.nodes import Node
from cmx_resnet50.rewrite.errors import ReshapeError

Shape = tuple[int, ...]
Number = tuple[int, int]
"""An integer at the new batch size, and what it would be at the next one."""

MAX_NUMBERS = 255
"""Integers of one tensor that are followed: shapes, axes, sizes of padding."""

_INTEGERS = frozenset({3, 9})  # DT_INT32, DT_INT64


class Tensor(NamedTuple):
    """An output of a node.

    Parameters
    ----------
    shape : tuple of int, optional
        None if it is not known here.
    rows : bool
        Whether it is computed from the images, with a row for each of them along axis 0.
    numbers : tuple of Number, optional
        Its elements, if they are few integers that do not depend on the images.
    varies : bool
        Whether it depends on the batch size, other than by having rows.
    """

    shape: Shape | None
    rows: bool = False
    numbers: tuple[Number, ...] | None = None
    varies: bool = False


@dataclass(frozen=True)
class Call:
    """A node with the tensors that it reads."""

    document: Document
    node: Node
    attributes: Mapping[str, Field]
    inputs: tuple[Tensor, ...]
    batch: int

    def refuse(self, why: str) -> ReshapeError:
        """Return the error that names the node."""
        return ReshapeError(f"its operator {self.node.op} {self.node.name!r} {why}")

    def tensor(self, index: int) -> Tensor:
        """Return an input."""
        try:
            return self.inputs[index]
        except IndexError:
            raise self.refuse("has too few inputs") from None

    def shape(self, index: int) -> Shape:
        """Return the shape of an input, which must be known."""
        shape = self.tensor(index).shape
        if shape is None:
            raise self.refuse(f"reads {self.edge(index)!r}, whose shape is not known here")
        return shape

    def edge(self, index: int) -> str:
        """Return the name of an input."""
        return [edge for edge in self.node.inputs if not edge.startswith("^")][index]

    def integers(self, index: int) -> list[int]:
        """Return the elements of an input of integers, which must be known."""
        numbers = self.tensor(index).numbers
        if numbers is None:
            raise self.refuse(f"reads the numbers {self.edge(index)!r}, which are not known here")
        return [number for number, _ in numbers]

    def scalar(self, index: int) -> int:
        """Return the one element of an input of integers."""
        integers = self.integers(index)
        if len(integers) != 1:
            raise self.refuse(f"reads {len(integers)} numbers where one is expected")
        return integers[0]

    def constant(self, first: int, last: int | None = None) -> None:
        """Require that inputs from `first` up to `last` do not depend on images or batch."""
        for index, tensor in enumerate(self.inputs[:last]):
            if index >= first and (tensor.rows or tensor.varies):
                raise self.refuse(f"reads {self.edge(index)!r}, which depends on the batch")

    def flag(self, name: str, default: bool = False) -> bool:
        """Return an attribute that is a boolean."""
        field = self._value(name, 5)
        return default if field is None else bool(self.document.integer(field))

    def integer(self, name: str, default: int = 0) -> int:
        """Return an attribute that is an integer."""
        field = self._value(name, 3)
        return default if field is None else self.document.integer(field)

    def text(self, name: str, default: str) -> str:
        """Return an attribute that is text."""
        field = self._value(name, 2)
        return default if field is None else self.document.text(field)

    def type(self, name: str) -> int:
        """Return an attribute that is a DataType."""
        field = self._value(name, 6)
        return 0 if field is None else self.document.integer(field)

    def list(self, name: str) -> list[int]:
        """Return an attribute that is a list of integers, empty if it is absent."""
        found: list[int] = []
        field = self._value(name, 1)
        if field is not None:
            for item in self.document.fields(field):
                if item.number == 3:
                    found += self.document.integers(item)
        return found

    def _value(self, name: str, number: int) -> Field | None:
        value = self.attributes.get(name)
        return None if value is None else self.document.only(value, number)


Rule = Callable[[Call], list[Tensor]]


def data(call: Call, shape: Iterable[int], *indices: int) -> Tensor:
    """Return a tensor of `shape` that depends on what the inputs at `indices` (or all) do."""
    read = [call.inputs[index] for index in indices] if indices else call.inputs
    return Tensor(
        tuple(shape),
        rows=any(tensor.rows for tensor in read),
        varies=any(tensor.varies for tensor in read),
    )


def axis_of(call: Call, axis: int, rank: int, *, rows: bool) -> int:
    """Return a valid axis from 0 on; that of the images is refused if there are `rows`."""
    found = axis + rank if axis < 0 else axis
    if not 0 <= found < rank:
        raise call.refuse(f"has the axis {axis} of {rank}")
    if rows and found == 0:
        raise call.refuse("works along the axis of the images")
    return found


def common_shape(call: Call, shapes: Sequence[Shape]) -> Shape:
    """Return the shape to which `shapes` are broadcast."""
    rank = max(map(len, shapes), default=0)
    common = []
    for axis in range(-rank, 0):
        sizes = {shape[axis] for shape in shapes if len(shape) >= -axis} - {1}
        if len(sizes) > 1:
            shown = " and ".join(str(list(shape)) for shape in shapes)
            raise call.refuse(f"binds another batch: it combines {shown}")
        common.append(sizes.pop() if sizes else 1)
    return tuple(common)


def require_aligned(call: Call, index: int, tensor: Tensor, shape: Shape) -> None:
    """Require that an input has its rows along axis 0 of `shape`, or is one constant for all."""
    own = tensor.shape or ()
    if tensor.rows:
        if len(own) != len(shape):
            raise call.refuse("moves the axis of the images")
    elif tensor.varies or (len(own) == len(shape) and own and own[0] not in (1,)):
        raise call.refuse(f"binds another batch: {call.edge(index)!r} has the shape {list(own)}")


def numbers_of(numbers: Iterable[Number], shape: Shape) -> Tensor:
    """Return a constant of integers, some of which may depend on the batch size."""
    held = tuple(numbers)
    varies = any(one != other for one, other in held)
    return Tensor(shape, numbers=held if len(held) <= MAX_NUMBERS else None, varies=varies)
