"""Waiting for what another thread or process does: by its event, and never for so many seconds."""

from __future__ import annotations

import time
from collections.abc import Callable

HANGS = 300.0
"""Seconds after which whatever a test waits for has hung: a guard, and nothing that is tested."""


def until(condition: Callable[[], object], told: Callable[[], object] = str) -> None:
    """Wait until `condition` holds.

    Raises
    ------
    TimeoutError
        If it never does; with what `told` says then.
    """
    end = time.monotonic() + HANGS
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"not within {HANGS} s; {told()}")
        time.sleep(0.005)
