"""A process that ends soon: what Python's collector of cycles costs one is saved.

Importing makes a hundred thousand objects that live to the end. To look through them again and
again, and once more when the interpreter ends, takes a fifth of the time of a process that
imports requests and does little else.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

SELDOM = 100_000
"""Objects made before the collector looks for cycles; Python's own is in the hundreds."""


@contextmanager
def brief() -> Iterator[None]:
    """Collect seldom, and nothing more once the process is about to end."""
    gc.set_threshold(SELDOM, *gc.get_threshold()[1:])
    try:
        yield
    finally:
        gc.freeze()
