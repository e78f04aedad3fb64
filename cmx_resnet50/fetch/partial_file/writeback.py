"""Writes a growing file to the disk meanwhile, so that the last fsync has little left to do."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable
from pathlib import Path

from cmx_resnet50.fetch.threads import start

STEP = 16 << 20
"""Bytes after which the disk is asked to write them."""


class Writeback:
    """Follows the file at `path`, a step behind.

    Errors of the disk are ignored here: whoever needs the file durable calls fsync.

    Parameters
    ----------
    path : Path
        The file, which exists.
    changed : threading.Condition
        Held while `count` is called; notified when it has grown.
    count : callable
        Returns how many bytes were written so far.
    """

    def __init__(self, path: Path, changed: threading.Condition, count: Callable[[], int]) -> None:
        self._path = path
        self._changed = changed
        self._count = count
        self._stopped = False
        # Where no thread is to be had, the last fsync does it all.
        with contextlib.suppress(RuntimeError):
            start(threading.Thread(target=self._follow, daemon=True))

    def stop(self) -> None:
        """End soon; the caller holds the condition."""
        self._stopped = True
        self._changed.notify_all()

    def _follow(self) -> None:
        with contextlib.suppress(OSError, MemoryError), open(self._path, "rb") as file:
            while True:
                with self._changed:
                    due = self._count() + STEP
                    while not self._stopped and self._count() < due:
                        self._changed.wait()
                    if self._stopped:
                        return
                # macOS has no fdatasync.
                getattr(os, "fdatasync", os.fsync)(file.fileno())
