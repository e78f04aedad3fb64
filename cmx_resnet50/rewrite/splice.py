"""Write a file from extents of another and a few new bytes.

Extents of the source are copied by ``copy_file_range``, which never maps them into this process
and, on file systems that support it, shares them between the two files.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO, NamedTuple

from cmx_resnet50.formats.facts import Damaged

_BLOCK = 1 << 20


class Extent(NamedTuple):
    """A run of bytes of a file: from `start` up to, not including, `end`.

    `file` is the source unless it is given.
    """

    start: int
    end: int
    file: Path | None = None


Piece = Extent | bytes


def size_of(pieces: Iterable[Piece]) -> int:
    """Return the number of bytes in `pieces`."""
    return sum(
        piece.end - piece.start if isinstance(piece, Extent) else len(piece) for piece in pieces
    )


def write(pieces: Iterable[Piece], source: Path, dest: Path) -> None:
    """Write `pieces`, with extents taken from `source`, to the new file `dest`.

    Raises
    ------
    FileExistsError
        If `dest` exists.
    Damaged
        If a file that is copied has become shorter meanwhile.
    OSError
        If a file cannot be read or written. `dest` is then removed.
    """
    with ExitStack() as stack:
        writer = stack.enter_context(dest.open("xb", buffering=0))
        readers: dict[Path, BinaryIO] = {}
        try:
            for piece in _joined(pieces):
                if isinstance(piece, Extent):
                    file = piece.file or source
                    if file not in readers:
                        readers[file] = stack.enter_context(file.open("rb", buffering=0))
                    _copy(readers[file], writer, piece)
                else:
                    _write_all(writer, piece)
        except BaseException:
            dest.unlink(missing_ok=True)
            raise


def _joined(pieces: Iterable[Piece]) -> list[Piece]:
    """Return the same bytes in as few pieces as possible: each costs a call."""
    joined: list[Piece] = []
    for piece in pieces:
        last = joined[-1] if joined else None
        if isinstance(piece, Extent):
            if isinstance(last, Extent) and (last.end, last.file) == (piece.start, piece.file):
                joined[-1] = Extent(last.start, piece.end, piece.file)
                continue
        elif isinstance(last, bytes):
            joined[-1] = last + piece
            continue
        joined.append(piece)
    return joined


def _copy(reader: BinaryIO, writer: BinaryIO, extent: Extent) -> None:
    position = _copy_in_kernel(reader, writer, extent)
    reader.seek(position)
    while position < extent.end:
        block = reader.read(min(_BLOCK, extent.end - position))
        if not block:
            raise Damaged("became shorter while it was copied", position)
        _write_all(writer, block)
        position += len(block)


def _copy_in_kernel(reader: BinaryIO, writer: BinaryIO, extent: Extent) -> int:
    """Copy what the kernel can copy by itself; return the offset up to which it did."""
    position = extent.start
    if not hasattr(os, "copy_file_range"):
        return position
    while position < extent.end:
        try:
            count = os.copy_file_range(
                reader.fileno(), writer.fileno(), extent.end - position, offset_src=position
            )
        except OSError:
            # Not supported between some file systems. A real error, a full disk say, recurs below.
            return position
        if not count:
            return position
        position += count
    return position


def _write_all(writer: BinaryIO, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[writer.write(rest) :]
