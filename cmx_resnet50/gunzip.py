"""Unpacks a gzip file up to a limit, and detects a truncated or altered one."""

from __future__ import annotations

import zlib
from pathlib import Path

from cmx_resnet50.digests import CHUNK, Digests, Hasher
from cmx_resnet50.errors import Resnet50Error

GZIP_WINDOW = 16 + zlib.MAX_WBITS
"""zlib's code for data with a gzip header and its check sum (zlib manual, inflateInit2)."""


MEMBERS = 1000
"""Members that any file may have; of more, each has to hold `LEAST` bytes on average, or a small
file would keep a processor busy for hours. The blocks of bgzip, the smallest in use, have 64 KB."""
LEAST = 1024


class UnpackError(Resnet50Error):
    """The archive is truncated, altered, not a gzip file, or unpacks to more than is allowed."""


def gunzip(source: Path, dest: Path, *, limit: int, name: str = "") -> Digests:
    """Unpack the gzip file `source` to `dest`, and return the digests of `dest`.

    Concatenated gzip members are unpacked as one file (RFC 1952, section 2.2). `dest` is
    overwritten, and removed again on any failure.

    Parameters
    ----------
    source, dest : Path
        The archive, and the file to write.
    limit : int
        Bytes that `dest` may have at most.
    name : str
        The archive in messages; by default the name of its file.

    Raises
    ------
    UnpackError
        If the archive is not complete, has trailing data, or exceeds `limit`.
    OSError
        If one of the files cannot be read or written.
    """
    try:
        return _gunzip(source, dest, limit, name or source.name)
    except BaseException:
        dest.unlink(missing_ok=True)
        raise


def _gunzip(source: Path, dest: Path, limit: int, name: str) -> Digests:
    hasher = Hasher()
    written = read = members = 0
    inflater = zlib.decompressobj(GZIP_WINDOW)
    pending = b""
    with open(source, "rb") as packed, open(dest, "wb") as file:
        while True:
            if not pending:
                pending = packed.read(CHUNK)
                read += len(pending)
                if not pending:
                    break
            if inflater.eof:
                inflater = zlib.decompressobj(GZIP_WINDOW)
            try:
                data = inflater.decompress(pending, CHUNK)
            except zlib.error as error:
                where = "has trailing data" if members else "is not a valid gzip file"
                raise UnpackError(f"{name} {where} (before byte {read:,}: {error}).") from None
            pending = inflater.unused_data if inflater.eof else inflater.unconsumed_tail
            members += inflater.eof
            written += len(data)
            if members > MEMBERS + written // LEAST:
                raise UnpackError(f"{name} has more than {members:,} members, most of them empty.")
            if written > limit:
                raise UnpackError(f"{name} unpacks to more than the allowed {limit:,} bytes.")
            hasher.update(data)
            file.write(data)
    if not inflater.eof:
        raise UnpackError(f"{name} is truncated after {read:,} bytes.")
    return hasher.digests
