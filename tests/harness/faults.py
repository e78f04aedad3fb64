"""Faults of a server, for `Origin.serve` and `.fail`, and for the plan of a `FileServer`.

They combine: ``origin.fail(url, IgnoreRanges(), Reset(after=30_000_000))``. `prepare` changes the
request or the file before the reply is made, `change` changes the reply. Byte counts refer to the
body of one reply. `reply` applies them all.
"""

from __future__ import annotations

import dataclasses
import gzip
import json
from dataclasses import dataclass
from typing import Literal

from tests.harness.reply import Reply, Request, Resource, answer, page, plain


class Behaviour:
    """A server that does nothing wrong; the base of those that do."""

    def prepare(
        self, request: Request, resource: Resource | None
    ) -> tuple[Request, Resource | None]:
        """Change what is asked, or what is there."""
        return request, resource

    def change(self, request: Request, reply: Reply) -> Reply:
        """Change the answer."""
        return reply


def reply(request: Request, resource: Resource | None, *behaviours: Behaviour) -> Reply:
    """Answer `request` with `resource`, or 404 without one, under all of `behaviours`."""
    for behaviour in behaviours:
        request, resource = behaviour.prepare(request, resource)
    made = page(404, "no such file here") if resource is None else answer(request, resource)
    for behaviour in behaviours:
        made = behaviour.change(request, made)
    return made


@dataclass(frozen=True)
class Status(Behaviour):
    """An error page with this status; `retry_after` in seconds, or as an HTTP date."""

    status: int
    retry_after: int | str | None = None

    def change(self, request: Request, reply: Reply) -> Reply:
        extra = {} if self.retry_after is None else {"retry_after": str(self.retry_after)}
        return page(self.status, **extra)


@dataclass(frozen=True)
class Redirect(Behaviour):
    """A redirect to `url`; to its own URL it is a loop."""

    url: str
    status: int = 302

    def change(self, request: Request, reply: Reply) -> Reply:
        return page(self.status, location=self.url)


@dataclass(frozen=True)
class Reset(Behaviour):
    """A TCP reset after so many bytes of body; with None before the status line."""

    after: int | None = None

    def change(self, request: Request, reply: Reply) -> Reply:
        return _stop(reply, self.after, "reset")


@dataclass(frozen=True)
class Stall(Behaviour):
    """Silence for ever, after so many bytes of body; with None there is no answer at all."""

    after: int | None = None

    def change(self, request: Request, reply: Reply) -> Reply:
        return _stop(reply, self.after, "stall")


@dataclass(frozen=True)
class Short(Behaviour):
    """The connection is closed in good order after so many bytes, under a full length."""

    after: int

    def change(self, request: Request, reply: Reply) -> Reply:
        return _stop(reply, self.after, "close")


def _stop(reply: Reply, after: int | None, ending: Literal["reset", "stall", "close"]) -> Reply:
    # An answer that is over before that point, such as a small range, is left whole.
    if after is not None and after >= len(reply.body):
        return reply
    return dataclasses.replace(reply, head=after is not None, stop=after, ending=ending)


@dataclass(frozen=True)
class LongLength(Behaviour):
    """A Content-Length that promises more bytes than come; then the connection is closed."""

    extra: int = 1000

    def change(self, request: Request, reply: Reply) -> Reply:
        length = len(reply.body) + self.extra
        return dataclasses.replace(reply, length=length, ending="close")


@dataclass(frozen=True)
class Trickle(Behaviour):
    """So many bytes a second, on each connection."""

    rate: float = 1024

    def change(self, request: Request, reply: Reply) -> Reply:
        return dataclasses.replace(reply, rate=self.rate)


@dataclass(frozen=True)
class Chunked(Behaviour):
    """Chunked coding without a length; cut after so many bytes, or whole.

    `terminated` says whether the empty last chunk comes, also after a cut: then the client
    sees a body that is complete by its framing and too short.
    """

    after: int | None = None
    terminated: bool = True

    def change(self, request: Request, reply: Reply) -> Reply:
        body = reply.body if self.after is None else reply.body[: self.after]
        ending: Literal["keep", "close"] = "keep" if self.terminated else "close"
        return dataclasses.replace(
            reply, framing="chunked", body=body, terminated=self.terminated, ending=ending
        )


@dataclass(frozen=True)
class NoLength(Behaviour):
    """No Content-Length: the end of the stream is the end of the body; it may come early."""

    after: int | None = None

    def change(self, request: Request, reply: Reply) -> Reply:
        body = reply.body if self.after is None else reply.body[: self.after]
        return dataclasses.replace(reply, framing="close", body=body)


@dataclass(frozen=True)
class Endless(Behaviour):
    """After the body comes `filling`, again and again, until the client has gone; no length."""

    filling: bytes = bytes(1 << 16)

    def change(self, request: Request, reply: Reply) -> Reply:
        return dataclasses.replace(reply, framing="close", endless=self.filling)


@dataclass(frozen=True)
class Headers(Behaviour):
    """Other headers, in place of good ones or beside them."""

    headers: dict[str, str]

    def change(self, request: Request, reply: Reply) -> Reply:
        return dataclasses.replace(reply, headers={**reply.headers, **self.headers})


@dataclass(frozen=True)
class Gzipped(Behaviour):
    """The whole file under ``Content-Encoding: gzip``, whatever was asked."""

    def prepare(
        self, request: Request, resource: Resource | None
    ) -> tuple[Request, Resource | None]:
        return IgnoreRanges().prepare(request, resource)

    def change(self, request: Request, reply: Reply) -> Reply:
        packed = memoryview(gzip.compress(bytes(reply.body), 1))
        return dataclasses.replace(
            reply, body=packed, headers={**reply.headers, "Content-Encoding": "gzip"}
        )


@dataclass(frozen=True)
class Flip(Behaviour):
    """One bit of the file differs, at this offset in the file, under the good file's ETag."""

    offset: int
    bit: int = 0

    def prepare(
        self, request: Request, resource: Resource | None
    ) -> tuple[Request, Resource | None]:
        assert resource is not None
        body = bytearray(resource.body)
        body[self.offset] ^= 1 << self.bit
        etag = resource.validators.get("ETag", "")
        return request, dataclasses.replace(resource, body=memoryview(body), etag=etag)


@dataclass(frozen=True)
class Other(Behaviour):
    """Other bytes are there, with an ETag of their own; by default as many, all inverted."""

    content: bytes | None = None
    etag: str | None = None
    last_modified: str | None = "Sun, 02 Jan 2022 00:00:00 GMT"

    def prepare(
        self, request: Request, resource: Resource | None
    ) -> tuple[Request, Resource | None]:
        content = self.content
        if content is None:
            assert resource is not None
            content = bytes(resource.body).translate(bytes(range(255, -1, -1)))
        return request, Resource(content, {}, self.etag, self.last_modified)


@dataclass(frozen=True)
class NoValidators(Behaviour):
    """Neither ETag nor Last-Modified."""

    def prepare(
        self, request: Request, resource: Resource | None
    ) -> tuple[Request, Resource | None]:
        assert resource is not None
        return request, dataclasses.replace(resource, etag="", last_modified=None)


@dataclass(frozen=True)
class Html(Behaviour):
    """A web page with status 200 in place of the file."""

    text: str = "Please sign in"

    def change(self, request: Request, reply: Reply) -> Reply:
        return page(200, self.text)


@dataclass(frozen=True)
class Json(Behaviour):
    """An error in JSON with status 200 in place of the file."""

    message: str = "no such record"

    def change(self, request: Request, reply: Reply) -> Reply:
        text = json.dumps({"status": "error", "message": self.message})
        return plain(200, text.encode(), content_type="application/json")


@dataclass(frozen=True)
class Empty(Behaviour):
    """Status 200 and not one byte."""

    def change(self, request: Request, reply: Reply) -> Reply:
        return Reply(200, dict(reply.headers))


@dataclass(frozen=True)
class WrongRange(Behaviour):
    """A range's bytes and Content-Range lie `shift` bytes later than asked."""

    shift: int = 1

    def prepare(
        self, request: Request, resource: Resource | None
    ) -> tuple[Request, Resource | None]:
        if not request.range or not request.range.startswith("bytes="):
            return request, resource
        first, _, last = request.range.removeprefix("bytes=").partition("-")
        moved = f"bytes={int(first) + self.shift}-{int(last) + self.shift if last else ''}"
        return dataclasses.replace(request, headers={**request.headers, "range": moved}), resource


@dataclass(frozen=True)
class IgnoreRanges(Behaviour):
    """A server without ranges: 200 and the whole file, and no Accept-Ranges."""

    def prepare(
        self, request: Request, resource: Resource | None
    ) -> tuple[Request, Resource | None]:
        kept = {name: value for name, value in request.headers.items() if name != "range"}
        return dataclasses.replace(request, headers=kept), resource

    def change(self, request: Request, reply: Reply) -> Reply:
        kept = {name: value for name, value in reply.headers.items() if name != "Accept-Ranges"}
        return dataclasses.replace(reply, headers=kept)


@dataclass(frozen=True)
class RefuseRanges(Behaviour):
    """416 to every request with a range."""

    def change(self, request: Request, reply: Reply) -> Reply:
        if request.range is None:
            return reply
        return Reply(416, {"Content-Range": "bytes */*"})
