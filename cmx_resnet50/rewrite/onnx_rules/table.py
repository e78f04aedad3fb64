"""What the operators of an ONNX model do with the batch.

Shapes are those of shape inference; what it cannot tell is whether axis 0 is still a row an image.
A rule keeps it so, or raises `ReshapeError`: an operator without one, or one that moves, drops or
adds rows, ends the change. Statistics that a model itself takes over a batch (a BatchNormalization
in training mode, dynamic quantization) stay the model's.

Operators: https://onnx.ai/onnx/operators and ONNX Runtime's contrib operators.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cmx_resnet50.rewrite.onnx_rules import elementwise, layers, shapes
from cmx_resnet50.rewrite.onnx_rules.call import Call, Graph, Rule
from cmx_resnet50.rewrite.onnx_values import Value

if TYPE_CHECKING:
    import onnx


DOMAINS = ("", "ai.onnx", "com.microsoft")


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


_OPERATORS: tuple[tuple[Rule, str], ...] = (
    (
        elementwise.first,
        "Abs Acos Acosh Asin Asinh Atan Atanh BitwiseNot Cast CastLike Ceil Celu"
        " Clip Cos Cosh Elu Erf Exp FastGelu Floor Gelu HardSigmoid HardSwish"
        " Identity IsInf IsNaN LeakyRelu Log Mish Neg Not QLinearLeakyRelu QLinearSigmoid"
        " QuickGelu Reciprocal Relu Round Selu Shrink Sigmoid Sign Sin Sinh Softplus Softsign Sqrt"
        " Swish Tan Tanh ThresholdedRelu",
    ),
    (
        elementwise.broadcast,
        "Add And BiasGelu BitShift BitwiseAnd BitwiseOr BitwiseXor Div Equal Greater GreaterOrEqual"
        " Less LessOrEqual Max Mean Min Mod Mul Or PRelu Pow Sub Sum Where Xor",
    ),
    (elementwise.quantized(0, 3), "QLinearAdd QLinearMul"),
    (elementwise.scale, "DequantizeLinear QuantizeLinear"),
    (elementwise.dynamic_scale, "DynamicQuantizeLinear"),
    (elementwise.dropout, "Dropout"),
    (layers.norm, "BatchNormalization"),
    (
        layers.image,
        "AveragePool Conv ConvInteger ConvTranspose DepthToSpace GlobalAveragePool GlobalLpPool"
        " GlobalMaxPool GroupNormalization InstanceNormalization LRN LpPool QLinearAveragePool"
        " QLinearConv QLinearGlobalAveragePool SpaceToDepth",
    ),
    (layers.max_pool, "MaxPool"),
    (layers.fused_conv, "FusedConv"),
    (layers.variance, "MeanVarianceNormalization"),
    (layers.normalized(-1), "LayerNormalization LpNormalization RMSNormalization"),
    (layers.softmax, "Hardmax LogSoftmax Softmax"),
    (layers.gemm, "FusedGemm Gemm"),
    (layers.quantized_gemm, "QGemm"),
    (layers.mat_mul(0, 1), "MatMul MatMulInteger"),
    (layers.mat_mul(0, 3), "QLinearMatMul"),
    (shapes.reshape, "Reshape"),
    (shapes.flatten, "Flatten"),
    (shapes.squeeze, "Squeeze"),
    (shapes.unsqueeze, "Unsqueeze"),
    (shapes.transpose, "Transpose"),
    (shapes.concat, "Concat"),
    (shapes.quantized_concat, "QLinearConcat"),
    (shapes.split, "Split"),
    (shapes.slice_, "Slice"),
    (shapes.gather_any, "Gather"),
    (shapes.pad, "Pad"),
    (
        shapes.reduce,
        "ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd"
        " ReduceSum ReduceSumSquare",
    ),
    (shapes.along(0), "ArgMax ArgMin"),
    (shapes.along(-1), "TopK"),
    (shapes.expand, "Expand"),
    (shapes.constant_of_shape, "ConstantOfShape"),
    (shapes.tile, "Tile"),
    (shapes.resize, "Resize Upsample"),
    (layers.recurrent, "GRU LSTM RNN"),
)

_RULES = {op: rule for rule, ops in _OPERATORS for op in ops.split()}
