"""Who fetches which bytes: the queue of what is missing, cut into pieces as it is handed out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

PIECE = 4 << 20
"""Bytes of a piece while much is missing."""

SMALLEST = 256 << 10
"""Bytes of a piece at the end; smaller ones would cost more in round trips than they even out."""


@dataclass(eq=False)
class Span:
    """A range that one connection fetches, from `position` on to before `end`.

    `end` shrinks when another connection takes over the rest. The journal knows of what came
    before `logged`.
    """

    position: int
    end: int
    logged: int = field(init=False)

    def __post_init__(self) -> None:
        self.logged = self.position


class Pieces:
    """What is still to be fetched, in order, and what is being fetched."""

    def __init__(self, missing: Iterable[tuple[int, int]]) -> None:
        self._missing = sorted(missing)
        self.active: list[Span] = []

    @property
    def finished(self) -> bool:
        """Whether nothing is missing and nothing under way."""
        return not self._missing and not self.active

    @property
    def left(self) -> int:
        """Bytes not yet fetched, under way or not."""
        waiting = sum(end - start for start, end in self._missing)
        return waiting + sum(span.end - span.position for span in self.active)

    def take(self, connections: int, trip: int) -> Span | None:
        """Hand out the first missing bytes, or None where all are under way.

        Pieces grow smaller towards the end, so that `connections` of them end together. One
        connection alone gets all that is missing in a row, which saves requests.

        Parameters
        ----------
        connections : int
            How many there are to share the work.
        trip : int
            Bytes that one connection could move while a request is on its way: where that
            is much, pieces are larger.
        """
        if not self._missing:
            return None
        start, end = self._missing[0]
        if connections > 1:
            waiting = sum(end - start for start, end in self._missing)
            least = max(SMALLEST, 3 * trip)
            size = max(least, min(max(PIECE, 16 * trip), 2 * waiting // (3 * connections)))
            # A rest that is no piece of its own goes along.
            if end - start >= size + least:
                end = start + size
        return self._hand_out(start, end)

    def probe(self) -> Span | None:
        """Hand out the first piece to a server of which nothing is known yet."""
        if not self._missing:
            return None
        start, end = self._missing[0]
        return self._hand_out(start, min(end, start + PIECE))

    def _hand_out(self, start: int, end: int) -> Span:
        rest = (end, self._missing[0][1])
        self._missing[0:1] = [rest] if rest[0] < rest[1] else []
        span = Span(start, end)
        self.active.append(span)
        return span

    def share(self) -> None:
        """Leave to each connection one piece of what it is at, and the rest to all of them.

        The digests follow from the beginning on, so that pieces next to one another are better
        than halves of the file.
        """
        for span in self.active:
            if span.end - span.position > 2 * PIECE:
                self._missing.append((span.position + PIECE, span.end))
                span.end = span.position + PIECE
        self._missing.sort()

    def split(self, least: int) -> Span | None:
        """Take over the second half of the longest range under way, if it has `least` bytes."""
        longest = max(self.active, key=lambda span: span.end - span.position, default=None)
        if longest is None or longest.end - longest.position < max(least, 2):
            return None
        middle = (longest.position + longest.end) // 2
        span = Span(middle, longest.end)
        longest.end = middle
        self.active.append(span)
        return span

    def give_back(self, span: Span) -> None:
        """End `span`; what it did not fetch is missing again."""
        self.active.remove(span)
        if span.position < span.end:
            self._missing.append((span.position, span.end))
            self._missing.sort()

    def whole(self, span: Span, total: int) -> None:
        """Let `span` be the whole file, and all there is to fetch."""
        span.position, span.logged, span.end = 0, 0, total
        self._missing = []
        self.active = [span]

    def cut(self, total: int) -> None:
        """Forget what lies behind `total`, now that the size is known."""
        self._missing = [(start, min(end, total)) for start, end in self._missing if start < total]
        for span in self.active:
            span.end = min(span.end, total)
