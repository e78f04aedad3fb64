"""A file system that fsspec knows as a mirror: Google or Azure storage, SFTP and others.

A file counts as there if its size is right and its bytes, read back, have the right digest:
there is no other mark that all of them keep.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from cmx_resnet50.mirror.target import Advance, Named, PublishError
from cmx_resnet50.redaction import redact
from cmx_resnet50.remote.filesystems import bounded, opened, told

CHUNK = 1 << 20
PATIENCE = 10
"""How many times the read time-out one step may take: some write megabytes in one."""

T = TypeVar("T")


class FilesystemTarget:
    """The files below a path."""

    local = False

    def __init__(self, url: str, read_timeout: float) -> None:
        self.printable = redact(url.rstrip("/"))
        self._limit = PATIENCE * read_timeout
        self._filesystem, root = self._asked(lambda: opened(url))
        self._root = root.rstrip("/")

    def holds(self, named: Named) -> bool:
        """Whether the file is there, by its digest."""
        path = self._at(named.name)
        info = self._asked(lambda: self._filesystem.info(path), absent=None)
        if info is None or info.get("size") != named.size:
            return False
        hasher = hashlib.sha256()
        for start in range(0, named.size, CHUNK):
            hasher.update(self._piece(path, start, min(start + CHUNK, named.size)))
        return hasher.hexdigest() == named.sha256

    def send(self, path: Path, named: Named, advance: Advance) -> None:
        """Copy the file, under another name until it is whole."""
        with open(path, "rb") as source:
            self._write(named.name, lambda: source.read(CHUNK), advance)

    def duplicate(self, first: Named, second: Named, path: Path) -> None:
        """Copy the file again: not all of these systems copy by themselves."""
        self.send(path, second, lambda count: None)

    def names(self, folder: str) -> list[str]:
        """Return the names in `folder`."""

        def listed() -> list[str]:
            self._filesystem.invalidate_cache()
            found = self._filesystem.ls(self._at(folder), detail=False)
            return sorted(str(path).rstrip("/").rpartition("/")[2] for path in found)

        return self._asked(listed, absent=[])

    def read(self, name: str, limit: int) -> bytes | None:
        """Return the beginning of a file."""

        def beginning() -> bytes:
            self._filesystem.invalidate_cache()
            path = self._at(name)
            size = int(self._filesystem.info(path)["size"])
            return bytes(self._filesystem.cat_file(path, start=0, end=min(size, limit)))

        return self._asked(beginning, absent=None)

    def write(self, name: str, content: bytes) -> None:
        """Write a file."""
        pieces = iter([content])
        self._write(name, lambda: next(pieces, b""), lambda count: None)

    def _write(self, name: str, read: Callable[[], bytes], advance: Advance) -> None:
        path = self._at(name)
        folder, _, last = path.rpartition("/")
        temporary = f"{folder}/{last[:40]}.{secrets.token_hex(8)}.part"
        self._asked(lambda: self._filesystem.makedirs(folder, exist_ok=True))
        try:
            file = self._asked(lambda: self._filesystem.open(temporary, "wb"))
            while data := read():
                self._asked(lambda data=data: file.write(data))  # type: ignore[misc]
                advance(len(data))
            self._asked(file.close)
            self._asked(lambda: self._filesystem.mv(temporary, path))
        except BaseException:
            with suppress(Exception):
                bounded(lambda: self._filesystem.rm(temporary), self._limit)
            raise

    def _piece(self, path: str, start: int, end: int) -> bytes:
        return bytes(self._asked(lambda: self._filesystem.cat_file(path, start=start, end=end)))

    def _at(self, name: str) -> str:
        return f"{self._root}/{name}"

    def _asked(self, call: Callable[[], T], **absent: Any) -> T:
        """Return what `call` returns, or `absent` where that is given and nothing is there."""
        try:
            return bounded(call, self._limit)
        except FileNotFoundError as error:
            if absent:
                value: T = absent["absent"]
                return value
            raise PublishError(f"{self.printable}: {told(error)}.") from None
        except Exception as error:
            raise PublishError(f"{self.printable}: {told(error)}.") from None
