"""Reads single members of a zip file, each within a bound; none is written under its own name."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from zipfile import BadZipFile, ZipFile, ZipInfo

from cmx_resnet50.digests import CHUNK
from cmx_resnet50.gunzip import UnpackError

_HIDDEN = ("__MACOSX/", ".")
"""How names begin of what archivers add."""


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
            if not info.is_dir()
            and not info.filename.startswith(_HIDDEN)
            and not PurePosixPath(info.filename).name.startswith(".")
        ]

    def head(self, info: ZipInfo, size: int) -> bytes:
        """Return the first `size` bytes of a member.

        Raises
        ------
        UnpackError
            If it is damaged, encrypted, or compressed in a way that Python cannot undo.
        """
        with self._explained(info), self._archive.open(info) as file:
            return file.read(size)

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
        with (
            self._explained(info),
            self._archive.open(info) as file,
            open(dest, "xb") as target,
        ):
            while data := file.read(CHUNK):
                written += len(data)
                if written > limit:
                    raise UnpackError(
                        f"{info.filename} in {self._name} has more than the allowed "
                        f"{limit:,} bytes."
                    )
                target.write(data)

    @contextmanager
    def _explained(self, info: ZipInfo) -> Iterator[None]:
        try:
            yield
        except (BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError) as error:
            raise UnpackError(
                f"{info.filename} in {self._name} cannot be unpacked ({error})."
            ) from None


@contextmanager
def opened(path: Path) -> Iterator[Zip | None]:
    """Open the zip file at `path`; yields None where it is not one.

    Raises
    ------
    OSError
        If it cannot be read.
    """
    try:
        archive = ZipFile(path)
    except (BadZipFile, ValueError, NotImplementedError):
        yield None
        return
    with archive:
        yield Zip(archive, str(path))
