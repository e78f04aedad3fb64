"""Read the format and the facts of a model file."""

from __future__ import annotations

import stat
from pathlib import Path

from cmx_resnet50.formats.facts import (
    Damaged,
    FormatError,
    ModelFacts,
    NotAModel,
    NotReadHere,
    WrongFormat,
)
from cmx_resnet50.formats.recognise import HEAD, describe, reader_of, recognise, title_of


def format_of(path: Path) -> str:
    """Return the format of the model at `path`, one of the values of `ModelFacts.format`.

    Raises
    ------
    NotAModel
        If it is not of a supported format; the text describes what it looks like.
    OSError
        If the file cannot be read.
    """
    head = _read_head(path)
    found = recognise(head)
    if found is None and _belongs_to_param(path):
        found = "ncnn"
    if found is None:
        raise NotAModel(f"{path} is not a model but {describe(head)}")
    return found


def read_facts(
    path: Path, expected_format: str | None = None, *, key: str | None = None
) -> ModelFacts:
    """Read the facts of a model file.

    Parameters
    ----------
    path : Path
        The file. Its name is not used, except that ncnn weights need their ``.param`` next to them.
    expected_format : str, optional
        The format that it must have, one of the values of `ModelFacts.format`.
    key : str, optional
        Which state_dict of a PyTorch checkpoint is meant, where there are several.

    Raises
    ------
    NotAModel
        If it is not of a supported format.
    WrongFormat
        If it is a model of another format than `expected_format`.
    Damaged
        If it begins as a model and then contradicts its format.
    NotReadHere
        If it may be valid, but exceeds a limit of the reader, or uses what that does not know.
    OSError
        If the file cannot be read.
    """
    found = format_of(path)
    if expected_format is not None and found != expected_format:
        raise WrongFormat(f"{path} is a model for {found}, expected one for {expected_format}")
    try:
        if key is not None:
            if found != "pytorch":
                raise NotAModel(f"is a model for {found}: only a PyTorch checkpoint has keys")
            from cmx_resnet50.formats.pytorch import reader

            return reader.read_facts(path, key)
        return reader_of(found)(path)
    except FormatError as error:
        raise of_file(error, path, found) from None


def of_file(error: FormatError, path: Path, name: str) -> FormatError:
    """Return a reader's error with what its text leaves open: which file, and what it should be.

    Parameters
    ----------
    error : FormatError
        The reader's.
    path : Path
        The file.
    name : str
        The format that it was read as.
    """
    text = f"{path}: {error.reason}"
    if isinstance(error, Damaged):
        text = f"{path} is not a valid {title_of(name)}: {error.reason}"
    elif isinstance(error, NotReadHere):
        text = f"{path} may be a valid {title_of(name)}, but is not read here: {error.reason}"
    return type(error)(text, error.offset)


def _read_head(path: Path) -> bytes:
    # A named pipe would block in open() until somebody writes to it.
    if not stat.S_ISREG(path.stat().st_mode):
        what = "a folder" if path.is_dir() else "a device"
        raise NotAModel(f"{path} is not a model but {what}")
    with path.open("rb", buffering=0) as file:
        return file.read(HEAD)


def _belongs_to_param(path: Path) -> bool:
    """Whether an ncnn graph is next to `path`, for ncnn weights have no identifier of their own."""
    param = path.with_suffix(".param")
    return (
        path.suffix.lower() == ".bin" and param.is_file() and recognise(_read_head(param)) == "ncnn"
    )
