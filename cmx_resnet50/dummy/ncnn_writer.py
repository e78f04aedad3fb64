"""Writes the network for ncnn: a text of layers (.param) and the bytes of their weights (.bin).

As pnnx writes it: inputs `in0`, outputs `out0`, batch normalization worked into the
convolutions, ReLU into those that it follows. Neither file has room for a note. A layer's name
is free, so the .param carries the note as the name of its input layer; the .bin is weights to
the last byte and carries none. Source: the pages on the param and model file specification and
on the operators' parameters in ncnn's documentation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO

from cmx_resnet50.dummy.network import IMAGE, Conv
from cmx_resnet50.dummy.weights import Weights, sentence

if TYPE_CHECKING:
    from cmx_resnet50.dummy.weights import Floats

_MAGIC = 7767517
_FLOAT32 = bytes(4)
"""Comes before each matrix or kernel: 0 says that plain float32 follow."""


def write_bin(out: BinaryIO, weights: Weights) -> None:
    """Write the weights in the order of the layers that have some."""
    for conv in weights.network.convs:
        _write_layer(out, *weights.folded(conv))
    _write_layer(out, *weights.dense())


def _write_layer(out: BinaryIO, matrix: Floats, bias: Floats) -> None:
    out.write(_FLOAT32)
    out.write(matrix.astype("<f4", copy=False).data)
    out.write(bias.astype("<f4", copy=False).data)


def write_param(out: BinaryIO, weights: Weights) -> None:
    """Write the layers; no weight stands here, only how many there are."""
    text = _Text(weights)
    text.add_all()
    lines = [str(_MAGIC), f"{len(text.lines)} {text.blobs}", *text.lines]
    out.write(("\n".join(lines) + "\n").encode())


class _Text:
    """Collects the lines of layers; every blob has one producer and one consumer."""

    def __init__(self, weights: Weights) -> None:
        self._network = weights.network
        self._seed = weights.seed
        self._counts: dict[str, int] = {}
        self.lines: list[str] = []
        self.blobs = 0

    def add_all(self) -> None:
        """Add every layer, in the order in which the .bin holds their weights."""
        network = self._network
        note = sentence(self._seed).replace(" ", ",")
        value = self._layer("Input", note, [], {0: IMAGE, 1: IMAGE, 2: 3}, "in0")
        value = self._conv(network.stem, value, relu=True)
        pad = network.lineage.pool_pads[0]
        sizes = {0: 0, 1: 3, 11: 3, 12: 2, 13: pad, 2: 2, 3: pad, 5: 1}
        value = self._layer("Pooling", self._next("maxpool2d"), [value], sizes)
        for block in network.blocks:
            shortcut, value = self._split(value)
            if block.shortcut is not None:
                shortcut = self._conv(block.shortcut, shortcut)
            for conv in block.convs:
                value = self._conv(conv, value, relu=conv is not block.convs[2])
            value = self._layer("BinaryOp", self._next("add"), [value, shortcut], {0: 0})
            value = self._layer("ReLU", self._next("relu"), [value], {})
        value = self._layer("Pooling", self._next("gap"), [value], {0: 1, 4: 1})
        classes = network.lineage.classes
        count = classes * network.features
        self._layer(
            "InnerProduct", self._next("linear"), [value], {0: classes, 1: 1, 2: count}, "out0"
        )

    def _conv(self, conv: Conv, value: str, *, relu: bool = False) -> str:
        kernel, stride, pad = conv.kernel, conv.stride, conv.padding
        numbers = {0: conv.outputs, 1: kernel, 11: kernel, 12: 1, 13: stride, 14: pad, 2: 1}
        numbers |= {3: stride, 4: pad, 5: 1, 6: conv.outputs * conv.inputs * kernel**2}
        if relu:
            numbers[9] = 1
        name = self._next("convrelu" if relu else "conv")
        return self._layer("Convolution", name, [value], numbers)

    def _split(self, value: str) -> tuple[str, str]:
        first, second = str(self.blobs), str(self.blobs + 1)
        self._line("Split", self._next("splitncnn"), [value], [first, second], {})
        return first, second

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
