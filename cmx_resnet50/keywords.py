"""Reads the arguments of the Python functions, so that each error names the argument.

A value of a wrong type is a `TypeError`, as in any Python function; one of the right type that has
no meaning is an `OptionError`.
"""

from __future__ import annotations

import operator
import os
from collections.abc import Iterable
from pathlib import Path

from cmx_resnet50.options import BATCHES, OptionError, absolute, unresolved
from cmx_resnet50.progress import ProgressCallback
from cmx_resnet50.yes_no import yes_no

StrPath = str | os.PathLike[str]


def wrong_type(name: str, value: object, expected: str) -> TypeError:
    """Return the error for an argument `name` that has the type of `value`."""
    return TypeError(f"{name}={value!r}: expected {expected}, not {type(value).__name__}")


def text(name: str, value: object, example: str) -> str:
    """Return `value`, which must be a text.

    Raises
    ------
    TypeError
        If it is anything else.
    """
    if not isinstance(value, str):
        raise wrong_type(name, value, f'a text such as "{example}"')
    return value


def switch(name: str, value: object) -> bool:
    """Return whether `value` is True, or a text that means yes, as in the environment.

    Raises
    ------
    OptionError
        If it means neither yes nor no.

    Examples
    --------
    >>> switch("offline", True), switch("offline", "no")
    (True, False)
    """
    if isinstance(value, bool):
        return value
    found = yes_no(value) if isinstance(value, str) else None
    if found is None:
        raise OptionError(f"{name}={value!r}: must be True or False.")
    return found


def number(name: str, value: object, *, prefix: str = "") -> int | str:
    """Return the whole number that `value` is, or the text that it is without `prefix`.

    Raises
    ------
    TypeError
        If it is neither.

    Examples
    --------
    >>> number("opset", 8), number("opset", "_opset-8", prefix="opset-")
    (8, '8')
    """
    if isinstance(value, str):
        return value.strip().lower().lstrip("_").removeprefix(prefix)
    try:
        if not isinstance(value, bool):
            return operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        pass
    raise wrong_type(name, value, "a whole number such as 8")


def batch_size(value: object) -> int:
    """Return the batch size that `value` is, for a file of the user's.

    Raises
    ------
    TypeError
        If it is not a whole number.
    OptionError
        If it is out of bounds.
    """
    found = number("batch", value, prefix="batch_size.")
    size = int(found) if isinstance(found, int) or found.isdecimal() else 0
    if size not in BATCHES:
        raise OptionError(f"batch={value!r}: must be {BATCHES}.")
    return size


def path(name: str, value: object) -> str:
    """Return the path `value` as a text.

    Raises
    ------
    TypeError
        If it is not a path.
    OptionError
        If it is empty.
    """
    found = os.fspath(value) if isinstance(value, str | os.PathLike) else None
    if not isinstance(found, str):
        raise wrong_type(name, value, "a path")
    if not found:
        raise OptionError(f"{name}={found!r}: {unresolved(found)}")
    return found


def absolute_path(name: str, value: object) -> Path:
    """Return the path `value`, absolute, with ``~`` resolved.

    Raises
    ------
    TypeError
        If it is not a path.
    OptionError
        If it is empty, or `unresolved`.
    """
    return absolute(name, path(name, value))


def progress(value: object) -> bool | ProgressCallback:
    """Return how progress is shown.

    Raises
    ------
    TypeError
        If `value` is neither a switch nor a function.
    """
    if callable(value):
        return value
    if not isinstance(value, bool | str):
        raise wrong_type("progress", value, "True, False or a function")
    return switch("progress", value)


def check_names(given: Iterable[str], valid: Iterable[str]) -> None:
    """Refuse a keyword that is not one of `valid`, and name all, a similar one first.

    Raises
    ------
    TypeError
        If there is one.
    """
    known = list(valid)
    for name in sorted(set(given).difference(known)):
        from difflib import get_close_matches

        near = get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise TypeError(f"unknown keyword {name!r}; {hint}valid ones: {', '.join(known)}")
