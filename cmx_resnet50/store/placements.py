"""Records of the files that were placed: one small file each, so that none needs a lock."""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cmx_resnet50.store.files import children, read_json, to_json
from cmx_resnet50.store.layout import Layout
from cmx_resnet50.store.stat_stamp import Stamp

FOUND = "found"
"""Method of a placement that was the user's own file with the right bytes: not ours to replace."""


@dataclass(frozen=True)
class PlacementRecord:
    """A placement: its absolute path, how it was filled, and its stamp at that time.

    `method` is ``reflink``, ``hardlink``, ``copy`` or `FOUND`. A hard link needs no stamp: it is
    as valid as the object whose inode it shares.
    """

    path: Path
    method: str
    stamp: Stamp | None


class PlacementRecords:
    """The placements of all objects of one store."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout

    def record(self, sha256: str, record: PlacementRecord) -> None:
        """Remember `record`, in place of what was known of its path."""
        content = {
            "path": str(record.path),
            "method": record.method,
            "stamp": record.stamp.text if record.stamp else None,
        }
        self._layout.write(self._file(sha256, record.path), to_json(content))

    def find(self, sha256: str, path: Path) -> PlacementRecord | None:
        """Return what is known of `path` as a placement of that object."""
        record = _read(self._file(sha256, path))
        return record if record is not None and record.path == path else None

    def of(self, sha256: str) -> Iterator[tuple[Path, PlacementRecord]]:
        """Every recorded placement of an object, with the file that records it."""
        for file in children(self._layout.placements(sha256)):
            record = _read(file)
            if record is not None:
                yield file, record

    def at(self, path: Path) -> Iterator[tuple[str, PlacementRecord]]:
        """Every object that was placed at `path`, by its sha256, with the record of that."""
        for folder in children(self._layout.root / "placements"):
            record = _read(self._file(folder.name, path))
            if record is not None and record.path == path:
                yield folder.name, record

    def forget_others(self, sha256: str, path: Path) -> None:
        """Drop what was recorded of `path` for other objects: it holds this one now."""
        for other, _ in list(self.at(path)):
            if other != sha256:
                self._file(other, path).unlink(missing_ok=True)

    def _file(self, sha256: str, path: Path) -> Path:
        # Two paths of one sum would only lose a record, so short sums serve, and no hash
        # library is imported on a hit.
        raw = os.fsencode(path)
        return (
            self._layout.placements(sha256) / f"{zlib.crc32(raw):08x}{zlib.adler32(raw):08x}.json"
        )


def _read(file: Path) -> PlacementRecord | None:
    content = read_json(file) or {}
    path, method, stamp = (content.get(name) for name in ("path", "method", "stamp"))
    if not isinstance(path, str) or not isinstance(method, str) or "\0" in path:
        return None
    return PlacementRecord(
        Path(path), method, Stamp.parse(stamp if isinstance(stamp, str) else None)
    )
