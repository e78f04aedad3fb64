"""Takes a file of this machine (``file://``) as a source like any other: copied and verified."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from cmx_resnet50.digests import CHUNK, Expected
from cmx_resnet50.fetch.errors import Final
from cmx_resnet50.fetch.model import Progress, Source
from cmx_resnet50.fetch.partial_file.file import Part


def copy(source: Source, part: Part, expected: Expected, progress: Progress) -> None:
    """Copy the file that `source` names into `part`, from nothing.

    Raises
    ------
    Final
        If it cannot be read, or has another size than expected.
    SpaceError
        If the disk has no room.
    """
    path = path_of(source.url)
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise Final("it is no file")
        if expected.size not in (None, status.st_size):
            raise Final(f"it has {status.st_size:,} bytes, not {expected.size:,}")
        with open(path, "rb", buffering=0) as file:
            part.clear()
            part.open(None, status.st_size)
            progress.start(part.name, status.st_size, source.printable, 0)
            position = 0
            while data := file.read(min(CHUNK, status.st_size - position)):
                with part.changed:
                    part.write(position, data)
                position += len(data)
                progress.advance(len(data))
    except OSError as error:
        raise Final(f"it cannot be read: {os.strerror(error.errno or 0)}") from None
    if position != status.st_size:
        raise Final("it became shorter while it was read")


def path_of(url: str) -> Path:
    """Return the path that a ``file://`` URL names.

    Raises
    ------
    Final
        If it names another host, or holds a NUL.
    """
    parts = urlsplit(url)
    if parts.netloc not in ("", "localhost"):
        raise Final("a file:// URL may not name a host")
    path = url2pathname(parts.path)
    if "\0" in path:
        raise Final("the path cannot be used")
    return Path(path)
