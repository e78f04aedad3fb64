"""Transfers a file over HTTP into a `PartialFile`, over as many connections as help.

Each connection is a `Worker` in a thread of its own. The calling thread looks after them: it adds
connections, hangs up stalled ones, and shows the progress.
"""

from __future__ import annotations

import contextlib
import threading
import time

from cmx_resnet50.errors import Resnet50Error
from cmx_resnet50.fetch.http.endpoint import Endpoint
from cmx_resnet50.fetch.http.shared_state import SharedState
from cmx_resnet50.fetch.http.worker import Worker
from cmx_resnet50.fetch.threads import start
from cmx_resnet50.fetch.transfer import Transfer, TransferTask
from cmx_resnet50.progress import Progress

QUIET = 1.0
"""Seconds without a byte after which the digest of what is there is compared."""

JOINING = 2.0
"""Seconds to wait for the threads of dropped connections."""


class HttpTransfer(Transfer):
    """A transfer over HTTP; `endpoint` has the address and the sessions."""

    def __init__(self, task: TransferTask, endpoint: Endpoint) -> None:
        super().__init__(task)
        self._partial = task.partial
        self._state = SharedState(self, endpoint)
        self._threads: list[threading.Thread] = []
        self._progress = Progress()
        self._shown = 0
        """Bytes that the progress has shown."""
        self._quiet = (time.monotonic(), 0)
        """Since when no byte came, and how many there were then."""

    def run(self, progress: Progress) -> None:
        """Fetch all that is missing."""
        self._progress = progress
        state = self._state
        try:
            with self._partial.changed:
                self._start_threads()
            if not self._threads:
                # Where no thread is to be had, this one does the work.
                Worker(state, 0, meanwhile=self._tick).run()
            while self._tick():
                pass
            if state.outcome is not None and not state.complete:
                raise state.outcome
        finally:
            self._end()

    def _tick(self) -> bool:
        """Look after the connections, and show how far they are; return whether it goes on."""
        changed, name, state = self._partial.changed, self._partial.name, self._state
        with changed:
            running = not state.is_over
            if running and self._threads:
                changed.wait(0.01 if self._may_add_connections() else 0.1)
                self._adapt()
            if running and state.retry.stalled(self.transferred):
                self._hang_up()
            resumed, state.resumed = state.resumed, None
            notes = [note for note in (state.retry.note, state.remark) if note]
            state.retry.note = state.remark = None
            count, total = self._partial.ranges.count, self._partial.total
        # Not under the condition: digests and a terminal may be slow.
        since, before = self._quiet
        if count != before:
            self._quiet = (time.monotonic(), count)
        elif running and time.monotonic() - since > QUIET:
            state.finish_if_complete()
            self._quiet = (time.monotonic(), count)
        for note in notes:
            self._progress.note(f"{name}: {note}.")
        if resumed is not None:
            self._shown = resumed
            self._progress.start(name, total, self.task.source.printable, resumed)
        if state.opened:
            self._progress.advance(max(0, count - self._shown))
            self._shown = max(count, self._shown)
        return running

    # The caller of these holds the condition.

    def _may_add_connections(self) -> bool:
        state = self._state
        return state.ranged and state.concurrency.connections < state.options.connections

    def _adapt(self) -> None:
        state = self._state
        if not state.ranged:
            return
        if state.concurrency.observe(self.transferred, state.queue.remaining):
            state.queue.share()
            self._start_threads()
        else:
            busy = [state.stats[thread] for thread in state.responses if thread in state.stats]
            remaining = state.queue.remaining // state.concurrency.connections
            state.replacer.observe(busy, state.concurrency.latency, self.transferred, remaining)

    def _start_threads(self) -> None:
        concurrency = self._state.concurrency
        while len(self._threads) < concurrency.connections:
            number = len(self._threads)
            thread = threading.Thread(target=Worker(self._state, number).run, daemon=True)
            try:
                start(thread)
            except RuntimeError:
                # The limit of threads is reached: those that there are do the work.
                concurrency.limit(number)
                return
            self._threads.append(thread)

    def _hang_up(self) -> None:
        for response in self._state.responses.values():
            with contextlib.suppress(Exception):
                response.raw.shutdown()

    def _end(self) -> None:
        state = self._state
        with self._partial.changed:
            with contextlib.suppress(Resnet50Error):
                for part in state.queue.active:
                    state.log(part)
            state.over = True
            self._partial.changed.notify_all()
            self._hang_up()
        deadline = time.monotonic() + JOINING
        for thread in self._threads:
            # One that is still connecting ends by itself; it can no longer write.
            thread.join(max(0.0, deadline - time.monotonic()))
