"""Make a batch size true in a model file: input, outputs and every inner value, no weight touched.

Only the few kilobytes that hold shapes are written anew; the weights move from file to file inside
the kernel. ONNX models and TensorFlow frozen graphs can be reshaped.
"""

from __future__ import annotations

from pathlib import Path

from cmx_resnet50.formats import format_of
from cmx_resnet50.formats.facts import FormatError
from cmx_resnet50.rewrite.errors import ReshapeError

__all__ = ["RESHAPEABLE", "ReshapeError", "reshape"]

RESHAPEABLE = frozenset({"onnx", "tensorflow"})
"""The formats (`ModelFacts.format`) whose files `reshape` can change."""

_MAX_BATCH = (1 << 31) - 1


def reshape(source: Path, dest: Path, *, batch: int) -> None:
    """Write the model at `source` to `dest` with the batch size fixed.

    The two may not be one file. `dest` is complete or, after an error, not there.

    Parameters
    ----------
    source : Path
        An ONNX model or a TensorFlow frozen graph with one image input.
    dest : Path
        Where to write; must not exist, because it could be another name of a shared file.
    batch : int
        The number of images that every run of the model then takes, at least 1.

    Raises
    ------
    ReshapeError
        If the format has no batch size to fix, or something in the model contradicts the batch.
    FormatError
        If `source` is no model, or damaged.
    OSError
        If a file cannot be read or written; `FileExistsError` if `dest` exists.
    """
    if not 1 <= batch <= _MAX_BATCH:
        raise ReshapeError(f"a batch of {batch} cannot be: it must be at least 1")
    found = format_of(source)
    try:
        if found == "onnx":
            from cmx_resnet50.rewrite.onnx_batch import plan
        elif found == "tensorflow":
            from cmx_resnet50.rewrite.tensorflow_batch import plan
        else:
            raise ReshapeError(
                f"only onnx models and tensorflow graphs can be reshaped, this one is for {found}"
            )
        from cmx_resnet50.rewrite.splice import write

        write(plan(source, batch), source, dest)
    except ReshapeError as error:
        raise ReshapeError(f"{source} cannot be given the batch {batch}: {error}") from None
    except FormatError as error:
        raise type(error)(f"{source}: {error.reason}", error.offset) from None
