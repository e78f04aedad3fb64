"""Replaces connections that slowed down, where new ones are faster.

On a long line that loses packets, TCP's congestion control slows each connection down more and
more: a new one transfers in its first second twice of what it does later (benchmarks/link.py,
50 ms and 1 % loss: 0.7 MB against 0.35 MB/s). A connection is worth keeping while it is faster
than a new one is expected to be, which is its own average rate since it was opened.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field

FAR = 0.02
"""Seconds between request and answer from which loss, and not the host, limits a connection."""

AGE = 1.0
"""Seconds that a connection gets at least: opening it costs two round trips."""

LEAST = 512 * 1024
"""Bytes that a connection transfers at least, for the sake of hosts that count requests."""

WINDOW = 0.5
"""Seconds over which the current rate of a connection is measured."""

SLOWED = 0.7
"""A connection slowed down when its current rate is below this share of its average."""

DECLINED = 0.85
"""All connections together fall below this share of their averages: time for a trial.

On a line that is merely full, one connection loses what another gains, and this never happens.
"""

TRIAL = 3.0
"""Seconds for which the first replacements are observed."""

HELPS = 1.05
"""Replacing continues only if by then all connections together are faster by this factor."""


@dataclass(eq=False)
class ConnectionStats:
    """One connection: when it was opened, and how many bytes it transferred."""

    opened: float = field(default_factory=time.monotonic)
    count: int = 0
    slowed: bool = False
    """Whether it is to be replaced; the thread that reads from it stops then."""


class SlowConnectionReplacer:
    """Finds the connections that are worth replacing, as long as replacing helps."""

    def __init__(self) -> None:
        self._stopped = False
        self._rate_before = 0.0
        self._trial: tuple[float, int] | None = None
        self._helps = False
        self._observed_at = time.monotonic()
        self._counts: dict[ConnectionStats, int] = {}

    def stop(self) -> None:
        """Replace nothing any more: the host reported too many requests."""
        self._stopped = True

    def observe(
        self, connections: list[ConnectionStats], latency: float, count: int, remaining: int
    ) -> None:
        """Mark those of `connections` that slowed down.

        Parameters
        ----------
        connections : list of ConnectionStats
            All that transfer bytes now.
        latency : float
            Seconds between request and answer.
        count : int
            Bytes received so far over all connections.
        remaining : int
            Bytes that each of them still has to fetch.
        """
        now = time.monotonic()
        lapse = now - self._observed_at
        if self._stopped or lapse < WINDOW:
            return
        # All over the same time: what one loses and another gains must cancel out.
        rates = [
            (stats, (stats.count - self._counts[stats]) / lapse, stats.count / (now - stats.opened))
            for stats in connections
            if stats in self._counts and now - stats.opened >= AGE
        ]
        self._observed_at, self._counts = now, {stats: stats.count for stats in connections}
        if latency < FAR or remaining < LEAST or not rates:
            return
        if self._trial is not None and not self._helps:
            began, before = self._trial
            if now - began >= TRIAL:
                self._helps = (count - before) / (now - began) >= HELPS * self._rate_before
                self._stopped = not self._helps
        if self._trial is None:
            current = sum(rate for _, rate, _ in rates)
            average = sum(average for _, _, average in rates)
            if 2 * len(rates) < len(connections) or current >= DECLINED * average:
                return
            self._rate_before, self._trial = current, (now, count)
        for stats, rate, average in rates:
            stats.slowed = stats.count >= LEAST and rate < SLOWED * average
