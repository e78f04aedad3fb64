"""Transfers a file over HTTP into a `PartialFile`, over as many connections as help."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from http.client import HTTPException

import requests
from requests.auth import AuthBase
from urllib3.exceptions import HTTPError

from cmx_resnet50.errors import Resnet50Error
from cmx_resnet50.fetch.errors import LimitError, amount
from cmx_resnet50.fetch.http import error_pages
from cmx_resnet50.fetch.http.concurrency import ConcurrencyController
from cmx_resnet50.fetch.http.endpoint import Endpoint
from cmx_resnet50.fetch.http.exceptions import closed_early, local_limit, translate_exception
from cmx_resnet50.fetch.http.proxies import proxy_of
from cmx_resnet50.fetch.http.range_queue import ByteRange, RangeQueue
from cmx_resnet50.fetch.http.read_chunks import read_chunks
from cmx_resnet50.fetch.http.response import Answer, validate_response
from cmx_resnet50.fetch.http.session import Session
from cmx_resnet50.fetch.http.slow_connections import ConnectionStats, SlowConnectionReplacer
from cmx_resnet50.fetch.partial_file.file import ENDLESS
from cmx_resnet50.fetch.threads import start
from cmx_resnet50.fetch.transfer import GZIP, Transfer, TransferTask, encoded_unasked, too_large
from cmx_resnet50.fetch.verdicts import (
    AttemptError,
    RateLimited,
    RestartDownload,
    SourceFailed,
    TransientError,
)
from cmx_resnet50.progress import Progress

JOURNAL_BYTES = 256 * 1024
"""Bytes of a connection that are recorded as one line of the journal, at least."""

JOURNAL_SECONDS = 0.5
"""Seconds after which bytes are recorded in the journal, however few."""

EXPIRED_CODES = frozenset({401, 403, 404, 410})
"""What a signed address that a redirect gave answers when it has expired."""

SMALLEST_SPLIT = 64 * 1024
"""Bytes that an active range must still have for a second connection to help it."""

LENGTH_SLACK = 64 * 1024
"""Bytes by which a server may overstate the size of a file whose size and digest are known."""

QUIET = 1.0
"""Seconds without a byte after which the digest of what is there is compared."""

JOINING = 2.0
"""Seconds to wait for the threads of dropped connections."""

NOTHING = memoryview(b"")


class _Dropped(Exception):
    """The connection is not needed any more, or is replaced by a new one."""


class HttpTransfer(Transfer):
    """A transfer over HTTP; `endpoint` has the address and the sessions."""

    def __init__(self, task: TransferTask, endpoint: Endpoint) -> None:
        super().__init__(task)
        self._endpoint = endpoint
        self._partial = partial = task.partial
        self._options = task.options
        self._retry = task.retry
        self._validator = task.validator
        total = ENDLESS if partial.total is None else partial.total
        self._queue = RangeQueue(partial.ranges.gaps(total))
        self._concurrency = ConcurrencyController(task.options.connections)
        self._replacer = SlowConnectionReplacer()
        self._opened = False
        self._ranged = False
        """Whether the server honours Range requests, so that connections can share the work."""
        self._resumed: int | None = None
        """Bytes that were there when the last body began, until the progress shows it."""
        self._remark: str | None = None
        """What to report about the answer, until it was reported."""
        self._resolved: tuple[str, str | None] | None = None
        self._outcome: BaseException | None = None
        self._progress = Progress()
        self._shown = 0
        """Bytes that the progress has shown."""
        self._quiet = (time.monotonic(), 0)
        """Since when no byte came, and how many there were then."""
        self._complete = False
        """Whether the digest is right, whatever is still to come."""
        self._over = False
        self._began = time.monotonic()
        self._threads: list[threading.Thread] = []
        self._responses: dict[threading.Thread, requests.Response] = {}
        self._stats: dict[threading.Thread, ConnectionStats] = {}

    def run(self, progress: Progress) -> None:
        """Fetch all that is missing."""
        self._progress = progress
        try:
            with self._partial.changed:
                self._start_threads()
            if not self._threads:
                # Where no thread is to be had, this one does the work.
                self._work(0)
            while self._tick():
                pass
            if self._outcome is not None and not self._complete:
                raise self._outcome
        finally:
            self._end()

    def _tick(self) -> bool:
        """Look after the connections, and show how far they are; return whether it goes on."""
        changed, name = self._partial.changed, self._partial.name
        with changed:
            running = not self._is_over
            if running and self._threads:
                changed.wait(0.01 if self._may_add_connections() else 0.1)
                self._adapt()
            if running and self._retry.stalled(self.transferred):
                self._hang_up()
            resumed, self._resumed = self._resumed, None
            notes = [note for note in (self._retry.note, self._remark) if note]
            self._retry.note = self._remark = None
            count, total = self._partial.ranges.count, self._partial.total
        # Not under the condition: digests and a terminal may be slow.
        since, before = self._quiet
        if count != before:
            self._quiet = (time.monotonic(), count)
        elif running and time.monotonic() - since > QUIET:
            self._finish_if_complete()
            self._quiet = (time.monotonic(), count)
        for note in notes:
            self._progress.note(f"{name}: {note}.")
        if resumed is not None:
            self._shown = resumed
            self._progress.start(name, total, self.task.source.printable, resumed)
        if self._opened:
            self._progress.advance(max(0, count - self._shown))
            self._shown = max(count, self._shown)
        return running

    @property
    def _is_over(self) -> bool:
        return self._complete or self._outcome is not None or self._queue.finished

    def _finish_if_complete(self) -> bool:
        """Whether all bytes are there, although the source announced more or does not end."""
        if self._opened and not self.encoded:
            size = self._partial.complete_size(self.task.expected)
            with self._partial.changed:
                if size is not None and size == self._partial.ranges.count and not self._over:
                    self._partial.end_at(size)
                    self._complete = True
        return self._complete

    # What the calling thread does; it holds the condition.

    def _may_add_connections(self) -> bool:
        return self._ranged and self._concurrency.connections < self._options.connections

    def _adapt(self) -> None:
        if not self._ranged:
            return
        if self._concurrency.observe(self.transferred, self._queue.remaining):
            self._queue.share()
            self._start_threads()
        else:
            busy = [self._stats[thread] for thread in self._responses if thread in self._stats]
            remaining = self._queue.remaining // self._concurrency.connections
            self._replacer.observe(busy, self._concurrency.latency, self.transferred, remaining)

    def _start_threads(self) -> None:
        while len(self._threads) < self._concurrency.connections:
            number = len(self._threads)
            thread = threading.Thread(target=self._work, args=(number,), daemon=True)
            try:
                start(thread)
            except RuntimeError:
                # The limit of threads is reached: those that there are do the work.
                self._concurrency.limit(number)
                return
            self._threads.append(thread)

    def _hang_up(self) -> None:
        for response in self._responses.values():
            with contextlib.suppress(Exception):
                response.raw.shutdown()

    def _log(self, part: ByteRange) -> None:
        """Record in the journal what was written of `part`; the condition is held."""
        if part.logged < part.position:
            self._partial.log(part.logged, part.position)
            part.logged = part.position

    def _end(self) -> None:
        with self._partial.changed:
            with contextlib.suppress(Resnet50Error):
                for part in self._queue.active:
                    self._log(part)
            self._over = True
            self._partial.changed.notify_all()
            self._hang_up()
        deadline = time.monotonic() + JOINING
        for thread in self._threads:
            # One that is still connecting ends by itself; it can no longer write.
            thread.join(max(0.0, deadline - time.monotonic()))

    # What each connection's thread does.

    def _work(self, number: int) -> None:
        changed = self._partial.changed
        try:
            with self._endpoint.session() as session:
                while True:
                    with changed:
                        part = self._next(number)
                    if part is None:
                        return
                    self._fetch(session, part)
        except BaseException as error:
            with changed:
                self._outcome = self._outcome or error
                changed.notify_all()

    def _next(self, number: int) -> ByteRange | None:
        """Wait for work; None when all is done, or this connection is one too many."""
        while not self._over and not self._is_over:
            wait = self._retry.until - time.monotonic()
            if wait <= 0 and number < self._concurrency.connections:
                part = self._pick()
                if part is not None:
                    return part
                wait = 1.0
            self._partial.changed.wait(max(wait, 0.01))
        return None

    def _pick(self) -> ByteRange | None:
        if not self._opened:
            # One connection asks first; what it learns decides what the others do.
            return None if self._queue.active else self._queue.probe()
        if not self._ranged and self._queue.active:
            return None
        lapse = max(time.monotonic() - self._began, 0.01)
        each = self.transferred / lapse / max(1, len(self._queue.active))
        trip = int(each * self._concurrency.latency)
        part = self._queue.take(self._concurrency.connections, trip)
        if part is None and self._ranged and self._concurrency.connections > 1:
            # Dropping a connection and opening another costs time.
            part = self._queue.split(max(SMALLEST_SPLIT, int(each / 4), 4 * trip))
        return part

    def _fetch(self, session: Session, part: ByteRange) -> None:
        """Fetch `part`, and decide what follows where that fails."""
        failure: BaseException | None = None
        kept = True
        url = ""
        try:
            url, authorization = self._resolved or (self._endpoint.address(), None)
            self._request(session, part, url, authorization)
        except _Dropped:
            kept = False
        except (AttemptError, Resnet50Error) as error:
            failure, self.proxy = error, _proxy(url)
        except (requests.RequestException, HTTPError, HTTPException, OSError, ValueError) as error:
            # A connection that is being dropped may break in any way.
            if not self._over:
                self.proxy = _proxy(url)
                limit = local_limit(error)
                failure = (
                    LimitError(f"{self._partial.name} cannot be fetched: {limit}")
                    if limit is not None
                    else translate_exception(
                        error, url, received=self._received(), ca_bundle=session.ca_bundle
                    )
                )
        if failure is not None and not self._over and self._finish_if_complete():
            failure, kept = None, False
        with self._partial.changed:
            if failure is not None or not kept:
                self._stats.pop(threading.current_thread(), None)
            if not self._over:
                try:
                    self._log(part)
                except Resnet50Error as error:
                    failure = error
            self._queue.give_back(part)
            if failure is not None and not self._over:
                self._decide(failure)
            self._partial.changed.notify_all()

    def _request(
        self, session: Session, part: ByteRange, url: str, authorization: str | None
    ) -> None:
        start, end = part.position, None if part.end == ENDLESS else part.end
        headers = {}
        if not self.task.plain:
            headers["Range"] = f"bytes={start}-{'' if end is None else end - 1}"
            condition = self._validator.if_range if self._validator else None
            if condition is not None:
                headers["If-Range"] = condition
        asked = time.monotonic()
        me = threading.current_thread()
        with self._partial.changed:
            self._stats.setdefault(me, ConnectionStats())
        with session.get(
            url,
            headers=headers,
            stream=True,
            timeout=(self._options.connect_timeout, self._options.read_timeout),
            auth=_SameAuthorization(authorization) if authorization else None,
        ) as response:
            with self._partial.changed:
                if self._over:
                    raise _Dropped
                self._responses[me] = response
                self.reached, self.status = True, response.status_code
                self._concurrency.latency = time.monotonic() - asked
            try:
                answer = validate_response(response, start, end, ranged=not self.task.plain)
                body = read_chunks(response.raw, self._partial.buffers.take)
                data = next(body, NOTHING)
                with self._partial.changed:
                    if self._over or self._complete:
                        raise _Dropped
                    self._accept(answer, response, part, data)
                self._receive(answer, body, part, data)
            finally:
                with self._partial.changed:
                    del self._responses[me]

    def _accept(
        self, answer: Answer, response: requests.Response, part: ByteRange, data: memoryview
    ) -> None:
        """Compare `answer` with what is known about the file; the first one prepares the file."""
        partial, total = self._partial, answer.total
        if answer.start == 0:
            page = error_pages.detect_error_page(
                bytes(data[: error_pages.LENGTH]), answer.content_type
            )
            if page is not None:
                raise SourceFailed(page, status=self.status)
        if total == 0:
            raise SourceFailed("the answer is empty", status=self.status)
        if not (answer.encoded in ("", *GZIP) or self.task.expected.verifiable):
            raise SourceFailed(encoded_unasked(answer.encoded), status=self.status)
        size = self.task.expected.size
        if self._overstates(answer):
            answer = replace(answer, total=size)
            total = size
        if None not in (size, total) and size != total and not answer.encoded:
            raise SourceFailed(
                f"the file there has {total:,} bytes, not {size:,}", status=self.status
            )
        limit = self.task.limit(encoded=bool(answer.encoded))
        if total is not None and total > limit:
            raise SourceFailed(too_large(total, limit), status=self.status)
        if answer.partial:
            if partial.total not in (None, total):
                raise RestartDownload(f"the file there has {total:,} bytes, not {partial.total:,}")
            if self._validator is not None and self._validator.differs(answer.validator):
                raise RestartDownload("the remote file changed while it was fetched")
            self._ranged = True
        elif self._ranged:
            raise RestartDownload(
                "the remote file changed, or the server no longer honours Range requests"
            )
        else:
            # The body begins at byte 0, whatever was requested.
            if partial.ranges.count:
                partial.clear()
                self.started_over = True
            self._opened = False
            self._queue.assign_all(part, ENDLESS if total is None else total)
        if not self._opened or partial.total is None:
            self._open(answer, response)

    def _overstates(self, answer: Answer) -> bool:
        """Whether the size that the server announces is a little too large; the digest decides."""
        size, total = self.task.expected.size, answer.total
        if size is None or total is None or answer.encoded or not self.task.expected.verifiable:
            return False
        return size < total <= size + LENGTH_SLACK

    def _open(self, answer: Answer, response: requests.Response) -> None:
        self._opened = True
        self._resumed = self._partial.ranges.count
        self._validator = answer.validator
        self.encoded, self.content_type = answer.encoded, answer.content_type
        if answer.label:
            label = "".join(c for c in answer.label[:40] if c.isprintable())
            self._remark = f"the content-encoding {label!r} is not one; the bytes are taken as sent"
        if response.url != self.task.source.url:
            self._resolved = (response.url, response.request.headers.get("Authorization"))
        header = None
        if answer.total is not None and not answer.encoded:
            header = replace(
                self.task.header,
                size=answer.total,
                etag=answer.validator.etag,
                modified=answer.validator.modified,
            )
        if answer.partial and self._partial.total is None:
            # Only now is it known where the file ends.
            self._queue.truncate(answer.total or 0)
        reserve = self.task.expected.most is not None
        self._partial.open(header, answer.total, reserve=reserve)
        # The calling thread waits for this to show progress, and to count connections.
        self._partial.changed.notify_all()

    def _receive(
        self, answer: Answer, body: Iterator[memoryview], part: ByteRange, data: memoryview
    ) -> None:
        partial = self._partial
        limit = self.task.limit(encoded=bool(answer.encoded))
        logged_at = time.monotonic()
        stats = self._stats[threading.current_thread()]
        while data:
            with partial.changed:
                if self._over or self._complete or stats.slowed:
                    raise _Dropped
                self.transferred += len(data)
                stats.count += len(data)
                taken = data[: part.end - part.position]
                partial.write(part.position, taken)
                part.position += len(taken)
                now = time.monotonic()
                if (
                    part.position - part.logged >= JOURNAL_BYTES
                    or now - logged_at > JOURNAL_SECONDS
                ):
                    self._log(part)
                    logged_at = now
                if part.position >= part.end:
                    break
                if part.position > limit:
                    raise SourceFailed(
                        f"it sends more than the {limit:,} bytes expected at most",
                        status=self.status,
                        discard=True,
                    )
            if not self._threads:
                self._tick()
            data = next(body, NOTHING)
        if answer.length is not None and part.position == answer.start + answer.length:
            # The read that finds the end of the body gives the connection back for reuse.
            next(body, None)
        with partial.changed:
            if part.end == ENDLESS:
                partial.total = part.end = part.position
            elif part.position < part.end:
                raise closed_early(self._received())

    def _received(self) -> str:
        """Return how much of the file is there, for messages."""
        count, total = self._partial.ranges.count, self._partial.total
        return amount(count) if total is None else f"{amount(count)} of {amount(total)}"

    def _decide(self, failure: BaseException) -> None:
        """Decide what follows from `failure`; the condition is held."""
        status = getattr(failure, "status", None)
        self.status = status or self.status
        if isinstance(failure, SourceFailed) and status in EXPIRED_CODES and self._resolved:
            self._resolved = None
            failure = TransientError(failure.reason, status=status)
        if isinstance(failure, LimitError) and self._queue.active:
            # The other connections do the work.
            self._concurrency.limit(len(self._queue.active))
            return
        if isinstance(failure, RateLimited):
            self._replacer.stop()
        if isinstance(failure, TransientError):
            count, others = self._partial.ranges.count, bool(self._queue.active)
            final = self._retry.failed(failure, count, self._concurrency, others=others)
            self._outcome = self._outcome or final
        else:
            self._outcome = self._outcome or failure


def _proxy(url: str) -> str | None:
    proxy = proxy_of(url)
    return None if proxy is None or proxy.problem is not None else str(proxy)


class _SameAuthorization(AuthBase):
    """Repeats the credentials that belong to an address which a redirect gave."""

    def __init__(self, authorization: str) -> None:
        self._authorization = authorization

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = self._authorization
        return request
