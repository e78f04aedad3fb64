"""Know the file: which of five formats it is, by its content, and what it says of itself.

Files come from anywhere, so nothing in them is executed, weights are not loaded, and each reader
bounds what it reads. Only the reader of the format at hand is imported.
"""

from __future__ import annotations

import stat
from importlib import import_module
from pathlib import Path

from cmx_resnet50.formats.facts import FormatError, ModelFacts, NotAModel, WrongFormat
from cmx_resnet50.formats.recognise import HEAD, describe, recognise


def format_of(path: Path) -> str:
    """Return the format of the model at `path`, one of the values of `ModelFacts.format`.

    Raises
    ------
    NotAModel
        If it is none of the formats known here; the text says what it looks like.
    OSError
        If the file cannot be read.
    """
    head = _read_head(path)
    found = recognise(head)
    if found is None and _belongs_to_param(path):
        found = "ncnn"
    if found is None:
        raise NotAModel(f"{path} is no model but {describe(head)}", 0)
    return found


def read_facts(path: Path, expected_format: str | None = None) -> ModelFacts:
    """Read what a model file says of itself.

    Parameters
    ----------
    path : Path
        The file; its name does not matter, but that ncnn weights need their ``.param`` beside them.
    expected_format : str, optional
        The format that it must have, one of the values of `ModelFacts.format`.

    Raises
    ------
    NotAModel
        If it is none of the formats known here.
    WrongFormat
        If it is a model of another format than `expected_format`.
    Damaged
        If it begins as a model and then contradicts its own format.
    OSError
        If the file cannot be read.
    """
    found = format_of(path)
    if expected_format is not None and found != expected_format:
        raise WrongFormat(f"{path} is a model for {found}, asked was one for {expected_format}")
    reader = import_module(f"cmx_resnet50.formats.{found}")
    try:
        facts: ModelFacts = reader.read_facts(path)
    except FormatError as error:
        # The readers speak of the file that they were given; the user has to be told which.
        raise type(error)(f"{path}: {error.reason}", error.offset) from None
    return facts


def _read_head(path: Path) -> bytes:
    # A named pipe would block in open() until somebody writes to it.
    if not stat.S_ISREG(path.stat().st_mode):
        raise NotAModel(f"{path} is no model but {'a folder' if path.is_dir() else 'a device'}")
    with path.open("rb", buffering=0) as file:
        return file.read(HEAD)


def _belongs_to_param(path: Path) -> bool:
    """Whether an ncnn graph lies beside `path`, for ncnn weights have no mark of their own."""
    param = path.with_suffix(".param")
    return param != path and param.is_file() and recognise(_read_head(param)) == "ncnn"
