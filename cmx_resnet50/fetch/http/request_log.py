"""One line a request for the logger: method, host, status, bytes of the body, seconds.

A host may be shown; paths and queries may hold secrets, and the words of an exception may hold
either.
"""

from __future__ import annotations

import logging
import time

import requests

from cmx_resnet50.redaction import host_of

LOGGER = logging.getLogger(__name__)


class RequestLog:
    """One request, from the time it is made until its answer is closed.

    Parameters
    ----------
    request : PreparedRequest
        What is sent; each redirect is a request of its own.
    """

    def __init__(self, request: requests.PreparedRequest) -> None:
        self._asked = f"{request.method} {host_of(str(request.url))}"
        self._began = time.monotonic()

    def failed(self, error: Exception) -> None:
        """Log that there is no answer."""
        self._write(type(error).__name__)

    def answered(self, response: requests.Response) -> None:
        """Log the answer once it is closed: only then it is known how much was read of it."""
        close = response.close

        def close_and_log() -> None:
            # Whoever follows a redirect closes its answer twice.
            response.close = close  # type: ignore[method-assign]
            self._write(f"{response.status_code}, {response.raw.tell():,} bytes")
            close()

        response.close = close_and_log  # type: ignore[method-assign]

    def _write(self, outcome: str) -> None:
        seconds = time.monotonic() - self._began
        LOGGER.debug("%s: %s in %.2f s", self._asked, outcome, seconds)
