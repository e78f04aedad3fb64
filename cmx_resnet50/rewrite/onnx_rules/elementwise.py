"""Rules of operators that work element by element."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cmx_resnet50.rewrite.onnx_rules.call import Call, Rule, require_constant

if TYPE_CHECKING:
    pass


# Element by element


def first(call: Call) -> None:
    """The first input decides; all others are constants."""
    call.constants(range(1, len(call.node.input)))


def broadcast(call: Call) -> None:
    """Inputs are broadcast to one shape; a constant is the same for all images."""
    rank = len(call.output())
    for index, name in enumerate(call.node.input):
        if not name:
            continue
        if call.rows(index):
            if len(call.shape(index)) != rank:
                raise call.refuse("moves the axis of the images")
        else:
            require_constant(call, index, rank)


def quantized(*data: int) -> Rule:
    """Return the rule of an operator that broadcasts the inputs at `data`; others are scales."""

    def rule(call: Call) -> None:
        call.constants(index for index in range(len(call.node.input)) if index not in data)
        rank = len(call.output())
        for index in data:
            if call.rows(index):
                if len(call.shape(index)) != rank:
                    raise call.refuse("moves the axis of the images")
            elif call.has(index):
                require_constant(call, index, rank)

    return rule


def scale(call: Call) -> None:
    """Scales are constants, and work along another axis than that of the images."""
    first(call)
    if call.has(1) and len(call.shape(1)) > 0 and call.shape(1) != (1,):
        call.axis(int(call.attributes.get("axis", 1)), len(call.shape(0)))


def dropout(call: Call) -> None:
    """Do as `first`; nothing may be dropped at random."""
    first(call)
    if call.integers(2, "") not in (None, [0]):
        raise call.refuse("drops at random (training_mode)")


def dynamic_scale(call: Call) -> tuple[int, ...]:
    """The scale of a batch is the model's own business; the data has rows."""
    return (0,)
