"""`Gate`: a server of our own in front of a store, or in its place, for what stores seldom do."""

from __future__ import annotations

import http.client
import ssl
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from urllib.parse import parse_qs, urlsplit

Answer = Callable[[BaseHTTPRequestHandler], None]


class Gate:
    """Answers every GET with `answer`, at `url`, until the end of the block."""

    def __init__(self, answer: Answer, tls: ssl.SSLContext | None = None) -> None:
        self.paths: list[str] = []
        """What was asked, signatures included."""
        gate = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                gate.paths.append(self.path)
                answer(self)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        scheme, host = ("http", "127.0.0.1") if tls is None else ("https", "localhost")
        self.url = f"{scheme}://{host}:{self._server.server_port}"

    def __enter__(self) -> Gate:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()


def body(handler: BaseHTTPRequestHandler, status: int, content: bytes, **headers: str) -> None:
    """Send a whole answer."""
    handler.send_response(status)
    handler.send_header("Content-Length", str(len(content)))
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(content)


def problem(code: str, message: str = "", more: str = "") -> bytes:
    """Return the body that S3 sends with an error."""
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{code}</Code>'
        f"<Message>{message}</Message>{more}<RequestId>4442587FB7D0A2F9</RequestId></Error>"
    ).encode()


def signed_for(handler: BaseHTTPRequestHandler) -> str:
    """Return the region that a signed address is for; nothing for one without a signature."""
    query = parse_qs(urlsplit(handler.path).query)
    scope = query.get("X-Amz-Credential", ["/////"])[0]
    return scope.split("/")[-3]


def expiring(endpoint: str, seconds: float, length: int) -> Answer:
    """Return an answer that lets a store answer, but not for long.

    A signature is good for `seconds` from its first use on, and a connection breaks after
    `length` bytes of a body.
    """
    first: dict[str, float] = {}

    def answer(handler: BaseHTTPRequestHandler) -> None:
        signature = parse_qs(urlsplit(handler.path).query)["X-Amz-Signature"][0]
        now = time.monotonic()
        if now - first.setdefault(signature, now) > seconds:
            body(handler, 403, problem("AccessDenied", "Request has expired"))
            return
        upstream = http.client.HTTPConnection(urlsplit(endpoint).netloc)
        upstream.request("GET", handler.path, headers=dict(handler.headers.items()))
        given = upstream.getresponse()
        handler.send_response(given.status)
        for name, value in given.getheaders():
            if name.lower() not in ("server", "date", "connection", "transfer-encoding"):
                handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(given.read(length))
        time.sleep(0.1)
        handler.close_connection = True
        upstream.close()

    return answer
