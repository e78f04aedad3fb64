"""Stamps: the state of a file's inode when its bytes were last compared with their digest.

A file whose size, mtime, ctime and inode number are as recorded is taken as unchanged without
being read. Nobody can set a ctime, so a change under a restored mtime shows; so does every other
change of the inode, such as a link made or removed, after which the digest decides and the stamp
is taken again. Two things do not show: a write within one tick of the file system's clock after
the stamp was taken (4 ms on older Linux kernels), and a write through a shared memory map that
the owner of the file made before, which moves no time until the kernel writes the page back.
The device is left out: its number changes with mounts and restarts.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from cmx_resnet50.store.files import open_regular, regular

if TYPE_CHECKING:
    from cmx_resnet50.digests import Digests


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
        """Read what `text` wrote; None where it is not a stamp."""
        try:
            size, mtime, ctime, inode = map(int, (text or "").split())
        except ValueError:
            return None
        return cls(size, mtime, ctime, inode)

    @property
    def text(self) -> str:
        """The stamp as text."""
        return f"{self.size} {self.mtime} {self.ctime} {self.inode}"


def compare(path: Path, size: int, sha256: str) -> tuple[bool, os.stat_result | None]:
    """Read the regular file at `path` and compare its sha256.

    Returns
    -------
    bool
        Whether the bytes are right.
    os.stat_result or None
        A status that is safe to take a stamp from: it was the same before and after reading.
    """
    status = regular(path)
    if status is None or status.st_size != size:
        return False, None
    import hashlib

    digest = hashlib.sha256()
    try:
        settled = _read(path, digest.update)
    except OSError:
        return False, None
    if digest.hexdigest() != sha256:
        return False, None
    return True, settled


def measure(path: Path, *, seal: bool = False) -> tuple[Digests, os.stat_result | None] | None:
    """Return both digests of the regular file at `path`, and a status as `compare` does.

    Parameters
    ----------
    seal : bool
        Whether the file loses the right to be written.

    Returns
    -------
    tuple or None
        None where there is no regular file that can be read.
    """
    from cmx_resnet50.digests import Hasher

    hasher = Hasher()
    try:
        settled = _read(path, hasher.update, seal=seal)
    except OSError:
        return None
    return hasher.digests, settled


def _read(
    path: Path, update: Callable[[memoryview], object], *, seal: bool = False
) -> os.stat_result | None:
    from cmx_resnet50.digests import new_buffer

    with open(open_regular(path), "rb", buffering=0) as file:
        descriptor = file.fileno()
        if seal and sys.platform != "win32" and os.fstat(descriptor).st_mode & 0o222:
            with suppress(OSError):
                os.fchmod(descriptor, 0o444)
        before = os.fstat(descriptor)
        buffer = new_buffer()
        while count := file.readinto(buffer):
            update(buffer[:count])
        after = os.fstat(descriptor)
    return after if Stamp.of(before) == Stamp.of(after) else None
