"""Rules of layers: convolutions, pooling, normalizations, products, recurrent ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cmx_resnet50.rewrite.onnx_rules.call import Call, Rule, require_constant
from cmx_resnet50.rewrite.onnx_rules.elementwise import first

if TYPE_CHECKING:
    pass


# Layers


def norm(call: Call) -> tuple[int, ...]:
    """Constants normalize; statistics of the batch may not be read."""
    first(call)
    if any(name in call.graph.read for name in call.node.output[1:]):
        raise call.refuse("gives statistics of a batch")
    return (0,)


def image(call: Call) -> None:
    """The first input is images, all others are constants."""
    if len(call.shape(0)) < 3:
        raise call.refuse(f"reads {list(call.shape(0))}")
    first(call)


def max_pool(call: Call) -> None:
    """Do as `image`; positions count over all images."""
    image(call)
    if len(call.node.output) > 1 and call.node.output[1] in call.graph.read:
        raise call.refuse("gives positions that count over all images")


def fused_conv(call: Call) -> None:
    """A convolution, and what is added to it."""
    if len(call.shape(0)) < 3:
        raise call.refuse(f"reads {list(call.shape(0))}")
    call.constants(index for index in range(1, len(call.node.input)) if index != 3)
    if call.has(3) and not call.rows(3):
        require_constant(call, 3, len(call.output()))


def variance(call: Call) -> None:
    """The axes that are reduced are not that of the images."""
    for axis in call.attributes.get("axes", [0, 2, 3]):
        call.axis(int(axis), len(call.shape(0)))


def normalized(default: int) -> Rule:
    """Return the rule of an operator that works from an axis on, or along it."""

    def rule(call: Call) -> None:
        first(call)
        call.axis(int(call.attributes.get("axis", default)), len(call.shape(0)))

    return rule


def softmax(call: Call) -> None:
    """The axis is not that of the images."""
    # Before opset 13, all axes from this one on are one.
    default = -1 if call.graph.opset >= 13 else 1
    call.axis(int(call.attributes.get("axis", default)), len(call.shape(0)))


def quantized_gemm(call: Call) -> None:
    """Do as `first`; the images are not turned."""
    first(call)
    if call.attributes.get("transA"):
        raise call.refuse("works along the axis of the images")


def gemm(call: Call) -> None:
    """Rows times a constant, plus a constant or rows."""
    call.constants((1,))
    if call.attributes.get("transA") or not call.rows(0):
        raise call.refuse("works along the axis of the images")
    if call.has(2) and not call.rows(2):
        require_constant(call, 2, 2)


def mat_mul(left: int, right: int) -> Rule:
    """Return the rule of a product of the inputs at `left` and `right`; others are scales."""

    def rule(call: Call) -> None:
        data = (left, right)
        call.constants(index for index in range(len(call.node.input)) if index not in data)
        rank = len(call.output())
        for index in data:
            shape = call.shape(index)
            if call.rows(index):
                # With two axes, rows are an axis of the product itself: fine on the left.
                if len(shape) != rank or (index == right and len(shape) < 3):
                    raise call.refuse("works along the axis of the images")
            elif len(shape) > 2:
                require_constant(call, index, rank)
            elif call.node.input[index] in call.graph.varying:
                raise call.refuse(f"reads {call.node.input[index]!r}, which depends on the batch")

    return rule


def recurrent(call: Call) -> None:
    """Refused: axis 0 is time."""
    raise call.refuse("reads axis 0 as time, not as images")
