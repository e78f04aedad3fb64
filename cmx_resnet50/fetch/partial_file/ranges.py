"""Which bytes of a file are present: a set of ranges that do not touch."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator


class RangeSet:
    """Ranges from a first byte to before an end, in order, joined where they touch."""

    def __init__(self, ranges: Iterable[tuple[int, int]] = ()) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []
        self.count = 0
        for start, end in ranges:
            self.add(start, end)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return zip(self._starts, self._ends, strict=True)

    @property
    def prefix(self) -> int:
        """How many bytes are present from byte 0 on."""
        return self._ends[0] if self._starts and self._starts[0] == 0 else 0

    def add(self, start: int, end: int) -> None:
        """Mark the bytes from `start` to before `end` as present."""
        if start >= end:
            return
        first = bisect_left(self._ends, start)
        last = bisect_right(self._starts, end)
        if first < last:
            start = min(start, self._starts[first])
            end = max(end, self._ends[last - 1])
        merged = sum(self._ends[i] - self._starts[i] for i in range(first, last))
        self._starts[first:last] = [start]
        self._ends[first:last] = [end]
        self.count += end - start - merged

    def gaps(self, total: int) -> Iterator[tuple[int, int]]:
        """Yield the ranges below `total` that are missing."""
        position = 0
        for start, end in self:
            if start >= total:
                break
            if start > position:
                yield position, start
            position = end
        if position < total:
            yield position, total

    def clipped(self, total: int) -> RangeSet:
        """Return what is present below `total`."""
        return RangeSet((start, min(end, total)) for start, end in self if start < total)
