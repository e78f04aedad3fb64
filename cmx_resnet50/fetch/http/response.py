"""Judges the answer to one request: is it what was asked, and what does it say of the file."""

from __future__ import annotations

import email.utils
import re
import time
from dataclasses import dataclass

import requests

from cmx_resnet50.fetch.errors import Crowded, Final, Passing, Restart

PASSING_CODES = frozenset({408, 425, 500, 502, 504, 520, 521, 522, 523, 524})
CROWDED_CODES = frozenset({429, 503})
RANGE_REFUSED_CODES = frozenset({416, 501})

PROXY_PASSWORD = "the proxy asks for a password; give it in HTTPS_PROXY or HTTP_PROXY"  # noqa: S105

TOLD_LENGTH = 160
"""Letters of a refusal that are shown."""

_CONTENT_RANGE = re.compile(r"\s*bytes\s+(\d{1,18})-(\d{1,18})/(\d{1,18}|\*)\s*", re.IGNORECASE)


@dataclass(frozen=True)
class Validator:
    """What tells one version of a remote file from another (RFC 9110, section 8.8)."""

    etag: str = ""
    modified: str = ""

    @property
    def if_range(self) -> str | None:
        """The value for If-Range: a strong ETag or the date; a weak ETag may not stand there."""
        if self.etag and not self.etag.startswith("W/"):
            return self.etag
        return self.modified or None

    def differs(self, other: Validator) -> bool:
        """Whether `other` must be another version; an absent header tells nothing."""
        if self.etag and other.etag:
            return self.etag != other.etag
        return bool(self.modified and other.modified) and self.modified != other.modified


@dataclass(frozen=True)
class Answer:
    """A good answer: a part of the file from `start` on, or all of it.

    `total` is the size of the file, None where the server does not tell. `length` is the
    size of this body, likewise. `encoded` names a content-encoding that we did not ask for.
    """

    partial: bool
    start: int
    length: int | None
    total: int | None
    validator: Validator
    content_type: str
    encoded: str


def judge(response: requests.Response, start: int, end: int | None, *, ranged: bool) -> Answer:
    """Return what `response` offers for the bytes from `start` to before `end`.

    Parameters
    ----------
    response : requests.Response
        The answer, its body not yet read.
    start, end : int
        What was asked; `end` is None for "to the end".
    ranged : bool
        Whether it was asked with a Range header.

    Raises
    ------
    Passing, Crowded
        If the request may be tried again.
    Restart
        If the server does not do ranges, or the remote file is another than before.
    Final
        If the source is of no use.
    """
    status = response.status_code
    headers = response.headers
    if status not in (200, 206):
        raise _refusal(response, ranged)
    validator = Validator(headers.get("ETag", ""), headers.get("Last-Modified", ""))
    content_type = headers.get("Content-Type", "")
    encoded = headers.get("Content-Encoding", "").strip().lower()
    encoded = "" if encoded == "identity" else encoded
    length = _length(headers.get("Content-Length"))
    if status == 200:
        return Answer(False, 0, length, length, validator, content_type, encoded)
    if not ranged:
        raise Final("206 came as an answer to a request for the whole file", status=status)
    if encoded:
        raise Restart("ranges of an encoded body cannot be put together", status=status, plain=True)
    match = _CONTENT_RANGE.fullmatch(headers.get("Content-Range", ""))
    if match is None or match[3] == "*":
        raise Restart("a part came without a usable Content-Range", status=status, plain=True)
    first, last, total = int(match[1]), int(match[2]), int(match[3])
    asked_last = total - 1 if end is None else min(end, total) - 1
    if length is not None and length != last - first + 1:
        raise Restart(
            f"Content-Range says {last - first + 1} bytes, Content-Length {length}",
            status=status,
            plain=True,
        )
    if first != start or last != asked_last:
        raise Restart(
            f"asked for bytes {start}-{asked_last}, but the server sent {first}-{last}",
            status=status,
            plain=True,
        )
    return Answer(True, start, last - first + 1, total, validator, content_type, encoded)


def _refusal(response: requests.Response, ranged: bool) -> Exception:
    status = response.status_code
    told = f"HTTP {status} {response.reason or ''}".strip()
    told = "".join(c for c in told[:TOLD_LENGTH] if c.isprintable())
    if status == 407:
        return Final(PROXY_PASSWORD, status=status)
    if status in CROWDED_CODES:
        wait = retry_after(response.headers.get("Retry-After"))
        asks = f", which asks to wait {wait:.0f} s" if wait is not None else ""
        return Crowded(f"{told}{asks}", status=status, wait=wait)
    if status in PASSING_CODES:
        wait = retry_after(response.headers.get("Retry-After"))
        return Passing(told, status=status, wait=wait)
    if ranged and status in RANGE_REFUSED_CODES:
        return Restart(f"{told}: the server refuses this range", status=status, plain=True)
    return Final(told, status=status)


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
