"""Cache entries of an engine whose saved state leads nowhere: the engine itself fails at them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

TAG = "resnet50"


def cut_entries(cache: Path, meta: str, state: str) -> Iterator[Path]:
    """Yield the damaged file of each entry in the folder `cache` that cannot be loaded.

    Parameters
    ----------
    meta, state : str
        Names of an entry's own files: what it is, and what was exported. An engine reads the
        first of every entry, so that of other scripts counts, too; the second of ours only.
    """
    for file in sorted(cache.glob(f"*/{meta}")):
        content = _read(file)
        exported = file.with_name(state)
        if content is None:
            yield file
        elif TAG in _tags(content) and exported.is_file() and _read(exported) is None:
            yield exported


def _tags(content: dict[str, Any]) -> set[str]:
    """Return the tags of an entry, which any script may have written."""
    tags = content.get("tags")
    return {tag for tag in tags if isinstance(tag, str)} if isinstance(tags, list) else set()


def _read(file: Path) -> dict[str, Any] | None:
    with suppress(OSError, ValueError, RecursionError):
        # A pipe would keep whoever reads it waiting.
        content = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else None
        return content if isinstance(content, dict) else None
    return None
