"""What ResNet-50 v1.5 is: its convolutions, blocks and channel counts, in no format's terms."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

WIDTH = 64
"""Channels of the first convolution of the true network; all other counts follow from it."""
IMAGE = 224
"""Height and width of the input in pixels."""
EPSILON = 1e-5
"""Added to the variance by every batch normalization."""

_DEPTHS = (3, 4, 6, 3)
_EXPANSION = 4


@dataclass(frozen=True)
class Lineage:
    """What the files that came from one framework's training share.

    Attributes
    ----------
    name : str
        ``tensorflow`` or ``torchvision``.
    classes : int
        1001 with a background class, or 1000.
    pool_pads : tuple of int
        Padding of the max-pool: top, left, bottom, right.
    stem_variance : float
        Variance after the first convolution, for an input that is prepared as this lineage
        expects: raw pixels minus the mean, or pixels scaled to about unit variance.
    """

    name: str
    classes: int
    pool_pads: tuple[int, int, int, int]
    stem_variance: float


TENSORFLOW = Lineage("tensorflow", 1001, (0, 0, 1, 1), 8192.0)
TORCHVISION = Lineage("torchvision", 1000, (1, 1, 1, 1), 2.0)


@dataclass(frozen=True)
class Conv:
    """A convolution and the batch normalization that follows it.

    `index` counts in the order of TensorFlow's official model, where the shortcut of a block
    comes before its other convolutions; `name` and `norm` are torchvision's. The padding is
    `kernel` // 2 on every side. `variance` is about that of the convolution's output, and
    `gain` about the scale that the normalization gives it.
    """

    index: int
    name: str
    norm: str
    inputs: int
    outputs: int
    kernel: int
    stride: int
    variance: float
    gain: float

    @property
    def padding(self) -> int:
        """Pixels added on each side of the image."""
        return self.kernel // 2


@dataclass(frozen=True)
class Block:
    """A bottleneck: three convolutions beside a shortcut, added; ReLU after each but the shortcut.

    `shortcut` is None where the input is added as it is.
    """

    index: int
    name: str
    shortcut: Conv | None
    convs: tuple[Conv, Conv, Conv]


@dataclass(frozen=True)
class Network:
    """The whole graph: stem, max-pool, 16 blocks, mean over the image, one dense layer."""

    lineage: Lineage
    width: int
    stem: Conv
    blocks: tuple[Block, ...]

    @property
    def features(self) -> int:
        """Length of the vector that the dense layer takes."""
        return self.blocks[-1].convs[2].outputs

    @property
    def convs(self) -> Iterator[Conv]:
        """All 53 convolutions in the order of their index."""
        yield self.stem
        for block in self.blocks:
            if block.shortcut is not None:
                yield block.shortcut
            yield from block.convs

    def side(self, conv: Conv, before: int) -> int:
        """Height and width after `conv` of an image that has `before` pixels a side."""
        return (before + 2 * conv.padding - conv.kernel) // conv.stride + 1


def build(lineage: Lineage, width: int = WIDTH) -> Network:
    """Describe the network of `lineage` with `width` channels after the first convolution."""
    stem = Conv(0, "conv1", "bn1", 3, width, 7, 2, lineage.stem_variance, 1.0)
    blocks: list[Block] = []
    index = 1
    inputs = width
    for stage, depth in enumerate(_DEPTHS):
        inner = width << stage
        outer = inner * _EXPANSION
        for position in range(depth):
            name = f"layer{stage + 1}.{position}"
            # v1.5: the stride sits on the 3x3 convolution, v1 had it on the first 1x1.
            stride = 2 if position == 0 and stage > 0 else 1
            shortcut = None
            if position == 0:
                shortcut = Conv(
                    index,
                    f"{name}.downsample.0",
                    f"{name}.downsample.1",
                    inputs,
                    outer,
                    1,
                    stride,
                    1.0,
                    1.0,
                )
                index += 1
            # A small last scale keeps the sum over 16 blocks from growing.
            shapes = (
                (inputs, inner, 1, 1, 1.0),
                (inner, inner, 3, stride, 1.0),
                (inner, outer, 1, 1, 0.25),
            )
            first, second, third = (
                Conv(index + i, f"{name}.conv{i + 1}", f"{name}.bn{i + 1}", a, b, k, s, 1.0, gain)
                for i, (a, b, k, s, gain) in enumerate(shapes)
            )
            index += 3
            blocks.append(Block(len(blocks), name, shortcut, (first, second, third)))
            inputs = outer
    return Network(lineage, width, stem, tuple(blocks))
