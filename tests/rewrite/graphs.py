"""Small TensorFlow graphs made by hand, one operator each, for the tests of their rules."""

from __future__ import annotations

import struct
from collections.abc import Sequence

from cmx_resnet50.formats.protobuf import encode_bytes, encode_varint, encode_varint_field
from tests.formats.messages import (
    DT_FLOAT,
    DT_INT32,
    attribute,
    dtype,
    tf_constant,
    tf_graph,
    tf_node,
    tf_placeholder,
)

Input = str | float | Sequence[int]
"""A node's name, a float constant of that many elements, or the integers of a constant."""


def flag(name: str, value: bool) -> bytes:
    return attribute(name, encode_varint_field(5, value))


def integer(name: str, value: int) -> bytes:
    return attribute(name, encode_varint_field(3, value))


def text(name: str, value: str) -> bytes:
    return attribute(name, encode_bytes(2, value))


def integers(name: str, *values: int) -> bytes:
    packed = b"".join(encode_varint(value) for value in values)
    return attribute(name, encode_bytes(1, encode_bytes(3, packed)))


def numbers(name: str, values: Sequence[int], shape: tuple[int, ...] | None = None) -> bytes:
    """Return a constant of integers; `shape` is a row unless it is given."""
    content = struct.pack(f"<{len(values)}i", *values)
    return tf_constant(name, (len(values),) if shape is None else shape, content, DT_INT32)


def scalar(name: str, value: int) -> bytes:
    return numbers(name, [value], ())


def floats(name: str, *shape: int) -> bytes:
    count = 1
    for size in shape:
        count *= size
    return tf_constant(name, shape, struct.pack(f"<{count}f", *(0.1 * i for i in range(count))))


def op(name: str, *inputs: str, attributes: bytes = b"", called: str = "y") -> bytes:
    """Return a node that works on floats."""
    return tf_node(called, name, inputs, dtype("T", DT_FLOAT) + attributes)


def graph(*parts: bytes, image: tuple[int, ...] = (-1, 4, 4, 3)) -> bytes:
    """Return a graph with one input, ``input_tensor``."""
    return tf_graph(tf_placeholder(image), *parts)


WINDOW = integers("strides", 1, 2, 2, 1) + text("padding", "SAME")
INFERENCE = flag("is_training", False)
SIZES = op("Shape", "input_tensor", called="sizes")
ROW = (-1, 6)

KEPT: dict[str, tuple[bytes, tuple[int, ...]]] = {
    "Relu": (graph(op("Relu", "input_tensor")), (4, 4, 3)),
    "Conv2D": (
        graph(floats("w", 3, 3, 3, 5), op("Conv2D", "input_tensor", "w", attributes=WINDOW)),
        (2, 2, 5),
    ),
    "Conv2D, dilated": (
        graph(
            floats("w", 2, 2, 3, 5),
            op(
                "Conv2D",
                "input_tensor",
                "w",
                attributes=integers("strides", 1, 1, 1, 1)
                + text("padding", "VALID")
                + integers("dilations", 1, 2, 2, 1),
            ),
        ),
        (2, 2, 5),
    ),
    "Conv2D, explicit": (
        graph(
            floats("w", 3, 3, 3, 5),
            op(
                "Conv2D",
                "input_tensor",
                "w",
                attributes=integers("strides", 1, 2, 2, 1)
                + text("padding", "EXPLICIT")
                + integers("explicit_paddings", 0, 0, 1, 1, 0, 1, 0, 0),
            ),
        ),
        (2, 2, 5),
    ),
    "DepthwiseConv2dNative": (
        graph(
            floats("w", 3, 3, 3, 2),
            op("DepthwiseConv2dNative", "input_tensor", "w", attributes=WINDOW),
        ),
        (2, 2, 6),
    ),
    "MaxPool": (
        graph(op("MaxPool", "input_tensor", attributes=WINDOW + integers("ksize", 1, 3, 3, 1))),
        (2, 2, 3),
    ),
    "AvgPool": (
        graph(op("AvgPool", "input_tensor", attributes=WINDOW + integers("ksize", 1, 3, 3, 1))),
        (2, 2, 3),
    ),
    "FusedBatchNorm": (
        graph(
            floats("c", 3),
            op("FusedBatchNorm", "input_tensor", "c", "c", "c", "c", attributes=INFERENCE),
        ),
        (4, 4, 3),
    ),
    "BiasAdd": (graph(floats("b", 3), op("BiasAdd", "input_tensor", "b")), (4, 4, 3)),
    "Add of a constant": (
        graph(floats("b", 1, 1, 1, 3), op("AddV2", "input_tensor", "b")),
        (4, 4, 3),
    ),
    "Add of both": (graph(op("Add", "input_tensor", "input_tensor")), (4, 4, 3)),
    "normalization by hand": (
        graph(
            floats("variance", 3),
            floats("offset", 3),
            op("Rsqrt", "variance", called="scale"),
            op("Mul", "input_tensor", "scale", called="scaled"),
            op("Sub", "scaled", "offset"),
        ),
        (4, 4, 3),
    ),
    "Pad": (
        graph(
            numbers("p", [0, 0, 1, 1, 2, 0, 0, 0], (4, 2)),
            op("Pad", "input_tensor", "p", attributes=dtype("Tpaddings", DT_INT32)),
        ),
        (6, 6, 3),
    ),
    "Transpose": (
        graph(
            numbers("p", [0, 3, 1, 2]),
            op("Transpose", "input_tensor", "p", attributes=dtype("Tperm", DT_INT32)),
        ),
        (3, 4, 4),
    ),
    "Mean": (
        graph(numbers("a", [1, 2]), op("Mean", "input_tensor", "a", attributes=dtype("Tidx", 3))),
        (3,),
    ),
    "Mean, kept, and Squeeze": (
        graph(
            numbers("a", [1, -2]),
            op(
                "Mean",
                "input_tensor",
                "a",
                attributes=dtype("Tidx", 3) + flag("keep_dims", True),
                called="m",
            ),
            op("Squeeze", "m", attributes=integers("squeeze_dims", 1, 2)),
        ),
        (3,),
    ),
    "MatMul and Softmax": (
        graph(
            floats("w", 6, 7),
            op("MatMul", "input_tensor", "w", called="m"),
            op("Softmax", "m"),
            image=ROW,
        ),
        (7,),
    ),
    "MatMul, transposed": (
        graph(
            floats("w", 7, 6),
            op("MatMul", "input_tensor", "w", attributes=flag("transpose_b", True)),
            image=ROW,
        ),
        (7,),
    ),
    "ArgMax": (
        graph(
            scalar("d", 1),
            op("ArgMax", "input_tensor", "d", attributes=dtype("Tidx", 3)),
            image=ROW,
        ),
        (),
    ),
    "Reshape by Const": (
        graph(
            numbers("s", [-1, 48]),
            op("Reshape", "input_tensor", "s", attributes=dtype("Tshape", DT_INT32)),
        ),
        (48,),
    ),
    "Reshape by Identity": (
        graph(
            numbers("c", [-1, 48]),
            tf_node("s", "Identity", ("c",), dtype("T", DT_INT32)),
            op("Reshape", "input_tensor", "s", attributes=dtype("Tshape", DT_INT32)),
        ),
        (48,),
    ),
    "Reshape by Shape, StridedSlice and Pack": (
        graph(
            SIZES,
            numbers("zero", [0]),
            numbers("one", [1]),
            scalar("rest", 48),
            tf_node(
                "n",
                "StridedSlice",
                ("sizes", "zero", "one", "one"),
                dtype("T", DT_INT32) + dtype("Index", DT_INT32) + integer("shrink_axis_mask", 1),
            ),
            tf_node("s", "Pack", ("n", "rest"), dtype("T", DT_INT32) + integer("N", 2)),
            op("Reshape", "input_tensor", "s", attributes=dtype("Tshape", DT_INT32)),
        ),
        (48,),
    ),
    "Concat": (
        graph(
            scalar("a", 3),
            op(
                "ConcatV2",
                "input_tensor",
                "input_tensor",
                "a",
                attributes=integer("N", 2) + dtype("Tidx", 3),
            ),
        ),
        (4, 4, 6),
    ),
    "Split": (
        graph(
            scalar("a", 3),
            op("Split", "a", "input_tensor", attributes=integer("num_split", 3), called="parts"),
            op("Add", "parts:1", "parts:2"),
        ),
        (4, 4, 1),
    ),
    "Slice of the channels": (
        graph(
            numbers("b", [0, 0, 0, 1]),
            numbers("s", [-1, 4, 2, -1]),
            op("Slice", "input_tensor", "b", "s", attributes=dtype("Index", DT_INT32)),
        ),
        (4, 2, 2),
    ),
    "StridedSlice of the image": (
        graph(
            numbers("b", [0, 1, 0, 0]),
            numbers("e", [0, 0, 4, 2]),
            numbers("t", [1, 1, 2, 1]),
            op(
                "StridedSlice",
                "input_tensor",
                "b",
                "e",
                "t",
                attributes=dtype("Index", DT_INT32)
                + integer("begin_mask", 1)
                + integer("end_mask", 3),
            ),
        ),
        (3, 2, 2),
    ),
    "ReverseV2": (
        graph(numbers("a", [3]), op("ReverseV2", "input_tensor", "a", attributes=dtype("Tidx", 3))),
        (4, 4, 3),
    ),
}
"""Graphs that keep a row an image, and the rest of the shape of ``y``."""

REFUSED: dict[str, tuple[bytes, str]] = {
    "an unknown operator": (
        graph(op("Cumsum", "input_tensor")),
        "operator Cumsum 'y' is not known here",
    ),
    "a variable": (
        graph(tf_node("v", "VariableV2"), op("Relu", "input_tensor")),
        r"variables, assignments or control flow \(the operator VariableV2 'v'\)",
    ),
    "an assignment": (
        graph(floats("v", 3), op("Assign", "v", "v", called="a"), op("Relu", "input_tensor")),
        r"\(the operator Assign 'a'\)",
    ),
    "control flow": (graph(op("Switch", "input_tensor", "input_tensor")), "the operator Switch"),
    "Slice of one row": (
        graph(
            numbers("b", [0, 0]),
            numbers("s", [1, 6]),
            op("Slice", "input_tensor", "b", "s", attributes=dtype("Index", DT_INT32)),
            image=ROW,
        ),
        r"Slice 'y' binds another batch: it takes \[1, 6\] of \[5, 6\]",
    ),
    "StridedSlice of one row": (
        graph(
            numbers("b", [0]),
            numbers("e", [1]),
            op(
                "StridedSlice",
                "input_tensor",
                "b",
                "e",
                "e",
                attributes=dtype("Index", DT_INT32),
            ),
            image=ROW,
        ),
        "StridedSlice 'y' binds another batch: it takes 0:1 of 5 images",
    ),
    "Gather of a row": (
        graph(
            scalar("i", 0),
            op("GatherV2", "input_tensor", "i", "i", attributes=dtype("Taxis", 3)),
            image=ROW,
        ),
        "works along the axis of the images",
    ),
    "Reshape by Pack": (
        graph(
            scalar("one", 1),
            scalar("six", 6),
            tf_node("s", "Pack", ("one", "six"), dtype("T", DT_INT32) + integer("N", 2)),
            op("Reshape", "input_tensor", "s", attributes=dtype("Tshape", DT_INT32)),
            image=ROW,
        ),
        r"Reshape 'y' binds another batch: it makes \[1, 6\] of \[5, 6\]",
    ),
    "Reshape that moves rows": (
        graph(
            numbers("s", [6, -1]),
            op("Reshape", "input_tensor", "s", attributes=dtype("Tshape", DT_INT32)),
            image=ROW,
        ),
        "binds another batch",
    ),
    "Concat of a constant": (
        graph(
            scalar("a", 1),
            floats("token", 1, 6),
            op(
                "ConcatV2",
                "input_tensor",
                "token",
                "a",
                attributes=integer("N", 2) + dtype("Tidx", 3),
            ),
            image=ROW,
        ),
        "ConcatV2 'y' binds another batch",
    ),
    "a constant a row": (
        graph(floats("c", 5, 6), op("AddV2", "input_tensor", "c"), image=ROW),
        r"binds another batch: 'c' has the shape \[5, 6\]",
    ),
    "statistics of the batch": (
        graph(floats("c", 3), op("FusedBatchNorm", "input_tensor", "c", "c", "c", "c")),
        "normalizes over all images of a batch",
    ),
    "a mean over the batch": (
        graph(
            numbers("a", [0]),
            op("Mean", "input_tensor", "a", attributes=dtype("Tidx", 3) + flag("keep_dims", True)),
        ),
        "works along the axis of the images",
    ),
    "a product of all rows": (
        graph(
            op("MatMul", "input_tensor", "input_tensor", attributes=flag("transpose_b", True)),
            image=ROW,
        ),
        "'input_tensor', which depends on the batch",
    ),
    "a division by the batch": (
        graph(
            SIZES,
            numbers("zero", [0]),
            numbers("one", [1]),
            tf_node(
                "n",
                "StridedSlice",
                ("sizes", "zero", "one", "one"),
                dtype("T", DT_INT32) + dtype("Index", DT_INT32) + integer("shrink_axis_mask", 1),
            ),
            tf_node("f", "Cast", ("n",), dtype("SrcT", DT_INT32) + dtype("DstT", DT_FLOAT)),
            op("RealDiv", "input_tensor", "f"),
        ),
        "binds another batch: 'f'",
    ),
    "a transposition of the batch": (
        graph(
            numbers("p", [1, 0]),
            op("Transpose", "input_tensor", "p", attributes=dtype("Tperm", DT_INT32)),
            image=ROW,
        ),
        "moves the axis of the images",
    ),
    "padding of the batch": (
        graph(
            numbers("p", [0, 1, 0, 0], (2, 2)),
            op("Pad", "input_tensor", "p", attributes=dtype("Tpaddings", DT_INT32)),
            image=ROW,
        ),
        "adds rows that are not images",
    ),
    "a tile of the batch": (
        graph(
            numbers("t", [2, 1]),
            op("Tile", "input_tensor", "t", attributes=dtype("Tmultiples", DT_INT32)),
            image=ROW,
        ),
        "repeats the images",
    ),
    "noise": (
        graph(
            numbers("s", [1, 6]),
            tf_node("n", "RandomUniform", ("s",), dtype("T", 3) + dtype("dtype", DT_FLOAT)),
            op("AddV2", "input_tensor", "n"),
            image=ROW,
        ),
        "reads 'n', whose shape is not known here",
    ),
    "a shape that is computed in another way": (
        graph(
            numbers("c", [-1, 6]),
            tf_node("s", "Unique", ("c",), dtype("T", 3)),
            op("Reshape", "input_tensor", "s", attributes=dtype("Tshape", DT_INT32)),
            image=ROW,
        ),
        "reads the numbers 's', which are not known here",
    ),
    "a loop": (
        graph(op("Add", "input_tensor", "z"), op("Relu", "y", called="z")),
        "a loop through its node",
    ),
}
"""Graphs that bind, mix, drop or add rows when five images are asked for, and the reason."""
