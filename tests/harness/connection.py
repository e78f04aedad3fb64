"""One connection of the test server: reads requests and sends replies, faults included.

A connection begins as plain TCP. `start_tls` starts TLS on it; twice for the client of an HTTPS
proxy, which speaks TLS to the host within its TLS to the proxy.
"""

from __future__ import annotations

import contextlib
import fcntl
import http.client
import itertools
import select
import socket
import ssl
import struct
import termios
import threading
import time
from collections.abc import Callable
from typing import BinaryIO, cast

from urllib3.util.ssltransport import SSLTransport

from tests.harness.reply import Reply

_SLICE = 1 << 16
_ENDLESS = 1 << 30
"""Bytes after which an endless body ends, so that a client that reads all of it does not hang."""
_SEND_BUFFER = 1 << 18
"""Small enough that the bytes counted are close to the bytes that arrive."""


class Connection:
    """A client's connection; `number` counts those of a server from 1."""

    def __init__(self, peer: socket.socket, number: int, closing: threading.Event) -> None:
        self.number = number
        self._closing = closing
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # What owns the file descriptor; and what carries the bytes: the same, or TLS within it.
        self._base = self._stream = peer
        self.reader: BinaryIO = peer.makefile("rb")

    def first_byte(self) -> bytes:
        """Return the first byte of the connection, which stays to be read."""
        return self._base.recv(1, socket.MSG_PEEK)

    def start_tls(self, context: ssl.SSLContext) -> None:
        """Shake hands as a TLS server; the client has sent nothing but its hello."""
        self.reader.close()
        if isinstance(self._base, ssl.SSLSocket):
            inner = SSLTransport(self._base, cast(ssl.SSLContext, _ServerSide(context)))
            self._stream = cast(socket.socket, inner)
        else:
            self._stream = self._base = context.wrap_socket(self._base, server_side=True)
        self.reader = self._stream.makefile("rb")

    def read_request(self) -> tuple[str, str, dict[str, str], bytes] | None:
        """Read method, target, headers (lower-case names) and body; None at the end."""
        line = self.reader.readline(1 << 16).strip()
        if not line:
            return None
        method, target, _ = line.decode("latin-1").split(" ", 2)
        fields = http.client.parse_headers(self.reader)
        headers = {name.lower(): value for name, value in fields.items()}
        if headers.get("expect", "").lower() == "100-continue":
            self.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        return method, target, headers, self._read_body(headers)

    def _read_body(self, headers: dict[str, str]) -> bytes:
        if headers.get("transfer-encoding", "").lower() != "chunked":
            return self.reader.read(int(headers.get("content-length", "0")))
        body = b""
        while size := int(self.reader.readline().partition(b";")[0], 16):
            body += self.reader.read(size)
            self.reader.readline()
        while self.reader.readline().strip():
            pass  # A trailer.
        return body

    def write(self, data: bytes | memoryview) -> None:
        """Send bytes as they are."""
        self._stream.sendall(data)

    def send(self, method: str, reply: Reply, count: Callable[[int], None]) -> bool:
        """Send `reply`, `count` each piece of its body, and return whether to keep it open."""
        if reply.before:
            self.write(reply.before)
        if reply.head:
            self.write(_head(reply))
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
        start, sent = time.monotonic(), 0
        for content in itertools.chain([body], itertools.repeat(memoryview(reply.endless))):
            for offset in range(0, len(content), step):
                if reply.rate is not None:
                    ahead = sent / reply.rate - (time.monotonic() - start)
                    if ahead > 0 and self._closing.wait(ahead):
                        raise ConnectionAbortedError("the server stops")
                sent += self._send_piece(content[offset : offset + step], reply, count)
            if not reply.endless:
                break
            if sent > _ENDLESS:
                raise ConnectionAbortedError("nobody has to read more")
        if reply.framing == "chunked" and reply.terminated and reply.stop is None:
            self.write(b"0\r\n\r\n")

    def _send_piece(self, piece: memoryview, reply: Reply, count: Callable[[int], None]) -> int:
        framed = b"%x\r\n%b\r\n" % (len(piece), piece) if reply.framing == "chunked" else piece
        # Before, so that no client has bytes that are not counted.
        count(len(piece))
        try:
            self.write(framed)
        except BaseException:
            count(-len(piece))
            raise
        return len(piece)

    def _wait_for_end(self) -> None:
        # Readable while nothing is due means that the client has gone, or given up.
        while not self._closing.is_set():
            if select.select([self._base], [], [], 0.05)[0]:
                return

    def _reset(self) -> None:
        # A reset throws away what the kernel still holds: let that leave first, so that the
        # client gets as many bytes as the test says. Not for ever: it may not read them.
        for _ in range(1000):
            held = fcntl.ioctl(self._base.fileno(), termios.TIOCOUTQ, b"\0" * 4)
            if struct.unpack("i", held) == (0,):
                break
            time.sleep(0.001)
        self._base.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.reader.close()
        self._base.close()

    def break_off(self) -> None:
        """Wake up whatever waits on this connection, from another thread."""
        with contextlib.suppress(OSError):
            self._base.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """End the connection; over TLS with the notice that the stream is complete."""
        with contextlib.suppress(OSError, ValueError):
            self._base.settimeout(0.2)
            if self._stream is not self._base:
                cast(SSLTransport, self._stream).unwrap()
            elif isinstance(self._base, ssl.SSLSocket):
                self._base.unwrap()
        with contextlib.suppress(OSError, ValueError):
            self.reader.close()
        with contextlib.suppress(OSError):
            self._base.close()


class _ServerSide:
    """A context for `SSLTransport`, which was written for clients."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context

    def wrap_bio(
        self, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO, server_hostname: str | None
    ) -> ssl.SSLObject:
        return self._context.wrap_bio(incoming, outgoing, server_side=True)


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
