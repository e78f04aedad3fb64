"""How many weights each type of ncnn layer reads from the `.bin`, and in which order.

Parameter numbers are those of ncnn's `load_param`, orders those of its `load_model`, for its
built-in layers as of 2026.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from cmx_resnet50.formats.facts import Damaged

Value = int | float | str | tuple[int | float, ...]
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
    inputs, outputs : tuple of str
        Names of the blobs that it reads and produces.
    """

    kind: str
    name: str
    values: Mapping[int, Value]
    at: int
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()

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


def weights_of(layer: Layer) -> list[Weights] | None:
    """Return what a layer reads from the `.bin`, in order; None if that is not known here.

    Raises
    ------
    Damaged
        If a parameter that its size depends on is not a count.
    """
    if layer.kind in _WITHOUT:
        return []
    rule = _RULES.get(layer.kind)
    runs = None if rule is None else rule(layer)
    return None if runs is None else [run for run in runs if run.number]


Runs = list[Weights] | None


def _plain(number: int) -> Weights:
    return Weights(number, tagged=False)


def _tagged(number: int) -> Weights:
    return Weights(number, tagged=True)


def _convolution(layer: Layer) -> Runs:
    if layer.integer(19):  # the weights are an input blob
        return []
    return _matrix(layer, weights=6, bias=5, scales=layer.size(0))


def _depthwise(layer: Layer) -> Runs:
    if layer.integer(19):
        return []
    term = layer.integer(8)
    scales = layer.size(7, 1) if term in (1, 101) else 1
    return _matrix(layer, weights=6, bias=5, scales=scales)


def _deconvolution(layer: Layer) -> Runs:
    if layer.integer(28):
        return []
    return _matrix(layer, weights=6, bias=5, scales=0)


def _convolution_1d(layer: Layer) -> Runs:
    if layer.integer(19):
        return []
    return _matrix(layer, weights=6, bias=5, scales=0)


def _static_convolution(layer: Layer) -> Runs:
    return _matrix(layer, weights=6, bias=5, scales=0)


def _inner_product(layer: Layer) -> Runs:
    return _matrix(layer, weights=2, bias=1, scales=layer.size(0))


def _matrix(layer: Layer, weights: int, bias: int, scales: int) -> list[Weights]:
    runs = [_tagged(layer.size(weights))]
    if layer.integer(bias):
        runs.append(_plain(layer.size(0)))
    term = layer.integer(8) if scales else 0
    if term:
        runs += [_plain(scales), _plain(1)]
        if term > 100 and layer.kind != "InnerProduct":
            runs.append(_plain(1))
    return runs


def _embed(layer: Layer) -> Runs:
    runs = [_tagged(layer.size(3))]
    if layer.integer(2):
        runs.append(_plain(layer.size(0)))
    if layer.integer(18):
        runs.append(_plain(1))
    return runs


def _gemm(layer: Layer) -> Runs:
    m, n, k = (layer.size(number) for number in (7, 8, 9))
    term, shape = layer.integer(18), layer.integer(10)
    if term > 1 or shape not in range(-1, 5):
        return None
    runs = []
    constant_a, constant_b = layer.integer(4) == 1, layer.integer(5) == 1
    if constant_a:
        runs.append(_tagged(k * m))
    if constant_b:
        runs.append(_tagged(n * k))
    if layer.integer(6) == 1 and shape != -1:
        runs.append(_tagged((1, m, m, n * m, n)[shape]))
    if term:
        runs += [_plain(m)] * constant_a + [_plain(1)] * constant_b
    return runs


def _recurrent(gates: int, biases: int) -> Callable[[Layer], Runs]:
    """Return the rule of a recurrent layer with so many gates, and vectors of bias."""

    def rule(layer: Layer) -> Runs:
        outputs = layer.size(0)
        hidden = layer.size(3, outputs) if layer.kind == "LSTM" else outputs
        directions = 2 if layer.integer(2) == 2 else 1
        runs = [
            _tagged(layer.size(1)),
            _tagged(hidden * biases * directions),
            _tagged(outputs * hidden * gates * directions),
        ]
        if hidden != outputs:
            runs.append(_tagged(hidden * outputs * directions))
        if layer.integer(8):
            runs += [_plain(hidden * gates * directions)] * 2
        return runs

    return rule


def _attention(layer: Layer) -> Runs:
    width = layer.size(0)
    term = layer.integer(18)
    if not width or term > 1:
        return None
    query = layer.size(2) // width
    runs = []
    for size in (query, layer.size(3, width), layer.size(4, width)):
        runs += [_tagged(width * size), _plain(width)]
    runs += [_tagged(query * width), _plain(query)]
    if term:
        runs += [_plain(width)] * 3 + [_plain(1)]
    return runs


def _batch_norm(layer: Layer) -> Runs:
    return [_plain(layer.size(0))] * 4


def _affine(size: int, switch: int, vectors: int) -> Callable[[Layer], Runs]:
    """Return the rule of a normalization: vectors of a size, unless they are switched off."""

    def rule(layer: Layer) -> Runs:
        return [_plain(layer.size(size))] * vectors if layer.integer(switch, 1) else []

    return rule


def _scale(layer: Layer) -> Runs:
    if layer.integer(0) == -233:  # the factors are an input blob
        return []
    return [_plain(layer.size(0))] * (2 if layer.integer(1) else 1)


def _vectors(*sizes: tuple[int, int]) -> Callable[[Layer], Runs]:
    """Return the rule of a layer with plain vectors, given the parameter and default of each."""

    def rule(layer: Layer) -> Runs:
        return [_plain(layer.size(number, default)) for number, default in sizes]

    return rule


def _memory_data(layer: Layer) -> Runs:
    sizes = [layer.size(number) for number in (0, 1, 2, 11)]
    number = math.prod(size for size in sizes if size) if any(sizes) else 0
    return [Weights(number, tagged=layer.integer(21, 1) == 0)]


_RULES: Mapping[str, Callable[[Layer], Runs]] = {
    "BatchNorm": _batch_norm,
    "Bias": _vectors((0, 0)),
    "Convolution": _convolution,
    "Convolution1D": _convolution_1d,
    "Convolution3D": _static_convolution,
    "ConvolutionDepthWise": _depthwise,
    "ConvolutionDepthWise1D": _convolution_1d,
    "ConvolutionDepthWise3D": _static_convolution,
    "Deconvolution": _deconvolution,
    "Deconvolution1D": _deconvolution,
    "Deconvolution3D": _static_convolution,
    "DeconvolutionDepthWise": _deconvolution,
    "DeconvolutionDepthWise1D": _deconvolution,
    "DeconvolutionDepthWise3D": _static_convolution,
    "DeformableConv2D": _static_convolution,
    "Dequantize": _vectors((0, 1), (1, 0)),
    "Embed": _embed,
    "GRU": _recurrent(3, 4),
    "Gemm": _gemm,
    "GroupNorm": _affine(1, 3, 2),
    "InnerProduct": _inner_product,
    "InstanceNorm": _affine(0, 2, 2),
    "LSTM": _recurrent(4, 4),
    "LayerNorm": _affine(0, 2, 2),
    "MemoryData": _memory_data,
    "MultiHeadAttention": _attention,
    "Normalize": _vectors((3, 0)),
    "PReLU": _vectors((0, 0)),
    "Padding": _vectors((6, 0)),
    "Quantize": _vectors((0, 1)),
    "RMSNorm": _affine(0, 2, 1),
    "RNN": _recurrent(1, 1),
    "Requantize": _vectors((0, 1), (1, 1), (2, 0)),
    "Scale": _scale,
}

_NAMES_WITHOUT = """
AbsVal ArgMax BNLL BinaryOp CELU Cast Clip Concat CopyTo Crop CumulativeSum DeepCopy
DetectionOutput Diag Dropout ELU Einsum Eltwise Erf Exp ExpandDims Flatten Flip Fold GELU GLU
GridSample HardSigmoid HardSwish Input Interp InverseSpectrogram LRN Log MVN MatMul Mish Noop
PSROIPooling Packing Permute PixelShuffle Pooling Pooling1D Pooling3D Power PriorBox Proposal
ROIAlign ROIPooling ReLU Reduction Reorg Reshape RotaryEmbed SDPA SELU SPP Shrink ShuffleChannel
Sigmoid Slice Softmax Softplus Spectrogram Split Squeeze StatisticsPooling Swish TanH Threshold
Tile UnaryOp Unfold YoloDetectionOutput Yolov3DetectionOutput
"""
_WITHOUT = frozenset(_NAMES_WITHOUT.split())
"""Types that read nothing from the `.bin`."""
