"""What can be filled: the face that folders, object stores and file systems have in common."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from cmx_resnet50.errors import Resnet50Error

Advance = Callable[[int], None]
"""Takes the bytes that were sent since the last call; may be called by any thread."""


class PublishError(Resnet50Error):
    """A mirror cannot be filled; the text says what it is and what it refused."""


@dataclass(frozen=True)
class Named:
    """A name in a mirror, and what is to be found under it."""

    name: str
    size: int
    sha256: str


class Target(Protocol):
    """A place of names and bytes. Each method raises `PublishError` where it is refused.

    What is written appears under its name at once and whole.
    """

    @property
    def printable(self) -> str:
        """The address, without its secrets."""

    @property
    def local(self) -> bool:
        """Whether it can be filled without a socket."""

    def holds(self, named: Named) -> bool:
        """Whether the right bytes are there, of the right size and sha256."""

    def send(self, path: Path, named: Named, advance: Advance) -> None:
        """Copy the file at `path` there."""

    def duplicate(self, first: Named, second: Named, path: Path) -> None:
        """Let the bytes of `first` be found as `second`, too; they lie at `path`, as well."""

    def names(self, folder: str) -> list[str]:
        """Return the names of what is in `folder`, in order."""

    def read(self, name: str, limit: int) -> bytes | None:
        """Return up to `limit` bytes of a small file, or None if it is not there."""

    def write(self, name: str, content: bytes) -> None:
        """Write a small file."""
