"""The number of connections: more only while they help, fewer for a host that asks for it."""

from __future__ import annotations

import time

WINDOW = 0.03
"""Seconds for which a number of connections is observed at least before the next step."""

WORTHWHILE = 0.75
"""Seconds that must be left for another connection to be worth opening."""

FAST = 200_000_000
"""Bytes a second from which digests and disks are the limit, and no longer the network."""

HELPS = 1.15
"""A step helped when the rate grew by this factor at least."""

FAR = 2.0
"""Seconds left from which connections are not doubled, but quadrupled."""

AGAIN = 3.0
"""Seconds after which a step that did not help is tried once more: networks change."""


class ConcurrencyController:
    """The number of connections to one host, multiplied step by step up to `limit`."""

    def __init__(self, limit: int) -> None:
        self.connections = 1
        self.latency = 0.0
        """Seconds between request and answer, as last measured."""
        self._limit = max(1, limit)
        self._rate = 0.0
        self._since: float | None = None
        self._count = 0
        self._holding = False

    def limit(self, connections: int) -> None:
        """Never open more than `connections`, but for the first."""
        self._limit = max(1, connections)
        self.connections = min(self.connections, self._limit)

    def back_off(self) -> None:
        """Halve the connections, and never open more than that in this run."""
        self.connections = self._limit = max(1, self.connections // 2)

    def observe(self, count: int, remaining: int) -> bool:
        """Measure the transfer; return whether connections were added.

        Parameters
        ----------
        count : int
            Bytes received so far in this run.
        remaining : int
            Bytes that are still missing.
        """
        now = time.monotonic()
        if self._since is None or self.connections >= self._limit:
            if count or self._since is not None:
                self._since, self._count = now, count
            return False
        lapse = now - self._since
        # The first step is cheap, and need not wait until the connection is at full speed.
        settling = 0.0 if self.connections == 1 else self.latency
        if lapse < max(WINDOW + settling, AGAIN if self._holding else 0.0):
            return False
        rate = (count - self._count) / lapse
        self._since, self._count = now, count
        if rate <= 0 or rate >= FAST or remaining / rate < WORTHWHILE:
            return False
        helped = self._holding or rate >= HELPS * self._rate
        self._rate, self._holding = rate, not helped
        if helped:
            factor = 4 if remaining / rate > FAR else 2
            self.connections = min(self._limit, factor * self.connections)
        return helped
