"""Operators that work element by element: the batch is not moved, and constants are broadcast."""

from __future__ import annotations

from collections.abc import Callable

from cmx_resnet50.rewrite.tensorflow_rules.call import (
    Call,
    Rule,
    Tensor,
    axis_of,
    common_shape,
    data,
    numbers_of,
    require_aligned,
)

_INTEGERS = frozenset({3, 9})  # DT_INT32, DT_INT64


def same(call: Call) -> list[Tensor]:
    """One input decides; all others are constants."""
    call.constant(1)
    return [call.tensor(0)._replace(numbers=None)]


def identity(call: Call) -> list[Tensor]:
    """The input, numbers and all."""
    return [call.tensor(0)]


def identities(call: Call) -> list[Tensor]:
    """All inputs."""
    return list(call.inputs)


def cast(call: Call) -> list[Tensor]:
    """Integers stay known as long as they stay integers."""
    tensor = call.tensor(0)
    if call.type("DstT") in _INTEGERS:
        return [tensor]
    return [tensor._replace(numbers=None)]


def broadcast(call: Call) -> list[Tensor]:
    """Inputs are broadcast to one shape; a constant is the same for all images."""
    shapes = [call.shape(index) for index in range(len(call.inputs))]
    shape = common_shape(call, shapes)
    rows = any(tensor.rows for tensor in call.inputs)
    if rows:
        for index, tensor in enumerate(call.inputs):
            require_aligned(call, index, tensor, shape)
    return [data(call, shape)]


def arithmetic(compute: Callable[[int, int], int]) -> Rule:
    """Return the rule of an operator with two inputs, which `compute` applies to integers."""

    def rule(call: Call) -> list[Tensor]:
        (result,) = broadcast(call)
        left, right = call.tensor(0).numbers, call.tensor(1).numbers
        if left is None or right is None or result.shape is None or len(result.shape) > 1:
            return [result]
        length = max(len(left), len(right))
        left, right = left * (length // len(left)), right * (length // len(right))
        pairs = zip(left, right, strict=True)
        return [
            numbers_of(((compute(a, c), compute(b, d)) for (a, b), (c, d) in pairs), result.shape)
        ]

    return rule


def select(call: Call) -> list[Tensor]:
    """The first form of Select, whose condition may be a vector that chooses rows."""
    # The first form may choose whole rows by a vector, which is not broadcast as others are.
    if len({call.shape(index) for index in range(3)}) > 1:
        raise call.refuse("reads tensors of different shapes")
    return broadcast(call)


def bias(call: Call) -> list[Tensor]:
    """A vector is added along the channels."""
    call.constant(1)
    return [call.tensor(0)._replace(numbers=None)]


def norm(call: Call) -> list[Tensor]:
    """Normalization by statistics that are constants, not by those of the batch."""
    call.constant(1)
    if call.flag("is_training", default=True):
        raise call.refuse("normalizes over all images of a batch (is_training)")
    return [call.tensor(0)] + [Tensor(None)] * 5


def last_axis(call: Call) -> list[Tensor]:
    """Softmax and its like work along the last axis."""
    axis_of(call, -1, len(call.shape(0)), rows=call.tensor(0).rows)
    return same(call)
