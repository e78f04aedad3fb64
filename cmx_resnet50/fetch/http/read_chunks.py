"""The body of an answer in chunks that are worth a write each.

TLS gives one record of 16 KB a read. Locking, writing and counting for each of 6,000 of them
costs more than the transfer itself, so reads are joined while more data is available at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse

CHUNK = 512 * 1024
"""Bytes of a chunk, approximately: a read in progress is not cut."""


def read_chunks(body: BaseHTTPResponse) -> Iterator[bytes]:
    """Yield all of `body`. What arrived before an error is yielded before it is raised."""
    over = False
    while not over:
        parts: list[bytes] = []
        count = 0
        failure: Exception | None = None
        while count < CHUNK and (not parts or _has_more(body)):
            try:
                data = body.read1(CHUNK, decode_content=False)
            except Exception as error:
                failure = error
                break
            if not data:
                over = True
                break
            parts.append(data)
            count += len(data)
        if parts:
            yield b"".join(parts) if len(parts) > 1 else parts[0]
        if failure is not None:
            raise failure


def _has_more(body: BaseHTTPResponse) -> bool:
    """Whether a read would return data now instead of waiting for it."""
    from urllib3.util.wait import wait_for_read

    sock = getattr(body.connection, "sock", None)
    return sock is not None and wait_for_read(sock, timeout=0)
