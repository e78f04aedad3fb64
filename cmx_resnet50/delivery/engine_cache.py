"""Files that an engine's cache has: the script that this one replaces fetched them there."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # A cached run computes no digest, and does not pay for hashlib.
    from cmx_resnet50.digests import Expected

MOST = 16
"""Files of one name that are compared at most, the newest first."""
LARGEST = 4 << 30
"""Bytes of a file at most whose size is not known; a larger one would not be fetched either."""


def find_cached(cache: Path, name: str, expected: Expected) -> Path | None:
    """Return the file of an engine's cache that is exactly what is expected, or None.

    Parameters
    ----------
    cache : Path
        The folder of the cache. Only regular files directly in its entries are looked at.
    name : str
        The name of the file.
    expected : Expected
        What is known of it. Without a digest nothing is found.
    """
    if not expected.verifiable:
        return None
    from cmx_resnet50.digests import digest_file

    for _, path in sorted(_plausible(cache, name, expected), reverse=True)[:MOST]:
        with suppress(OSError):
            if expected.mismatch(digest_file(path)) is None:
                return path
    return None


def _plausible(cache: Path, name: str, expected: Expected) -> Iterator[tuple[float, Path]]:
    """Yield the files of that name and of a size that may be right, with their times."""
    try:
        entries = list(cache.iterdir())
    except OSError:
        return
    for entry in entries:
        path = entry / name
        with suppress(OSError):
            status = os.lstat(path)
            size = status.st_size
            most = expected.most or LARGEST
            right = size == expected.size if expected.size else 0 < size <= most
            if stat.S_ISREG(status.st_mode) and right:
                yield status.st_mtime, path
