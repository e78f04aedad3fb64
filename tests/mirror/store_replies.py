"""What S3 stores answer: replies for a `Server` in front of a store, or in its place."""

from __future__ import annotations

import http.client
import time
from collections.abc import Callable
from dataclasses import replace
from urllib.parse import parse_qs, urlsplit

from tests.harness.reply import Reply, Request, plain


def problem(status: int, code: str, message: str = "", **headers: str) -> Reply:
    """Return what S3 sends as an error."""
    text = (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{code}</Code>'
        f"<Message>{message}</Message><RequestId>4442587FB7D0A2F9</RequestId></Error>"
    )
    return plain(status, text.encode(), **headers)


def region_of(request: Request) -> str:
    """Return the region that a signed address is for; nothing for one without a signature."""
    query = parse_qs(urlsplit(request.url).query)
    scope = query.get("X-Amz-Credential", ["/////"])[0]
    return scope.split("/")[-3]


def signature_of(request: Request) -> str:
    """Return the signature of an address."""
    return parse_qs(urlsplit(request.url).query)["X-Amz-Signature"][0]


def forward(endpoint: str, request: Request) -> Reply:
    """Ask the store."""
    upstream = http.client.HTTPConnection(urlsplit(endpoint).netloc)
    headers = {k: v for k, v in request.headers.items() if k not in ("expect", "content-length")}
    upstream.request(request.method, request.path, request.body, headers)
    given = upstream.getresponse()
    content = given.read()
    upstream.close()
    dropped = ("server", "date", "connection", "transfer-encoding")
    kept = {name: value for name, value in given.getheaders() if name.lower() not in dropped}
    return Reply(given.status, kept, memoryview(content))


def expiring(endpoint: str, uses: int, length: int) -> Callable[[Request], Reply]:
    """Return what lets a store answer, but not for long.

    The first signature is good for so many `uses`; a connection breaks after `length` bytes.
    """
    seen: list[str] = []

    def answer(request: Request) -> Reply:
        signature = signature_of(request)
        seen.append(signature)
        if signature == seen[0] and len(seen) > uses:
            time.sleep(1.1)  # Signatures of one second are the same.
            return problem(403, "AccessDenied", "Request has expired")
        return replace(forward(endpoint, request), stop=length, ending="close")

    return answer
