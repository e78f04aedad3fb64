"""The kinds of file with random weights, and the one way to write them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from cmx_resnet50.dummy.network import TENSORFLOW, TORCHVISION, WIDTH, Network, Variant, build
from cmx_resnet50.dummy.weights import Weights
from cmx_resnet50.errors import Resnet50Error

SEED = 0
"""Seed of the weights unless another is asked for."""

_Writer = Callable[[BinaryIO, Weights], None]


class DummyError(Resnet50Error):
    """A file with random weights that cannot be written; the text says why."""


def available() -> tuple[str, ...]:
    """Return the kinds that `write` supports, one a file."""
    return tuple(_KINDS)


def write(kind: str, dest: Path, *, seed: int = SEED, width: int = WIDTH) -> None:
    """Write the network with random weights as a file of `kind` at `dest`.

    The same `kind`, `seed` and `width` give the same bytes on every machine. The file appears
    under its name only when it is complete.

    Parameters
    ----------
    kind : str
        One of `available`.
    dest : Path
        File to write; its folder must exist. A file that is there already is replaced.
    seed : int
        Of the weights; the lower 64 bits count.
    width : int
        Channels of the first convolution. 64 is the true network, of about 102 MB; fewer give
        a small file of the same graph.

    Raises
    ------
    DummyError
        If `kind` cannot be written, or `width` is less than 1.
    OSError
        If the file cannot be written.
    """
    if kind in _REFUSED:
        raise DummyError(
            f"No file with random weights can be made of the kind {kind}: {_REFUSED[kind]} "
            f"Request fp32 instead; valid kinds: {', '.join(_KINDS)}."
        )
    if kind not in _KINDS:
        raise DummyError(
            f"Unknown kind of file with random weights: {kind}; valid ones: {', '.join(_KINDS)}."
        )
    variant, writer = _KINDS[kind]
    _write(dest, writer, Weights(_network(variant, width), seed))


def _network(variant: Variant, width: int) -> Network:
    if width < 1:
        raise DummyError(f"The width of the network must be at least 1, not {width}.")
    return build(variant, width)


def _write(dest: Path, writer: _Writer, weights: Weights) -> None:
    part = dest.with_name(f".{dest.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as out:
            writer(out, weights)
        part.replace(dest)
    finally:
        part.unlink(missing_ok=True)


def _onnx(opset: int, *, from_tensorflow: bool = False) -> _Writer:
    def writer(out: BinaryIO, weights: Weights) -> None:
        from cmx_resnet50.dummy import onnx_writer

        form = onnx_writer.Form(opset)
        if from_tensorflow:
            form = onnx_writer.Form.from_tensorflow(opset)
        onnx_writer.write(out, weights, form)

    return writer


def _tensorflow(out: BinaryIO, weights: Weights) -> None:
    from cmx_resnet50.dummy import tensorflow_writer

    tensorflow_writer.write(out, weights)


def _tflite(*, argmax: bool) -> _Writer:
    def writer(out: BinaryIO, weights: Weights) -> None:
        from cmx_resnet50.dummy import tflite_writer

        tflite_writer.write(out, weights, argmax=argmax)

    return writer


def _pytorch(out: BinaryIO, weights: Weights) -> None:
    from cmx_resnet50.dummy import pytorch_writer

    pytorch_writer.write(out, weights)


def _ncnn(out: BinaryIO, weights: Weights) -> None:
    from cmx_resnet50.dummy import ncnn_writer

    ncnn_writer.write_bin(out, weights)


def _ncnn_param(out: BinaryIO, weights: Weights) -> None:
    from cmx_resnet50.dummy import ncnn_writer

    ncnn_writer.write_param(out, weights)


_KINDS: dict[str, tuple[Variant, _Writer]] = {
    "onnx-opset-8": (TENSORFLOW, _onnx(8)),
    "onnx-opset-11": (TENSORFLOW, _onnx(11)),
    "onnx-from-tf": (TENSORFLOW, _onnx(11, from_tensorflow=True)),
    "tensorflow": (TENSORFLOW, _tensorflow),
    "tflite-argmax": (TENSORFLOW, _tflite(argmax=True)),
    "tflite-no-argmax": (TENSORFLOW, _tflite(argmax=False)),
    "pytorch-fp32": (TORCHVISION, _pytorch),
    "ncnn": (TORCHVISION, _ncnn),
    "ncnn-param": (TORCHVISION, _ncnn_param),
}

_REFUSED = {
    "pytorch-int8": "it is TorchScript, which only PyTorch itself can write.",
    "tflite-edgetpu": "it is another network, quantized with real images.",
}
