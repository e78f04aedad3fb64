"""One connection of the test server: reads request heads, sends replies, well or badly."""

from __future__ import annotations

import contextlib
import fcntl
import http.client
import select
import socket
import ssl
import struct
import termios
import threading
import time
from collections.abc import Callable
from io import BufferedReader

from tests.harness.reply import Reply

_SLICE = 1 << 16
_SEND_BUFFER = 1 << 18
"""Small enough that the bytes counted are close to the bytes that arrive."""


class Connection:
    """A client's connection, plain at first; `start_tls` makes it an HTTPS one."""

    def __init__(self, peer: socket.socket, number: int, closing: threading.Event) -> None:
        self.number = number
        self._closing = closing
        self._socket = peer
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._reader: BufferedReader = self._socket.makefile("rb")

    def read_head(self) -> tuple[str, str, dict[str, str]] | None:
        """Read method, target and headers (lower-case names); None at the end of the stream.

        A request body is read and dropped.
        """
        line = self._reader.readline(1 << 16).strip()
        if not line:
            return None
        method, target, _ = line.decode("latin-1").split(" ", 2)
        fields = http.client.parse_headers(self._reader)
        headers = {name.lower(): value for name, value in fields.items()}
        self._reader.read(int(headers.get("content-length", "0")))
        return method, target, headers

    def start_tls(self, context: ssl.SSLContext) -> None:
        """Answer a CONNECT and take up TLS as the host behind it."""
        self._socket.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        self._reader.close()
        self._socket = context.wrap_socket(self._socket, server_side=True)
        self._reader = self._socket.makefile("rb")

    def send(self, method: str, reply: Reply, count: Callable[[int], None]) -> bool:
        """Send `reply`; `count` hears of each piece of body. Say whether the stream goes on."""
        if reply.head:
            self._socket.sendall(_head(reply))
            if method != "HEAD":
                self._send_body(reply, count)
        if reply.ending == "stall":
            self._wait_for_end()
        if reply.ending == "reset":
            self._reset()
        return reply.ending == "keep" and reply.framing != "close"

    def _send_body(self, reply: Reply, count: Callable[[int], None]) -> None:
        body = reply.body if reply.stop is None else reply.body[: reply.stop]
        step = _SLICE if reply.rate is None else max(1, min(_SLICE, int(reply.rate / 20)))
        start = time.monotonic()
        for offset in range(0, len(body), step):
            piece = body[offset : offset + step]
            if reply.rate is not None:
                ahead = offset / reply.rate - (time.monotonic() - start)
                if ahead > 0 and self._closing.wait(ahead):
                    raise ConnectionAbortedError("the server stops")
            if reply.framing == "chunked":
                self._socket.sendall(b"%x\r\n%b\r\n" % (len(piece), bytes(piece)))
            else:
                self._socket.sendall(piece)
            count(len(piece))
        if reply.framing == "chunked" and reply.terminated and reply.stop is None:
            self._socket.sendall(b"0\r\n\r\n")

    def _wait_for_end(self) -> None:
        # Readable while nothing is due means that the client has gone, or given up.
        while not self._closing.is_set():
            if select.select([self._socket], [], [], 0.05)[0]:
                return

    def _reset(self) -> None:
        # A reset throws away what the kernel still holds: let that leave first, so that the
        # client gets as many bytes as the test says.
        end = time.monotonic() + 1.0
        while time.monotonic() < end:
            held = fcntl.ioctl(self._socket.fileno(), termios.TIOCOUTQ, b"\0" * 4)
            if struct.unpack("i", held) == (0,):
                break
            time.sleep(0.001)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._reader.close()
        self._socket.close()

    def break_off(self) -> None:
        """Wake up whatever waits on this connection, from another thread."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """End the connection; over TLS with the notice that the stream is whole."""
        with contextlib.suppress(OSError, ValueError):
            if isinstance(self._socket, ssl.SSLSocket):
                self._socket.settimeout(0.2)
                self._socket.unwrap()
        with contextlib.suppress(OSError, ValueError):
            self._reader.close()
        with contextlib.suppress(OSError):
            self._socket.close()


def _head(reply: Reply) -> bytes:
    headers = dict(reply.headers)
    if reply.framing == "length":
        length = len(reply.body) if reply.length is None else reply.length
        headers.setdefault("Content-Length", str(length))
    elif reply.framing == "chunked":
        headers["Transfer-Encoding"] = "chunked"
    if reply.framing == "close" or reply.ending == "close":
        headers["Connection"] = "close"
    reason = http.client.responses.get(reply.status, "Unknown")
    lines = [f"HTTP/1.1 {reply.status} {reason}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
