"""In whose cache a placed file is: all engines and the command share one store."""

from __future__ import annotations

from pathlib import Path

METAS = {"CM": "_cm.json", "MLC": "meta.json"}
"""The file in a cache entry that says what the entry is, by the name of its engine."""


def engine_of(path: Path) -> str:
    """Name the engine in whose cache entry the file `path` is; empty for any other folder."""
    entry = path.parent.parent
    if entry.parent.name != "cache":
        return ""
    return next((name for name, meta in METAS.items() if (entry / meta).is_file()), "")
