"""When a failed request is repeated: growing pauses, a budget of time, a minimum speed."""

from __future__ import annotations

import random
import time

from cmx_resnet50.fetch.http.concurrency import ConcurrencyController
from cmx_resnet50.fetch.model import FetchOptions
from cmx_resnet50.fetch.verdicts import (
    NetworkDown,
    NoAnswer,
    RateLimited,
    SourceFailed,
    TransientError,
    UnknownName,
)

LONGEST_PAUSE = 30.0
"""Seconds; longer pauses are made only where the host asks for them and no source is left."""

NOTED_PAUSE = 1.0
"""Seconds from which a pause is reported, lest it looks like a hang."""


NETWORK_RETRIES = 2
"""Consecutive retries where no name server answers or there is no route; none for a second host."""


UNKNOWN_NAME_RETRIES = 1
"""Retries where a name server says that there is no such name; none for a second host."""


SLOW_LOOKUP = 1.0
"""Seconds of a look-up of a name from which it is not repeated."""


class RetryBudget:
    """Seconds that the retries of one file may cost in all."""

    def __init__(self, seconds: float) -> None:
        self.left = seconds
        self.network_down = False
        """Whether one host was given up because this machine seems to have no network."""
        self.name_unknown = False
        """Whether one host was given up because its name is not known."""


class RetryPolicy:
    """The retries of one source.

    Parameters
    ----------
    options : FetchOptions
    budget : RetryBudget
        Shared by all sources of the file.
    alone : bool
        Whether there is no other source, so that long pauses and stalls are tolerated.
    count : int
        Bytes of the file that are there at the beginning.
    """

    def __init__(
        self, options: FetchOptions, budget: RetryBudget, *, alone: bool, count: int
    ) -> None:
        self.until = 0.0
        """When the source may be asked again, by the monotonic clock."""
        self.note: str | None = None
        """What to report about the last pause, until it was reported."""
        self.retries = 0
        self._options = options
        self._budget = budget
        self._alone = alone
        self._failures = self._stalls = 0
        self._most = count
        self._failed_at = time.monotonic()
        self._window = (self._failed_at, 0)

    def failed(
        self, error: TransientError, count: int, concurrency: ConcurrencyController, *, others: bool
    ) -> SourceFailed | None:
        """Schedule a pause after a failed request, or return why the source is given up.

        Parameters
        ----------
        error : TransientError
            What happened.
        count : int
            Bytes of the file that are there now. Consecutive failures count while it stays.
        concurrency : ConcurrencyController
            Is asked to back off where that may help.
        others : bool
            Whether other connections to the source are at work.
        """
        now = time.monotonic()
        if now < self.until:
            # Connections that break together are one failure.
            return None
        if isinstance(error, RateLimited):
            concurrency.back_off()
        if count > self._most:
            self._failures, lost = 1, 0.0
        else:
            # The pause before it was charged when it was made.
            lost = now - max(self._failed_at, self.until)
            self._failures += 1
        self._most = max(self._most, count)
        self._failed_at = now
        if self._failures > self._allowed(error, lost):
            if not others:
                self._budget.network_down |= isinstance(error, NetworkDown)
                self._budget.name_unknown |= isinstance(error, UnknownName)
                return SourceFailed(error.reason, status=error.status, cause=error)
            # The host serves our other connections: continue with those.
            concurrency.back_off()
            self._failures = 1
        pause = self._options.backoff * 2 ** (self._failures - 1) * random.uniform(0.5, 1.0)  # noqa: S311 - no secret
        pause = max(min(pause, LONGEST_PAUSE), error.wait or 0.0)
        self._budget.left -= lost + pause
        if self._budget.left < 0:
            return SourceFailed(f"{error.reason}; retry budget used up", status=error.status)
        if pause > LONGEST_PAUSE and not self._alone:
            return SourceFailed(f"{error.reason}; the next source is asked", status=error.status)
        self.retries += 1
        self.until = now + pause
        if pause >= NOTED_PAUSE:
            self.note = f"{error.reason}; retrying in {pause:.0f} s"
        return None

    def _allowed(self, error: TransientError, lost: float) -> int:
        """Return the consecutive retries that `error` is worth, which cost `lost` seconds."""
        if isinstance(error, UnknownName):
            retries = 0 if self._budget.name_unknown else UNKNOWN_NAME_RETRIES
            return min(retries, self._options.retries)
        if not isinstance(error, NetworkDown):
            return self._options.retries
        once = self._budget.network_down or lost > SLOW_LOOKUP or isinstance(error, NoAnswer)
        return 0 if once else min(NETWORK_RETRIES, self._options.retries)

    def stalled(self, transferred: int) -> bool:
        """Whether the source was too slow for too long, and is worth another try.

        Parameters
        ----------
        transferred : int
            Bytes received over the network so far.

        Raises
        ------
        SourceFailed
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
            raise SourceFailed(f"stalled: {rate:,.0f} bytes/s over {lapse:.0f} s")
        self.retries += 1
        return True
