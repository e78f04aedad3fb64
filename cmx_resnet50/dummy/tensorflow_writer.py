"""Writes the network as a TensorFlow frozen graph, in the names of TensorFlow's official model.

Field numbers and enumerators: graph.proto, node_def.proto, attr_value.proto, tensor.proto and
types.proto of TensorFlow.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

from cmx_resnet50.dummy.network import EPSILON, IMAGE, Block, Conv, Pool, Speller, walk
from cmx_resnet50.dummy.tensorflow_names import SCOPE, Names, numbered
from cmx_resnet50.dummy.weights import Weights, little_endian, sentence
from cmx_resnet50.formats.protobuf import (
    encode_bytes,
    encode_float,
    encode_length_prefix,
    encode_varint,
    encode_varint_field,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_PRODUCER = 27
"""Graph version of the TensorFlow releases of 2018, which knew every operator used here."""


@dataclass(frozen=True)
class _Type:
    """A DataType enumerator."""

    value: int


_FLOAT, _INT32, _STRING, _INT64 = _Type(1), _Type(3), _Type(7), _Type(9)
_NUMPY = {"f": _FLOAT, "i": _INT32}

_Value = _Type | bool | int | float | str | list[int]


def write(out: BinaryIO, weights: Weights) -> None:
    """Write the whole graph to `out`, one node after the other."""
    _TensorFlowSpeller(out, weights).graph()


def _attribute(name: str, value: bytes) -> bytes:
    """Return an entry of a node's map `attr`; `value` is an AttrValue message."""
    return encode_bytes(5, encode_bytes(1, name) + encode_bytes(2, value))


def _attr_value(value: _Value) -> bytes:
    """Return an AttrValue message."""
    if isinstance(value, _Type):
        return encode_varint_field(6, value.value)
    if isinstance(value, bool):
        return encode_varint_field(5, value)
    if isinstance(value, int):
        return encode_varint_field(3, value)
    if isinstance(value, float):
        return encode_float(4, value)
    if isinstance(value, str):
        return encode_bytes(2, value)
    return encode_bytes(1, encode_bytes(3, b"".join(encode_varint(item) for item in value)))


def _shape(lengths: tuple[int, ...]) -> bytes:
    """Return a TensorShapeProto; -1 stands for an unknown length."""
    return b"".join(encode_bytes(2, encode_varint_field(1, length)) for length in lengths)


class _TensorFlowSpeller(Speller[str]):
    """Writes nodes in order; an input is named before it is used."""

    def __init__(self, out: BinaryIO, weights: Weights) -> None:
        self._out = out
        self._weights = weights
        self._names = Names()

    def graph(self) -> None:
        """Write all nodes, then the graph's version."""
        note = f"ResNet-50 v1.5 with random weights: {sentence(self._weights.seed)}"
        self._text("dummy_weights", note)
        walk(self._weights.network, self)
        self._out.write(encode_bytes(4, encode_varint_field(1, _PRODUCER)))

    def image(self) -> str:
        """Add the Placeholder."""
        attributes = _attribute("dtype", _attr_value(_FLOAT))
        attributes += _attribute("shape", encode_bytes(7, _shape((-1, IMAGE, IMAGE, 3))))
        return self._emit("Placeholder", "input_tensor", [], attributes)

    def conv(self, conv: Conv, value: str, *, relu: bool) -> str:
        """Add a convolution, with its padding, and the normalization."""
        padding = "SAME"
        if conv.stride > 1:
            # The official model pads explicitly where it strides, so that all sides get the same.
            padding = "VALID"
            if conv.padding:
                value = self._pad(conv, value)
        scope = numbered("conv2d", conv.index)
        kernel = self._weights.kernel(conv).transpose(2, 3, 1, 0)
        value = self._node(
            "Conv2D",
            f"{scope}/Conv2D",
            [value, self._constant(f"{scope}/kernel", kernel)],
            T=_FLOAT,
            data_format="NHWC",
            dilations=[1, 1, 1, 1],
            padding=padding,
            strides=[1, conv.stride, conv.stride, 1],
        )
        scope = numbered("batch_normalization", conv.index)
        norm = self._weights.norm(conv)
        inputs = [
            value,
            self._constant(f"{scope}/gamma", norm.gamma),
            self._constant(f"{scope}/beta", norm.beta),
            self._constant(f"{scope}/moving_mean", norm.mean),
            self._constant(f"{scope}/moving_variance", norm.variance),
        ]
        value = self._node(
            "FusedBatchNorm",
            f"{scope}/FusedBatchNorm",
            inputs,
            T=_FLOAT,
            data_format="NHWC",
            epsilon=EPSILON,
            is_training=False,
        )
        return self._relu(value) if relu else value

    def pool(self, pool: Pool, value: str) -> str:
        """Add the max-pool; SAME gives the padding of this variant."""
        return self._node(
            "MaxPool",
            f"{SCOPE}/max_pooling2d/MaxPool",
            [value],
            T=_FLOAT,
            data_format="NHWC",
            ksize=[1, pool.kernel, pool.kernel, 1],
            padding="SAME",
            strides=[1, pool.stride, pool.stride, 1],
        )

    def total(self, block: Block, value: str, shortcut: str) -> str:
        """Add a sum and its ReLU."""
        return self._relu(self._node("Add", self._names.next("add"), [value, shortcut], T=_FLOAT))

    def head(self, value: str) -> None:
        """Add the tail and both outputs."""
        import numpy as np

        axes = self._constant(f"{SCOPE}/Mean/reduction_indices", np.array([1, 2], "<i4"))
        name = f"{SCOPE}/Mean"
        value = self._node("Mean", name, [value, axes], T=_FLOAT, Tidx=_INT32, keep_dims=True)
        value = self._node("Squeeze", f"{SCOPE}/Squeeze", [value], T=_FLOAT, squeeze_dims=[1, 2])
        matrix, bias = self._weights.dense()
        scope = f"{SCOPE}/dense"
        inputs = [value, self._constant(f"{scope}/kernel", matrix.T)]
        off = {"transpose_a": False, "transpose_b": False}
        value = self._node("MatMul", f"{scope}/MatMul", inputs, T=_FLOAT, **off)
        inputs = [value, self._constant(f"{scope}/bias", bias)]
        value = self._node("BiasAdd", f"{scope}/BiasAdd", inputs, T=_FLOAT, data_format="NHWC")
        value = self._node("Identity", f"{SCOPE}/final_dense", [value], T=_FLOAT)
        axis = self._constant("ArgMax/dimension", np.array(1, "<i4"))
        types = {"T": _FLOAT, "Tidx": _INT32, "output_type": _INT64}
        self._node("ArgMax", "ArgMax", [value, axis], **types)
        self._node("Softmax", "softmax_tensor", [value], T=_FLOAT)

    def _pad(self, conv: Conv, value: str) -> str:
        import numpy as np

        name, side = self._names.next("Pad"), [conv.padding] * 2
        pads = np.array([[0, 0], side, side, [0, 0]], "<i4")
        inputs = [value, self._constant(f"{name}/paddings", pads)]
        return self._node("Pad", name, inputs, T=_FLOAT, Tpaddings=_INT32)

    def _relu(self, value: str) -> str:
        return self._node("Relu", self._names.next("Relu"), [value], T=_FLOAT)

    def _text(self, name: str, text: str) -> str:
        """Add a constant that nothing reads; the format has no other field for a note."""
        tensor = (
            encode_varint_field(1, _STRING.value) + encode_bytes(2, b"") + encode_bytes(8, text)
        )
        attributes = _attribute("dtype", _attr_value(_STRING))
        return self._emit(
            "Const", name, [], attributes + _attribute("value", encode_bytes(8, tensor))
        )

    def _constant(self, name: str, values: NDArray[np.generic]) -> str:
        kind = _NUMPY[values.dtype.kind]
        data = little_endian(values)
        tensor = (
            encode_varint_field(1, kind.value)
            + encode_bytes(2, _shape(values.shape))
            + encode_bytes(4, data)
        )
        attributes = _attribute("dtype", _attr_value(kind))
        return self._emit(
            "Const", name, [], attributes + _attribute("value", encode_bytes(8, tensor))
        )

    def _node(self, op: str, name: str, inputs: list[str], **attributes: _Value) -> str:
        entries = (_attribute(key, _attr_value(value)) for key, value in attributes.items())
        return self._emit(op, name, inputs, b"".join(entries))

    def _emit(self, op: str, name: str, inputs: list[str], attributes: bytes) -> str:
        head = (
            encode_bytes(1, name)
            + encode_bytes(2, op)
            + b"".join(encode_bytes(3, item) for item in inputs)
        )
        self._out.write(encode_length_prefix(1, len(head) + len(attributes)))
        self._out.write(head)
        self._out.write(attributes)
        return name
