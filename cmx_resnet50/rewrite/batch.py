"""Make a batch size true in a model file, whatever its format."""

from __future__ import annotations

from pathlib import Path

from cmx_resnet50.formats import format_of, read_facts
from cmx_resnet50.formats.facts import FormatError
from cmx_resnet50.formats.read import of_file
from cmx_resnet50.rewrite.errors import ReshapeError

RESHAPEABLE = frozenset({"onnx", "tensorflow"})
"""The formats (`ModelFacts.format`) whose files `reshape` can change."""

_MAX_BATCH = (1 << 31) - 1


def has_batch(path: Path, batch: int) -> bool:
    """Whether `path` is a model that `reshape` may have written with that batch size."""
    try:
        facts = read_facts(path)
    except (FormatError, OSError):
        return False
    first = [info.shape[0] for info in facts.inputs if info.shape]
    return facts.format in RESHAPEABLE and batch in first


def reshape(source: Path, dest: Path, *, batch: int) -> None:
    """Write the model at `source` to `dest` with the batch size fixed.

    The two may not be one file. `dest` is complete or, after an error, absent.

    Parameters
    ----------
    source : Path
        An ONNX model or a TensorFlow frozen graph with one image input.
    dest : Path
        Where to write; must not exist, because it could be another name of a shared file.
    batch : int
        The number of images in every run of the new model, at least 1.

    Raises
    ------
    ReshapeError
        If the format has no batch size to fix, or something in the model contradicts the batch.
    FormatError
        If `source` is not a model, is damaged, or exceeds what is read here.
    OSError
        If a file cannot be read or written; `FileExistsError` if `dest` exists.
    """
    if not 1 <= batch <= _MAX_BATCH:
        raise ReshapeError(f"the batch must be at least 1, and at most {_MAX_BATCH:,}, not {batch}")
    found = format_of(source)
    try:
        if found == "onnx":
            from cmx_resnet50.rewrite.onnx_batch import plan
        elif found == "tensorflow":
            from cmx_resnet50.rewrite.tensorflow_batch import plan
        else:
            raise ReshapeError(
                "only ONNX models and TensorFlow frozen graphs can be reshaped, this is a model for"
                f" {found}"
            )
        from cmx_resnet50.rewrite.splice import write

        write(plan(source, batch), source, dest)
    except ReshapeError as error:
        raise ReshapeError(f"{source} cannot be given the batch {batch}: {error}") from None
    except FormatError as error:
        raise of_file(error, source, found) from None
