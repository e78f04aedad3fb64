"""One line for the logger for each request that boto3 makes itself, as `fetch` logs its own."""

from __future__ import annotations

import logging
import threading
import time
from typing import Any

from cmx_resnet50.redaction import host_of

LOGGER = logging.getLogger(__name__)


def log_requests(client: Any) -> None:
    """Log method, host, status, bytes and seconds of all requests of `client`, a boto3 client."""
    if not LOGGER.isEnabledFor(logging.DEBUG):
        return
    # boto3 sends and receives one request at a time in each of its threads.
    now = threading.local()

    def sending(request: Any, **_: Any) -> None:
        now.began, now.asked = time.monotonic(), f"{request.method} {host_of(request.url)}"
        now.sent = _size(request.headers)

    def received(response_dict: Any = None, exception: Exception | None = None, **_: Any) -> None:
        if response_dict is None:
            outcome = type(exception).__name__
        else:
            count = max(now.sent, _size(response_dict["headers"]))
            outcome = f"{response_dict['status_code']}, {count:,} bytes"
        seconds = time.monotonic() - now.began
        LOGGER.debug("%s: %s in %.2f s", now.asked, outcome, seconds)

    client.meta.events.register("before-send.s3", sending)
    client.meta.events.register("response-received.s3", received)


def _size(headers: Any) -> int:
    text = headers.get("Content-Length", "0")
    text = text.decode("ascii", "replace") if isinstance(text, bytes) else str(text)
    return int(text) if text.isdecimal() else 0
