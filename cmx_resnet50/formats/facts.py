"""The facts that every reader returns, and the four errors that reject a file."""

from __future__ import annotations

from dataclasses import dataclass, field

from cmx_resnet50.errors import Resnet50Error


class FormatError(Resnet50Error):
    """A file that is not a valid model of the requested format.

    Parameters
    ----------
    reason : str
        What is wrong.
    offset : int, optional
        The byte at which it was found.
    """

    def __init__(self, reason: str, offset: int | None = None) -> None:
        self.reason = reason
        self.offset = offset
        super().__init__(reason if offset is None else f"{reason} (at byte {offset})")


class NotAModel(FormatError):
    """The file is not a model of a supported format, but an HTML page, for example."""


class WrongFormat(FormatError):
    """The file is a model of another format than the requested one."""


class Damaged(FormatError):
    """The file begins as a model and then contradicts its format: cut, altered or hostile."""


class NotReadHere(FormatError):
    """The file may be valid: it exceeds a limit of its reader, or uses what that does not know."""


@dataclass(frozen=True)
class TensorInfo:
    """One input or output of a graph.

    `shape` has an int for a fixed dimension, a str for a symbolic one, None for an unknown one;
    it is None where the rank is unknown. `dtype` is a NumPy name
    (``float32``, ``uint8``, ``int64``) or None.
    """

    name: str
    shape: tuple[int | str | None, ...] | None
    dtype: str | None


@dataclass(frozen=True)
class ModelFacts:
    """The facts that a file states; None or an empty tuple is unknown."""

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
    precision: str | None = None
    """``fp32``, ``fp16``, ``int8``, ``uint8``: the type of most bytes of the parameters."""
    classes: int | None = None
    """Length of the last axis of the scores, or of the last layer's bias."""
    parameter_count: int | None = None
    parameter_bytes: int | None = None
    metadata: dict[str, str] = field(default_factory=dict)
    """Free text in the file (ONNX metadata_props, TFLite description and the like)."""
    files: tuple[str, ...] = ()
    """Other files that hold its weights, as it names them: relative to its folder."""
    requires: tuple[str, ...] = ()
    """What it needs apart from a runtime of its format: other files, operators of other makers."""
    warnings: tuple[str, ...] = ()
    """What was not checked or is not known, and why."""

    @property
    def complete(self) -> bool:
        """Whether the other files that hold its weights are there."""
        return not self.files or self.parameter_count is not None

    @property
    def opset(self) -> int | None:
        """The opset of an ONNX file."""
        opset = self.version.get("opset")
        return opset if isinstance(opset, int) else None
