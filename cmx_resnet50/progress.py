"""How a transfer is shown: a bar on a terminal, lines elsewhere, a caller's function, or nothing.

Bars and lines go to stderr; stdout is for results.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tqdm import tqdm

LINE_SECONDS = 30.0
LINE_PARTS = 10
MEGA = 1_000_000

ProgressCallback = Callable[[str, int, "int | None"], object]
"""Takes the name of a file, the bytes that are there, and how many it has as far as known."""


class Progress:
    """Progress that is not shown, and the base of those that are."""

    visible = False
    """Whether it is printed, so that a library with a display of its own may show that."""

    def start(self, name: str, total: int | None, source: str, resumed: int) -> None:
        """Begin to show the file `name`, or begin anew from another source.

        Parameters
        ----------
        name : str
            File name, as a user knows it.
        total : int, optional
            Size in bytes, as far as known.
        source : str
            Where the bytes come from, without secrets.
        resumed : int
            Bytes that are there already.
        """

    def advance(self, count: int) -> None:
        """Take `count` more bytes as done."""

    def note(self, text: str) -> None:
        """Say one line that matters now."""

    def done(self) -> None:
        """End the show; a second call does nothing."""


class LineProgress(Progress):
    """A line every tenth of the file or every 30 s, whichever comes first: for logs."""

    visible = True

    def __init__(self) -> None:
        self._name = ""
        self._total: int | None = None
        self._count = 0
        self._fresh = 0
        self._began = self._said = 0.0
        self._tenth = 0

    def start(self, name: str, total: int | None, source: str, resumed: int) -> None:
        """Say what comes from where."""
        self._name, self._total, self._count, self._fresh = name, total, resumed, 0
        self._began = self._said = time.monotonic()
        self._tenth = self._tenths()
        self.note(f"{name}{_size(total)} from {source}{_resumed(resumed)}")

    def advance(self, count: int) -> None:
        """Say a line when a tenth is full or enough time has gone by."""
        self._count += count
        self._fresh += count
        now = time.monotonic()
        tenth = self._tenths()
        if tenth > self._tenth or now - self._said >= LINE_SECONDS:
            self._tenth, self._said = tenth, now
            self.note(self._line(now))

    def note(self, text: str) -> None:
        """Print the line."""
        print(text, file=sys.stderr, flush=True)  # noqa: T201 - stderr is this module's job

    def _tenths(self) -> int:
        return LINE_PARTS * self._count // self._total if self._total else 0

    def _line(self, now: float) -> str:
        rate = self._fresh / max(now - self._began, 1e-3)
        text = f"{self._name}: {self._count / MEGA:.1f} MB"
        if self._total:
            share = 100 * self._count // self._total
            text += f" of {self._total / MEGA:.1f} MB ({share} %)"
        text += f", {rate / MEGA:.1f} MB/s"
        if self._total and rate > 0 and self._count < self._total:
            text += f", {(self._total - self._count) / rate:.0f} s left"
        return text


class BarProgress(Progress):
    """One tqdm bar with rate and time left: for terminals."""

    visible = True

    def __init__(self) -> None:
        self._bar: tqdm[Any] | None = None

    def start(self, name: str, total: int | None, source: str, resumed: int) -> None:
        """Say what comes from where, and draw the bar."""
        from tqdm import tqdm

        self.done()
        self.note(f"{name}{_size(total)} from {source}{_resumed(resumed)}")
        self._bar = tqdm(
            total=total,
            initial=resumed,
            desc=name,
            unit="B",
            unit_scale=True,
            file=sys.stderr,
            # Asked by tqdm itself, a terminal of unknown size gets no bar at all.
            ncols=os.get_terminal_size(sys.stderr.fileno()).columns or 80,
            nrows=20,
            leave=False,
        )

    def advance(self, count: int) -> None:
        """Move the bar."""
        if self._bar is not None:
            self._bar.update(count)

    def note(self, text: str) -> None:
        """Print the line above the bar."""
        if self._bar is not None:
            self._bar.write(text, file=sys.stderr)
        else:
            print(text, file=sys.stderr, flush=True)  # noqa: T201 - stderr is this module's job

    def done(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None


class CallbackProgress(Progress):
    """Calls a function at each step; what it raises ends the transfer, which can be resumed."""

    def __init__(self, callback: ProgressCallback) -> None:
        self._callback = callback
        self._name = ""
        self._total: int | None = None
        self._count = 0

    def start(self, name: str, total: int | None, source: str, resumed: int) -> None:
        """Report what is there already."""
        self._name, self._total, self._count = name, total, resumed
        self._callback(name, resumed, total)

    def advance(self, count: int) -> None:
        """Report the bytes that are there now, where there are new ones."""
        if count:
            self._count += count
            self._callback(self._name, self._count, self._total)


def progress_for(shown: bool | ProgressCallback) -> Progress:
    """Return the progress that suits where stderr goes.

    Parameters
    ----------
    shown : bool or callable
        Whether to show anything; a function is called in place of that.
    """
    if callable(shown):
        return CallbackProgress(shown)
    if not shown:
        return Progress()
    return BarProgress() if sys.stderr.isatty() else LineProgress()


def _size(total: int | None) -> str:
    return "" if total is None else f" ({total / MEGA:.1f} MB)"


def _resumed(count: int) -> str:
    return f", resumed at {count / MEGA:.1f} MB" if count else ""
