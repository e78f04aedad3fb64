"""Seeded weights that are the same bytes on every machine.

Numbers come from splitmix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number
generators", 2014) as whole numbers, and become float32 by single, correctly rounded IEEE
operations. No step depends on the order of a floating-point sum, on a mathematics library, or on
a generator whose stream NumPy may change.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isqrt
from typing import TYPE_CHECKING

from cmx_resnet50.dummy.network import EPSILON, Conv, Network

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

GENERATOR = "cmx-resnet50-dummy-1"
"""Names this way of making weights; the number grows when the bytes change."""

_MASK = (1 << 64) - 1
_GOLDEN = 0x9E3779B97F4A7C15
_MIX = (0xBF58476D1CE4E5B9, 0x94D049BB133111EB)
_HALF = 1 << 23
_JITTER = 2.0**-16
"""Spread of the shifts and means: small, so that an input of any scale decides the outcome."""


@dataclass(frozen=True)
class Norm:
    """A batch normalization's four vectors, each float32 of shape (channels,)."""

    gamma: Floats
    beta: Floats
    mean: Floats
    variance: Floats


def little_endian(values: NDArray[np.generic]) -> bytes:
    """Return the elements of `values` as every format stores them."""
    return values.astype(values.dtype.newbyteorder("<"), copy=False).tobytes()


def description(seed: int) -> dict[str, str]:
    """Return what a file states about its weights: that they are random, and their seed."""
    return {"weights": "dummy", "seed": str(seed), "generator": GENERATOR}


def sentence(seed: int) -> str:
    """Return the description as one line, for formats with a single text field."""
    return " ".join(f"{key}={value}" for key, value in description(seed).items())


class Weights:
    """The parameters of `network` under `seed`, made anew on each call and never kept."""

    def __init__(self, network: Network, seed: int) -> None:
        self.network = network
        self.seed = seed & _MASK

    def kernel(self, conv: Conv) -> Floats:
        """Return the kernel of `conv`, float32 of shape (outputs, inputs, height, width).

        The scale is He's: a uniform spread of variance 2 / (inputs * height * width). Each
        filter is centred, over the image in the stem and over the channels elsewhere, so that
        the mean of what comes in does not drown what differs from image to image.
        """
        shape = (conv.outputs, conv.inputs, conv.kernel, conv.kernel)
        values = self._integers(4 * conv.index, shape)
        if conv.index == 0:
            _centre(values.reshape(conv.outputs * conv.inputs, -1, 1))
        else:
            _centre(values.reshape(conv.outputs, conv.inputs, -1))
        return _scaled(values, _bound(6, conv.inputs * conv.kernel**2))

    def norm(self, conv: Conv) -> Norm:
        """Return the batch normalization after `conv`: near identity, up to its gain."""
        import numpy as np

        spread = self._integers(4 * conv.index + 1, (4, conv.outputs))
        sixteenth, jitter = 2.0**-4, _JITTER
        root = np.sqrt(np.float32(conv.variance))
        one = np.float32(1)
        return Norm(
            gamma=(one + _scaled(spread[0], sixteenth)) * np.float32(conv.gain),
            beta=_scaled(spread[1], jitter),
            mean=_scaled(spread[2], jitter) * root,
            variance=(one + _scaled(spread[3], sixteenth)) * np.float32(conv.variance),
        )

    def folded(self, conv: Conv) -> tuple[Floats, Floats]:
        """Return kernel and bias of `conv` with its batch normalization worked in.

        Shapes as `kernel` gives, and (outputs,). One rounded operation at a time.
        """
        import numpy as np

        norm = self.norm(conv)
        deviation = np.sqrt(norm.variance.astype(np.float64) + EPSILON)
        factor = norm.gamma.astype(np.float64) / deviation
        shift = norm.mean.astype(np.float64) * factor
        bias = (norm.beta.astype(np.float64) - shift).astype(np.float32)
        kernel = self.kernel(conv)
        kernel *= factor.astype(np.float32).reshape(-1, 1, 1, 1)
        return kernel, bias

    def dense(self) -> tuple[Floats, Floats]:
        """Return the last layer: float32 of shape (classes, features), and (classes,).

        Each row is centred, so that no class wins whatever the image is.
        """
        classes, features = self.network.variant.classes, self.network.features
        values = self._integers(1 << 20, (classes, features))
        _centre(values.reshape(classes, features, 1))
        bias = self._integers((1 << 20) + 1, (classes,))
        return _scaled(values, _bound(6000, features)), _scaled(bias, _JITTER)

    def _integers(self, stream: int, shape: tuple[int, ...]) -> NDArray[np.int32]:
        """Whole numbers from -2**23 up to, not including, 2**23, as int32 of `shape`."""
        import numpy as np

        count = 1
        for length in shape:
            count *= length
        words = np.arange(1, count // 2 + 2, dtype=np.uint64)
        words *= np.uint64(_GOLDEN)
        words += np.uint64(_mix(self.seed + _GOLDEN * (stream + 1) & _MASK))
        for shift, factor in zip((30, 27), _MIX, strict=True):
            words ^= words >> np.uint64(shift)
            words *= np.uint64(factor)
        words ^= words >> np.uint64(31)
        # Each word gives two numbers, low half first whatever the machine's byte order.
        halves = words.astype("<u8", copy=False).view("<u4")[:count]
        values: NDArray[np.int32] = (halves >> np.uint32(8)).astype(np.int32)
        values -= np.int32(_HALF)
        return values.reshape(shape)


def _mix(word: int) -> int:
    """Splitmix64's output function on one word."""
    for shift, factor in zip((30, 27), _MIX, strict=True):
        word = ((word ^ (word >> shift)) * factor) & _MASK
    return word ^ (word >> 31)


def _centre(values: NDArray[np.int32]) -> None:
    """Take the mean over axis 1 away, in whole numbers, in place."""
    import numpy as np

    total = values.sum(axis=1, keepdims=True, dtype=np.int64)
    values -= (total // values.shape[1]).astype(np.int32)


def _bound(numerator: int, denominator: int) -> float:
    """Return sqrt(numerator / denominator), cut to 24 bits after the point."""
    return isqrt((numerator << 48) // denominator) * 2.0**-24


def _scaled(values: NDArray[np.int32], bound: float) -> Floats:
    """Map [-2**23, 2**23] to [-bound, bound] as float32.

    Centred values stay below 2**24, which float32 holds exactly, so the product is the only
    operation that rounds.
    """
    import numpy as np

    scaled: Floats = values.astype(np.float32)
    scaled *= np.float32(bound / _HALF)
    return scaled
