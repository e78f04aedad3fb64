"""How many weights each type of ncnn layer reads from the `.bin`, and in which order.

Parameter numbers are those of ncnn's `load_param`, orders those of its `load_model`, for the
layers that image classifiers are made of.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from cmx_resnet50.formats.facts import Damaged

Value = int | float | tuple[int | float, ...]
"""Value of a parameter of a layer."""

_WEIGHTS = 1 << 33
"""Weights of one layer: more than any file has."""


class Weights(NamedTuple):
    """A run of weights: how many, and whether a tag before them gives their type."""

    number: int
    tagged: bool


@dataclass(frozen=True)
class Layer:
    """A line of the `.param`.

    Parameters
    ----------
    kind, name : str
        Type and name of the layer.
    values : mapping
        Its parameters by number.
    at : int
        Offset of the line.
    """

    kind: str
    name: str
    values: Mapping[int, Value]
    at: int

    def integer(self, number: int, default: int = 0) -> int:
        """Return a parameter that must be an integer.

        Raises
        ------
        Damaged
            If it is not.
        """
        value = self.values.get(number, default)
        if not isinstance(value, int):
            raise Damaged(f"parameter {number} of layer {self.name!a} is not an integer", self.at)
        return value

    def size(self, number: int, default: int = 0) -> int:
        """Return a parameter that must be a count.

        Raises
        ------
        Damaged
            If it is negative, not an integer, or absurdly large.
        """
        value = self.integer(number, default)
        if not 0 <= value < _WEIGHTS:
            raise Damaged(f"parameter {number} of layer {self.name!a} is not a count", self.at)
        return value


def weights_of(layer: Layer) -> list[Weights]:
    """Return what a layer reads from the `.bin`, in order.

    Raises
    ------
    Damaged
        If its type is unknown here, so that the length of the `.bin` cannot be computed.
    """
    if layer.kind in _WITHOUT:
        return []
    rule = _RULES.get(layer.kind)
    if rule is None:
        raise Damaged(f"layer {layer.name!a} is of the type {layer.kind!a}, unknown here", layer.at)
    return [weights for weights in rule(layer) if weights.number]


def _plain(number: int) -> Weights:
    return Weights(number, tagged=False)


def _convolution(layer: Layer) -> list[Weights]:
    if layer.integer(19):  # the weights are an input blob
        return []
    return _matrix(layer, weights=6, bias=5, scales=layer.size(0))


def _depthwise(layer: Layer) -> list[Weights]:
    if layer.integer(19):
        return []
    term = layer.integer(8)
    scales = layer.size(7, 1) if term in (1, 101) else 1
    return _matrix(layer, weights=6, bias=5, scales=scales)


def _deconvolution(layer: Layer) -> list[Weights]:
    if layer.integer(28):
        return []
    return _matrix(layer, weights=6, bias=5, scales=0)


def _inner_product(layer: Layer) -> list[Weights]:
    return _matrix(layer, weights=2, bias=1, scales=layer.size(0))


def _matrix(layer: Layer, weights: int, bias: int, scales: int) -> list[Weights]:
    runs = [Weights(layer.size(weights), tagged=True)]
    if layer.integer(bias):
        runs.append(_plain(layer.size(0)))
    term = layer.integer(8) if scales else 0
    if term:
        runs += [_plain(scales), _plain(1)]
        if term > 100 and layer.kind != "InnerProduct":
            runs.append(_plain(1))
    return runs


def _batch_norm(layer: Layer) -> list[Weights]:
    return [_plain(layer.size(0))] * 4


def _scale(layer: Layer) -> list[Weights]:
    if layer.integer(0) == -233:  # the factors are an input blob
        return []
    return [_plain(layer.size(0))] * (2 if layer.integer(1) else 1)


def _one_run(layer: Layer) -> list[Weights]:
    return [_plain(layer.size(0))]


def _memory_data(layer: Layer) -> list[Weights]:
    sizes = [layer.size(number) for number in (0, 1, 2, 11)]
    number = math.prod(size for size in sizes if size) if any(sizes) else 0
    return [Weights(number, tagged=layer.integer(21, 1) == 0)]


def _padding(layer: Layer) -> list[Weights]:
    return [_plain(layer.size(6))]


_RULES: Mapping[str, Callable[[Layer], list[Weights]]] = {
    "BatchNorm": _batch_norm,
    "Bias": _one_run,
    "Convolution": _convolution,
    "ConvolutionDepthWise": _depthwise,
    "Deconvolution": _deconvolution,
    "InnerProduct": _inner_product,
    "MemoryData": _memory_data,
    "PReLU": _one_run,
    "Padding": _padding,
    "Scale": _scale,
}

_WITHOUT = frozenset(
    {
        "AbsVal",
        "ArgMax",
        "BinaryOp",
        "Cast",
        "Clip",
        "Concat",
        "Crop",
        "Dropout",
        "ELU",
        "Eltwise",
        "ExpandDims",
        "Flatten",
        "GELU",
        "HardSigmoid",
        "HardSwish",
        "Input",
        "Interp",
        "LRN",
        "Mish",
        "Noop",
        "Packing",
        "Permute",
        "Pooling",
        "Power",
        "ReLU",
        "Reduction",
        "Reshape",
        "Sigmoid",
        "Slice",
        "Softmax",
        "Softplus",
        "Split",
        "Squeeze",
        "Swish",
        "TanH",
        "UnaryOp",
    }
)
"""Types that read nothing from the `.bin`."""
