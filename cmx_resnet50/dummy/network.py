"""What ResNet-50 v1.5 is, in no format's terms: its layers, their order and every size.

`walk` is the one description of the graph. A writer is a `Speller`: it defines how its format
spells an input, a convolution, a pooling, a sum and the head.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Generic, TypeVar

WIDTH = 64
"""Channels of the first convolution of the true network; all other counts follow from it."""
IMAGE = 224
"""Height and width of the input in pixels."""
EPSILON = 1e-5
"""Added to the variance by every batch normalization."""

_DEPTHS = (3, 4, 6, 3)
_EXPANSION = 4

Value = TypeVar("Value")


@dataclass(frozen=True)
class Variant:
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
        Variance after the first convolution, for an input that is prepared as this variant
        expects: raw pixels minus the mean, or pixels scaled to about unit variance.
    """

    name: str
    classes: int
    pool_pads: tuple[int, int, int, int]
    stem_variance: float


TENSORFLOW = Variant("tensorflow", 1001, (0, 0, 1, 1), 8192.0)
TORCHVISION = Variant("torchvision", 1000, (1, 1, 1, 1), 2.0)


@dataclass(frozen=True)
class Conv:
    """A convolution and the batch normalization that follows it.

    `index` counts in the order of TensorFlow's official model, where the shortcut of a block
    comes before its other convolutions; `name` and `norm` are torchvision's. The padding is
    `kernel` // 2 on every side; `before` and `side` are height and width of the image before and
    after it. `variance` is about that of the convolution's output, and `gain` about the scale
    that the normalization gives it.
    """

    index: int
    name: str
    norm: str
    inputs: int
    outputs: int
    kernel: int
    stride: int
    before: int
    variance: float = 1.0
    gain: float = 1.0

    @property
    def padding(self) -> int:
        """Pixels added on each side of the image."""
        return self.kernel // 2

    @property
    def side(self) -> int:
        """Height and width of the image after it."""
        return (self.before + 2 * self.padding - self.kernel) // self.stride + 1


@dataclass(frozen=True)
class Pool:
    """The max-pool after the stem; `side` is height and width of the image after it."""

    channels: int
    pads: tuple[int, int, int, int]
    side: int
    kernel: int = 3
    stride: int = 2


@dataclass(frozen=True)
class Block:
    """A bottleneck: three convolutions next to a shortcut, added; ReLU after all but the shortcut.

    `shortcut` is None where the input is added as it is.
    """

    index: int
    name: str
    shortcut: Conv | None
    convs: tuple[Conv, Conv, Conv]

    @property
    def outputs(self) -> int:
        """Channels of the sum."""
        return self.convs[2].outputs

    @property
    def side(self) -> int:
        """Height and width of the sum."""
        return self.convs[2].side


@dataclass(frozen=True)
class Network:
    """The complete graph: stem, max-pool, 16 blocks, mean over the image, one dense layer."""

    variant: Variant
    width: int
    stem: Conv
    pool: Pool
    blocks: tuple[Block, ...]

    @property
    def features(self) -> int:
        """Length of the vector that the dense layer takes."""
        return self.blocks[-1].outputs

    @property
    def convs(self) -> Iterator[Conv]:
        """All 53 convolutions in the order of their index."""
        yield self.stem
        for block in self.blocks:
            if block.shortcut is not None:
                yield block.shortcut
            yield from block.convs


class Speller(ABC, Generic[Value]):
    """How one format spells the layers; a `Value` is its reference to the output of one."""

    shortcut_last: ClassVar[bool] = False
    """Whether the convolution of a shortcut comes after the other three of its block."""

    @abstractmethod
    def image(self) -> Value:
        """Add the input, and return it."""

    @abstractmethod
    def conv(self, conv: Conv, value: Value, *, relu: bool) -> Value:
        """Add a convolution with its normalization, and a ReLU if there is one."""

    @abstractmethod
    def pool(self, pool: Pool, value: Value) -> Value:
        """Add the max-pool."""

    def fork(self, value: Value) -> tuple[Value, Value]:
        """Return `value` for the shortcut and for the convolutions of a block."""
        return value, value

    @abstractmethod
    def total(self, block: Block, value: Value, shortcut: Value) -> Value:
        """Add the sum at the end of a block, and its ReLU."""

    @abstractmethod
    def head(self, value: Value) -> None:
        """Add the mean over the image, the dense layer, and the outputs."""


class WeightsSpeller(Speller[None]):
    """A format that holds nothing but the weights, layer by layer."""

    def image(self) -> None:
        """Add nothing."""

    def pool(self, pool: Pool, value: None) -> None:
        """Add nothing."""

    def total(self, block: Block, value: None, shortcut: None) -> None:
        """Add nothing."""


def walk(network: Network, speller: Speller[Value]) -> None:
    """Spell every layer of `network`, in the order of the data."""
    value = speller.conv(network.stem, speller.image(), relu=True)
    value = speller.pool(network.pool, value)
    for block in network.blocks:
        shortcut, value = speller.fork(value)
        if block.shortcut is not None and not speller.shortcut_last:
            shortcut = speller.conv(block.shortcut, shortcut, relu=False)
        for conv in block.convs:
            value = speller.conv(conv, value, relu=conv is not block.convs[2])
        if block.shortcut is not None and speller.shortcut_last:
            shortcut = speller.conv(block.shortcut, shortcut, relu=False)
        value = speller.total(block, value, shortcut)
    speller.head(value)


def build(variant: Variant, width: int = WIDTH) -> Network:
    """Describe the network of `variant` with `width` channels after the first convolution."""
    stem = Conv(0, "conv1", "bn1", 3, width, 7, 2, IMAGE, variant.stem_variance)
    top, _, bottom, _ = variant.pool_pads
    pool = Pool(width, variant.pool_pads, (stem.side + top + bottom - 3) // 2 + 1)
    blocks: list[Block] = []
    index = 1
    inputs, side = width, pool.side
    for stage, depth in enumerate(_DEPTHS):
        inner = width << stage
        outer = inner * _EXPANSION
        for position in range(depth):
            name = f"layer{stage + 1}.{position}"
            # v1.5: the stride is on the 3x3 convolution, v1 had it on the first 1x1.
            stride = 2 if position == 0 and stage > 0 else 1
            shortcut = None
            if position == 0:
                down = f"{name}.downsample"
                shortcut = Conv(index, f"{down}.0", f"{down}.1", inputs, outer, 1, stride, side)
                index += 1
            first = Conv(index, f"{name}.conv1", f"{name}.bn1", inputs, inner, 1, 1, side)
            index += 1
            second = Conv(index, f"{name}.conv2", f"{name}.bn2", inner, inner, 3, stride, side)
            index += 1
            side = second.side
            # A small last scale keeps the sum over 16 blocks from growing.
            third = Conv(index, f"{name}.conv3", f"{name}.bn3", inner, outer, 1, 1, side, gain=0.25)
            index += 1
            blocks.append(Block(len(blocks), name, shortcut, (first, second, third)))
            inputs = outer
    return Network(variant, width, stem, pool, tuple(blocks))
