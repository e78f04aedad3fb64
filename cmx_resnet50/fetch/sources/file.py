"""Copies a file of this machine (``file://``), verified like any other source."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from cmx_resnet50.fetch.transfer import Transfer, too_large
from cmx_resnet50.fetch.verdicts import SourceFailed
from cmx_resnet50.progress import Progress


class FileTransfer(Transfer):
    """Copies the whole file, from byte 0."""

    def run(self, progress: Progress) -> None:
        """Copy the file that the source names."""
        partial, expected = self.task.partial, self.task.expected
        self.reached = True
        path = path_of(self.task.source.url)
        try:
            status = path.stat()
            if not stat.S_ISREG(status.st_mode):
                raise SourceFailed("not a regular file")
            if expected.size not in (None, status.st_size):
                raise SourceFailed(f"it has {status.st_size:,} bytes, not {expected.size:,}")
            if status.st_size > self.task.limit():
                raise SourceFailed(too_large(status.st_size, self.task.limit()))
            with open(path, "rb", buffering=0) as file:
                partial.clear()
                self.started_over = True
                partial.open(None, status.st_size, reserve=expected.most is not None)
                progress.start(partial.name, status.st_size, self.task.source.printable, 0)
                position = 0
                while position < status.st_size:
                    buffer = memoryview(partial.buffers.take())
                    count = file.readinto(buffer[: status.st_size - position])
                    if not count:
                        break
                    with partial.changed:
                        partial.write(position, buffer[:count])
                    position += count
                    progress.advance(count)
        except OSError as error:
            reason = missing_folder(path.parent) or os.strerror(error.errno or 0)
            raise SourceFailed(f"it cannot be read: {reason}") from None
        if position != status.st_size:
            raise SourceFailed("it became shorter while it was read")


def missing_folder(folder: Path) -> str | None:
    """Return which of `folder` and the folders above it does not exist, in words, if one does not.

    That of a wrong path, or of a disk that is not mounted, is named and not one inside it.
    """
    try:
        missing = [place for place in (folder, *folder.parents) if not place.exists()]
    except OSError:
        return None
    return f"the folder {missing[-1]} does not exist" if missing else None


def path_of(url: str) -> Path:
    """Return the path that a ``file://`` URL names.

    Raises
    ------
    SourceFailed
        If it names another host, or holds a NUL.
    """
    parts = urlsplit(url)
    if parts.netloc not in ("", "localhost"):
        raise SourceFailed("a file:// URL may not name a host")
    path = url2pathname(parts.path)
    if "\0" in path:
        raise SourceFailed("the path cannot be used")
    return Path(path)
