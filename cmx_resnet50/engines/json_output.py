"""Keeps stdout free for the engine's JSON while a run works.

The engine's downloader, and the scripts and tools that it starts, print to stdout whatever the
user asked for. Where that is JSON, it all goes to stderr until the run is over.
"""

from __future__ import annotations

import os
import sys
import weakref
from typing import Any

_KEY = "cmx_resnet50_stdout"


class _StdoutToStderr:
    """Lets file descriptor 1 lead where 2 leads, for as long as this object lives."""

    def __init__(self) -> None:
        sys.stdout.flush()
        saved = os.dup(1)
        os.dup2(2, 1)
        self._finalizer = weakref.finalize(self, _restore, saved)


def keep_stdout_free(run: dict[str, Any]) -> None:
    """Send to stderr what is printed, until the engine drops `run`, its ``run_script_input``."""
    run[_KEY] = _StdoutToStderr()


def _restore(saved: int) -> None:
    sys.stdout.flush()
    os.dup2(saved, 1)
    os.close(saved)
