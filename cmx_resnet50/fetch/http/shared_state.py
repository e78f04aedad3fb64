"""What the connections of one transfer share: what is missing, what is known, how it ended.

The condition of the `PartialFile` guards all of it; methods say where their caller holds it.
"""

from __future__ import annotations

import threading
import time

import requests

from cmx_resnet50.fetch.errors import LimitError, amount
from cmx_resnet50.fetch.http.concurrency import ConcurrencyController
from cmx_resnet50.fetch.http.endpoint import Endpoint
from cmx_resnet50.fetch.http.range_queue import ByteRange, RangeQueue
from cmx_resnet50.fetch.http.slow_connections import ConnectionStats, SlowConnectionReplacer
from cmx_resnet50.fetch.partial_file.file import ENDLESS
from cmx_resnet50.fetch.transfer import Transfer
from cmx_resnet50.fetch.verdicts import RateLimited, SourceFailed, TransientError

EXPIRED_CODES = frozenset({401, 403, 404, 410})
"""What a signed address that a redirect gave answers when it has expired."""

SMALLEST_SPLIT = 64 * 1024
"""Bytes that an active range must still have for a second connection to help it."""


class SharedState:
    """The state of `transfer`, whose own attributes describe how far it came.

    Parameters
    ----------
    transfer : Transfer
    endpoint : Endpoint
        Has the address and the sessions.
    """

    def __init__(self, transfer: Transfer, endpoint: Endpoint) -> None:
        task = transfer.task
        self.transfer = transfer
        self.endpoint = endpoint
        self.task = task
        self.partial = partial = task.partial
        self.options = task.options
        self.retry = task.retry
        self.validator = task.validator
        total = ENDLESS if partial.total is None else partial.total
        self.queue = RangeQueue(partial.ranges.gaps(total))
        self.concurrency = ConcurrencyController(task.options.connections)
        self.replacer = SlowConnectionReplacer()
        self.opened = False
        self.ranged = False
        """Whether the server honours Range requests, so that connections can share the work."""
        self.resumed: int | None = None
        """Bytes that were there when the last body began, until the progress shows it."""
        self.remark: str | None = None
        """What to report about the answer, until it was reported."""
        self.resolved: tuple[str, str | None] | None = None
        """The address that a redirect gave, with the credentials for it."""
        self.outcome: BaseException | None = None
        self.complete = False
        """Whether the digest is right, whatever is still to come."""
        self.over = False
        self._began = time.monotonic()
        self.responses: dict[threading.Thread, requests.Response] = {}
        self.stats: dict[threading.Thread, ConnectionStats] = {}

    @property
    def is_over(self) -> bool:
        """Whether nothing is left to do."""
        return self.complete or self.outcome is not None or self.queue.finished

    @property
    def received(self) -> str:
        """How much of the file is there, for messages."""
        count, total = self.partial.ranges.count, self.partial.total
        return amount(count) if total is None else f"{amount(count)} of {amount(total)}"

    def finish_if_complete(self) -> bool:
        """Whether all bytes are there, although the source announced more or does not end."""
        if self.opened and not self.transfer.encoded:
            size = self.partial.complete_size(self.task.expected)
            with self.partial.changed:
                if size is not None and size == self.partial.ranges.count and not self.over:
                    self.partial.end_at(size)
                    self.complete = True
        return self.complete

    def next(self, number: int) -> ByteRange | None:
        """Wait for work; None when all is done, or this connection is one too many.

        The caller holds the condition.
        """
        while not self.over and not self.is_over:
            wait = self.retry.until - time.monotonic()
            if wait <= 0 and number < self.concurrency.connections:
                part = self._pick()
                if part is not None:
                    return part
                wait = 1.0
            self.partial.changed.wait(max(wait, 0.01))
        return None

    def _pick(self) -> ByteRange | None:
        if not self.opened:
            # One connection asks first; what it learns decides what the others do.
            return None if self.queue.active else self.queue.probe()
        if not self.ranged and self.queue.active:
            return None
        lapse = max(time.monotonic() - self._began, 0.01)
        each = self.transfer.transferred / lapse / max(1, len(self.queue.active))
        trip = int(each * self.concurrency.latency)
        part = self.queue.take(self.concurrency.connections, trip)
        if part is None and self.ranged and self.concurrency.connections > 1:
            # Dropping a connection and opening another costs time.
            part = self.queue.split(max(SMALLEST_SPLIT, int(each / 4), 4 * trip))
        return part

    def log(self, part: ByteRange) -> None:
        """Record in the journal what was written of `part`; the caller holds the condition."""
        if part.logged < part.position:
            self.partial.log(part.logged, part.position)
            part.logged = part.position

    def decide(self, failure: BaseException) -> None:
        """Decide what follows from `failure`; the caller holds the condition."""
        status = getattr(failure, "status", None)
        self.transfer.status = status or self.transfer.status
        if isinstance(failure, SourceFailed) and status in EXPIRED_CODES and self.resolved:
            self.resolved = None
            failure = TransientError(failure.reason, status=status)
        if isinstance(failure, LimitError) and self.queue.active:
            # The other connections do the work.
            self.concurrency.limit(len(self.queue.active))
            return
        if isinstance(failure, RateLimited):
            self.replacer.stop()
        if isinstance(failure, TransientError):
            count, others = self.partial.ranges.count, bool(self.queue.active)
            final = self.retry.failed(failure, count, self.concurrency, others=others)
            self.outcome = self.outcome or final
        else:
            self.outcome = self.outcome or failure
