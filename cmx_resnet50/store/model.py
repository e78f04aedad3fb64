"""What the store hands out and what it raises."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cmx_resnet50.errors import DigestError, DiskFullError, NotWritableError, Resnet50Error

if TYPE_CHECKING:
    from cmx_resnet50.digests import Digests

Make = Callable[[Path], "tuple[Digests, dict[str, Any]]"]
"""Leaves the complete, verified file at the path given and returns its digests and provenance."""


class StoreError(Resnet50Error):
    """The store cannot do what was asked; the text says why and what to do."""


class StoreFull(StoreError, DiskFullError):
    """There is no room for a file in the store, or where it is placed."""


class WrongFile(StoreError, DigestError):
    """A file that is not the one that its key names."""


class NotAStore(StoreError):
    """A folder that holds something else than a store; nothing in it was touched."""


class NotWritable(StoreError, NotWritableError):
    """A folder, of the store or of the user, that cannot be written."""


class StoreReadOnly(NotWritable):
    """The store may be read, but not written."""


class PathTaken(StoreError):
    """Something of the user's is where a file is to be placed; it was left alone."""


class ObjectMissing(StoreError):
    """An object that was found is damaged or removed by now, and no placement has its bytes."""


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

    @property
    def label(self) -> str:
        """What it is, in a few words for messages: artifact, batch and the digest's beginning."""
        what = str(self.record.get("artifact") or self.name)
        batch = self.record.get("batch")
        what += f", batch {batch}" if type(batch) is int else ""
        return "".join(filter(str.isprintable, f"{what} (sha256 {self.sha256[:12]})"))

    @property
    def digests(self) -> Digests:
        """The digests and the size, as whoever reads the file finds them."""
        from cmx_resnet50.digests import Digests

        return Digests(self.md5, self.sha256, self.size)

    @property
    def archive(self) -> str | None:
        """The sha256 of the archive that this was unpacked from, if it was."""
        archive = self.record.get("archive")
        sha256 = archive.get("sha256") if isinstance(archive, Mapping) else None
        return sha256 if isinstance(sha256, str) else None


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
        What was there before: ``valid``, ``absent``, ``other bytes``, ``link``, ``folder``.
    stamp : str
        Of a reflink or a copy, what its inode said when its bytes were last known to be right.
    """

    method: str
    changed: bool
    was: str
    stamp: str = field(default="", compare=False)


@dataclass(frozen=True)
class Pruned:
    """What `Store.prune` removed, or would remove.

    `kind` is ``object``, ``partial``, ``lock``, ``alias``, ``placement`` or ``leftover``; `size`
    counts bytes of content, which come free only where no place still links to them. `place` is the
    file that a ``placement`` is the record of, if it can be read.
    """

    kind: str
    path: Path
    size: int
    stored: StoredObject | None = None
    place: str | None = None
