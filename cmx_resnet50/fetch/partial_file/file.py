"""The partial file: its bytes, which of them are present, and the journal that records it.

One condition guards all of it. Every writer holds it, so that no byte is written after the file
was declared complete or given up.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from cmx_resnet50.digests import Digests, Expected
from cmx_resnet50.fetch.errors import FetchError, SpaceError, amount
from cmx_resnet50.fetch.partial_file.buffers import Buffers
from cmx_resnet50.fetch.partial_file.hashing import Digester
from cmx_resnet50.fetch.partial_file.journal import Header, Journal
from cmx_resnet50.fetch.partial_file.ranges import RangeSet
from cmx_resnet50.fetch.partial_file.writeback import Writeback
from cmx_resnet50.limits import limit_of, no_inode

ENDLESS = 1 << 62
"""Stands for the size of a file while it is unknown."""

NOTIFY = 1 << 20
"""Bytes by which the prefix grows before the digests are woken: waking costs time, too."""

DIGESTING = 10.0
"""Seconds to wait for the digests of bytes that are there."""


class PartialFile:
    """A file that is being assembled at `path`, with its journal next to it."""

    def __init__(self, path: Path, name: str) -> None:
        self.path = path
        self.name = name
        self.changed = threading.Condition()
        self.ranges = RangeSet()
        self.total: int | None = None
        self.journal = Journal(path.with_name(path.name + ".journal"))
        self._file: IO[bytes] | None = None
        self._digester: Digester | None = None
        self._writeback: Writeback | None = None
        self._notified = 0
        self.buffers = Buffers()

    def load(self, expected: Expected) -> Header | None:
        """Load what an earlier run left of the same file; return what it belongs to."""
        found = self.journal.read()
        if found is None or not self.path.is_file():
            return None
        header, ranges = found
        if not header.belongs_to(expected):
            return None
        self.ranges = ranges.clipped(self.path.stat().st_size)
        if not self.ranges.count:
            return None
        self.total = header.size
        return header

    def open(self, header: Header | None, total: int | None, *, reserve: bool) -> None:
        """Make room for `total` bytes, write the journal anew, start the digests.

        Parameters
        ----------
        header : Header, optional
            None where the size is unknown: such a file cannot be continued.
        total : int, optional
            The size that the source announces.
        reserve : bool
            Whether `total` is plausible, so that the disk may allocate all of it now.

        Raises
        ------
        SpaceError
            If the disk has no room.
        """
        self.total = total
        with self._disk():
            if self._file is None:
                # Not "w+": existing bytes are kept.
                flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0)
                # Never through a link; and others of a group may continue it, as a copy.
                flags |= getattr(os, "O_NOFOLLOW", 0)
                descriptor = os.open(self.path, flags, 0o644)
                self._file = os.fdopen(descriptor, "r+b", buffering=0)
            if total is not None:
                self._make_room(self._file, total, reserve=reserve)
            if header is None:
                self.journal.drop()
            else:
                self.journal.begin(header, self.ranges)
        if self._digester is None:
            self._digester = Digester(
                self.path, self.changed, lambda: self.ranges.prefix, self.buffers
            )
        if self._writeback is None:
            self._writeback = Writeback(self.path, self.changed, lambda: self.ranges.count)

    def _make_room(self, file: IO[bytes], total: int, *, reserve: bool) -> None:
        status = os.fstat(file.fileno())
        there = min(getattr(status, "st_blocks", 0) * 512, total)
        free = shutil.disk_usage(self.path.parent).free
        if total - there > free:
            raise SpaceError(
                f"{self.name} needs {amount(total - there)} more at {self.path.parent}, and only "
                f"{amount(free)} are free there. Free some space (cmx-resnet50 prune shows what "
                "nothing uses), or name a store on another disk with CM_RESNET50_STORE."
            )
        try:
            if reserve and total and hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, total)
            file.truncate(total)
        except OSError as error:
            if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS):
                raise
            file.truncate(total)

    @contextlib.contextmanager
    def _disk(self) -> Iterator[None]:
        """Translate errors of the disk: those of the network are `OSError` too."""
        try:
            yield
        except OSError as error:
            raise self._disk_error(error) from None

    def _disk_error(self, error: OSError) -> FetchError:
        limit = limit_of(error)
        if error.errno in (errno.ENOSPC, errno.EDQUOT) and no_inode(self.path.parent):
            return SpaceError(
                f"{self.name} cannot be written to {self.path.parent}: its file system has no "
                "inode for one more file (df -i). Remove files there, or name another folder."
            )
        if limit is not None:
            kind = SpaceError if error.errno == errno.EFBIG else FetchError
            return kind(
                f"{self.name} cannot be written to {self.path.parent}: {limit} What is there is "
                "kept; the next run continues from it."
            )
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            free = shutil.disk_usage(self.path.parent).free
            size = "" if self.total is None else f" of {amount(self.total)}"
            return SpaceError(
                f"{self.name}{size} does not fit at {self.path.parent}: "
                f"{os.strerror(error.errno)}, {amount(self.ranges.count)} are there and "
                f"{amount(free)} are free. The bytes are kept; the next run continues from them."
            )
        return FetchError(f"{self.path} cannot be written: {error.strerror or error}.")

    def write(self, position: int, data: memoryview) -> None:
        """Write `data` at `position`; the caller holds the condition, and alters `data` no more."""
        assert self._file is not None and self._digester is not None  # noqa: S101 - open() is first
        start, left = position, data
        self._file.seek(position)
        try:
            with self._disk():
                while left:
                    count = self._file.write(left)
                    position += count
                    left = left[count:]
        finally:
            self.ranges.add(start, position)
        self._digester.offer(start, data)
        if self.ranges.prefix - self._notified >= NOTIFY:
            self._notified = self.ranges.prefix
            self.changed.notify_all()

    def log(self, start: int, end: int) -> None:
        """Record in the journal that these bytes are written; the caller holds the condition."""
        with self._disk():
            self.journal.add(start, end)

    def complete_size(self, expected: Expected) -> int | None:
        """Return how many bytes are there, if they have the right digest.

        That may be fewer than a source announced. Waits for the digests, unless more bytes come.
        """
        size = self.ranges.prefix
        deadline = time.monotonic() + DIGESTING
        while expected.verifiable and size and time.monotonic() < deadline:
            with self.changed:
                if self._digester is None or not self._digester.follows:
                    return None
                if not size == self.ranges.prefix == self.ranges.count:
                    return None
                digests = self._digester.so_far(size)
                if digests is not None:
                    return size if expected.mismatch(digests) is None else None
                self.changed.notify_all()
            time.sleep(0.002)
        return None

    def end_at(self, size: int) -> None:
        """Let the file end after `size` bytes; the caller holds the condition."""
        self.total = size
        if self._file is not None:
            with self._disk():
                self._file.truncate(size)

    def clear(self) -> None:
        """Discard everything: the file starts again from byte 0."""
        with self.changed:
            self.stop_digests()
            self.journal.drop()
            self.ranges = RangeSet()
            self.total = None
            self._notified = 0
            if self._file is not None:
                self._file.truncate(0)

    def stop_digests(self) -> None:
        """End the digests; the caller holds the condition."""
        if self._digester is not None:
            self._digester.stop()
            self._digester = None

    def digests(self) -> Digests:
        """Wait until the complete file is digested, and return the digests."""
        assert self._digester is not None and self.total is not None  # noqa: S101 - as above
        with self._disk():
            return self._digester.result(self.total)

    def remove_useless(self) -> None:
        """Remove a closed file that no later run could continue."""
        if not (self.ranges.count and self.journal.path.exists()):
            with contextlib.suppress(OSError):
                self.journal.drop()
                self.path.unlink()

    def close(self) -> None:
        """Close everything that is open; file and journal stay as they are."""
        with self.changed:
            self.stop_digests()
            if self._writeback is not None:
                self._writeback.stop()
                self._writeback = None
            self.journal.close()
            if self._file is not None:
                self._file.close()
                self._file = None
