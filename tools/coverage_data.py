"""Removes data files of coverage that are not complete: ``python -m tools.coverage_data FOLDER``.

Tests kill processes, some of them while they write what they measured, and ``coverage combine``
stops at the first file that it cannot read.
"""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

TABLES = {"arc", "file", "line_bits", "meta"}


def complete(path: Path) -> bool:
    """Return whether a data file can be read, and has what coverage writes."""
    try:
        with closing(sqlite3.connect(path)) as data:
            tables = {name for (name,) in data.execute("SELECT name FROM sqlite_master")}
            (damage,) = data.execute("PRAGMA integrity_check(1)").fetchone()
    except sqlite3.DatabaseError:
        return False
    return damage == "ok" and tables >= TABLES


def main(arguments: Sequence[str]) -> int:
    """Remove what is not complete from a folder of data files."""
    (folder,) = arguments
    paths = sorted(Path(folder).iterdir())
    damaged = [path for path in paths if not complete(path)]
    for path in damaged:
        path.unlink()
    print(f"{len(paths)} processes were measured; {len(damaged)} were killed while they wrote")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
