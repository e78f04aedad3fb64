"""Requests, files and replies of the test server, as data without any socket.

A `Reply` describes what is sent and how, faults included. `answer` makes the replies of a correct
file server; `tests.harness.faults` changes them.
"""

from __future__ import annotations

import email.utils
import hashlib
import mmap
import re
import time
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal

Ending = Literal["keep", "close", "reset", "stall"]
Framing = Literal["length", "chunked", "close"]

LAST_MODIFIED = "Sat, 01 Jan 2022 00:00:00 GMT"


@dataclass
class Request:
    """One request, and what became of it.

    Attributes
    ----------
    url
        As the client sees it, through whatever proxy.
    headers
        Under lower-case names.
    connection
        The number of the connection that it came on.
    status
        What was answered; None where not even the status line was.
    sent
        Body bytes that the kernel accepted so far.
    complete
        Whether the whole reply was sent, and the connection kept.
    """

    method: str
    url: str
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    connection: int = 0
    status: int | None = None
    sent: int = 0
    complete: bool = False

    @property
    def path(self) -> str:
        """Path and query."""
        return "/" + self.url.split("/", 3)[3]

    @property
    def range(self) -> str | None:
        """The Range header, as sent."""
        return self.headers.get("range")


@dataclass(frozen=True)
class Resource:
    """A file at a URL. `etag` None stands for one made from the bytes; "" for none."""

    body: bytes | mmap.mmap | memoryview
    headers: dict[str, str] = field(default_factory=dict)
    etag: str | None = None
    last_modified: str | None = LAST_MODIFIED

    @classmethod
    def of(cls, content: Path | bytes, headers: dict[str, str] | None = None) -> Resource:
        """Take bytes, or map a file: nothing is read before it is sent."""
        if isinstance(content, bytes):
            return cls(content, headers or {})
        with content.open("rb") as file:
            if content.stat().st_size == 0:
                return cls(b"", headers or {})
            return cls(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ), headers or {})

    @cached_property
    def validators(self) -> dict[str, str]:
        """ETag and Last-Modified, as far as the resource has them."""
        etag = self.etag
        if etag is None:
            etag = f'"{hashlib.blake2b(self.body, digest_size=12).hexdigest()}"'
        found = {"ETag": etag, "Last-Modified": self.last_modified}
        return {name: value for name, value in found.items() if value}


@dataclass
class Reply:
    """What will be sent. A behaviour may change any of it.

    Attributes
    ----------
    head
        False: not even the status line is sent before `ending`.
    length
        What Content-Length claims; None stands for the length of the body.
    stop
        Body bytes after which sending ends with `ending`; None stands for all.
    rate
        Bytes a second; None stands for as fast as it goes.
    terminated
        Whether the last, empty chunk of a chunked body is sent.
    before
        What is sent before anything else, say an informational answer.
    endless
        What follows the body again and again, until the client has gone.
    """

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: memoryview = field(default_factory=lambda: memoryview(b""))
    framing: Framing = "length"
    head: bool = True
    length: int | None = None
    stop: int | None = None
    ending: Ending = "keep"
    rate: float | None = None
    terminated: bool = True
    endless: bytes = b""
    before: bytes = b""


def answer(request: Request, resource: Resource) -> Reply:
    """Answer as a well-behaved server does: ranges, If-Range, validators.

    Several ranges in one request get the whole file, which RFC 9110 (14.2) allows.
    """
    body = memoryview(resource.body)
    headers = {
        "Content-Type": "application/octet-stream",
        "Accept-Ranges": "bytes",
        **resource.validators,
        **resource.headers,
    }
    asked = re.fullmatch(r"bytes=(\d*)-(\d*)", (request.range or "").strip())
    if not asked or not (asked[1] or asked[2]) or not _still_valid(request, resource):
        return Reply(200, headers, body)
    total = len(body)
    if asked[1]:
        start = int(asked[1])
        end = min(int(asked[2]), total - 1) if asked[2] else total - 1
    else:
        start, end = max(0, total - int(asked[2])), total - 1
    if start >= total or start > end:
        return Reply(416, {**headers, "Content-Range": f"bytes */{total}"})
    headers["Content-Range"] = f"bytes {start}-{end}/{total}"
    return Reply(206, headers, body[start : end + 1])


def _still_valid(request: Request, resource: Resource) -> bool:
    condition = request.headers.get("if-range")
    return condition is None or condition in resource.validators.values()


def plain(status: int, content: bytes = b"", **headers: str) -> Reply:
    """Build a reply of bytes; a header is a keyword: ``retry_after="3"``."""
    names = {name.replace("_", "-").title(): value for name, value in headers.items()}
    return Reply(status, names, memoryview(content))


def page(status: int, text: str = "", **headers: str) -> Reply:
    """Build a small HTML reply, as proxies and error pages send it."""
    body = (
        "<!DOCTYPE html>\n<html><head><title>"
        f"{status}</title></head><body>{text or status}</body></html>\n"
    )
    return plain(status, body.encode(), content_type="text/html", **headers)


def http_date(seconds_from_now: float) -> str:
    """Write a time as HTTP headers do."""
    return email.utils.formatdate(time.time() + seconds_from_now, usegmt=True)
