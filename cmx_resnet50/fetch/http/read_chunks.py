"""The body of an answer in chunks that are worth a write each.

TLS gives one record of 16 KB a read. Locking, writing and counting for each of 6,000 of them
costs more than the transfer itself, so reads are joined while more data is available at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from urllib3 import HTTPResponse
from urllib3.util.wait import wait_for_read

from cmx_resnet50.fetch.http.connections import DirectResponse

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse

CHUNK = 512 * 1024
"""Bytes of a chunk, approximately: a read in progress is not cut."""

RECORD = 64 * 1024
"""Bytes that one read may give: TLS gives 16 KB."""

SMALL = 64 * 1024
"""Bytes up to which a chunk is copied, so that it does not keep a buffer."""


def read_chunks(
    body: BaseHTTPResponse, new_buffer: Callable[[], bytearray]
) -> Iterator[memoryview]:
    """Yield all of `body`. What arrived before an error is yielded before it is raised.

    Parameters
    ----------
    body : BaseHTTPResponse
        Not yet read.
    new_buffer : callable
        Returns a buffer, which is used for one chunk of more than `SMALL` bytes.
    """
    inner = getattr(body, "_fp", None)
    buffer: memoryview | None = None
    while isinstance(inner, DirectResponse):
        if buffer is None:
            buffer = memoryview(new_buffer())
        count = inner.read_available(buffer)
        if not count:
            break
        # urllib3 compares the one at the end, and tells the other.
        if body.length_remaining is not None:
            body.length_remaining -= count
        if isinstance(body, HTTPResponse):
            body._fp_bytes_read += count
        if count <= SMALL:
            yield memoryview(bytes(buffer[:count]))
        else:
            yield buffer[:count]
            buffer = None
    # The end of the body, and what the above does not know: chunks, TLS within TLS, SOCKS.
    yield from _joined(body)


def _joined(body: BaseHTTPResponse) -> Iterator[memoryview]:
    over = False
    while not over:
        parts: list[bytes] = []
        count = 0
        failure: Exception | None = None
        while count < CHUNK and (not parts or _has_more(body)):
            try:
                data = body.read1(RECORD, decode_content=False)
            except Exception as error:
                failure = error
                break
            if not data:
                over = True
                break
            parts.append(data)
            count += len(data)
        if parts:
            yield memoryview(b"".join(parts) if len(parts) > 1 else parts[0])
        if failure is not None:
            raise failure


def _has_more(body: BaseHTTPResponse) -> bool:
    """Whether a read would return data now instead of waiting for it."""
    sock = getattr(body.connection, "sock", None)
    return sock is not None and wait_for_read(sock, timeout=0)
