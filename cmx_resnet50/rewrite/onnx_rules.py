"""What the operators of an ONNX model do with the batch.

Shapes are those of shape inference; what it cannot tell is whether axis 0 is still a row an image.
A rule keeps it so, or raises `ReshapeError`: an operator without one, or one that moves, drops or
adds rows, ends the change. Statistics that a model itself takes over a batch (a BatchNormalization
in training mode, dynamic quantization) stay the model's.

Operators: https://onnx.ai/onnx/operators and ONNX Runtime's contrib operators.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cmx_resnet50.rewrite.errors import ReshapeError
from cmx_resnet50.rewrite.onnx_values import Value, attributes_of

if TYPE_CHECKING:
    import onnx

Shape = tuple[int, ...]

DOMAINS = ("", "ai.onnx", "com.microsoft")

_QUANTIZED_DATA = {"QGemm": (0, 3), "QLinearAdd": (0, 3), "QLinearMul": (0, 3)}
"""The inputs with data; between them are scales and zero points."""


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


def follow(graph: Graph, node: onnx.NodeProto) -> None:
    """Decide which outputs of a node have rows.

    Raises
    ------
    ReshapeError
        If the node reads what depends on the batch, and has no rule or does not keep its rows.
    """
    call = Call(graph, node)
    rows = [name for name in node.input if name in graph.rows]
    if not rows and not any(name in graph.varying for name in node.input):
        return
    rule = _RULES.get(node.op_type) if node.domain in DOMAINS else None
    if rule is None:
        raise call.refuse("is not known here: it may mix the images of a batch")
    try:
        chosen = rule(call)
    except (IndexError, TypeError, ValueError):
        raise call.refuse("has inputs that do not fit") from None
    if chosen is None:
        chosen = tuple(range(len(node.output))) if rows else ()
    for index, name in enumerate(node.output):
        if not name or name not in graph.read:
            continue
        if index not in chosen:
            if not rows:
                graph.varying.add(name)
            continue
        shape = call.output(index)
        if not shape or shape[0] != graph.batch:
            raise call.refuse(f"binds another batch: {name!r} would be {list(shape)}")
        graph.rows.add(name)


def varies_in_rows(value: Value, batch: int) -> bool:
    """Whether a value depends on the batch in that it has the same row once an image."""
    here, following = value
    if here.ndim == 0 or here.shape[0] != batch or following.shape != (batch + 1, *here.shape[1:]):
        return False
    row = here[:1]
    return bool((here == row).all() and (following == row).all())


def _is_row_shape(value: Value | None) -> bool:
    """Whether a value is a shape whose axis 0, and no other, is the batch."""
    if value is None or value.here.shape != value.next.shape or value.here.ndim != 1:
        return False
    return [int(i) for i in (value.here != value.next).nonzero()[0]] == [0]


def contributed_shape(
    node: onnx.NodeProto, shapes: Mapping[str, Shape]
) -> tuple[Shape | None, str]:
    """Return the shape of the first output of an operator of ONNX Runtime's own, if it is known.

    Returns
    -------
    shape : tuple of int, optional
        None if it is not known here.
    source : str
        An input that has the same type.
    """
    import numpy as np

    data: tuple[int, ...] = _QUANTIZED_DATA.get(node.op_type, (0,))
    if node.op_type == "QLinearConcat":
        data = tuple(range(2, len(node.input), 3))
    if not data or max(data) >= len(node.input):
        return None, ""
    source = node.input[data[0]]
    read = [shapes[name] for name in (node.input[index] for index in data) if name in shapes]
    if len(read) != len(data):
        return None, source
    attributes = attributes_of(node)
    if node.op_type in ("QLinearAdd", "QLinearMul"):
        try:
            return np.broadcast_shapes(*read), source
        except ValueError:
            return None, source
    if node.op_type in ("QLinearSigmoid", "QLinearLeakyRelu", "Gelu", "FastGelu", "QuickGelu"):
        return read[0], source
    if node.op_type == "QLinearGlobalAveragePool" and len(read[0]) > 2:
        ones = (1,) * (len(read[0]) - 2)
        if attributes.get("channels_last"):
            return (read[0][0], *ones, read[0][-1]), source
        return (*read[0][:2], *ones), source
    if node.op_type == "QGemm" and all(len(shape) == 2 for shape in read):
        left = read[0][::-1] if attributes.get("transA") else read[0]
        right = read[1][::-1] if attributes.get("transB") else read[1]
        # The type is that of the zero point of the output or, without one, of the scales.
        point = node.input[8] if len(node.input) > 8 else ""
        return (left[0], right[1]), point or node.input[1]
    if node.op_type == "QLinearConcat":
        axis = int(attributes.get("axis", 0)) % max(len(read[0]), 1)
        if len({(*shape[:axis], *shape[axis + 1 :]) for shape in read}) == 1:
            total = sum(shape[axis] for shape in read)
            return (*read[0][:axis], total, *read[0][axis + 1 :]), source
    return None, source


# Element by element


def _first(call: Call) -> None:
    """The first input decides; all others are constants."""
    call.constants(range(1, len(call.node.input)))


def _broadcast(call: Call) -> None:
    """Inputs are broadcast to one shape; a constant is the same for all images."""
    rank = len(call.output())
    for index, name in enumerate(call.node.input):
        if not name:
            continue
        if call.rows(index):
            if len(call.shape(index)) != rank:
                raise call.refuse("moves the axis of the images")
        else:
            _require_constant(call, index, rank)


def _require_constant(call: Call, index: int, rank: int) -> None:
    """Require that an input is the same for all images, in a result of `rank` axes."""
    name = call.node.input[index]
    shape = call.shape(index)
    if name in call.graph.varying or (len(shape) == rank and shape and shape[0] != 1):
        raise call.refuse(f"binds another batch: {name!r} has the shape {list(shape)}")


def _quantized(*data: int) -> Rule:
    """Return the rule of an operator that broadcasts the inputs at `data`; others are scales."""

    def rule(call: Call) -> None:
        call.constants(index for index in range(len(call.node.input)) if index not in data)
        rank = len(call.output())
        for index in data:
            if call.rows(index):
                if len(call.shape(index)) != rank:
                    raise call.refuse("moves the axis of the images")
            elif call.has(index):
                _require_constant(call, index, rank)

    return rule


def _scale(call: Call) -> None:
    _first(call)
    if call.has(1) and len(call.shape(1)) > 0 and call.shape(1) != (1,):
        call.axis(int(call.attributes.get("axis", 1)), len(call.shape(0)))


def _dropout(call: Call) -> None:
    _first(call)
    if call.integers(2, "") not in (None, [0]):
        raise call.refuse("drops at random (training_mode)")


def _dynamic_scale(call: Call) -> tuple[int, ...]:
    return (0,)


# Layers


def _norm(call: Call) -> tuple[int, ...]:
    _first(call)
    if any(name in call.graph.read for name in call.node.output[1:]):
        raise call.refuse("gives statistics of a batch")
    return (0,)


def _image(call: Call) -> None:
    """The first input is images, all others are constants."""
    if len(call.shape(0)) < 3:
        raise call.refuse(f"reads {list(call.shape(0))}")
    _first(call)


def _max_pool(call: Call) -> None:
    _image(call)
    if len(call.node.output) > 1 and call.node.output[1] in call.graph.read:
        raise call.refuse("gives positions that count over all images")


def _fused_conv(call: Call) -> None:
    if len(call.shape(0)) < 3:
        raise call.refuse(f"reads {list(call.shape(0))}")
    call.constants(index for index in range(1, len(call.node.input)) if index != 3)
    if call.has(3) and not call.rows(3):
        _require_constant(call, 3, len(call.output()))


def _variance(call: Call) -> None:
    for axis in call.attributes.get("axes", [0, 2, 3]):
        call.axis(int(axis), len(call.shape(0)))


def _normalized(default: int) -> Rule:
    """Return the rule of an operator that works from an axis on, or along it."""

    def rule(call: Call) -> None:
        _first(call)
        call.axis(int(call.attributes.get("axis", default)), len(call.shape(0)))

    return rule


def _softmax(call: Call) -> None:
    # Before opset 13, all axes from this one on are one.
    default = -1 if call.graph.opset >= 13 else 1
    call.axis(int(call.attributes.get("axis", default)), len(call.shape(0)))


def _quantized_gemm(call: Call) -> None:
    _first(call)
    if call.attributes.get("transA"):
        raise call.refuse("works along the axis of the images")


def _gemm(call: Call) -> None:
    call.constants((1,))
    if call.attributes.get("transA") or not call.rows(0):
        raise call.refuse("works along the axis of the images")
    if call.has(2) and not call.rows(2):
        _require_constant(call, 2, 2)


def _mat_mul(left: int, right: int) -> Rule:
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
                _require_constant(call, index, rank)
            elif call.node.input[index] in call.graph.varying:
                raise call.refuse(f"reads {call.node.input[index]!r}, which depends on the batch")

    return rule


# Axes


def _reshape(call: Call) -> None:
    # The order of elements stays, so rows stay rows if there are as many; that is checked later.
    if not call.rows(0):
        raise call.refuse("makes a shape of its own for a constant")


def _flatten(call: Call) -> None:
    call.axis(int(call.attributes.get("axis", 1)), len(call.shape(0)) + 1)


def _squeeze(call: Call) -> None:
    shape, axes = call.shape(0), call.integers(1, "axes")
    if axes is None:
        axes = [axis for axis, size in enumerate(shape) if size == 1]
    for axis in axes:
        call.axis(axis, len(shape))


def _unsqueeze(call: Call) -> None:
    for axis in call.integers(1, "axes") or []:
        call.axis(axis, len(call.output()))


def _transpose(call: Call) -> None:
    order = call.attributes.get("perm")
    if (order[0] if order else len(call.shape(0)) - 1) != 0:
        raise call.refuse("moves the axis of the images")


def _concat(call: Call) -> None:
    call.axis(int(call.attributes.get("axis", 1)), len(call.output()))
    for index, name in enumerate(call.node.input):
        if not call.rows(index) and (call.graph.batch != 1 or name in call.graph.varying):
            raise call.refuse(f"binds another batch: {name!r} is a constant")


def _quantized_concat(call: Call) -> None:
    # Scale and zero point of the output, then data, scale and zero point of each input.
    call.axis(int(call.attributes["axis"]), len(call.output()))
    for index in range(2, len(call.node.input), 3):
        if not call.rows(index) and call.graph.batch != 1:
            raise call.refuse(f"binds another batch: {call.node.input[index]!r} is a constant")


def _split(call: Call) -> None:
    call.constants((1,))
    call.axis(int(call.attributes.get("axis", 0)), len(call.shape(0)))


def _slice(call: Call) -> None:
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


def _gather(call: Call) -> None:
    call.constants((1,))
    call.axis(int(call.attributes.get("axis", 0)), len(call.shape(0)))


def _gather_any(call: Call) -> None:
    """Rows may choose from a table, or a table from the axes of rows."""
    if call.rows(0):
        _gather(call)
        return
    if int(call.attributes.get("axis", 0)) != 0 or call.node.input[0] in call.graph.varying:
        raise call.refuse("works along the axis of the images")


def _pad(call: Call) -> None:
    pads = call.integers(1, "pads") or []
    rank = len(call.shape(0))
    axes = call.integers(3, "")
    for position, axis in enumerate(range(rank) if axes is None else axes):
        count = len(pads) // 2
        if call.axis(axis, rank, rows=False) == 0 and (pads[position] or pads[count + position]):
            raise call.refuse("adds rows that are not images")
    call.constants((1, 2))


def _reduce(call: Call) -> None:
    axes, rank = call.integers(1, "axes"), len(call.shape(0))
    if not axes:
        if call.attributes.get("noop_with_empty_axes"):
            return
        axes = list(range(rank))
    for axis in axes:
        call.axis(axis, rank)


def _along(default: int) -> Rule:
    """Return the rule of an operator that works along an axis."""

    def rule(call: Call) -> None:
        call.constants((1,))
        call.axis(int(call.attributes.get("axis", default)), len(call.shape(0)))

    return rule


def _expand(call: Call) -> tuple[int, ...]:
    rank = len(call.output())
    if call.rows(0):
        if len(call.shape(0)) != rank:
            raise call.refuse("moves the axis of the images")
        return (0,)
    call.constants((0,))
    _require_constant(call, 0, rank)
    if not _is_row_shape(call.graph.values.get(call.node.input[1])):
        raise call.refuse("makes a shape of its own for a constant")
    return (0,)


def _constant_of_shape(call: Call) -> tuple[int, ...]:
    if not _is_row_shape(call.graph.values.get(call.node.input[0])):
        raise call.refuse("makes a shape of its own for a constant")
    return (0,)


def _tile(call: Call) -> None:
    times = call.integers(1, "")
    if times is None or times[0] != 1:
        raise call.refuse("repeats the images")


def _resize(call: Call) -> None:
    _first(call)
    if not call.rows(0):
        raise call.refuse("makes a shape of its own for a constant")


def _recurrent(call: Call) -> None:
    raise call.refuse("reads axis 0 as time, not as images")


_OPERATORS: tuple[tuple[Rule, str], ...] = (
    (
        _first,
        "Abs Acos Acosh Asin Asinh Atan Atanh BitwiseNot Cast CastLike Ceil Celu"
        " Clip Cos Cosh Elu Erf Exp FastGelu Floor Gelu HardSigmoid HardSwish"
        " Identity IsInf IsNaN LeakyRelu Log Mish Neg Not QLinearLeakyRelu QLinearSigmoid"
        " QuickGelu Reciprocal Relu Round Selu Shrink Sigmoid Sign Sin Sinh Softplus Softsign Sqrt"
        " Swish Tan Tanh ThresholdedRelu",
    ),
    (
        _broadcast,
        "Add And BiasGelu BitShift BitwiseAnd BitwiseOr BitwiseXor Div Equal Greater GreaterOrEqual"
        " Less LessOrEqual Max Mean Min Mod Mul Or PRelu Pow Sub Sum Where Xor",
    ),
    (_quantized(0, 3), "QLinearAdd QLinearMul"),
    (_scale, "DequantizeLinear QuantizeLinear"),
    (_dynamic_scale, "DynamicQuantizeLinear"),
    (_dropout, "Dropout"),
    (_norm, "BatchNormalization"),
    (
        _image,
        "AveragePool Conv ConvInteger ConvTranspose DepthToSpace GlobalAveragePool GlobalLpPool"
        " GlobalMaxPool GroupNormalization InstanceNormalization LRN LpPool QLinearAveragePool"
        " QLinearConv QLinearGlobalAveragePool SpaceToDepth",
    ),
    (_max_pool, "MaxPool"),
    (_fused_conv, "FusedConv"),
    (_variance, "MeanVarianceNormalization"),
    (_normalized(-1), "LayerNormalization LpNormalization RMSNormalization"),
    (_softmax, "Hardmax LogSoftmax Softmax"),
    (_gemm, "FusedGemm Gemm"),
    (_quantized_gemm, "QGemm"),
    (_mat_mul(0, 1), "MatMul MatMulInteger"),
    (_mat_mul(0, 3), "QLinearMatMul"),
    (_reshape, "Reshape"),
    (_flatten, "Flatten"),
    (_squeeze, "Squeeze"),
    (_unsqueeze, "Unsqueeze"),
    (_transpose, "Transpose"),
    (_concat, "Concat"),
    (_quantized_concat, "QLinearConcat"),
    (_split, "Split"),
    (_slice, "Slice"),
    (_gather_any, "Gather"),
    (_pad, "Pad"),
    (
        _reduce,
        "ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd"
        " ReduceSum ReduceSumSquare",
    ),
    (_along(0), "ArgMax ArgMin"),
    (_along(-1), "TopK"),
    (_expand, "Expand"),
    (_constant_of_shape, "ConstantOfShape"),
    (_tile, "Tile"),
    (_resize, "Resize Upsample"),
    (_recurrent, "GRU LSTM RNN"),
)
_RULES = {op: rule for rule, ops in _OPERATORS for op in ops.split()}
