"""Buffers for what is received, used again: new memory costs the kernel a page fault each 4 KB."""

from __future__ import annotations

SIZE = 512 * 1024
"""Bytes of a buffer, approximately what is worth a write."""

SMALL = 64 * 1024
"""The same where memory is short."""


class Buffers:
    """A store of buffers that nobody uses; any number of threads may take from it."""

    def __init__(self) -> None:
        self._free: list[bytearray] = []

    def take(self) -> bytearray:
        """Return a buffer with anything in it."""
        try:
            return self._free.pop()
        except IndexError:
            pass
        try:
            return bytearray(SIZE)
        except MemoryError:
            return bytearray(SMALL)

    def give_back(self, view: memoryview) -> None:
        """Take the buffer of `view` back, if it has one of these; nobody reads it any more."""
        if isinstance(view.obj, bytearray) and len(view.obj) == SIZE:
            self._free.append(view.obj)
