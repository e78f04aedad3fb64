"""The shapes that ONNX Runtime's own operators give, which the onnx package does not infer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from cmx_resnet50.rewrite.onnx_rules.call import Shape
from cmx_resnet50.rewrite.onnx_values import attributes_of

if TYPE_CHECKING:
    import onnx


_QUANTIZED_DATA = {"QGemm": (0, 3), "QLinearAdd": (0, 3), "QLinearMul": (0, 3)}
"""The inputs with data; between them are scales and zero points."""


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
