"""Moves a file from one HTTP source into a `Part`, over as many connections as help."""

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

from cmx_resnet50.digests import Expected
from cmx_resnet50.errors import Resnet50Error
from cmx_resnet50.fetch.errors import Crowded, Final, Passing, Restart, Verdict
from cmx_resnet50.fetch.http import error_pages
from cmx_resnet50.fetch.http.concurrency import Ramp
from cmx_resnet50.fetch.http.exceptions import verdict
from cmx_resnet50.fetch.http.range_queue import Pieces, Span
from cmx_resnet50.fetch.http.read_chunks import chunks
from cmx_resnet50.fetch.http.response import Answer, Validator, judge
from cmx_resnet50.fetch.http.session import Session
from cmx_resnet50.fetch.http.slow_connections import Line, Renewal
from cmx_resnet50.fetch.model import FetchOptions, Progress, Source
from cmx_resnet50.fetch.partial_file.file import ENDLESS, Part
from cmx_resnet50.fetch.partial_file.journal import Header
from cmx_resnet50.fetch.retry import Patience

LINE = 256 * 1024
"""Bytes of a connection that are told to the journal as one line, at least."""

STALE = frozenset({401, 403, 404, 410})
"""What a signed address that a redirect gave answers when its time is over."""

SMALLEST_SPLIT = 64 * 1024
"""Bytes that a range under way must still have for a second connection to help it."""

LOGGING = 0.5
"""Seconds after which the journal is told of bytes, however few."""

JOINING = 2.0
"""Seconds to wait for a connection to end that was told to."""


class _Dropped(Exception):
    """The connection is not needed any more, or has to make room for a new one."""


class Transfer:
    """One source's run at a file.

    Parameters
    ----------
    source : Source
        Where the bytes come from.
    part : Part
        Where they go; what it holds already is not fetched again.
    header : Header
        What the journal shall say of the file; size and validator are filled in here.
    expected : Expected
        What is known of the file.
    options : FetchOptions
    patience : Patience
        How long the source is borne with.
    recalled : Validator, optional
        The version of the remote file that `part` holds bytes of, if they are this source's.
    plain : bool
        Ask for the whole file, without ranges.
    """

    def __init__(
        self,
        source: Source,
        part: Part,
        header: Header,
        expected: Expected,
        options: FetchOptions,
        patience: Patience,
        *,
        recalled: Validator | None,
        plain: bool,
    ) -> None:
        self.url = source.url
        self.transferred = 0
        self.encoded = ""
        self.content_type = ""
        self.status: int | None = None
        self.reached = False
        """Whether the host answered at all."""
        self._source = source
        self._part = part
        self._header = header
        self._expected = expected
        self._options = options
        self._patience = patience
        self._plain = plain
        self._validator = recalled
        self._pieces = Pieces(part.coverage.gaps(ENDLESS if part.total is None else part.total))
        self._ramp = Ramp(options.connections)
        self._renewal = Renewal()
        self._opened = False
        self._in_pieces = False
        self._begun: int | None = None
        """Bytes that were there when the last body began, until the user was told."""
        self._resolved: tuple[str, str | None] | None = None
        self._outcome: BaseException | None = None
        self._over = False
        self._began = time.monotonic()
        self._threads: list[threading.Thread] = []
        self._responses: dict[threading.Thread, requests.Response] = {}
        self._lines: dict[threading.Thread, Line] = {}

    def run(self, progress: Progress, name: str) -> None:
        """Fetch all that is missing.

        Raises
        ------
        Final, Restart
            If the source is of no use, or has to give the file from nothing.
        SpaceError, OSError
            If the file cannot be written.
        """
        changed = self._part.changed
        shown, running = 0, True
        try:
            with changed:
                self._staff()
            while running:
                with changed:
                    running = self._outcome is None and not self._pieces.finished
                    if running:
                        changed.wait(0.01 if self._growing() else 0.1)
                        self._grow()
                        if self._patience.stalled(self.transferred):
                            self._hang_up()
                    begun, self._begun = self._begun, None
                    note, self._patience.note = self._patience.note, None
                    count, total = self._part.coverage.count, self._part.total
                # Not under the condition: a terminal may be slow.
                if note is not None:
                    progress.note(f"{name}: {note}.")
                if begun is not None:
                    shown = begun
                    progress.start(name, total, self._source.printable, shown)
                if self._opened:
                    progress.advance(max(0, count - shown))
                    shown = max(count, shown)
            if self._outcome is not None:
                raise self._outcome
        finally:
            self._end()

    # What the calling thread does; it holds the condition.

    def _growing(self) -> bool:
        return self._in_pieces and self._ramp.level < self._options.connections

    def _grow(self) -> None:
        if self._in_pieces and self._ramp.watch(self.transferred, self._pieces.left):
            self._pieces.share()
            self._staff()
        elif self._in_pieces:
            busy = [self._lines[thread] for thread in self._responses if thread in self._lines]
            left = self._pieces.left // self._ramp.level
            self._renewal.watch(busy, self._ramp.latency, self.transferred, left)

    def _staff(self) -> None:
        while len(self._threads) < self._ramp.level:
            number = len(self._threads)
            thread = threading.Thread(target=self._work, args=(number,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _hang_up(self) -> None:
        for response in self._responses.values():
            with contextlib.suppress(Exception):
                response.raw.shutdown()

    def _log(self, span: Span) -> None:
        """Tell the journal what came of `span` since the last time; the condition is held."""
        if span.logged < span.position:
            self._part.log(span.logged, span.position)
            span.logged = span.position

    def _end(self) -> None:
        with self._part.changed:
            with contextlib.suppress(Resnet50Error):
                for span in self._pieces.active:
                    self._log(span)
            self._over = True
            self._part.changed.notify_all()
            self._hang_up()
        deadline = time.monotonic() + JOINING
        for thread in self._threads:
            # One that is still connecting ends by itself; it can no longer write.
            thread.join(max(0.0, deadline - time.monotonic()))

    # What each connection's thread does.

    def _work(self, number: int) -> None:
        changed = self._part.changed
        try:
            with self._source.session() as session:
                while True:
                    with changed:
                        span = self._next(number)
                    if span is None:
                        return
                    self._serve(session, span)
        except BaseException as error:
            with changed:
                self._outcome = self._outcome or error
                changed.notify_all()

    def _next(self, number: int) -> Span | None:
        """Wait for something to do; None when there is nothing left, or one too many here."""
        while not self._over and self._outcome is None and not self._pieces.finished:
            wait = self._patience.until - time.monotonic()
            if wait <= 0 and number < self._ramp.level:
                span = self._pick()
                if span is not None:
                    return span
                wait = 1.0
            self._part.changed.wait(max(wait, 0.01))
        return None

    def _pick(self) -> Span | None:
        if not self._opened:
            # One asks first; what it learns decides what the others do.
            return None if self._pieces.active else self._pieces.probe()
        if not self._in_pieces and self._pieces.active:
            return None
        lapse = max(time.monotonic() - self._began, 0.01)
        each = self.transferred / lapse / max(1, len(self._pieces.active))
        trip = int(each * self._ramp.latency)
        span = self._pieces.take(self._ramp.level, trip)
        if span is None and self._in_pieces and self._ramp.level > 1:
            # To break off a connection and open another must be worth its while.
            span = self._pieces.split(max(SMALLEST_SPLIT, int(each / 4), 4 * trip))
        return span

    def _serve(self, session: Session, span: Span) -> None:
        url, authorization = self._resolved or (self._source.address(), None)
        trouble: BaseException | None = None
        kept = True
        try:
            self._request(session, span, url, authorization)
        except _Dropped:
            kept = False
        except (Verdict, Resnet50Error) as error:
            trouble = error
        except (requests.RequestException, HTTPError, HTTPException, OSError, ValueError) as error:
            # Nobody asks why a connection broke that was told to end.
            if not self._over:
                trouble = verdict(error, url, self._options.connect_timeout)
        with self._part.changed:
            if trouble is not None or not kept:
                self._lines.pop(threading.current_thread(), None)
            if not self._over:
                try:
                    self._log(span)
                except Resnet50Error as error:
                    trouble = error
            self._pieces.give_back(span)
            if trouble is not None and not self._over:
                self._weigh(trouble)
            self._part.changed.notify_all()

    def _request(self, session: Session, span: Span, url: str, authorization: str | None) -> None:
        start, end = span.position, None if span.end == ENDLESS else span.end
        headers = {}
        if not self._plain:
            headers["Range"] = f"bytes={start}-{'' if end is None else end - 1}"
            condition = self._validator.if_range if self._validator else None
            if condition is not None:
                headers["If-Range"] = condition
        asked = time.monotonic()
        me = threading.current_thread()
        with self._part.changed:
            self._lines.setdefault(me, Line())
        with session.get(
            url,
            headers=headers,
            stream=True,
            timeout=(self._options.connect_timeout, self._options.read_timeout),
            auth=_Again(authorization) if authorization else None,
        ) as response:
            with self._part.changed:
                if self._over:
                    raise _Dropped
                self._responses[me] = response
                self.reached, self.status = True, response.status_code
                self._ramp.latency = time.monotonic() - asked
            try:
                answer = judge(response, start, end, ranged=not self._plain)
                body = chunks(response.raw)
                data = next(body, b"")
                with self._part.changed:
                    if self._over:
                        raise _Dropped
                    self._accept(answer, response, span, data)
                self._receive(answer, body, span, data)
            finally:
                with self._part.changed:
                    del self._responses[me]

    def _accept(self, answer: Answer, response: requests.Response, span: Span, data: bytes) -> None:
        """Hold `answer` against what is known of the file; prepare the file at the first one."""
        part, total = self._part, answer.total
        if answer.start == 0:
            page = error_pages.page_instead(data, answer.content_type)
            if page is not None:
                raise Final(page, status=self.status)
        if total == 0:
            raise Final("the answer is empty", status=self.status)
        size = self._expected.size
        if None not in (size, total) and size != total and not answer.encoded:
            raise Final(f"the file there has {total:,} bytes, not {size:,}", status=self.status)
        if answer.partial:
            if part.total not in (None, total):
                raise Restart(f"the file there has {total:,} bytes, not {part.total:,}")
            if self._validator is not None and self._validator.differs(answer.validator):
                raise Restart("the remote file changed while it was fetched")
            self._in_pieces = True
        elif self._in_pieces:
            raise Restart("the remote file changed, or its server stopped to do ranges")
        else:
            # The body begins at the first byte, whatever was asked for.
            if part.coverage.count:
                part.clear()
            self._opened = False
            self._pieces.whole(span, ENDLESS if total is None else total)
        if not self._opened or part.total is None:
            self._open(answer, response)

    def _open(self, answer: Answer, response: requests.Response) -> None:
        self._opened = True
        self._begun = self._part.coverage.count
        self._validator = answer.validator
        self.encoded, self.content_type = answer.encoded, answer.content_type
        if response.url != self._source.url:
            self._resolved = (response.url, response.request.headers.get("Authorization"))
        header = None
        if answer.total is not None and not answer.encoded:
            header = replace(
                self._header,
                size=answer.total,
                etag=answer.validator.etag,
                modified=answer.validator.modified,
            )
        if answer.partial and self._part.total is None:
            # Only now is it known where the file ends.
            self._pieces.cut(answer.total or 0)
        self._part.open(header, answer.total)
        # The calling thread waits for this to begin its show, and to count connections.
        self._part.changed.notify_all()

    def _receive(self, answer: Answer, body: Iterator[bytes], span: Span, data: bytes) -> None:
        part = self._part
        logged_at = time.monotonic()
        line = self._lines[threading.current_thread()]
        while data:
            with part.changed:
                if self._over or line.slowed:
                    raise _Dropped
                self.transferred += len(data)
                line.count += len(data)
                taken = data[: span.end - span.position]
                part.write(span.position, taken)
                span.position += len(taken)
                now = time.monotonic()
                if span.position - span.logged >= LINE or now - logged_at > LOGGING:
                    self._log(span)
                    logged_at = now
                if span.position >= span.end:
                    break
                if span.end == ENDLESS and span.position > (self._expected.size or ENDLESS):
                    raise Final("more bytes came than the file has", status=self.status)
            data = next(body, b"")
        if answer.length is not None and span.position == answer.start + answer.length:
            # The read that finds the end of the body gives the connection back for reuse.
            next(body, None)
        with part.changed:
            if span.end == ENDLESS:
                part.total = span.end = span.position
            elif span.position < span.end:
                raise Passing("the body ended before its time", status=self.status)

    def _weigh(self, trouble: BaseException) -> None:
        """Decide what follows from `trouble`; the condition is held."""
        status = getattr(trouble, "status", None)
        self.status = status or self.status
        if isinstance(trouble, Final) and status in STALE and self._resolved:
            self._resolved = None
            trouble = Passing(trouble.reason, status=status)
        if isinstance(trouble, Crowded):
            self._renewal.stop()
        if isinstance(trouble, Passing):
            count, others = self._part.coverage.count, bool(self._pieces.active)
            final = self._patience.failed(trouble, count, self._ramp, others=others)
            self._outcome = self._outcome or final
        else:
            self._outcome = self._outcome or trouble


class _Again(AuthBase):
    """Sends the credentials again that belong to an address which a redirect gave."""

    def __init__(self, authorization: str) -> None:
        self._authorization = authorization

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = self._authorization
        return request
