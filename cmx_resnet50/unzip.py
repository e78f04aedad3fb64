"""Reads single members of a zip file, each within a bound; none is written under its own name."""

from __future__ import annotations

import errno
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile, ZipInfo

from cmx_resnet50.digests import CHUNK
from cmx_resnet50.gunzip import UnpackError

_ADDED = "__MACOSX"
"""The folder that an archiver adds; its other files begin with a dot."""
_METHODS = (ZIP_STORED, ZIP_DEFLATED)
"""What is unpacked piece by piece. Of the others Python makes a piece as large as it comes."""
_DAMAGED = (
    BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    IndexError,
    RuntimeError,
    NotImplementedError,
    ValueError,
)
"""What Python raises for a zip file that is encrypted, damaged, or made to be."""
DIRECTORY = 4 << 20
"""Bytes of the list of members at most, enough for 40,000: Python reads all of it, slowly."""
_TAIL = (1 << 16) + 22
"""Bytes at the end of a zip file in which its last record begins."""
_RECORD, _RECORD_64 = b"PK\x05\x06", b"PK\x06\x06"


class Zip:
    """An open zip file.

    Parameters
    ----------
    archive : ZipFile
        The file.
    name : str
        What errors call it.
    """

    def __init__(self, archive: ZipFile, name: str) -> None:
        self._archive = archive
        self._name = name

    @property
    def files(self) -> list[ZipInfo]:
        """What it holds, without folders and what archivers add."""
        return [
            info
            for info in self._archive.infolist()
            if info.filename and not info.is_dir() and not _is_added(info.filename)
        ]

    def head(self, info: ZipInfo, size: int) -> bytes:
        """Return the first `size` bytes of a member.

        Raises
        ------
        UnpackError
            If it is damaged, encrypted, or compressed otherwise than by deflate.
        """
        return next(self._pieces(info, size), b"")

    def extract(self, info: ZipInfo, dest: Path, *, limit: int) -> None:
        """Write the bytes of a member to `dest`, at most `limit`.

        Raises
        ------
        UnpackError
            As for `head`, or if it has more bytes.
        OSError
            If `dest` cannot be written.
        """
        written = 0
        with open(dest, "xb") as target:
            for data in self._pieces(info, CHUNK):
                written += len(data)
                if written > limit:
                    raise UnpackError(
                        f"{info.filename} in {self._name} has more than the allowed "
                        f"{limit:,} bytes."
                    )
                target.write(data)

    def _pieces(self, info: ZipInfo, size: int) -> Iterator[bytes]:
        """Yield the bytes of a member, at most `size` at once."""
        if info.compress_type not in _METHODS:
            raise self._failure(info, "compressed by another method than deflate")
        try:
            file = self._archive.open(info)
        except _DAMAGED as error:
            raise self._failure(info, error) from None
        except OSError as error:
            raise self._failure_of_position(info, error) from None
        with file:
            while True:
                try:
                    data = file.read(size)
                except _DAMAGED as error:
                    raise self._failure(info, error) from None
                except OSError as error:
                    raise self._failure_of_position(info, error) from None
                if not data:
                    return
                yield data

    def _failure_of_position(self, info: ZipInfo, error: OSError) -> Exception:
        """Return what is meant by an error of the system, which refuses to read at -1."""
        return self._failure(info, "damaged") if error.errno == errno.EINVAL else error

    def _failure(self, info: ZipInfo, why: object) -> UnpackError:
        return UnpackError(f"{info.filename} in {self._name} cannot be unpacked ({why}).")


def _is_added(name: str) -> bool:
    *folders, last = PurePosixPath(name).parts or ("",)
    hidden = any(part.startswith(".") and part not in (".", "..") for part in (*folders, last))
    return hidden or _ADDED in folders


@contextmanager
def opened(path: Path) -> Iterator[Zip | None]:
    """Open the zip file at `path`; yields None where it is not one.

    Raises
    ------
    UnpackError
        If it lists too many members.
    OSError
        If it cannot be read.
    """
    if _directory_size(path) > DIRECTORY:
        raise UnpackError(f"{path} lists too many members.")
    try:
        archive = ZipFile(path)
    except _DAMAGED:
        yield None
        return
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        yield None
        return
    with archive:
        yield Zip(archive, str(path))


def _directory_size(path: Path) -> int:
    """Return how long the list of members is by the last record, of either kind, that may count."""
    with open(path, "rb") as file:
        end = file.seek(0, 2)
        file.seek(max(0, end - _TAIL - 76))
        tail = file.read()
    sizes = [0]
    for at in (tail.rfind(_RECORD), len(tail) - 22):
        if at >= 0 and tail[at : at + 4] == _RECORD and at + 22 <= len(tail):
            sizes.append(struct.unpack_from("<L", tail, at + 12)[0] % 0xFFFFFFFF)
            # The record of large files, 56 bytes, is before its locator, 20 bytes.
            if at >= 76 and tail[at - 76 : at - 72] == _RECORD_64:
                sizes.append(struct.unpack_from("<Q", tail, at - 36)[0])
    # A list that is longer than the file is damage, which Python finds without reading it.
    return max(size for size in sizes if size <= end)
