"""What the public functions return: a model that is there, one that exists, and how to feed it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cmx_resnet50.formats.facts import TensorInfo


@dataclass(frozen=True)
class Preprocessing:
    """From a picture to the numbers that a model takes.

    In order: resize, crop, put the channels in order, then per channel
    ``(value - mean) * scale`` on values from 0 to 255. Whether channels come first or last
    is `Model.layout`.

    Examples
    --------
    >>> from cmx_resnet50 import models
    >>> known = {model.name: model for model in models()}
    >>> how = known["pytorch-fp32"].preprocessing
    >>> how.resize, how.crop, how.channel_order
    (256, 224, 'RGB')
    >>> [round(value, 3) for value in how.mean]
    [123.675, 116.28, 103.53]
    """

    resize: int | None
    """Length of the shorter side in pixels, with the aspect ratio kept; None if not known."""
    crop: int | None
    """Side of the square that is cut from the centre, in pixels; None if not known."""
    channel_order: str
    """``RGB`` or ``BGR``."""
    mean: tuple[float, ...]
    """Subtracted from each channel, in `channel_order`."""
    scale: tuple[float, ...]
    """Multiplies each channel, in `channel_order`."""
    quantized: bool
    """Whether the result is then quantized with scale and zero point of the file's input."""
    label_offset: int | None
    """Added to an index of the scores, gives the class from 0 to 999; None if not known."""

    @classmethod
    def from_table(cls, facts: Mapping[str, Any]) -> Preprocessing:
        """Return what the table of artifacts declares in its own terms."""
        mean = facts.get("subtract") or facts["mean"]
        std = facts.get("std", [1.0] * len(mean))
        divisor = facts.get("divide", 1)
        return cls(
            resize=facts.get("resize_short_side"),
            crop=facts.get("center_crop"),
            channel_order=facts["channel_order"],
            mean=tuple(value * divisor for value in mean),
            scale=tuple(1 / (value * divisor) for value in std),
            quantized="then" in facts,
            label_offset=facts.get("label_offset"),
        )


@dataclass(frozen=True)
class Model:
    """A model that is in place, and what it is: facts of the file, not of the request.

    Examples
    --------
    >>> from cmx_resnet50 import get
    >>> model = get("ncnn", dummy=True, progress=False)
    >>> [file.name for file in model.files]
    ['resnet50_v1.bin', 'resnet50_v1.param']
    >>> model.inputs
    (TensorInfo(name='in0', shape=(3, 224, 224), dtype='float32'),)
    >>> model.to_dict()["weights"]
    'dummy'
    """

    path: Path
    """The model, absolute."""
    files: tuple[Path, ...]
    """All files that belong together, `path` first; ncnn has two."""
    original: Path | None
    """The published file, where `path` is a copy of it with another batch size."""
    name: str
    """The name of the published file's entry in the catalog, say ``onnx-opset-11``."""
    request: str
    """The variations that mean this model, say ``_onnx,_fp32``."""
    sha256: str
    md5: str
    size: int
    """Bytes of the file at `path`."""
    format: str
    """``onnx``, ``pytorch``, ``tensorflow``, ``tflite`` or ``ncnn``."""
    precision: str | None
    """``fp32``, ``int8`` or ``uint8``, of the weights; None if not known."""
    opset: int | None
    """Opset of an ONNX file."""
    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]
    """Tensors as the file has them; where it has no names (PyTorch), they are empty texts."""
    classes: int | None
    """1000, or 1001 with a background class at index 0."""
    layout: str | None
    """``NCHW`` or ``NHWC``, of the input."""
    preprocessing: Preprocessing | None
    """None for a file of unknown origin."""
    weights: str
    """``pretrained``, or ``dummy`` for random weights: predictions mean nothing."""
    top1: float | None
    """Published top-1 accuracy in percent; None if not known and for random weights."""
    verified: bool
    """Whether a digest that was known before was compared."""
    origin: str
    """``fetched`` now, found in the ``store``, the ``local`` file given, or ``dummy`` made now."""
    url: str
    """Where the file is published, or the local file; without passwords."""
    license: str | None
    """As the publisher states it; None if it states none."""
    deviations: tuple[str, ...]
    """What is not as requested, or contradicts the catalog; a sentence or two each."""
    notices: tuple[str, ...]
    """What else to know."""

    def to_dict(self) -> dict[str, Any]:
        """Return all fields as JSON takes them."""
        fields = asdict(self)
        fields["path"] = str(self.path)
        fields["files"] = [str(path) for path in self.files]
        fields["original"] = None if self.original is None else str(self.original)
        return fields


@dataclass(frozen=True)
class KnownModel:
    """A file that is published, and what is known of it; None is what is not known."""

    name: str
    """The name of its entry in the catalog, say ``onnx-opset-11``."""
    file: str
    """The file's own name."""
    requests: tuple[str, ...]
    """The requests that mean it, the shortest first."""
    format: str
    precision: str | None
    opset: int | None
    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]
    classes: int | None
    layout: str | None
    preprocessing: Preprocessing | None
    top1: float | None
    sha256: str | None
    md5: str | None
    size: int | None
    """Exact size in bytes."""
    approx_size: int | None
    """About how many bytes, where the exact size is not known."""
    url: str
    mirrors: tuple[str, ...]
    """Public copies of the same bytes."""
    license: str | None
    dummy: bool
    """Whether `get` makes it with random weights."""
