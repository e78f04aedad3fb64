"""Cache entries of an engine whose saved state was cut, at which the engine itself fails."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

TAG = "resnet50"


def cut_entries(cache: Path, meta: str, state: str) -> Iterator[Path]:
    """Yield the entries of ours in the folder `cache` that cannot be loaded.

    Parameters
    ----------
    meta, state : str
        Names of an entry's own files: what it is, and what was exported.
    """
    for file in sorted(cache.glob(f"*/{state}")):
        tags = (_read(file.with_name(meta)) or {}).get("tags", [TAG])
        if TAG in tags and _read(file) is None:
            yield file.parent


def _read(file: Path) -> dict[str, Any] | None:
    with suppress(OSError, ValueError):
        content = json.loads(file.read_text(encoding="utf-8"))
        return content if isinstance(content, dict) else None
    return None
