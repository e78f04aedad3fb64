"""Digests that follow a growing file, as far as it is complete from byte 0 on.

md5 and sha256 each have a thread: md5 alone takes longer than a fast transfer, and hashlib
lets other threads run. They take what was written last from memory, and read everything else
from the file, so that ranges may come in any order and memory stays small.
"""

from __future__ import annotations

import hashlib
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path

from cmx_resnet50.digests import Digests
from cmx_resnet50.fetch import threads
from cmx_resnet50.fetch.partial_file.buffers import Buffers

BLOCK = 512 * 1024
"""Bytes read from the file at once."""

SMALL = 64 * 1024
"""The same where memory is short."""

RECENT = 4 << 20
"""Bytes kept in memory of what was written last."""


class Digester:
    """Both digests of the file at `path`, of which `prefix()` bytes are present.

    Parameters
    ----------
    path : Path
        The file, which exists.
    changed : threading.Condition
        Held while `prefix` is called; notified when it has grown.
    prefix : callable
        Returns how many bytes are present from byte 0 on.
    buffers : Buffers
        Where the memory goes that is no longer needed.
    """

    def __init__(
        self,
        path: Path,
        changed: threading.Condition,
        prefix: Callable[[], int],
        buffers: Buffers,
    ) -> None:
        self._path = path
        self._changed = changed
        self._prefix = prefix
        self._stopped = False
        self._end: int | None = None
        self._error: OSError | None = None
        self._buffers = buffers
        self._recent: deque[tuple[int, memoryview]] = deque()
        self._kept = 0
        self._read: list[memoryview | None] = [None, None]
        """What each digest takes from memory right now."""
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._sha256 = hashlib.sha256()
        self._positions = [0, 0]
        """How many bytes each digest has taken."""
        self._threads = [
            threading.Thread(target=self._follow, args=(number, digest), daemon=True)
            for number, digest in enumerate((self._md5, self._sha256))
        ]
        self._late: list[int] = []
        """Digests for which no thread or no memory was to be had; `result` computes them."""
        for number, thread in enumerate(self._threads):
            try:
                threads.start(thread)
            except RuntimeError:
                self._late.append(number)

    def stop(self) -> None:
        """End soon; the caller holds the condition."""
        self._stopped = True
        self._changed.notify_all()

    def offer(self, position: int, data: memoryview) -> None:
        """Remember what was just written at `position`; the caller holds the condition."""
        if len(self._late) == len(self._threads):
            self._buffers.give_back(data)
            return
        self._recent.append((position, data))
        self._kept += len(data)
        while self._kept > RECENT:
            _, old = self._recent.popleft()
            self._kept -= len(old)
            if not any(old.obj is view.obj for view in self._read if view is not None):
                self._buffers.give_back(old)

    def result(self, size: int) -> Digests:
        """Wait until all `size` bytes are digested, and return the digests.

        Raises
        ------
        OSError
            If the file could not be read.
        """
        with self._changed:
            self._end = size
            self._changed.notify_all()
        for thread in self._threads:
            while thread.is_alive():
                # With a time limit, so that ctrl-C is noticed.
                thread.join(1.0)
        for number in self._late:
            self._read_on(number, (self._md5, self._sha256)[number], SMALL)
        if self._error is not None:
            raise self._error
        return Digests(self._md5.hexdigest(), self._sha256.hexdigest(), size)

    @property
    def follows(self) -> bool:
        """Whether the digests are computed while the file grows."""
        return not self._late

    def so_far(self, size: int) -> Digests | None:
        """Return the digests of the first `size` bytes, None where there are more or fewer yet."""
        if self._positions != [size, size]:
            return None
        return Digests(self._md5.hexdigest(), self._sha256.hexdigest(), size)

    def _follow(self, number: int, digest: hashlib._Hash) -> None:
        try:
            self._read_on(number, digest, BLOCK)
        except OSError as error:
            self._error = error
        except MemoryError:
            self._late.append(number)

    def _read_on(self, number: int, digest: hashlib._Hash, size: int) -> None:
        """Take what follows the bytes that the digest has, to the end."""
        position = self._positions[number]
        buffer = memoryview(bytearray(size))
        with open(self._path, "rb", buffering=0) as file:
            while True:
                with self._changed:
                    while (
                        not self._stopped and self._end != position and self._prefix() <= position
                    ):
                        self._changed.wait()
                    if self._stopped or self._end == position:
                        return
                    block = self._read[number] = self._remembered(position)
                    end = self._prefix() if self._end is None else self._end
                if block is None:
                    file.seek(position)
                    count = file.readinto(buffer[: min(size, end - position)])
                    if not count:
                        raise OSError(f"{self._path} became shorter while it was read")
                    block = buffer[:count]
                digest.update(block)
                self._read[number] = None
                position += len(block)
                self._positions[number] = position

    def _remembered(self, position: int) -> memoryview | None:
        """Return what is in memory from `position` on; the caller holds the condition."""
        for start, data in self._recent:
            if start <= position < start + len(data):
                return data[position - start :]
        return None
