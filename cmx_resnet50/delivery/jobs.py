"""Several requests at the same time, in threads that an interrupt of the main thread stops, too.

A thread of Python cannot be interrupted, but a transfer ends when its progress raises: each thread
has a progress of its own, which does that once the main thread has stopped waiting.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from typing import TypeVar

from cmx_resnet50.progress import Progress

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")
_ENDS = 5.0
"""Seconds that stopped threads have to end. One that waits for a server without showing it takes
longer; the process does not wait for that one."""


class StoppableProgress(Progress):
    """Shows what another progress shows, until the event is set: then each call raises.

    Parameters
    ----------
    shown : Progress
        What is shown.
    stopped : threading.Event
        Set where the transfer has to end.
    """

    def __init__(self, shown: Progress, stopped: threading.Event) -> None:
        self._shown = shown
        self._stopped = stopped
        self.visible = shown.visible

    def start(self, name: str, total: int | None, source: str, resumed: int) -> None:
        """Begin with a file."""
        self._check()
        self._shown.start(name, total, source, resumed)

    def advance(self, count: int) -> None:
        """Count bytes as done."""
        self._check()
        self._shown.advance(count)

    def note(self, text: str) -> None:
        """Show one line."""
        self._check()
        self._shown.note(text)

    def done(self) -> None:
        """End."""
        self._shown.done()

    def _check(self) -> None:
        if self._stopped.is_set():
            raise KeyboardInterrupt


def run_jobs(
    workers: Sequence[Callable[[_Item], _Result]],
    items: Sequence[_Item],
    stopped: threading.Event,
) -> Iterator[_Result]:
    """Yield what a worker makes of each item, in the order of the items.

    Parameters
    ----------
    workers : sequence of callables
        As many items are in work at the same time. A worker has one at a time.
    items : sequence
        What to work on.
    stopped : threading.Event
        Set when nobody waits for results any more: the workers have to end then.
    """
    waiting = deque((item, Future[_Result]()) for item in items)
    futures = [future for _, future in waiting]

    def serve(worker: Callable[[_Item], _Result]) -> None:
        while not stopped.is_set():
            try:
                item, future = waiting.popleft()
            except IndexError:
                return
            try:
                future.set_result(worker(item))
            except BaseException as error:  # The main thread raises it.
                future.set_exception(error)

    threads = [threading.Thread(target=serve, args=(worker,), daemon=True) for worker in workers]
    try:
        for thread in threads:
            thread.start()
        for future in futures:
            yield future.result()
    finally:
        stopped.set()
        for thread in threads:
            if thread.ident is not None:
                thread.join(_ENDS)
