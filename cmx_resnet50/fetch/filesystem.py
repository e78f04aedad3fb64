"""Takes a file of an fsspec file system as a source: piece by piece, resumed and verified."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

from cmx_resnet50.digests import Expected
from cmx_resnet50.fetch.errors import Final, Passing, Restart
from cmx_resnet50.fetch.http.concurrency import Ramp
from cmx_resnet50.fetch.http.response import Validator
from cmx_resnet50.fetch.model import FetchOptions, Progress, Source
from cmx_resnet50.fetch.partial_file.file import Part
from cmx_resnet50.fetch.partial_file.journal import Header
from cmx_resnet50.fetch.retry import Patience
from cmx_resnet50.remote.filesystems import bounded, opened, told

FIRST_PIECE = 1 << 20
LARGEST_PIECE = 16 << 20
"""Bytes; pieces grow as long as they come quickly, so that a time-out is never far."""
QUICK, SLOW = 1.0, 5.0
"""Seconds below which the next piece is larger, and above which it is smaller."""

T = TypeVar("T")


class FilesystemTransfer:
    """One source's run at a file, with the face of `Transfer`."""

    encoded = ""
    content_type = ""
    status: int | None = None

    def __init__(
        self,
        source: Source,
        part: Part,
        header: Header,
        expected: Expected,
        options: FetchOptions,
        patience: Patience,
        *,
        recalled: Validator | None,
    ) -> None:
        self.url = source.url
        self.transferred = 0
        self.reached = False
        self._source = source
        self._part = part
        self._header = header
        self._expected = expected
        self._options = options
        self._patience = patience
        self._recalled = recalled
        self._filesystem: Any = None
        self._path = ""

    def run(self, progress: Progress, name: str) -> None:
        """Fetch all that is missing.

        Raises
        ------
        Final, Restart
            If the source is of no use, or has to give the file from nothing.
        SpaceError
            If the disk has no room.
        """
        part = self._part
        size, version = self._patiently(self._look, progress, name)
        if self._expected.size not in (None, size):
            raise Final(f"the file there has {size:,} bytes, not {self._expected.size:,}")
        if not size:
            raise Final("the file there is empty")
        if part.total not in (None, size):
            raise Restart(f"the file there has {size:,} bytes, not {part.total:,}")
        if self._recalled is not None and self._recalled.differs(version):
            raise Restart("the remote file changed while it was fetched")
        part.open(replace(self._header, size=size, etag=version.etag), size)
        progress.start(name, size, self._source.printable, part.coverage.count)
        length = FIRST_PIECE
        for start, end in list(part.coverage.gaps(size)):
            while start < end:
                began = time.monotonic()
                upto = min(end, start + length)
                self._take(start, upto, progress, name)
                start, lapse = upto, time.monotonic() - began
                if lapse < QUICK:
                    length = min(2 * length, LARGEST_PIECE)
                elif lapse > SLOW:
                    length = max(length // 2, FIRST_PIECE // 4)

    def _look(self) -> tuple[int, Validator]:
        """Return the size of the file there, and what tells its version."""
        if self._filesystem is None:
            self._filesystem, self._path = opened(self.url)
        info = self._filesystem.info(self._path)
        size = info.get("size")
        if info.get("type") != "file" or not isinstance(size, int):
            raise Final("it is no file")
        marks = (info.get(key) for key in ("ETag", "etag", "mtime", "LastModified", "created"))
        return size, Validator(etag=next((str(mark) for mark in marks if mark), ""))

    def _take(self, start: int, end: int, progress: Progress, name: str) -> None:
        def read() -> bytes:
            data: bytes = self._filesystem.cat_file(self._path, start=start, end=end)
            return data

        data = self._patiently(read, progress, name)
        if len(data) != end - start:
            raise Restart(f"{len(data):,} bytes came in place of {end - start:,}")
        self.transferred += len(data)
        with self._part.changed:
            self._part.write(start, data)
            self._part.log(start, end)
        progress.advance(len(data))

    def _patiently(self, call: Callable[[], T], progress: Progress, name: str) -> T:
        """Return what `call` returns, tried again as long as the patience lasts."""
        ramp = Ramp(1)
        while True:
            time.sleep(max(0.0, self._patience.until - time.monotonic()))
            try:
                limit = self._options.connect_timeout + self._options.read_timeout
                answer = bounded(call, limit)
            except Final:
                raise
            except (FileNotFoundError, PermissionError, IsADirectoryError) as error:
                self.reached = True
                raise Final(told(error)) from None
            except Exception as error:
                trouble = Passing(told(error))
                count = self._part.coverage.count
                final = self._patience.failed(trouble, count, ramp, others=False)
                if final is not None:
                    raise final from None
                note, self._patience.note = self._patience.note, None
                if note is not None:
                    progress.note(f"{name}: {note}.")
            else:
                self.reached = True
                return answer
