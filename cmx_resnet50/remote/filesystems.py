"""File systems that fsspec knows: Google and Azure storage, SFTP and others, read and written.

What they need (endpoints, credentials) comes from where fsspec and the package of each take
it: their own variables and files, and fsspec's configuration.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from cmx_resnet50.errors import Resnet50Error
from cmx_resnet50.remote.extras import load, scheme_of

T = TypeVar("T")


class FilesystemError(Resnet50Error):
    """What a file system refuses, or does not do in time; in one line, without secrets."""


def opened(url: str) -> tuple[Any, str]:
    """Return the file system of `url`, and the path in it.

    Raises
    ------
    MissingPackage
        If fsspec is not installed.
    Exception
        Whatever the file system says when it connects.
    """
    filesystem, path = load("fsspec.core", scheme_of(url)).url_to_fs(url)
    return filesystem, str(path)


def bounded(call: Callable[[], T], seconds: float) -> T:
    """Return what `call` returns, unless that takes too long.

    A file system may wait for ever. What does not end is left to itself, in a thread that
    does not keep the process.

    Raises
    ------
    TimeoutError
        If it takes longer than `seconds`.
    Exception
        Whatever `call` raises.
    """
    outcome: queue.SimpleQueue[tuple[T | None, BaseException | None]] = queue.SimpleQueue()

    def run() -> None:
        try:
            outcome.put((call(), None))
        except BaseException as error:
            outcome.put((None, error))

    threading.Thread(target=run, daemon=True).start()
    try:
        result, error = outcome.get(timeout=seconds)
    except queue.Empty:
        raise TimeoutError(f"nothing came in {seconds:.0f} s") from None
    if error is not None:
        raise error
    return result  # type: ignore[return-value]


def told(error: BaseException) -> str:
    """Say what `error` is. Texts of other packages are not shown: they may hold secrets."""
    if isinstance(error, FileNotFoundError):
        return "there is no such file"
    if isinstance(error, PermissionError):
        return "access is denied"
    if isinstance(error, TimeoutError):
        return str(error) or "nothing came in time"
    reason = getattr(error, "strerror", None)
    if reason:
        return str(reason)
    package, name = type(error).__module__.partition(".")[0], type(error).__name__
    return name if package == "builtins" else f"{package} says {name}"
