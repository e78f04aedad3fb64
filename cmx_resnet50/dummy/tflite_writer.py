"""Writes the network as TFLite: float32, batch 1, NHWC, with or without the argmax.

As TensorFlow's converter writes it: batch normalization is folded into the convolutions, ReLU into
the convolution or the sum before it. Slot numbers and enumerators: schema.fbs of TFLite, version 3.
The flatbuffers library lays out the bytes; the tables are too few to need generated code.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, BinaryIO

from cmx_resnet50.dummy.network import IMAGE, Block, Conv, Pool, Speller, walk
from cmx_resnet50.dummy.tensorflow_names import SCOPE, Names, numbered
from cmx_resnet50.dummy.weights import Weights, little_endian, sentence

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_SCHEMA = 3
_FLOAT32, _INT32, _INT64 = 0, 2, 4
_SAME, _VALID = 0, 1
_RELU = 1
_ALIGNMENT = 16
"""Of the weights in the file, so that a runtime can use them in place."""

_OPERATORS = {
    "ADD": (0, 11),
    "CONV_2D": (3, 1),
    "FULLY_CONNECTED": (9, 8),
    "MAX_POOL_2D": (17, 5),
    "SOFTMAX": (25, 9),
    "PAD": (34, 22),
    "MEAN": (40, 27),
    "SQUEEZE": (43, 30),
    "ARG_MAX": (56, 40),
}
"""BuiltinOperator, and the BuiltinOptions for it."""

_CODES = list(_OPERATORS)


def write(out: BinaryIO, weights: Weights, *, argmax: bool) -> None:
    """Write the whole model to `out`; `argmax` puts the output ``ArgMax`` before the scores."""
    out.write(_TfliteSpeller(weights, argmax=argmax).model())


class _TfliteSpeller(Speller[int]):
    """Writes tables as the graph goes on; what a table refers to is written before it."""

    def __init__(self, weights: Weights, *, argmax: bool) -> None:
        import flatbuffers  # type: ignore[import-untyped]

        network = weights.network
        count = sum(c.outputs * (c.inputs * c.kernel**2 + 1) for c in network.convs)
        count += network.variant.classes * (network.features + 1)
        # Allocated at once: growing copies everything.
        self._flat: Any = flatbuffers.Builder(4 * count + (1 << 16))
        self._weights = weights
        self._buffers = [self._table(1, {})]
        self._tensors: list[int] = []
        self._operators: list[int] = []
        self._outputs: list[int] = []
        self._argmax = argmax
        self._names = Names()

    def model(self) -> memoryview:
        """Build the model and return its bytes."""
        walk(self._weights.network, self)
        flat = self._flat
        graph = self._table(
            5,
            {
                0: ("offset", self._offsets(self._tensors)),
                1: ("offset", self._integers([0])),
                2: ("offset", self._integers(self._outputs)),
                3: ("offset", self._offsets(self._operators)),
                4: ("offset", flat.CreateString("main")),
            },
        )
        codes = [
            self._table(4, {0: ("int8", code), 2: ("int32", 1), 3: ("int32", code)})
            for code, _ in _OPERATORS.values()
        ]
        note = f"ResNet-50 v1.5 with random weights: {sentence(self._weights.seed)}"
        root = self._table(
            5,
            {
                0: ("uint32", _SCHEMA),
                1: ("offset", self._offsets(codes)),
                2: ("offset", self._offsets([graph])),
                3: ("offset", flat.CreateString(note)),
                4: ("offset", self._offsets(self._buffers)),
            },
        )
        flat.Finish(root, file_identifier=b"TFL3")
        return memoryview(flat.Bytes)[flat.Head() :]

    def image(self) -> int:
        """Add the input."""
        return self._tensor("input_tensor", (1, IMAGE, IMAGE, 3))

    def conv(self, conv: Conv, value: int, *, relu: bool) -> int:
        """Add a convolution with normalization and ReLU folded in, and its padding."""
        padding = _SAME
        if conv.stride > 1:
            padding = _VALID
            if conv.padding:
                value = self._pad(conv, value)
        scope = numbered("conv2d", conv.index)
        kernel, bias = self._weights.folded(conv)
        inputs = [
            value,
            self._constant(f"{scope}/kernel", kernel.transpose(0, 2, 3, 1)),
            self._constant(f"{scope}/bias", bias),
        ]
        fields = {0: ("int8", padding), 1: ("int32", conv.stride), 2: ("int32", conv.stride)}
        if relu:
            fields[3] = ("int8", _RELU)
        name = self._names.next("Relu") if relu else f"{scope}/Conv2D"
        shape = (1, conv.side, conv.side, conv.outputs)
        return self._operator("CONV_2D", inputs, name, shape, self._table(6, fields))

    def pool(self, pool: Pool, value: int) -> int:
        """Add the max-pool; SAME gives the padding of this variant."""
        options = self._table(
            6,
            {
                0: ("int8", _SAME),
                1: ("int32", pool.stride),
                2: ("int32", pool.stride),
                3: ("int32", pool.kernel),
                4: ("int32", pool.kernel),
            },
        )
        shape = (1, pool.side, pool.side, pool.channels)
        name = f"{SCOPE}/max_pooling2d/MaxPool"
        return self._operator("MAX_POOL_2D", [value], name, shape, options)

    def total(self, block: Block, value: int, shortcut: int) -> int:
        """Add a sum with its ReLU."""
        shape = (1, block.side, block.side, block.outputs)
        options = self._table(1, {0: ("int8", _RELU)})
        return self._operator("ADD", [value, shortcut], self._names.next("Relu"), shape, options)

    def _pad(self, conv: Conv, value: int) -> int:
        import numpy as np

        name, pads = self._names.next("Pad"), [conv.padding] * 2
        padded = conv.before + 2 * conv.padding
        pairs = np.array([[0, 0], pads, pads, [0, 0]], "<i4")
        inputs = [value, self._constant(f"{name}/paddings", pairs)]
        shape = (1, padded, padded, conv.inputs)
        return self._operator("PAD", inputs, name, shape, self._table(0, {}))

    def head(self, value: int) -> None:
        """Add the tail and the outputs."""
        import numpy as np

        features = self._weights.network.features
        classes = self._weights.network.variant.classes
        axes = self._constant(f"{SCOPE}/Mean/reduction_indices", np.array([1, 2], "<i4"))
        options = self._table(1, {0: ("bool", True)})
        pooled = (1, 1, 1, features)
        value = self._operator("MEAN", [value, axes], f"{SCOPE}/Mean", pooled, options)
        options = self._table(1, {0: ("offset", self._integers([1, 2]))})
        name = f"{SCOPE}/Squeeze"
        value = self._operator("SQUEEZE", [value], name, (1, features), options)
        matrix, bias = self._weights.dense()
        inputs = [
            value,
            self._constant(f"{SCOPE}/dense/kernel", matrix),
            self._constant(f"{SCOPE}/dense/bias", bias),
        ]
        shape, plain = (1, classes), self._table(1, {})
        name = f"{SCOPE}/final_dense"
        value = self._operator("FULLY_CONNECTED", inputs, name, shape, plain)
        options = self._table(1, {0: ("float32", 1.0)})
        scores = self._operator("SOFTMAX", [value], "softmax_tensor", shape, options)
        if not self._argmax:
            self._outputs = [scores]
            return
        axis = self._constant("ArgMax/dimension", np.array(1, "<i4"))
        options = self._table(1, {0: ("int8", _INT64)})
        best = self._operator("ARG_MAX", [value, axis], "ArgMax", (1,), options, _INT64)
        self._outputs = [best, scores]

    def _operator(
        self,
        op: str,
        inputs: list[int],
        name: str,
        shape: tuple[int, ...],
        options: int,
        kind: int = _FLOAT32,
    ) -> int:
        output = self._tensor(name, shape, kind)
        fields = {
            0: ("uint32", _CODES.index(op)),
            1: ("offset", self._integers(inputs)),
            2: ("offset", self._integers([output])),
            3: ("uint8", _OPERATORS[op][1]),
            4: ("offset", options),
        }
        self._operators.append(self._table(5, fields))
        return output

    def _tensor(
        self, name: str, shape: tuple[int, ...], kind: int = _FLOAT32, buffer: int = 0
    ) -> int:
        fields = {
            0: ("offset", self._integers(list(shape))),
            1: ("int8", kind),
            2: ("uint32", buffer),
            3: ("offset", self._flat.CreateString(name)),
        }
        self._tensors.append(self._table(4, fields))
        return len(self._tensors) - 1

    def _constant(self, name: str, values: NDArray[np.generic]) -> int:
        data = little_endian(values)
        flat = self._flat
        # CreateByteVector would do, but aligns to one byte.
        flat.StartVector(1, len(data), _ALIGNMENT)
        flat.head -= len(data)
        flat.Bytes[flat.head : flat.head + len(data)] = data
        self._buffers.append(self._table(1, {0: ("offset", flat.EndVector())}))
        kind = _INT32 if values.dtype.kind == "i" else _FLOAT32
        return self._tensor(name, values.shape, kind, len(self._buffers) - 1)

    def _table(self, slots: int, fields: Mapping[int, tuple[str, float]]) -> int:
        """Write a table of `slots` fields; each is given by its slot, type and value."""
        flat = self._flat
        write = {
            "offset": flat.PrependUOffsetTRelativeSlot,
            "bool": flat.PrependBoolSlot,
            "int8": flat.PrependInt8Slot,
            "uint8": flat.PrependUint8Slot,
            "int32": flat.PrependInt32Slot,
            "uint32": flat.PrependUint32Slot,
            "float32": flat.PrependFloat32Slot,
        }
        flat.StartObject(slots)
        for slot, (kind, value) in fields.items():
            # 0 is the schema's default, or, in the one slot where it is 1, never the value.
            write[kind](slot, value, 0)
        return int(flat.EndObject())

    def _integers(self, values: list[int]) -> int:
        flat = self._flat
        flat.StartVector(4, len(values), 4)
        for value in reversed(values):
            flat.PrependInt32(value)
        return int(flat.EndVector())

    def _offsets(self, offsets: list[int]) -> int:
        flat = self._flat
        flat.StartVector(4, len(offsets), 4)
        for offset in reversed(offsets):
            flat.PrependUOffsetTRelative(offset)
        return int(flat.EndVector())
