"""How long a source is borne with: pauses that grow, a budget of lost time, a least speed."""

from __future__ import annotations

import random
import time

from cmx_resnet50.fetch.errors import Crowded, Final, Passing
from cmx_resnet50.fetch.http.concurrency import Ramp
from cmx_resnet50.fetch.model import FetchOptions

LONGEST_PAUSE = 30.0
"""Seconds; longer ones are only made where the host asks for it and there is no other source."""

TOLD_PAUSE = 1.0
"""Seconds from which on a pause is told, lest the user thinks that all hangs."""


class Budget:
    """Seconds that the retries of one file may lose in all."""

    def __init__(self, seconds: float) -> None:
        self.left = seconds


class Patience:
    """The patience with one source.

    Parameters
    ----------
    options : FetchOptions
    budget : Budget
        Shared by all sources of the file.
    alone : bool
        Whether there is no other source, so that long pauses and stalls are borne.
    count : int
        Bytes of the file that are there at the beginning.
    """

    def __init__(self, options: FetchOptions, budget: Budget, *, alone: bool, count: int) -> None:
        self.until = 0.0
        """When the source may be asked again, by the monotonic clock."""
        self.note: str | None = None
        """What the user should hear of the last pause, until it was said."""
        self.retries = 0
        self._options = options
        self._budget = budget
        self._alone = alone
        self._failures = self._stalls = 0
        self._most = count
        self._failed_at = time.monotonic()
        self._window = (self._failed_at, 0)

    def failed(self, trouble: Passing, count: int, ramp: Ramp, *, others: bool) -> Final | None:
        """Pause after a failed request, or return why that is of no use any more.

        Parameters
        ----------
        trouble : Passing
            What happened.
        count : int
            Bytes of the file that are there now. Failures in a row count as long as it stays.
        ramp : Ramp
            Gets fewer connections where that may help.
        others : bool
            Whether other connections to the source are at work.
        """
        now = time.monotonic()
        if now < self.until:
            # Connections that break together are one trouble.
            return None
        if isinstance(trouble, Crowded):
            ramp.fewer()
        if count > self._most:
            self._failures, lost = 1, 0.0
        else:
            self._failures, lost = self._failures + 1, now - self._failed_at
        self._most = max(self._most, count)
        self._failed_at = now
        if self._failures > self._options.retries:
            if not others:
                return Final(trouble.reason, status=trouble.status)
            # The host serves others of ours: live with those.
            ramp.fewer()
            self._failures = 1
        pause = self._options.backoff * 2 ** (self._failures - 1) * random.uniform(0.5, 1.0)  # noqa: S311 - no secret
        pause = max(min(pause, LONGEST_PAUSE), trouble.wait or 0.0)
        self._budget.left -= lost + pause
        if self._budget.left < 0 or (pause > LONGEST_PAUSE and not self._alone):
            return Final(f"{trouble.reason}; too long to wait for", status=trouble.status)
        self.retries += 1
        self.until = now + pause
        if pause >= TOLD_PAUSE:
            self.note = f"{trouble.reason}; asked again in {pause:.0f} s"
        return None

    def stalled(self, transferred: int) -> bool:
        """Whether the source was too slow for too long, and is worth another try.

        Parameters
        ----------
        transferred : int
            Bytes that came over the wire so far.

        Raises
        ------
        Final
            If it was too slow, and is not.
        """
        now = time.monotonic()
        began, before = self._window
        if now < self.until:
            self._window = (now, transferred)
            return False
        lapse = now - began
        if self._options.stall_rate <= 0 or lapse < self._options.stall_seconds:
            return False
        self._window = (now, transferred)
        rate = (transferred - before) / lapse
        if rate >= self._options.stall_rate:
            return False
        self._stalls += 1
        if not self._alone or self._stalls > self._options.retries:
            raise Final(f"stalled: {rate:,.0f} bytes/s over {lapse:.0f} s")
        self.retries += 1
        return True
