"""The body of an answer in chunks that are worth a write each.

TLS gives one record of 16 KB a read. To lock, write and count for each of 6,000 of them costs
more than the transfer itself, so reads are put together, as long as there is more at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse

CHUNK = 512 * 1024
"""Bytes put together, at most about: a read that is under way is not cut."""


def chunks(body: BaseHTTPResponse) -> Iterator[bytes]:
    """Give all of `body`. What came before an error is given before the error is raised."""
    over = False
    while not over:
        parts: list[bytes] = []
        count = 0
        trouble: Exception | None = None
        while count < CHUNK and (not parts or _has_more(body)):
            try:
                data = body.read1(CHUNK, decode_content=False)
            except Exception as error:
                trouble = error
                break
            if not data:
                over = True
                break
            parts.append(data)
            count += len(data)
        if parts:
            yield b"".join(parts) if len(parts) > 1 else parts[0]
        if trouble is not None:
            raise trouble


def _has_more(body: BaseHTTPResponse) -> bool:
    """Whether a read would give something now, and not wait for it."""
    from urllib3.util.wait import wait_for_read

    sock = getattr(body.connection, "sock", None)
    return sock is not None and wait_for_read(sock, timeout=0)
