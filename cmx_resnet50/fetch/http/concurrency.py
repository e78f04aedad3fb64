"""How many connections: more only while they help, fewer for a host that asks for it."""

from __future__ import annotations

import time

WINDOW = 0.03
"""Seconds for which a number of connections is watched at least before the next step."""

WORTHWHILE = 0.75
"""Seconds that must be left for another connection to be worth its opening."""

FAST = 200_000_000
"""Bytes a second from which on digests and disks are the limit, and no longer the network."""

HELPS = 1.15
"""A step helped when the rate grew by this factor at least."""

FAR = 2.0
"""Seconds left from which on connections are not doubled, but taken four times."""

AGAIN = 3.0
"""Seconds after which a step that did not help is tried once more: networks change."""


class Ramp:
    """The number of connections to one host, multiplied step by step up to `limit`."""

    def __init__(self, limit: int) -> None:
        self.level = 1
        self.latency = 0.0
        """Seconds between request and answer, as last seen."""
        self._limit = max(1, limit)
        self._rate = 0.0
        self._since: float | None = None
        self._count = 0
        self._holding = False

    def fewer(self) -> None:
        """Take half of the connections, and never more than that in this run."""
        self.level = self._limit = max(1, self.level // 2)

    def watch(self, count: int, left: int) -> bool:
        """Look at the transfer, and say whether connections were added.

        Parameters
        ----------
        count : int
            Bytes that came so far in this run.
        left : int
            Bytes that are still to come.
        """
        now = time.monotonic()
        if self._since is None or self.level >= self._limit:
            if count or self._since is not None:
                self._since, self._count = now, count
            return False
        lapse = now - self._since
        # The first step is cheap, and need not wait until the connection is at full speed.
        settling = 0.0 if self.level == 1 else self.latency
        if lapse < max(WINDOW + settling, AGAIN if self._holding else 0.0):
            return False
        rate = (count - self._count) / lapse
        self._since, self._count = now, count
        if rate <= 0 or rate >= FAST or left / rate < WORTHWHILE:
            return False
        helped = self._holding or rate >= HELPS * self._rate
        self._rate, self._holding = rate, not helped
        if helped:
            self.level = min(self._limit, (4 if left / rate > FAR else 2) * self.level)
        return helped
