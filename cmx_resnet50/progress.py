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
"""Takes the name of a file, the bytes that are there, and its size as far as it is known."""


class Progress:
    """What a transfer reports to. This base shows nothing."""

    visible = False
    """Whether it is printed, so that a library with a display of its own may show that."""

    def start(self, name: str, total: int | None, source: str, resumed: int) -> None:
        """Begin with a file, or begin again from another source or from byte 0.

        Parameters
        ----------
        name : str
            File name, as a user knows it.
        total : int, optional
            Size in bytes, as far as it is known.
        source : str
            Where the bytes come from or go to, without secrets.
        resumed : int
            Bytes that are there already.
        """

    def advance(self, count: int) -> None:
        """Count `count` more bytes as done."""

    def note(self, text: str) -> None:
        """Show one line that matters now."""

    def done(self) -> None:
        """End; a second call does nothing."""


class ConsoleProgress(Progress):
    """A tqdm bar where stderr is a terminal; elsewhere a line every tenth or every 30 s."""

    visible = True

    def __init__(self) -> None:
        self._draws_bar = sys.stderr.isatty()
        self._bar: tqdm[Any] | None = None
        self._name = ""
        self._total: int | None = None
        self._count = self._resumed = 0
        self._started_at = self._printed_at = 0.0
        self._tenth = 0

    def start(self, name: str, total: int | None, source: str, resumed: int) -> None:
        """Print what comes from where; draw the bar on a terminal."""
        self.done()
        self._name, self._total, self._count, self._resumed = name, total, resumed, resumed
        self._started_at = self._printed_at = time.monotonic()
        self._tenth = self._tenths()
        size = "" if total is None else f" ({total / MEGA:.1f} MB)"
        kept = f", resumed at {resumed / MEGA:.1f} MB" if resumed else ""
        self.note(f"{name}{size} from {source}{kept}")
        if self._draws_bar:
            self._bar = _bar(name, total, resumed)

    def advance(self, count: int) -> None:
        """Move the bar; or print a line when a tenth is complete or enough time has passed."""
        if self._bar is not None:
            self._bar.update(count)
            return
        self._count += count
        now = time.monotonic()
        tenth = self._tenths()
        if tenth > self._tenth or now - self._printed_at >= LINE_SECONDS:
            self._tenth, self._printed_at = tenth, now
            self.note(self._line(now))

    def note(self, text: str) -> None:
        """Print the line, above the bar if there is one."""
        if self._bar is not None:
            self._bar.write(text, file=sys.stderr)
        else:
            print(text, file=sys.stderr, flush=True)  # noqa: T201 - stderr is this module's job

    def done(self) -> None:
        """Remove the bar."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _tenths(self) -> int:
        return LINE_PARTS * self._count // self._total if self._total else 0

    def _line(self, now: float) -> str:
        rate = (self._count - self._resumed) / max(now - self._started_at, 1e-3)
        text = f"{self._name}: {self._count / MEGA:.1f} MB"
        if self._total:
            share = 100 * self._count // self._total
            text += f" of {self._total / MEGA:.1f} MB ({share} %)"
        text += f", {rate / MEGA:.1f} MB/s"
        if self._total and rate > 0 and self._count < self._total:
            text += f", {(self._total - self._count) / rate:.0f} s left"
        return text


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
    """Return the progress that fits `shown`.

    Parameters
    ----------
    shown : bool or callable
        Whether to show anything; a function is called in place of that.
    """
    if callable(shown):
        return CallbackProgress(shown)
    # A process that was started with stderr closed has none.
    return ConsoleProgress() if shown and sys.stderr is not None else Progress()


def _bar(name: str, total: int | None, resumed: int) -> tqdm[Any]:
    from tqdm import tqdm

    return tqdm(
        total=total,
        initial=resumed,
        desc=name,
        unit="B",
        unit_scale=True,
        file=sys.stderr,
        # tqdm itself draws no bar on a terminal that reports no size.
        ncols=os.get_terminal_size(sys.stderr.fileno()).columns or 80,
        nrows=20,
        leave=False,
    )
