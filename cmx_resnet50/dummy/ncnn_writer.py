"""Writes the network for ncnn: a text of layers (.param) and the bytes of their weights (.bin).

As pnnx writes it: inputs `in0`, outputs `out0`, batch normalization folded into the convolutions,
ReLU into those before it. Neither file has a field for a note. A layer may have any name, so the
.param carries the note as the name of its input layer; the .bin is weights to the last byte and
carries none. Source: the pages on the param and model file specification and on the operators'
parameters in ncnn's documentation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO

from cmx_resnet50.dummy.network import IMAGE, Block, Conv, Pool, Speller, WeightsSpeller, walk
from cmx_resnet50.dummy.weights import Weights, sentence

if TYPE_CHECKING:
    from cmx_resnet50.dummy.weights import Floats

_MAGIC = 7767517
_FLOAT32 = bytes(4)
"""Tag of a matrix or kernel: 0 for plain float32."""


def write_bin(out: BinaryIO, weights: Weights) -> None:
    """Write the weights in the order of the layers that have some."""
    walk(weights.network, _Bin(out, weights))


def write_param(out: BinaryIO, weights: Weights) -> None:
    """Write the layers, with the number of weights of each."""
    text = _Param(weights)
    walk(weights.network, text)
    lines = [str(_MAGIC), f"{len(text.lines)} {text.blobs}", *text.lines]
    out.write(("\n".join(lines) + "\n").encode())


class _Bin(WeightsSpeller):
    """Writes the weights of each layer as it comes."""

    def __init__(self, out: BinaryIO, weights: Weights) -> None:
        self._out = out
        self._weights = weights

    def conv(self, conv: Conv, value: None, *, relu: bool) -> None:
        """Write a kernel and a bias, with the normalization folded in."""
        self._write(*self._weights.folded(conv))

    def head(self, value: None) -> None:
        """Write the dense layer."""
        self._write(*self._weights.dense())

    def _write(self, matrix: Floats, bias: Floats) -> None:
        self._out.write(_FLOAT32)
        self._out.write(matrix.astype("<f4", copy=False).data)
        self._out.write(bias.astype("<f4", copy=False).data)


class _Param(Speller[str]):
    """Collects the lines of layers; every blob has one producer and one consumer."""

    def __init__(self, weights: Weights) -> None:
        self._network = weights.network
        self._seed = weights.seed
        self._counts: dict[str, int] = {}
        self.lines: list[str] = []
        self.blobs = 0

    def image(self) -> str:
        """Add the input, whose name is the note."""
        note = sentence(self._seed).replace(" ", ",")
        return self._layer("Input", note, [], {0: IMAGE, 1: IMAGE, 2: 3}, "in0")

    def conv(self, conv: Conv, value: str, *, relu: bool) -> str:
        """Add a convolution with normalization and ReLU folded in."""
        kernel, stride, pad = conv.kernel, conv.stride, conv.padding
        numbers = {0: conv.outputs, 1: kernel, 11: kernel, 12: 1, 13: stride, 14: pad, 2: 1}
        numbers |= {3: stride, 4: pad, 5: 1, 6: conv.outputs * conv.inputs * kernel**2}
        if relu:
            numbers[9] = 1
        name = self._next("convrelu" if relu else "conv")
        return self._layer("Convolution", name, [value], numbers)

    def pool(self, pool: Pool, value: str) -> str:
        """Add the max-pool."""
        kernel, stride, pad = pool.kernel, pool.stride, pool.pads[0]
        numbers = {0: 0, 1: kernel, 11: kernel, 12: stride, 13: pad, 2: stride, 3: pad, 5: 1}
        return self._layer("Pooling", self._next("maxpool2d"), [value], numbers)

    def fork(self, value: str) -> tuple[str, str]:
        """Split a blob, which has one consumer only, into two."""
        first, second = str(self.blobs), str(self.blobs + 1)
        self._line("Split", self._next("splitncnn"), [value], [first, second], {})
        return first, second

    def total(self, block: Block, value: str, shortcut: str) -> str:
        """Add a sum and its ReLU."""
        value = self._layer("BinaryOp", self._next("add"), [value, shortcut], {0: 0})
        return self._layer("ReLU", self._next("relu"), [value], {})

    def head(self, value: str) -> None:
        """Add the mean over the image and the dense layer."""
        value = self._layer("Pooling", self._next("gap"), [value], {0: 1, 4: 1})
        classes = self._network.variant.classes
        numbers = {0: classes, 1: 1, 2: classes * self._network.features}
        self._layer("InnerProduct", self._next("linear"), [value], numbers, "out0")

    def _next(self, kind: str) -> str:
        index = self._counts.get(kind, 0)
        self._counts[kind] = index + 1
        return f"{kind}_{index}"

    def _layer(
        self,
        kind: str,
        name: str,
        inputs: list[str],
        numbers: dict[int, int],
        output: str | None = None,
    ) -> str:
        output = output or str(self.blobs)
        self._line(kind, name, inputs, [output], numbers)
        return output

    def _line(
        self,
        kind: str,
        name: str,
        inputs: list[str],
        outputs: list[str],
        numbers: dict[int, int],
    ) -> None:
        counts = f"{len(inputs)} {len(outputs)}"
        words = [f"{kind:<16} {name:<16} {counts}", *inputs, *outputs]
        words += [f"{key}={value}" for key, value in numbers.items()]
        self.lines.append(" ".join(words))
        self.blobs += len(outputs)
