"""What the store hands out and what it raises."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cmx_resnet50.errors import Resnet50Error


class StoreError(Resnet50Error):
    """The store cannot do what was asked; the text says why and what to do."""


@dataclass(frozen=True)
class StoredObject:
    """A file that the store knows by its digest; `path` is read-only and may be damaged.

    `record` is the provenance that the maker gave, with ``sha256``, ``md5``, ``bytes``,
    ``date`` and ``name`` added where it had none.
    """

    sha256: str
    md5: str
    size: int
    path: Path
    record: Mapping[str, Any]

    @property
    def name(self) -> str:
        """The file name that the record gives, for messages and for bundles."""
        return str(self.record.get("file") or self.record.get("name") or self.sha256)


@dataclass(frozen=True)
class Placement:
    """What `Store.place` did.

    Parameters
    ----------
    method : str
        ``kept``, ``reflink``, ``hardlink`` or ``copy``.
    changed : bool
        Whether something was written.
    was : str
        What stood there before: ``whole``, ``absent``, ``other bytes``, ``link``, ``folder``.
    """

    method: str
    changed: bool
    was: str


@dataclass(frozen=True)
class Pruned:
    """What `Store.prune` removed, or would remove.

    `kind` is ``object``, ``partial``, ``lock``, ``alias``, ``view`` or ``leftover``; `size`
    counts bytes of content, which come free only where no place still links to them.
    """

    kind: str
    path: Path
    size: int
    stored: StoredObject | None = None
