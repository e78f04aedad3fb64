"""Gateways in front of an S3 store, as sites have them: each does one thing differently.

Each is a function from a request to what is answered in place of the store, None for what the
store answers, or a function that alters that. It may change the request on its way.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from tests.harness.reply import Reply, Request, page, plain
from tests.mirror.store_replies import forward, problem

Gateway = Callable[[Request], "Reply | Callable[[Reply], Reply] | None"]

LOGIN = "<!DOCTYPE html>\n<html><head><title>Sign in to Site</title></head><body/></html>"


def between(endpoint: str, gateway: Gateway) -> Callable[[Request], Reply]:
    """Return the answers of the store at `endpoint` behind `gateway`."""

    def answer(request: Request) -> Reply:
        # The log keeps what the client sent.
        passed = replace(request, headers=dict(request.headers))
        answer = gateway(passed)
        if isinstance(answer, Reply):
            return answer
        given = forward(endpoint, passed)
        return given if answer is None else answer(given)

    return answer


def is_upload(request: Request) -> bool:
    """Whether the request sends bytes of a model: not an entry, not a copy within the store."""
    return (
        request.method == "PUT"
        and ("/sha256/" in request.path or "/md5/" in request.path)
        and "x-amz-copy-source" not in request.headers
    )


def is_copy(request: Request) -> bool:
    """Whether the store is to copy an object by itself."""
    return "x-amz-copy-source" in request.headers


def refuses_trailers(request: Request) -> Reply | None:
    """Answer as stores that know no checksum but Content-MD5, say OSS."""
    framed = "aws-chunked" in request.headers.get("content-encoding", "")
    if framed or any(name.startswith("x-amz-checksum") for name in request.headers):
        return problem(400, "InvalidArgument", "aws-chunked encoding is not supported")
    return None


def keeps_trailers(request: Request) -> Reply | None:
    """Take the framing of the upload for its bytes, as older gateways do."""
    for name in ("content-encoding", "x-amz-trailer", "x-amz-decoded-content-length"):
        request.headers.pop(name, None)
    return None


def alters(request: Request) -> Reply | None:
    """Store another byte in the middle."""
    if is_upload(request):
        body = bytearray(request.body)
        body[len(body) // 2] ^= 1
        request.body = bytes(body)
    return None


def truncates(request: Request) -> Reply | None:
    """Lose the end."""
    if is_upload(request):
        request.body = request.body[:-1]
        request.headers.pop("content-md5", None)
    return None


def loses(request: Request) -> Reply | None:
    """Say yes, and store nothing."""
    return plain(200, etag='"0"') if is_upload(request) else None


def copies_nothing(request: Request) -> Reply | None:
    """Have no copies within the store."""
    return problem(501, "NotImplemented") if is_copy(request) else None


def loses_copies(request: Request) -> Reply | None:
    """Say that a copy is made, and make none."""
    done = b"<CopyObjectResult><ETag>0</ETag></CopyObjectResult>"
    return plain(200, done, content_type="application/xml") if is_copy(request) else None


def keeps_no_metadata(request: Request) -> Callable[[Reply], Reply]:
    """Know nothing of an object but its bytes, as the gateways of file systems do."""

    def without(given: Reply) -> Reply:
        names = [name for name in given.headers if not name.lower().startswith("x-amz-meta-")]
        return replace(given, headers={name: given.headers[name] for name in names})

    return without


def asks_for_a_login(request: Request) -> Reply | None:
    """Show a page to whoever comes, with status 200."""
    return plain(200, LOGIN.encode(), content_type="text/html; charset=utf-8")


def asks_for_a_login_to_write(request: Request) -> Reply | None:
    """Show that page for all but what reads."""
    return None if request.method in ("GET", "HEAD") else asks_for_a_login(request)


def asks_for_a_login_without_saying(request: Request) -> Reply | None:
    """Show that page without a content type."""
    return plain(200, LOGIN.encode())


def redirects_to_a_login(request: Request) -> Reply | None:
    """Send whoever comes to a page."""
    return plain(302, location="https://login.site.example/?next=s3")


def is_down(request: Request) -> Reply | None:
    """Be a proxy whose store is not there."""
    return page(502)
