"""A file server on one port, as a process of its own: even pace, cuts, and a count of bytes.

``python -m benchmarks.server FILE`` answers every path with FILE, ranges included. It prints
its port, then obeys lines on stdin: ``count`` prints the body bytes that the kernel took so
far, ``reset`` sets that to nothing; the end of stdin ends it. Linux only.
"""

from __future__ import annotations

import argparse
import contextlib
import http.server
import os
import re
import socket
import sys
import threading
from pathlib import Path

SO_MAX_PACING_RATE = 47
"""From the kernel's asm-generic/socket.h; Python's socket module has no name for it."""
_SLICE = 1 << 16
"""Bytes handed to the kernel at once where the count must be up to date, else all of them."""


class Server(http.server.ThreadingHTTPServer):
    """Serves one file; counts what it sends, and cuts all connections when it is told to."""

    request_queue_size = 64
    daemon_threads = True

    def __init__(self, asked: argparse.Namespace) -> None:
        self.file = asked.file
        self.pace = asked.pace
        self.cut = asked.cut
        self.slice = _SLICE if asked.cut or asked.buffer else 1 << 30
        self.buffer = asked.buffer
        self.congestion = asked.congestion
        self.size = asked.file.stat().st_size
        self.etag = f'"{self.size:x}-{asked.file.stat().st_mtime_ns:x}"'
        self.count = 0
        self.left = asked.cut
        self.open: set[socket.socket] = set()
        self.lock = threading.Lock()
        super().__init__((asked.host, 0), Handler)

    def reset(self) -> None:
        """Begin to count anew."""
        with self.lock:
            self.count, self.left = 0, self.cut

    def sent(self, count: int) -> None:
        """Count bytes; break all connections where a cut is due."""
        with self.lock:
            self.count += count
            if not self.cut:
                return
            self.left -= count
            if self.left <= 0:
                self.left += self.cut
                for connection in self.open:
                    with contextlib.suppress(OSError):
                        connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: clients that go are what some benchmarks are about."""


class Handler(http.server.BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    server: Server

    def setup(self) -> None:
        """Set what the kernel shall do with this connection."""
        peer = self.request
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self.server.pace:
            peer.setsockopt(socket.SOL_SOCKET, SO_MAX_PACING_RATE, self.server.pace)
        if self.server.buffer:
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, self.server.buffer)
        if self.server.congestion:
            name = self.server.congestion.encode()
            peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, name)
        with self.server.lock:
            self.server.open.add(peer)
        super().setup()

    def finish(self) -> None:
        """Forget the connection."""
        with self.server.lock:
            self.server.open.discard(self.request)
        super().finish()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""

    def do_HEAD(self) -> None:
        """Answer with the head alone."""
        self._head()

    def do_GET(self) -> None:
        """Answer with the file or a range of it."""
        position, end = self._head()
        try:
            with self.server.file.open("rb") as file:
                while position < end:
                    wanted = min(end - position, self.server.slice)
                    count = os.sendfile(self.connection.fileno(), file.fileno(), position, wanted)
                    position += count
                    self.server.sent(count)
        except OSError:
            self.close_connection = True

    def _head(self) -> tuple[int, int]:
        size = self.server.size
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        start, end = 0, size
        unchanged = self.headers.get("If-Range") in (None, self.server.etag)
        if asked and unchanged and int(asked[1]) < size:
            start = int(asked[1])
            end = min(size, int(asked[2]) + 1) if asked[2] else size
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{end - 1}/{size}")
        else:
            self.send_response(200)
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header("Content-Length", str(end - start))
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("ETag", self.server.etag)
        self.end_headers()
        return start, end


def main() -> None:
    """Serve until stdin ends."""
    parser = argparse.ArgumentParser(description="serve one file")
    parser.add_argument("file", type=Path)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--pace", type=int, default=0, help="bytes/s of each connection")
    parser.add_argument("--cut", type=int, default=0, help="cut everybody after so many bytes")
    parser.add_argument("--buffer", type=int, default=0, help="send buffer of a connection")
    parser.add_argument("--congestion", default="", help="the kernel's congestion control")
    server = Server(parser.parse_args())
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.server_address[1], flush=True)
    for line in sys.stdin:
        if line.strip() == "reset":
            server.reset()
        print(server.count, flush=True)


if __name__ == "__main__":
    main()
