"""How many classes a graph distinguishes, if its head is a classifier's.

The length of an output is no proof: a recurrent state or an embedding has one as well. A classifier
ends with a softmax or argmax over a dense layer; or its one output is a dense layer over pooled
images, as in the ResNets of PyTorch. Nothing else may stand between them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum

from cmx_resnet50.formats.facts import TensorInfo
from cmx_resnet50.formats.tensors import classes_of

_DEPTH = 64
"""Layers from an output back to the dense layer, at most; a few are usual."""

IMAGENET = (1000, 1001)
"""The classes of ImageNet, without and with one for the background."""


class Kind(Enum):
    """What a layer is to the head of a network."""

    SOFTMAX = "softmax"
    ARGMAX = "argmax"
    PASS = "pass"  # noqa: S105 - no password
    """Scores stay scores: a reshape, a cast, a bias."""
    POOL = "pool"
    RECTIFY = "rectify"
    DENSE = "dense"
    CONVOLUTION = "convolution"


@dataclass(frozen=True)
class Layer:
    """A layer of the head.

    Parameters
    ----------
    kind : Kind
        What it is.
    source : str
        The value that it reads.
    units : int, optional
        How many scores it gives: rows of a dense layer, channels of a convolution, a bias.
    """

    kind: Kind
    source: str
    units: int | None = None


LayerOf = Callable[[str], "Layer | None"]
"""Returns the layer that produces a value; None for any other."""


def count_classes(
    inputs: Sequence[TensorInfo],
    outputs: Sequence[TensorInfo],
    layer_of: LayerOf,
    *,
    is_image: bool,
) -> int | None:
    """Return the number of classes, None if the head is not a classifier's.

    Parameters
    ----------
    inputs, outputs : sequence of TensorInfo
        Of the graph.
    layer_of : callable
        The layers of its head.
    is_image : bool
        Whether an input is an image.
    """
    is_data = any(info.dtype is None or not info.dtype.startswith("int") for info in inputs)
    heads = [_head(output, layer_of) for output in outputs]
    for output, head in zip(outputs, heads, strict=True):
        if head is not None and head.decided and (is_image or is_data):
            if head.units is not None:
                return head.units
            if output.dtype is not None and "int" not in output.dtype:
                found = classes_of(output.shape)
                if found is not None:
                    return found
    scores = [head for head in heads if head is not None and head.units is not None]
    if len(scores) == len(outputs) == 1 and is_image:
        (head,) = scores
        if head.pooled or head.units in IMAGENET:
            return head.units
    return None


@dataclass(frozen=True)
class _Head:
    units: int | None
    decided: bool
    """Whether a softmax or argmax follows."""
    pooled: bool
    """Whether it is a dense layer that reads pooled images."""


def _head(output: TensorInfo, layer_of: LayerOf) -> _Head | None:
    """Walk back from an output to its dense layer; None if something else is in between."""
    is_row = output.shape is None or len(output.shape) < 2 or classes_of(output.shape) is not None
    decided = pooled = False
    units: int | None = None
    name = output.name
    for _ in range(_DEPTH):
        layer = layer_of(name)
        if layer is None:
            return _Head(units, decided, pooled) if decided and is_row else None
        if layer.kind is Kind.DENSE or layer.kind is Kind.CONVOLUTION:
            pooled = pooled or _reads_pool(layer, layer_of)
            found = layer.units if layer.units is not None else units
            if (layer.kind is Kind.CONVOLUTION and not pooled) or not is_row:
                return None
            # Without a softmax, pooled channels of a convolution are features as well as scores.
            certain = pooled and (layer.kind is Kind.DENSE or decided)
            return _Head(found, decided, certain)
        if layer.kind is Kind.RECTIFY and not pooled:
            return None
        decided = decided or layer.kind in (Kind.SOFTMAX, Kind.ARGMAX)
        pooled = pooled or layer.kind is Kind.POOL
        units = layer.units if layer.units is not None else units
        name = layer.source
    return None


def _reads_pool(layer: Layer, layer_of: LayerOf) -> bool:
    name = layer.source
    for _ in range(_DEPTH):
        before = layer_of(name)
        if before is None or before.kind not in (Kind.PASS, Kind.POOL):
            return False
        if before.kind is Kind.POOL:
            return True
        name = before.source
    return False
