"""A small HTTP server on loopback that does what it is told, faults included.

Each request is answered by the first of `Server.plan` that is left, then by `Server.always`.
An answer is a function that gets the `Exchange` and writes to the socket what it likes.
"""

from __future__ import annotations

import contextlib
import re
import socket
import socketserver
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field


@dataclass
class Exchange:
    """One request, and the means to answer it."""

    server: Server
    path: str
    headers: dict[str, str]
    connection: socket.socket
    keep: bool = True

    @property
    def asked(self) -> tuple[int, int] | None:
        """The bytes that the Range header asks for, as far as the file has them."""
        match = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("range", ""))
        if not match:
            return None
        size = len(self.server.content)
        return int(match[1]), min(int(match[2]) + 1, size) if match[2] else size

    def send(self, data: bytes) -> None:
        # Before, so that nobody who has the bytes finds them uncounted.
        with self.server.lock:
            self.server.sent += len(data)
        self.connection.sendall(data)

    def head(self, status: str, **headers: object) -> None:
        lines = [f"HTTP/1.1 {status}"]
        lines += [f"{key.replace('_', '-')}: {value}" for key, value in headers.items()]
        self.connection.sendall("\r\n".join([*lines, "", ""]).encode("latin-1"))

    def reset(self) -> None:
        """Break the connection with RST."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def close(self) -> None:
        self.keep = False

    def part(
        self, *, content: bytes | None = None, ranges: bool = True, **extra: object
    ) -> tuple[bytes, dict[str, object], str]:
        """Return body, headers and status of a good answer, to be sent or spoilt."""
        content = self.server.content if content is None else content
        headers: dict[str, object] = {"Content_Type": "application/octet-stream"}
        if self.server.etag:
            headers["ETag"] = self.server.etag
        status, body = "200 OK", content
        unchanged = self.headers.get("if-range") in (None, self.server.etag)
        if ranges and self.asked is not None and unchanged:
            start, end = self.asked
            if start >= len(content):
                return b"", {"Content_Range": f"bytes */{len(content)}", "Content_Length": 0}, "416"
            body, status = content[start:end], "206 Partial Content"
            headers["Content_Range"] = f"bytes {start}-{end - 1}/{len(content)}"
        headers["Content_Length"] = len(body)
        headers.update(extra)
        return body, headers, status

    def good(self, **options: object) -> None:
        body, headers, status = self.part(**options)  # type: ignore[arg-type]
        self.head(status, **headers)
        self.send(body)


Answer = Callable[[Exchange], None]


def good(exchange: Exchange) -> None:
    exchange.good()


def no_ranges(exchange: Exchange) -> None:
    exchange.good(ranges=False)


def status(line: str, **headers: object) -> Answer:
    def answer(exchange: Exchange) -> None:
        exchange.head(line, Content_Length=4, **headers)
        exchange.send(b"sad\n")

    return answer


def cut(after: int, *, reset: bool = False, ranges: bool = True) -> Answer:
    """Break off after so many bytes of the body."""

    def answer(exchange: Exchange) -> None:
        body, headers, line = exchange.part(ranges=ranges)
        exchange.head(line, **headers)
        exchange.send(body[:after])
        if len(body) > after:
            # A reset would take back what has not been read yet.
            time.sleep(0.02 if reset else 0)
            exchange.reset() if reset else exchange.close()

    return answer


def reset_at_once(exchange: Exchange) -> None:
    exchange.reset()


def silent(exchange: Exchange) -> None:
    exchange.server.stopping.wait(20)
    exchange.close()


def stall(after: int) -> Answer:
    def answer(exchange: Exchange) -> None:
        body, headers, line = exchange.part()
        exchange.head(line, **headers)
        exchange.send(body[:after])
        silent(exchange)

    return answer


def trickle(exchange: Exchange) -> None:
    body, headers, line = exchange.part()
    exchange.head(line, **headers)
    for position in range(0, len(body), 100):
        exchange.send(body[position : position + 100])
        if exchange.server.stopping.wait(0.1):
            break
    exchange.close()


def chunked(*, until: int | None = None, terminated: bool = True) -> Answer:
    def answer(exchange: Exchange) -> None:
        body, headers, line = exchange.part(ranges=False)
        del headers["Content_Length"]
        exchange.head(line, Transfer_Encoding="chunked", **headers)
        for position in range(0, len(body[:until]), 10_000):
            piece = body[:until][position : position + 10_000]
            exchange.send(b"%x\r\n%b\r\n" % (len(piece), piece))
        if terminated:
            exchange.send(b"0\r\n\r\n")
        else:
            exchange.close()

    return answer


def redirect(target: str, line: str = "302 Found") -> Answer:
    def answer(exchange: Exchange) -> None:
        exchange.head(line, Location=target, Content_Length=0)

    return answer


@dataclass
class Server:
    """A server of one file, under any path."""

    content: bytes
    etag: str = '"one"'
    plan: list[Answer] = field(default_factory=list)
    always: Answer = good
    tls: ssl.SSLContext | None = None
    requests: list[Exchange] = field(default_factory=list)
    sent: int = 0
    port: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)
    stopping: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}/model.onnx"

    @property
    def ranges(self) -> list[str]:
        return [exchange.headers.get("range", "") for exchange in self.requests]

    def answer(self, exchange: Exchange) -> None:
        with self.lock:
            self.requests.append(exchange)
            answer = self.plan.pop(0) if self.plan else self.always
        answer(exchange)


@contextlib.contextmanager
def serve(content: bytes, **options: object) -> Iterator[Server]:
    """Serve `content` for the time of the block."""
    server = Server(content, **options)  # type: ignore[arg-type]

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            connection = self.request
            with contextlib.suppress(OSError):
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                if server.tls is not None:
                    connection = server.tls.wrap_socket(connection, server_side=True)
                while self._once(connection):
                    pass
            connection.close()

        def _once(self, connection: socket.socket) -> bool:
            text = b""
            while b"\r\n\r\n" not in text:
                data = connection.recv(65536)
                if not data:
                    return False
                text += data
            first, *lines = text.decode("latin-1").split("\r\n")
            pairs = (line.split(": ", 1) for line in lines if ": " in line)
            headers = {key.lower(): value for key, value in pairs}
            exchange = Exchange(server, first.split()[1], headers, connection)
            server.answer(exchange)
            return exchange.keep

    class Listener(socketserver.ThreadingTCPServer):
        daemon_threads = True
        block_on_close = False
        request_queue_size = 64
        allow_reuse_address = True

        def shutdown_request(self, request: object) -> None:
            # Not the base's: its shutdown would turn a reset into a polite end.
            request.close()  # type: ignore[attr-defined]

    with Listener(("127.0.0.1", 0), Handler) as listener:
        server.port = listener.server_address[1]
        thread = threading.Thread(target=listener.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.stopping.set()
            listener.shutdown()
            thread.join()
