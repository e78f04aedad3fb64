"""What one connection does: it requests ranges, and writes what comes, until all is there."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from http.client import HTTPException

import requests
from requests.auth import AuthBase
from urllib3.exceptions import HTTPError

from cmx_resnet50.errors import Resnet50Error
from cmx_resnet50.fetch.errors import LimitError
from cmx_resnet50.fetch.http.acceptance import accept
from cmx_resnet50.fetch.http.exceptions import closed_early, local_limit, translate_exception
from cmx_resnet50.fetch.http.proxies import proxy_of
from cmx_resnet50.fetch.http.range_queue import ByteRange
from cmx_resnet50.fetch.http.read_chunks import read_chunks
from cmx_resnet50.fetch.http.response import Answer, validate_response
from cmx_resnet50.fetch.http.session import Session
from cmx_resnet50.fetch.http.shared_state import SharedState
from cmx_resnet50.fetch.http.slow_connections import ConnectionStats
from cmx_resnet50.fetch.partial_file.file import ENDLESS
from cmx_resnet50.fetch.verdicts import AttemptError, SourceFailed

JOURNAL_BYTES = 256 * 1024
"""Bytes of a connection that are recorded as one line of the journal, at least."""

JOURNAL_SECONDS = 0.5
"""Seconds after which bytes are recorded in the journal, however few."""

NOTHING = memoryview(b"")


class _Dropped(Exception):
    """The connection is not needed any more, or is replaced by a new one."""


class Worker:
    """One connection of a transfer, in one thread.

    Parameters
    ----------
    state : SharedState
        What it shares with the other connections.
    number : int
        Which one it is; those from the number of connections on wait.
    meanwhile : callable, optional
        Is called between chunks, where no other thread looks after the transfer.
    """

    def __init__(
        self, state: SharedState, number: int, meanwhile: Callable[[], object] | None = None
    ) -> None:
        self._state = state
        self._partial = state.partial
        self._number = number
        self._meanwhile = meanwhile

    def run(self) -> None:
        """Fetch range after range. What fails becomes the outcome of the transfer."""
        changed = self._partial.changed
        try:
            with self._state.endpoint.session() as session:
                while True:
                    with changed:
                        part = self._state.next(self._number)
                    if part is None:
                        return
                    self._fetch(session, part)
        except BaseException as error:
            with changed:
                self._state.outcome = self._state.outcome or error
                changed.notify_all()

    def _fetch(self, session: Session, part: ByteRange) -> None:
        """Fetch `part`, and decide what follows where that fails."""
        state = self._state
        failure: BaseException | None = None
        kept = True
        url = ""
        try:
            url, authorization = state.resolved or (state.endpoint.address(), None)
            self._request(session, part, url, authorization)
        except _Dropped:
            kept = False
        except (AttemptError, Resnet50Error) as error:
            failure, state.transfer.proxy = error, _proxy(url)
        except (requests.RequestException, HTTPError, HTTPException, OSError, ValueError) as error:
            # A connection that is being dropped may break in any way.
            if not state.over:
                state.transfer.proxy = _proxy(url)
                limit = local_limit(error)
                failure = (
                    LimitError(f"{self._partial.name} cannot be fetched: {limit}")
                    if limit is not None
                    else translate_exception(
                        error, url, received=state.received, ca_bundle=session.ca_bundle
                    )
                )
        if failure is not None and not state.over and state.finish_if_complete():
            failure, kept = None, False
        with self._partial.changed:
            if failure is not None or not kept:
                state.stats.pop(threading.current_thread(), None)
            if not state.over:
                try:
                    state.log(part)
                except Resnet50Error as error:
                    failure = error
            state.queue.give_back(part)
            if failure is not None and not state.over:
                state.decide(failure)
            self._partial.changed.notify_all()

    def _request(
        self, session: Session, part: ByteRange, url: str, authorization: str | None
    ) -> None:
        state = self._state
        start, end = part.position, None if part.end == ENDLESS else part.end
        headers = {}
        if not state.task.plain:
            headers["Range"] = f"bytes={start}-{'' if end is None else end - 1}"
            condition = state.validator.if_range if state.validator else None
            if condition is not None:
                headers["If-Range"] = condition
        asked = time.monotonic()
        me = threading.current_thread()
        with self._partial.changed:
            state.stats.setdefault(me, ConnectionStats())
        with session.get(
            url,
            headers=headers,
            stream=True,
            timeout=(state.options.connect_timeout, state.options.read_timeout),
            auth=_SameAuthorization(authorization) if authorization else None,
        ) as response:
            with self._partial.changed:
                if state.over:
                    raise _Dropped
                state.responses[me] = response
                state.transfer.reached, state.transfer.status = True, response.status_code
                state.concurrency.latency = time.monotonic() - asked
            try:
                answer = validate_response(response, start, end, ranged=not state.task.plain)
                body = read_chunks(response.raw, self._partial.buffers.take)
                data = next(body, NOTHING)
                with self._partial.changed:
                    if state.over or state.complete:
                        raise _Dropped
                    accept(state, answer, response, part, data)
                self._receive(answer, body, part, data)
            finally:
                with self._partial.changed:
                    del state.responses[me]

    def _receive(
        self, answer: Answer, body: Iterator[memoryview], part: ByteRange, data: memoryview
    ) -> None:
        state, partial = self._state, self._partial
        limit = state.task.limit(encoded=bool(answer.encoded))
        logged_at = time.monotonic()
        stats = state.stats[threading.current_thread()]
        while data:
            with partial.changed:
                if state.over or state.complete or stats.slowed:
                    raise _Dropped
                state.transfer.transferred += len(data)
                stats.count += len(data)
                taken = data[: part.end - part.position]
                partial.write(part.position, taken)
                part.position += len(taken)
                now = time.monotonic()
                if (
                    part.position - part.logged >= JOURNAL_BYTES
                    or now - logged_at > JOURNAL_SECONDS
                ):
                    state.log(part)
                    logged_at = now
                if part.position >= part.end:
                    break
                if part.position > limit:
                    raise SourceFailed(
                        f"it sends more than the {limit:,} bytes expected at most",
                        status=state.transfer.status,
                        discard=True,
                    )
            if self._meanwhile is not None:
                self._meanwhile()
            data = next(body, NOTHING)
        if answer.length is not None and part.position == answer.start + answer.length:
            # The read that finds the end of the body gives the connection back for reuse.
            next(body, None)
        with partial.changed:
            if part.end == ENDLESS:
                partial.total = part.end = part.position
            elif part.position < part.end:
                raise closed_early(state.received)


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
