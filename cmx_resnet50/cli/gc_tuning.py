"""Tuning of Python's cyclic garbage collector for a process that ends soon.

Imports make a hundred thousand objects that live to the end. Scanning them again and again, and
once more when the interpreter ends, takes a fifth of the time of a process that imports requests
and does little else.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

SELDOM = 100_000
"""Objects made before the collector looks for cycles; Python's own is in the hundreds."""


@contextmanager
def collect_seldom() -> Iterator[None]:
    """Collect seldom, and not at all when the process ends."""
    gc.set_threshold(SELDOM, *gc.get_threshold()[1:])
    try:
        yield
    finally:
        gc.freeze()
