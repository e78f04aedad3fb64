"""The queue of missing bytes, cut into ranges as connections ask for work."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

PIECE = 4 << 20
"""Bytes of a range while much is missing."""

SMALLEST = 256 << 10
"""Bytes of a range at the end; smaller ones would cost more round trips than they even out."""


@dataclass(eq=False)
class ByteRange:
    """A range that one connection fetches, from `position` on to before `end`.

    `end` shrinks when another connection takes over the tail. The journal has recorded what
    came before `logged`.
    """

    position: int
    end: int
    logged: int = field(init=False)

    def __post_init__(self) -> None:
        self.logged = self.position


class RangeQueue:
    """What is still to be fetched, in order, and what is being fetched."""

    def __init__(self, missing: Iterable[tuple[int, int]]) -> None:
        self._missing = sorted(missing)
        self.active: list[ByteRange] = []

    @property
    def finished(self) -> bool:
        """Whether nothing is missing and nothing is being fetched."""
        return not self._missing and not self.active

    @property
    def remaining(self) -> int:
        """Bytes not yet fetched, assigned or not."""
        waiting = sum(end - start for start, end in self._missing)
        return waiting + sum(part.end - part.position for part in self.active)

    def take(self, connections: int, trip: int) -> ByteRange | None:
        """Assign the first missing bytes, or return None where all are assigned.

        Ranges grow smaller towards the end, so that `connections` of them end together. A
        single connection gets all that is missing in a row, which saves requests.

        Parameters
        ----------
        connections : int
            How many there are to share the work.
        trip : int
            Bytes that one connection could receive during one round trip: where that is
            much, ranges are larger.
        """
        if not self._missing:
            return None
        start, end = self._missing[0]
        if connections > 1:
            waiting = sum(end - start for start, end in self._missing)
            least = max(SMALLEST, 3 * trip)
            size = max(least, min(max(PIECE, 16 * trip), 2 * waiting // (3 * connections)))
            # A tail that is too small for a range of its own is included.
            if end - start >= size + least:
                end = start + size
        return self._assign(start, end)

    def probe(self) -> ByteRange | None:
        """Assign the first range to a server about which nothing is known yet."""
        if not self._missing:
            return None
        start, end = self._missing[0]
        return self._assign(start, min(end, start + PIECE))

    def _assign(self, start: int, end: int) -> ByteRange:
        tail = (end, self._missing[0][1])
        self._missing[0:1] = [tail] if tail[0] < tail[1] else []
        part = ByteRange(start, end)
        self.active.append(part)
        return part

    def share(self) -> None:
        """Leave each connection one range of what it has, and queue the tails for all.

        The digests follow from byte 0 on, so neighbouring ranges are better than halves of
        the file.
        """
        for part in self.active:
            if part.end - part.position > 2 * PIECE:
                self._missing.append((part.position + PIECE, part.end))
                part.end = part.position + PIECE
        self._missing.sort()

    def split(self, least: int) -> ByteRange | None:
        """Assign the second half of the longest active range, if it has `least` bytes."""
        longest = max(self.active, key=lambda part: part.end - part.position, default=None)
        if longest is None or longest.end - longest.position < max(least, 2):
            return None
        middle = (longest.position + longest.end) // 2
        part = ByteRange(middle, longest.end)
        longest.end = middle
        self.active.append(part)
        return part

    def give_back(self, part: ByteRange) -> None:
        """End `part`; what it did not fetch is missing again."""
        self.active.remove(part)
        if part.position < part.end:
            self._missing.append((part.position, part.end))
            self._missing.sort()

    def assign_all(self, part: ByteRange, total: int) -> None:
        """Make `part` the complete file, and all there is to fetch."""
        part.position, part.logged, part.end = 0, 0, total
        self._missing = []
        self.active = [part]

    def truncate(self, total: int) -> None:
        """Drop what is beyond `total`, now that the size is known."""
        self._missing = [(start, min(end, total)) for start, end in self._missing if start < total]
        for part in self.active:
            part.end = min(part.end, total)
