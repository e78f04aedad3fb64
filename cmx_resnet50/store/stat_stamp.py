"""Stamps: what a file's inode said when its bytes were last known to be right.

A file whose size, mtime, ctime and inode are as recorded is taken for whole without being
read. Nobody can set a ctime, so a change under a restored mtime shows; so does every other
change of the inode, such as a link made or removed, after which the digest decides and the
stamp is taken again. What happens within one tick of the file system's clock after a stamp
was taken (4 ms on older Linux kernels) does not show. The device is left out: its number
changes with mounts and restarts.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from cmx_resnet50.store.files import open_regular, regular


class Stamp(NamedTuple):
    """Size in bytes, times in nanoseconds, inode number."""

    size: int
    mtime: int
    ctime: int
    inode: int

    @classmethod
    def of(cls, status: os.stat_result) -> Stamp:
        """The stamp that a file with this status has now."""
        return cls(status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)

    @classmethod
    def parse(cls, text: str | None) -> Stamp | None:
        """Read what `text` wrote; None where it is no stamp."""
        try:
            size, mtime, ctime, inode = map(int, (text or "").split())
        except ValueError:
            return None
        return cls(size, mtime, ctime, inode)

    @property
    def text(self) -> str:
        """The stamp as one line."""
        return f"{self.size} {self.mtime} {self.ctime} {self.inode}\n"


def compare(
    path: Path, size: int, sha256: str, *, seal: bool = False
) -> tuple[bool, os.stat_result | None]:
    """Read the regular file at `path` and compare it.

    Parameters
    ----------
    seal : bool
        Whether a file with the right bytes shall lose the right to be written.

    Returns
    -------
    bool
        Whether the bytes are right.
    os.stat_result or None
        A status that is safe to take a stamp from: it was the same before and after reading.
    """
    import hashlib

    status = regular(path)
    if status is None or status.st_size != size:
        return False, None
    try:
        descriptor = open_regular(path)
    except OSError:
        return False, None
    with open(descriptor, "rb", buffering=0) as file:
        try:
            if seal and os.fstat(descriptor).st_mode & 0o222:
                with suppress(OSError):
                    path.chmod(0o444)
            before = os.fstat(descriptor)
            digest = hashlib.sha256()
            buffer = memoryview(bytearray(1 << 20))
            while count := file.readinto(buffer):
                digest.update(buffer[:count])
        except OSError:
            return False, None
        after = os.fstat(descriptor)
    if digest.hexdigest() != sha256:
        return False, None
    return True, after if Stamp.of(before) == Stamp.of(after) else None
