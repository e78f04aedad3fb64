"""The three standard streams of a process that was started without one of them (``>&-``)."""

from __future__ import annotations

import os
import sys


def open_missing() -> None:
    """Let what is printed go nowhere where a stream is closed.

    Python has None for such a stream; and the next file that is opened would get its number, and
    with it what the processes that the engine starts print.
    """
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "r" if name == "stdin" else "w", encoding="utf-8"))  # noqa: SIM115
