"""What a model file is: the facts that every reader returns, and the three ways to refuse one."""

from __future__ import annotations

from dataclasses import dataclass, field

from cmx_resnet50.errors import Resnet50Error


class FormatError(Resnet50Error):
    """A file that cannot be delivered as the model it is asked for.

    Parameters
    ----------
    reason : str
        What is wrong, in plain words.
    offset : int, optional
        The byte at which it was noticed.
    """

    def __init__(self, reason: str, offset: int | None = None) -> None:
        self.reason = reason
        self.offset = offset
        super().__init__(reason if offset is None else f"{reason} (at byte {offset})")


class NotAModel(FormatError):
    """The file is none of the formats known here, say an HTML page."""


class WrongFormat(FormatError):
    """The file is a model, but of another format than asked."""


class Damaged(FormatError):
    """The file begins as a model, and then contradicts its own format: cut, altered or hostile."""


@dataclass(frozen=True)
class TensorInfo:
    """One input or output of a graph.

    `shape` holds an int for a fixed dimension, a str for a symbolic one, None for an unknown
    one; it is None as a whole where the file does not tell. `dtype` is a NumPy name
    (``float32``, ``uint8``, ``int64``) or None.
    """

    name: str
    shape: tuple[int | str | None, ...] | None
    dtype: str | None


@dataclass(frozen=True)
class ModelFacts:
    """What a file says of itself; None or an empty tuple stands for what it does not say."""

    format: str
    """``onnx``, ``tensorflow``, ``tflite``, ``pytorch`` or ``ncnn``."""
    version: dict[str, int | str] = field(default_factory=dict)
    """``opset``, ``ir`` (onnx), ``schema`` (tflite), ``container`` (pytorch: ``tar``,
    ``pickle``, ``zip``, ``torchscript``), ``magic`` (ncnn) as far as the format has them."""
    producer: str | None = None
    inputs: tuple[TensorInfo, ...] = ()
    outputs: tuple[TensorInfo, ...] = ()
    layout: str | None = None
    """``NCHW`` or ``NHWC``, of the image input."""
    weight_precision: str | None = None
    """``fp32``, ``fp16``, ``int8``, ``uint8``: the type that holds most bytes of the parameters."""
    classes: int | None = None
    """Length of the last axis of the scores, or of the last layer's bias."""
    parameter_count: int | None = None
    parameter_bytes: int | None = None
    metadata: dict[str, str] = field(default_factory=dict)
    """Free text that the file carries (ONNX metadata_props, TFLite description and the like)."""
