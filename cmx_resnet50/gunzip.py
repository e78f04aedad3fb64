"""Unpacks a gzip file within a bound, and tells a cut or altered one from a whole one."""

from __future__ import annotations

import zlib
from pathlib import Path

from cmx_resnet50.digests import CHUNK, Digests, Hasher
from cmx_resnet50.errors import Resnet50Error

GZIP_WINDOW = 16 + zlib.MAX_WBITS
"""zlib's code for data with a gzip header and its check sum (zlib manual, inflateInit2)."""


class UnpackError(Resnet50Error):
    """The archive is cut, altered, no gzip file, or unpacks to more than is allowed."""


def gunzip(source: Path, dest: Path, *, limit: int, name: str = "") -> Digests:
    """Unpack the gzip file `source` to `dest`, and return what `dest` then is.

    Several gzip members after one another are unpacked as one file, as the format
    (RFC 1952, section 2.2) has it. `dest` is overwritten, and removed again on any failure.

    Parameters
    ----------
    source, dest : Path
        The archive, and the file to write.
    limit : int
        Bytes that `dest` may have at most.
    name : str
        What errors call the archive; by default as its file is called.

    Raises
    ------
    UnpackError
        If the archive is not whole, has other data behind it, or exceeds `limit`.
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
                where = "has other data behind its end" if members else "is no whole gzip file"
                raise UnpackError(f"{name} {where} (before byte {read:,}: {error}).") from None
            pending = inflater.unused_data if inflater.eof else inflater.unconsumed_tail
            members += inflater.eof
            written += len(data)
            if written > limit:
                raise UnpackError(
                    f"{name} unpacks to more than the {limit:,} bytes that are allowed."
                )
            hasher.update(data)
            file.write(data)
    if not inflater.eof:
        raise UnpackError(f"{name} is cut: it ends after {read:,} bytes, inside its data.")
    return hasher.digests
