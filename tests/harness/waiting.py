"""Waits for what another thread or process does: for its result, never for a number of seconds."""

from __future__ import annotations

import time
from collections.abc import Callable

HANGS = 300.0
"""Seconds after which a wait counts as hung. A guard: no test asserts it."""


def until(condition: Callable[[], object], told: Callable[[], object] = str) -> None:
    """Wait until `condition` holds.

    Raises
    ------
    TimeoutError
        After `HANGS` seconds; the message ends with what `told` returns.
    """
    end = time.monotonic() + HANGS
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"not within {HANGS} s; {told()}")
        time.sleep(0.005)
