"""Bytes from one file to a new one: reflink, hard link or copy, under a temporary name."""

from __future__ import annotations

import os
import re
import sys
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from cmx_resnet50.store.files import children, open_regular
from cmx_resnet50.store.model import StoreError
from cmx_resnet50.store.write_errors import require_space

_FICLONE = 0x40049409
"""ioctl number of FICLONE, linux/fs.h: ``_IOW(0x94, 9, int)``."""


def reflink(source: Path, target: Path) -> bool:
    """Make `target` share the blocks of `source`, each to be changed by itself.

    Returns False, and leaves nothing, where the system or the file system cannot.
    """
    if sys.platform == "win32":
        return False
    import fcntl

    with open(open_regular(source), "rb", buffering=0) as file:
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            fcntl.ioctl(descriptor, _FICLONE, file.fileno())
            os.fsync(descriptor)
        except OSError:
            target.unlink()
            return False
        finally:
            os.close(descriptor)
    return True


def copy(source: Path, target: Path, size: int, what: str = "") -> None:
    """Write the bytes of `source` to the new file `target`, and to the disk.

    Raises
    ------
    StoreError
        If there is no room, or `source` has more than `size` bytes.
    """
    require_space(target.parent, size, what or source.name)
    from cmx_resnet50.digests import new_buffer

    buffer = new_buffer()
    with (
        open(open_regular(source), "rb", buffering=0) as reader,
        open(target, "xb", buffering=0) as writer,
    ):
        left = size
        while count := reader.readinto(buffer):
            left -= count
            if left < 0:
                raise StoreError(f"{source} became longer than {size:,} bytes while it was copied.")
            block = buffer[:count]
            while block:
                block = block[writer.write(block) :]
        os.fsync(writer.fileno())


def clone(source: Path, target: Path, size: int, what: str = "") -> str:
    """Make `target` a file of its own with the bytes of `source`; returns the method."""
    if reflink(source, target):
        return "reflink"
    copy(source, target, size, what)
    return "copy"


def temporary_beside(path: Path) -> Path:
    """Return a fresh temporary name beside `path`, which `stale` knows again."""
    return path.with_name(f"{_prefix(path)}{os.getpid()}-{os.urandom(4).hex()}")


def stale(path: Path) -> Iterator[Path]:
    """Yield what ended processes of this host left beside `path` under temporary names."""
    others: list[Path] = []
    with suppress(StoreError):
        others = children(path.parent)
    pattern = re.compile(re.escape(_prefix(path)) + r"(\d+)-[0-9a-f]{8}") if others else None
    for other in others:
        match = pattern.fullmatch(other.name) if pattern else None
        if match and not _alive(int(match[1])):
            yield other


def remove_stale(path: Path) -> None:
    """Remove the files among what is `stale` beside `path`."""
    for other in stale(path):
        with suppress(OSError):
            other.unlink()


def _prefix(path: Path) -> str:
    from socket import gethostname

    # A sum in place of the name, which may fill all of its 255 bytes; the host and the
    # namespace of its process numbers, so that a process of another machine or container is
    # not taken for a dead one of ours.
    host = re.sub(r"[^A-Za-z0-9]", "_", gethostname())[:64]
    space = 0
    with suppress(OSError):
        space = Path("/proc/self/ns/pid").stat().st_ino
    return f".cmx-{zlib.crc32(os.fsencode(path.name)):08x}-{host}-{space}-"


def _alive(pid: int) -> bool:
    if os.name == "nt":
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True
