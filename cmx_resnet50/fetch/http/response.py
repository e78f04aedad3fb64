"""Validates the answer to one request, and reads from it what is announced about the file."""

from __future__ import annotations

import email.utils
import re
import time
from dataclasses import dataclass

import requests

from cmx_resnet50.fetch.http.proxies import proxy_password
from cmx_resnet50.fetch.http.validator import Validator
from cmx_resnet50.fetch.verdicts import (
    AttemptError,
    RateLimited,
    RestartDownload,
    SourceFailed,
    TransientError,
)

TRANSIENT_CODES = frozenset({408, 425, 500, 502, 504, 520, 521, 522, 523, 524})
RATE_LIMIT_CODES = frozenset({429, 503})
RANGE_REFUSED_CODES = frozenset({416, 501})

PAGE_SECONDS = 5.0
"""Seconds in which the page of an error has to arrive, as far as it is read."""

REASON_LENGTH = 160
"""Characters of a refusal that are shown."""

CODINGS = frozenset({"gzip", "x-gzip", "deflate", "br", "zstd", "compress", "x-compress"})
"""The encodings of HTTP; servers also label files with ``aws-chunked``, ``binary``, ``utf-8``."""

_CONTENT_RANGE = re.compile(r"\s*bytes\s+(\d{1,18})-(\d{1,18})/(\d{1,18}|\*)\s*", re.IGNORECASE)


@dataclass(frozen=True)
class Answer:
    """A valid answer: a part of the file from `start` on, or all of it.

    `total` is the size of the file, None where the server does not send it. `length` is the
    size of this body, likewise. `encoded` names a content-encoding that was not requested.
    """

    partial: bool
    start: int
    length: int | None
    total: int | None
    validator: Validator
    content_type: str
    encoded: str
    label: str
    """A content-encoding that is none: the bytes are as they are."""


def validate_response(
    response: requests.Response, start: int, end: int | None, *, ranged: bool
) -> Answer:
    """Return what `response` offers for the bytes from `start` to before `end`.

    Parameters
    ----------
    response : requests.Response
        The answer, its body not yet read.
    start, end : int
        What was requested; `end` is None for "to the end".
    ranged : bool
        Whether the request had a Range header.

    Raises
    ------
    TransientError, RateLimited
        If the request may be repeated.
    RestartDownload
        If the server does not honour ranges, or the remote file changed.
    SourceFailed
        If the source is of no use.
    """
    status = response.status_code
    headers = response.headers
    if status not in (200, 206):
        raise _refusal(response, ranged)
    validator = Validator(headers.get("ETag", ""), headers.get("Last-Modified", ""))
    content_type = headers.get("Content-Type", "")
    labels = [one.strip().lower() for one in headers.get("Content-Encoding", "").split(",")]
    encoded = ",".join(one for one in labels if one in CODINGS)
    label = ",".join(one for one in labels if one not in {*CODINGS, "", "identity"})
    length = _length(headers.get("Content-Length"))
    if status == 200:
        return Answer(False, 0, length, length, validator, content_type, encoded, label)
    if not ranged:
        raise SourceFailed("206 in answer to a request for the whole file", status=status)
    if encoded:
        raise RestartDownload(
            "ranges of an encoded body cannot be assembled", status=status, plain=True
        )
    match = _CONTENT_RANGE.fullmatch(headers.get("Content-Range", ""))
    if match is None or match[3] == "*":
        raise RestartDownload(
            "a part came without a usable Content-Range", status=status, plain=True
        )
    first, last, total = int(match[1]), int(match[2]), int(match[3])
    asked_last = total - 1 if end is None else min(end, total) - 1
    if length is not None and length != last - first + 1:
        raise RestartDownload(
            f"Content-Range has {last - first + 1} bytes, Content-Length {length}",
            status=status,
            plain=True,
        )
    if first != start or last != asked_last:
        raise RestartDownload(
            f"asked for bytes {start}-{asked_last}, but the server sent {first}-{last}",
            status=status,
            plain=True,
        )
    size = last - first + 1
    return Answer(True, start, size, total, validator, content_type, encoded, label)


def _refusal(response: requests.Response, ranged: bool) -> AttemptError:
    status = response.status_code
    reason = f"HTTP {status} {response.reason or ''}".strip()
    reason = "".join(c for c in reason[:REASON_LENGTH] if c.isprintable())
    if status == 407:
        return SourceFailed(proxy_password(response.url), status=status)
    if status in RATE_LIMIT_CODES:
        wait = retry_after(response.headers.get("Retry-After"))
        asks = f", which asks to wait {wait:.0f} s" if wait is not None else ""
        return RateLimited(f"{reason}{asks}", status=status, wait=wait)
    if status in TRANSIENT_CODES:
        wait = retry_after(response.headers.get("Retry-After"))
        return TransientError(reason, status=status, wait=wait)
    if ranged and status in RANGE_REFUSED_CODES:
        return RestartDownload(
            f"{reason}: the server refuses this range", status=status, plain=True
        )
    return SourceFailed(reason, status=status)


def read_beginning(response: requests.Response, limit: int) -> bytes:
    """Return the first bytes of the body, `limit` at most, as far as they arrive in time."""
    deadline = time.monotonic() + PAGE_SECONDS
    body = b""
    while len(body) < limit and time.monotonic() < deadline:
        data = response.raw.read1(limit - len(body), decode_content=False)
        if not data:
            break
        body += data
    return body


def retry_after(value: str | None) -> float | None:
    """Return the seconds that a Retry-After header asks for: a number, or a date."""
    if value is None:
        return None
    if re.fullmatch(r"\s*\d{1,9}\s*", value):
        return float(value)
    try:
        moment = email.utils.parsedate_to_datetime(value).timestamp()
    except (TypeError, ValueError, OverflowError):
        return None
    return max(0.0, moment - time.time())


def _length(value: str | None) -> int | None:
    return int(value) if value is not None and re.fullmatch(r"\s*\d{1,18}\s*", value) else None
