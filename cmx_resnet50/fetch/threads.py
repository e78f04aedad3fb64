"""Starts threads, where there is memory for one."""

from __future__ import annotations

import mmap
import sys
import threading

NEEDED = 16 << 20
"""Bytes of addresses for a thread's stack and what it does first."""


def start(thread: threading.Thread) -> None:
    """Start `thread`.

    Raises
    ------
    RuntimeError
        If there is no thread to be had, or no memory for one: Python would wait for ever for a
        thread that ends before it has begun.
    """
    if _limited():
        try:
            mmap.mmap(-1, NEEDED).close()
        except (OSError, MemoryError):
            raise RuntimeError("no memory for a thread") from None
    try:
        thread.start()
    except MemoryError:
        raise RuntimeError("no memory for a thread") from None


def _limited() -> bool:
    """Whether the addresses of this process are limited."""
    if sys.platform == "win32":
        return False
    import resource

    return resource.getrlimit(resource.RLIMIT_AS)[0] != resource.RLIM_INFINITY
