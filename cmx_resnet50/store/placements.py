"""Records of the places that objects fill: one small file each, so that none needs a lock."""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cmx_resnet50.store.files import children, read_json, to_json
from cmx_resnet50.store.layout import Layout
from cmx_resnet50.store.stat_stamp import Stamp


@dataclass(frozen=True)
class PlacementRecord:
    """A place: its absolute path, how it was filled, and its stamp at that time.

    A hard link needs no stamp: it is as good as the object whose inode it shares.
    """

    path: Path
    method: str
    stamp: Stamp | None


class PlacementRecords:
    """The places of all objects of one store."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout

    def record(self, sha256: str, view: PlacementRecord) -> None:
        """Remember `view`, in place of what was known of its path."""
        content = {
            "path": str(view.path),
            "method": view.method,
            "stamp": view.stamp.text if view.stamp else None,
        }
        self._layout.write(self._file(sha256, view.path), to_json(content))

    def find(self, sha256: str, path: Path) -> PlacementRecord | None:
        """Return what is known of `path` as a place of that object."""
        view = _read(self._file(sha256, path))
        return view if view is not None and view.path == path else None

    def of(self, sha256: str) -> Iterator[tuple[Path, PlacementRecord]]:
        """Every recorded view of an object, with the file that records it."""
        for file in children(self._layout.placements(sha256)):
            view = _read(file)
            if view is not None:
                yield file, view

    def _file(self, sha256: str, path: Path) -> Path:
        # Two paths of one name would only lose a record, so short sums serve, and no hash
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
