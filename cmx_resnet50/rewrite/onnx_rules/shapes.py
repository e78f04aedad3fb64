"""Rules of operators that move, join, cut or reduce axes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cmx_resnet50.rewrite.onnx_rules.call import Call, Rule, require_constant
from cmx_resnet50.rewrite.onnx_rules.elementwise import first
from cmx_resnet50.rewrite.onnx_values import Value

if TYPE_CHECKING:
    pass


def _is_row_shape(value: Value | None) -> bool:
    """Whether a value is a shape whose axis 0, and no other, is the batch."""
    if value is None or value.here.shape != value.next.shape or value.here.ndim != 1:
        return False
    return [int(i) for i in (value.here != value.next).nonzero()[0]] == [0]


# Axes


def reshape(call: Call) -> None:
    """Only data with rows is reshaped."""
    # The order of elements stays, so rows stay rows if there are as many; that is checked later.
    if not call.rows(0):
        raise call.refuse("makes a shape of its own for a constant")


def flatten(call: Call) -> None:
    """The images stay an axis of their own."""
    call.axis(int(call.attributes.get("axis", 1)), len(call.shape(0)) + 1)


def squeeze(call: Call) -> None:
    """The axis of the images stays."""
    shape, axes = call.shape(0), call.integers(1, "axes")
    if axes is None:
        axes = [axis for axis, size in enumerate(shape) if size == 1]
    for axis in axes:
        call.axis(axis, len(shape))


def unsqueeze(call: Call) -> None:
    """No axis comes before that of the images."""
    for axis in call.integers(1, "axes") or []:
        call.axis(axis, len(call.output()))


def transpose(call: Call) -> None:
    """The axis of the images stays the first."""
    order = call.attributes.get("perm")
    if (order[0] if order else len(call.shape(0)) - 1) != 0:
        raise call.refuse("moves the axis of the images")


def concat(call: Call) -> None:
    """Joined along another axis than that of the images."""
    call.axis(int(call.attributes.get("axis", 1)), len(call.output()))
    for index, name in enumerate(call.node.input):
        if not call.rows(index) and (call.graph.batch != 1 or name in call.graph.varying):
            raise call.refuse(f"binds another batch: {name!r} is a constant")


def quantized_concat(call: Call) -> None:
    """Do as `concat`, among scales and zero points."""
    # Scale and zero point of the output, then data, scale and zero point of each input.
    call.axis(int(call.attributes["axis"]), len(call.output()))
    for index in range(2, len(call.node.input), 3):
        if not call.rows(index) and call.graph.batch != 1:
            raise call.refuse(f"binds another batch: {call.node.input[index]!r} is a constant")


def split(call: Call) -> None:
    """Cut along another axis than that of the images."""
    call.constants((1,))
    call.axis(int(call.attributes.get("axis", 0)), len(call.shape(0)))


def slice_(call: Call) -> None:
    """All images are taken."""
    shape = call.shape(0)
    starts, ends = call.integers(1, "starts") or [], call.integers(2, "ends") or []
    axes = call.integers(3, "axes")
    steps = call.integers(4, "steps")
    axes = list(range(len(starts))) if axes is None else axes
    steps = [1] * len(starts) if steps is None else steps
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        if call.axis(axis, len(shape), rows=False) == 0:
            taken = range(*slice(start, end, step).indices(shape[0]))
            if taken != range(shape[0]):
                raise call.refuse(
                    f"binds another batch: it takes {start}:{end} of {shape[0]} images"
                )


def gather(call: Call) -> None:
    """A constant chooses, along another axis than that of the images."""
    call.constants((1,))
    call.axis(int(call.attributes.get("axis", 0)), len(call.shape(0)))


def gather_any(call: Call) -> None:
    """Rows may choose from a table, or a table from the axes of rows."""
    if call.rows(0):
        gather(call)
        return
    if int(call.attributes.get("axis", 0)) != 0 or call.node.input[0] in call.graph.varying:
        raise call.refuse("works along the axis of the images")


def pad(call: Call) -> None:
    """No images are added."""
    pads = call.integers(1, "pads") or []
    rank = len(call.shape(0))
    axes = call.integers(3, "")
    for position, axis in enumerate(range(rank) if axes is None else axes):
        count = len(pads) // 2
        if call.axis(axis, rank, rows=False) == 0 and (pads[position] or pads[count + position]):
            raise call.refuse("adds rows that are not images")
    call.constants((1, 2))


def reduce(call: Call) -> None:
    """The axis of the images is not reduced."""
    axes, rank = call.integers(1, "axes"), len(call.shape(0))
    if not axes:
        if call.attributes.get("noop_with_empty_axes"):
            return
        axes = list(range(rank))
    for axis in axes:
        call.axis(axis, rank)


def along(default: int) -> Rule:
    """Return the rule of an operator that works along an axis."""

    def rule(call: Call) -> None:
        call.constants((1,))
        call.axis(int(call.attributes.get("axis", default)), len(call.shape(0)))

    return rule


def expand(call: Call) -> tuple[int, ...]:
    """Rows stay rows, or a constant is repeated once an image."""
    rank = len(call.output())
    if call.rows(0):
        if len(call.shape(0)) != rank:
            raise call.refuse("moves the axis of the images")
        return (0,)
    call.constants((0,))
    require_constant(call, 0, rank)
    if not _is_row_shape(call.graph.values.get(call.node.input[1])):
        raise call.refuse("makes a shape of its own for a constant")
    return (0,)


def constant_of_shape(call: Call) -> tuple[int, ...]:
    """A constant once an image."""
    if not _is_row_shape(call.graph.values.get(call.node.input[0])):
        raise call.refuse("makes a shape of its own for a constant")
    return (0,)


def tile(call: Call) -> None:
    """The images are not repeated."""
    times = call.integers(1, "")
    if times is None or times[0] != 1:
        raise call.refuse("repeats the images")


def resize(call: Call) -> None:
    """Constants resize data with rows."""
    first(call)
    if not call.rows(0):
        raise call.refuse("makes a shape of its own for a constant")
