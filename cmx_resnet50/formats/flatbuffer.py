"""FlatBuffers read in place: tables, vectors and text behind checked offsets.

The `flatbuffers` package follows offsets unchecked, and costs an import of NumPy; here every step
stays inside the file, and a document has a budget of steps. The layout is specified at https://flatbuffers.dev/internals/.
"""

from __future__ import annotations

import mmap
import struct
import sys
from typing import NamedTuple

from cmx_resnet50.formats.facts import Damaged, NotReadHere

STEPS = 200_000
"""Offsets followed and fields read in one document; a ResNet-50 needs about 5,000."""

STRING = 64 << 10
"""Bytes of one text."""

_RELEASE_EVERY = 32
"""Steps after which the touched pages are released, so that skipping many weights does not load
them all into memory (touching a page maps its neighbours)."""


class Vector(NamedTuple):
    """A run of elements: the offset of the first, how many there are, and bytes of each."""

    at: int
    length: int
    width: int

    @property
    def end(self) -> int:
        """Offset of the first byte after it."""
        return self.at + self.length * self.width


class FlatBuffer:
    """The bytes of one flatbuffer, and the budget of steps left for reading it."""

    def __init__(self, data: bytes | mmap.mmap) -> None:
        self.data = data
        self.size = len(data)
        self._steps_left = STEPS

    def root(self) -> Table:
        """Return the root table."""
        return Table(self, self.follow(0))

    def number(self, layout: str, at: int) -> int:
        """Return the number of a `struct` layout at an offset.

        Raises
        ------
        Damaged
            If it is not inside the file.
        NotReadHere
            If the budget is used up.
        """
        self._steps_left -= 1
        if self._steps_left < 0:
            raise NotReadHere(f"takes more than {STEPS:,} steps to read, the limit here", at)
        if self._steps_left % _RELEASE_EVERY == 0:
            self._release()
        if at < 0 or at + struct.calcsize(layout) > self.size:
            raise Damaged("an offset points out of the file: it is cut or altered", at)
        (value,) = struct.unpack_from(layout, self.data, at)
        return int(value)

    def _release(self) -> None:
        if sys.platform != "win32" and isinstance(self.data, mmap.mmap):
            self.data.madvise(mmap.MADV_DONTNEED)

    def follow(self, at: int) -> int:
        """Return the target of the forward reference at `at`."""
        distance = self.number("<I", at)
        if distance == 0 or at + distance >= self.size:
            raise Damaged("an offset points out of the file: it is cut or altered", at)
        return at + distance

    def vector(self, at: int, width: int) -> Vector:
        """Return the vector that is referenced at `at`; `width` is bytes an element."""
        start = self.follow(at)
        vector = Vector(start + 4, self.number("<I", start), width)
        if vector.end > self.size:
            raise Damaged(f"a vector claims {vector.length:,} elements: the file is cut", start)
        return vector


class Table:
    """A table of a flatbuffer; fields are identified by their number in the schema.

    Raises
    ------
    Damaged
        From any method, if what it reads is not inside the file.
    """

    def __init__(self, buffer: FlatBuffer, at: int) -> None:
        self._buffer = buffer
        self.at = at
        self._fields = at - buffer.number("<i", at)
        self._size = buffer.number("<H", self._fields)

    def number(self, field: int, layout: str, default: int = 0) -> int:
        """Return a number, or its default if absent."""
        at = self._place(field)
        return default if at is None else self._buffer.number(layout, at)

    def table(self, field: int) -> Table | None:
        """Return a table, None if absent."""
        at = self._place(field)
        return None if at is None else Table(self._buffer, self._buffer.follow(at))

    def tables(self, field: int) -> list[Table]:
        """Return a vector of tables, empty if absent."""
        at = self._place(field)
        if at is None:
            return []
        vector = self._buffer.vector(at, 4)
        return [
            Table(self._buffer, self._buffer.follow(place))
            for place in range(vector.at, vector.end, vector.width)
        ]

    def numbers(self, field: int) -> tuple[int, ...] | None:
        """Return a vector of signed 32-bit numbers, None if absent."""
        at = self._place(field)
        if at is None:
            return None
        vector = self._buffer.vector(at, 4)
        return tuple(
            self._buffer.number("<i", place) for place in range(vector.at, vector.end, vector.width)
        )

    def run(self, field: int) -> Vector | None:
        """Return the place of a vector of bytes, None if absent."""
        at = self._place(field)
        return None if at is None else self._buffer.vector(at, 1)

    def text(self, field: int) -> str | None:
        """Return a text, None if absent."""
        run = self.run(field)
        if run is None:
            return None
        if run.length > STRING:
            raise NotReadHere(
                f"a text has {run.length:,} bytes, more than the limit here of {STRING:,}", run.at
            )
        return self._buffer.data[run.at : run.end].decode("utf-8", "backslashreplace")

    def _place(self, field: int) -> int | None:
        entry = 4 + 2 * field
        if entry + 2 > self._size:
            return None
        offset = self._buffer.number("<H", self._fields + entry)
        return self.at + offset if offset else None
