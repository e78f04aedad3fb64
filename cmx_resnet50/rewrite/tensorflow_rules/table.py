"""The rule of each operator for a change of the batch size.

A graph is evaluated without data. Each output is a `Tensor`: its shape at the new batch size,
whether it has a row an image along axis 0, and the integers in it where they are known, which is
how shapes are computed inside graphs. A rule keeps rows apart or raises `ReshapeError`: an operator
without one, or one that mixes, drops or adds rows, ends the change. So N images give N rows, each
as a run of its own gives it, and TensorFlow infers the same shapes when it imports the graph.

Operators: https://www.tensorflow.org/api_docs/python/tf/raw_ops.
"""

from __future__ import annotations

import math

from cmx_resnet50.formats.protobuf import Document
from cmx_resnet50.formats.tensorflow.nodes import Node, read_attributes
from cmx_resnet50.rewrite.errors import ReshapeError
from cmx_resnet50.rewrite.tensorflow_rules import elementwise, layers, shapes
from cmx_resnet50.rewrite.tensorflow_rules.call import Call, Rule, Tensor

_OPERATORS: tuple[tuple[Rule, str], ...] = (
    (
        elementwise.same,
        "Abs BatchNormWithGlobalNormalization Ceil CheckNumerics Elu Erf Exp"
        " FakeQuantWithMinMaxArgs FakeQuantWithMinMaxVars FakeQuantWithMinMaxVarsPerChannel Floor"
        " Inv IsFinite IsNan LRN LeakyRelu Log Log1p LogicalNot Neg OnesLike Reciprocal Relu Relu6"
        " Rint Round Rsqrt Selu Sigmoid Sign Softplus Softsign Sqrt Square Tanh ZerosLike",
    ),
    (elementwise.identity, "Identity PlaceholderWithDefault PreventGradient Snapshot StopGradient"),
    (elementwise.identities, "IdentityN"),
    (elementwise.cast, "Cast"),
    (
        elementwise.broadcast,
        "AddN ClipByValue Div DivNoNan Equal Greater GreaterEqual Less LessEqual LogicalAnd"
        " LogicalOr NotEqual Pow RealDiv SelectV2 SquaredDifference",
    ),
    (elementwise.arithmetic(lambda a, b: a + b), "Add AddV2"),
    (elementwise.arithmetic(lambda a, b: a - b), "Sub"),
    (elementwise.arithmetic(lambda a, b: a * b), "Mul"),
    (elementwise.arithmetic(lambda a, b: a // b), "FloorDiv"),
    (elementwise.arithmetic(lambda a, b: a % b), "FloorMod"),
    (elementwise.arithmetic(max), "Maximum"),
    (elementwise.arithmetic(min), "Minimum"),
    (elementwise.select, "Select"),
    (elementwise.bias, "BiasAdd BiasAddV1"),
    (elementwise.norm, "FusedBatchNorm FusedBatchNormV2 FusedBatchNormV3"),
    (elementwise.last_axis, "LogSoftmax Softmax"),
    (layers.conv, "Conv2D"),
    (layers.depthwise, "DepthwiseConv2dNative"),
    (layers.pool, "AvgPool MaxPool"),
    (layers.pool_v2, "MaxPoolV2"),
    (layers.resize, "ResizeBicubic ResizeBilinear ResizeNearestNeighbor"),
    (layers.space_to_depth, "SpaceToDepth"),
    (layers.reduce(), "All Any EuclideanNorm Mean"),
    (layers.reduce(sum), "Sum"),
    (layers.reduce(math.prod), "Prod"),
    (layers.reduce(max), "Max"),
    (layers.reduce(min), "Min"),
    (layers.arg_max, "ArgMax ArgMin"),
    (layers.top, "TopK TopKV2"),
    (layers.mat_mul, "MatMul"),
    (layers.batch_mat_mul, "BatchMatMul BatchMatMulV2 BatchMatMulV3"),
    (shapes.shape, "Shape ShapeN"),
    (shapes.size, "Size"),
    (shapes.rank, "Rank"),
    (shapes.reshape, "Reshape"),
    (shapes.squeeze, "Squeeze"),
    (shapes.expand_dims, "ExpandDims"),
    (shapes.transpose, "Transpose"),
    (shapes.pad, "MirrorPad Pad PadV2"),
    (shapes.concat, "Concat ConcatV2"),
    (shapes.pack, "Pack"),
    (shapes.unpack, "Unpack"),
    (shapes.split, "Split"),
    (shapes.split_v, "SplitV"),
    (shapes.cut, "Slice"),
    (shapes.strided_slice, "StridedSlice"),
    (shapes.gather, "Gather GatherV2"),
    (shapes.tile, "Tile"),
    (shapes.reverse, "ReverseV2"),
    (shapes.fill, "Fill"),
    (shapes.range_, "Range"),
)
_RULES = {op: rule for rule, ops in _OPERATORS for op in ops.split()}


def apply(document: Document, node: Node, inputs: tuple[Tensor, ...], batch: int) -> list[Tensor]:
    """Return the outputs of a node, as far as they are known.

    Raises
    ------
    ReshapeError
        If the node has no rule and reads what depends on the batch, or does not keep its rows.
    """
    call = Call(document, node, read_attributes(document, node), inputs, batch)
    depends = any(tensor.rows or tensor.varies for tensor in inputs)
    rule = _RULES.get(node.op)
    if rule is None:
        if depends:
            raise call.refuse("is not known here: it may mix the images of a batch")
        return [Tensor(None)]
    try:
        outputs = rule(call)
    except ReshapeError:
        if depends:
            raise
        # A computation on constants, whose result may never meet the images.
        return [Tensor(None)]
    except (ArithmeticError, LookupError, ValueError):
        raise call.refuse("has inputs that do not fit") from None
    for output in outputs:
        if output.rows and (not output.shape or output.shape[0] != batch):
            raise call.refuse(f"does not give a row for each of {batch} images: {output.shape}")
    return outputs
