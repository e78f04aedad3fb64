"""The far end of a site's line: serves one file, at one pace for all connections together.

``python -m benchmarks.site_origin FILE --rate BYTES`` is `benchmarks.server` under a token
bucket: however many connections there are, no more than BYTES a second leave in all.
"""

from __future__ import annotations

import argparse
import sys
import threading
import time
from pathlib import Path

from benchmarks.server import Server

_BUFFER = 64 * 1024
"""Send buffer of a connection, so that what was counted was also received, but for this."""


class Bucket:
    """Lets `rate` bytes a second through, on average from the moment when they begin to flow."""

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._free = 0.0
        self._lock = threading.Lock()

    def take(self, count: int) -> None:
        """Wait until `count` bytes may have gone."""
        with self._lock:
            now = time.monotonic()
            self._free = max(now, self._free) + count / self._rate
            wait = self._free - now
        time.sleep(wait)


class SharedLine(Server):
    """A server whose connections share one line."""

    def __init__(self, asked: argparse.Namespace) -> None:
        super().__init__(asked)
        self._bucket = Bucket(asked.rate)

    def sent(self, count: int) -> None:
        """Count bytes, and hold the connection until the line has carried them."""
        super().sent(count)
        self._bucket.take(count)


def main() -> None:
    """Serve until stdin ends; words on stdin as `benchmarks.server` has them."""
    parser = argparse.ArgumentParser(description="serve one file over one line")
    parser.add_argument("file", type=Path)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--rate", type=int, required=True, help="bytes/s of all connections")
    parser.set_defaults(pace=0, cut=0, buffer=_BUFFER, congestion="")
    server = SharedLine(parser.parse_args())
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.server_address[1], flush=True)
    for line in sys.stdin:
        if line.strip() == "reset":
            server.reset()
        print(server.count, flush=True)


if __name__ == "__main__":
    main()
