"""Digests of files: what is expected of a file, what it has, and one pass that computes them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

COLLISION = "the md5 is as expected and the sha256 is not"
"""What is wrong with a file that was made to have another file's md5."""
CHUNK = 1 << 20
"""Bytes read at a time; larger reads gain nothing, smaller ones cost calls."""


SMALL = 64 * 1024
"""The same where memory is short."""


def new_buffer() -> memoryview:
    """Return a buffer to read into, a small one where memory is short."""
    try:
        return memoryview(bytearray(CHUNK))
    except MemoryError:
        return memoryview(bytearray(SMALL))


@dataclass(frozen=True)
class Digests:
    """What a file is: its digests as lower-case hexadecimal text, and its size in bytes."""

    md5: str
    sha256: str
    size: int


@dataclass(frozen=True)
class Expected:
    """What is known of a file beforehand; None means unknown."""

    md5: str | None = None
    sha256: str | None = None
    size: int | None = None
    limit: int | None = None
    """Bytes that the file has at most, where its exact size is unknown."""

    @property
    def most(self) -> int | None:
        """Bytes that the file has at most, as far as that is known."""
        return self.limit if self.size is None else self.size

    @property
    def verifiable(self) -> bool:
        """Whether a digest is known, so that the bytes can be trusted when it matches."""
        return self.md5 is not None or self.sha256 is not None

    def implausible(self, size: int) -> str | None:
        """Return why a file of `size` bytes cannot be the one, in words; None if it can."""
        if self.size is not None and size != self.size:
            return f"it has {size:,} bytes, expected {self.size:,}"
        if self.most is not None and size > self.most:
            return f"it has {size:,} bytes, at most {self.most:,} are expected"
        return None

    def mismatch(self, actual: Digests) -> str | None:
        """Return how `actual` differs from what is expected, in words; None if it does not."""
        for name in ("sha256", "md5", "size"):
            expected = getattr(self, name)
            found = getattr(actual, name)
            if expected is not None and expected != found:
                problem = f"{name} is {found}, expected {expected}"
                return f"{problem}; {COLLISION}" if self.collides(actual) else problem
        return None

    def collides(self, actual: Digests) -> bool:
        """Whether `actual` has the expected md5 and not the expected sha256."""
        return self.sha256 not in (None, actual.sha256) and self.md5 == actual.md5


class Hasher:
    """md5, sha256 and size of bytes that arrive in order, in one pass."""

    def __init__(self) -> None:
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._sha256 = hashlib.sha256()
        self._size = 0

    def update(self, data: bytes | bytearray | memoryview) -> None:
        """Add the next bytes."""
        self._md5.update(data)
        self._sha256.update(data)
        self._size += len(data)

    @property
    def digests(self) -> Digests:
        """The digests of all bytes so far."""
        return Digests(self._md5.hexdigest(), self._sha256.hexdigest(), self._size)


def digest_file(path: Path) -> Digests:
    """Read the file at `path` once and return its digests.

    Raises
    ------
    OSError
        If the file cannot be read.
    """
    hasher = Hasher()
    buffer = new_buffer()
    with open(path, "rb", buffering=0) as file:
        while count := file.readinto(buffer):
            hasher.update(buffer[:count])
    return hasher.digests
