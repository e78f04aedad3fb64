"""Connections that slowed down: replaced by new ones where that brings more.

On a long line that loses packets, TCP's congestion control holds each connection ever lower:
a new one brings in its first second twice of what it brings later (benchmarks/link.py, 50 ms
and 1 % loss: 0.7 MB against 0.35 MB/s). A connection is worth keeping while it brings more than
a new one could be expected to, which is what it brought itself on average since its opening.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field

FAR = 0.02
"""Seconds between request and answer from which on loss, and not the host, holds a line."""

AGE = 1.0
"""Seconds that a connection gets at least: its opening costs two round trips."""

LEAST = 512 * 1024
"""Bytes that a connection brings at least, so that hosts which count requests are spared."""

WINDOW = 0.5
"""Seconds over which the present rate of a connection is taken."""

SLOWED = 0.7
"""A connection slowed down when its present rate is less than this much of its average."""

DECLINED = 0.85
"""All connections together bring less than this much of their averages: time for a trial.

On a line that is merely full one connection's loss is another's gain, and this never comes.
"""

TRIAL = 3.0
"""Seconds for which the first renewals are watched."""

HELPS = 1.05
"""Renewals go on only when by then all connections together bring this much more."""


@dataclass(eq=False)
class Line:
    """One connection: since when it brings bytes, and how many."""

    opened: float = field(default_factory=time.monotonic)
    count: int = 0
    slowed: bool = False
    """Whether it shall be replaced; whoever reads from it breaks off then."""


class Renewal:
    """Finds the connections that are worth replacing, as long as replacing helps."""

    def __init__(self) -> None:
        self._given_up = False
        self._before = 0.0
        self._trial: tuple[float, int] | None = None
        self._proved = False
        self._looked = time.monotonic()
        self._counts: dict[Line, int] = {}

    def stop(self) -> None:
        """Replace nothing any more: the host said that it is asked too often."""
        self._given_up = True

    def watch(self, lines: list[Line], latency: float, count: int, left: int) -> None:
        """Mark those of `lines` that slowed down.

        Parameters
        ----------
        lines : list of Line
            All that bring bytes now.
        latency : float
            Seconds between request and answer.
        count : int
            Bytes that came so far over all connections.
        left : int
            Bytes that each of them has still to bring.
        """
        now = time.monotonic()
        lapse = now - self._looked
        if self._given_up or lapse < WINDOW:
            return
        # All over the same time: what one loses and another gains must cancel out.
        judged = [
            (line, (line.count - self._counts[line]) / lapse, line.count / (now - line.opened))
            for line in lines
            if line in self._counts and now - line.opened >= AGE
        ]
        self._looked, self._counts = now, {line: line.count for line in lines}
        if latency < FAR or left < LEAST or not judged:
            return
        if self._trial is not None and not self._proved:
            began, before = self._trial
            if now - began >= TRIAL:
                self._proved = (count - before) / (now - began) >= HELPS * self._before
                self._given_up = not self._proved
        if self._trial is None:
            present = sum(rate for _, rate, _ in judged)
            average = sum(average for _, _, average in judged)
            if 2 * len(judged) < len(lines) or present >= DECLINED * average:
                return
            self._before, self._trial = present, (now, count)
        for line, rate, usual in judged:
            line.slowed = line.count >= LEAST and rate < SLOWED * usual
