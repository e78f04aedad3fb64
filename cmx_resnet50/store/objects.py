"""Objects: found by digest or alias, checked, published complete, repaired from placements."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cmx_resnet50.store.files import (
    read_json,
    read_small,
    regular,
    sync_folder,
    to_json,
    visible,
)
from cmx_resnet50.store.layout import Layout, contradiction, is_digest
from cmx_resnet50.store.link_or_copy import clone
from cmx_resnet50.store.model import StoredObject, StoreError
from cmx_resnet50.store.placements import PlacementRecords
from cmx_resnet50.store.stat_stamp import Stamp, compare, measure

if TYPE_CHECKING:
    from cmx_resnet50.digests import Digests


class Objects:
    """The objects of one store.

    Whatever changes one is called with the lock ``object-<sha256>`` held, but for the stamp:
    one is only written for bytes that were right between two equal looks at the inode, so a
    lost race costs a digest and no more.
    """

    rebuilds = True
    """Whether a record that is lost is made again from the bytes, which takes reading them."""

    def __init__(self, layout: Layout, records: PlacementRecords) -> None:
        self.layout = layout
        self.records = records

    def load(self, sha256: str) -> StoredObject | None:
        """Return the object of that digest, valid or not, if the store has a record of it.

        Its md5 is what the record claims, until `status` has found the object valid.
        """
        folder = self.layout.folder(sha256)
        record = read_json(folder / "record.json")
        if record is None or not _consistent(record, sha256):
            record = self._rebuilt(sha256) if self.rebuilds else None
        if record is None:
            return None
        return StoredObject(sha256, record["md5"], record["bytes"], folder / "data", record)

    def all(self) -> Iterator[StoredObject]:
        """Every object that the store has a record of, valid or not."""
        for sha256 in self.layout.digests():
            stored = self.load(sha256)
            if stored is not None:
                yield stored

    def find(self, keys: Sequence[str]) -> StoredObject | None:
        """Return the first object of `keys` that no digest among them contradicts."""
        for sha256 in self.named(keys):
            found = self.load(sha256)
            if found and contradiction(tuple(keys), found.sha256, found.md5) is None:
                return found
        return None

    def named(self, keys: Sequence[str]) -> Iterator[str]:
        """The sha256 of every object that one of `keys` names, known to the store or not.

        A digest is compared with the bytes before they are delivered. Any other key must be
        named by the object too, where this user wrote it down: an alias alone decides nothing.
        """
        seen = set()
        for key in keys:
            sha256 = self.layout.alias(key)
            if sha256 and sha256 not in seen and (is_digest(key) or key in self._answers(sha256)):
                seen.add(sha256)
                yield sha256
            for recorded in self._recorded(key):
                if recorded not in seen:
                    seen.add(recorded)
                    yield recorded

    def _recorded(self, key: str) -> Iterator[str]:
        """The objects of which the record has the md5 `key`: the alias may be lost, or wrong."""
        kind, _, md5 = key.partition("-")
        if kind == "md5":
            yield from (stored.sha256 for stored in self.all() if stored.md5 == md5)

    def status(self, stored: StoredObject, *, read: bool = False) -> os.stat_result | None:
        """Return the inode of a valid object; None if the object is damaged or missing.

        Valid means that both digests of `stored` were compared with the bytes, by this user and
        since the inode last changed: now, or when the stamp was taken.

        Parameters
        ----------
        read : bool
            Whether to read the bytes also where the stamp is as recorded.
        """
        status = regular(stored.path)
        if status is None or status.st_size != stored.size:
            return None
        if not read and self._stamped(stored, status):
            return status
        measured = measure(stored.path, seal=True)
        if measured is None or measured[0].sha256 != stored.sha256:
            return None
        digests, settled = measured
        if digests.md5 != stored.md5:
            # The record is wrong, not the bytes. `verify` only reports that.
            if not read:
                self._correct(stored, digests)
            return None
        if settled is not None:
            self.stamp(stored, settled)
        return settled or regular(stored.path)

    def stamp(self, stored: StoredObject, status: os.stat_result) -> None:
        """Record that the digests are right in this state of the inode, if the store lets us."""
        text = f"{Stamp.of(status).text} {stored.md5}\n"
        with suppress(OSError, StoreError):
            self.layout.write(stored.path.with_name("stamp"), text, durable=False)

    def distrust(self, keys: Sequence[str]) -> None:
        """Forget when the objects of `keys` were compared: one was found to be damaged since."""
        for sha256 in self.named(keys):
            with suppress(OSError, StoreError):
                self.layout.data(sha256).with_name("stamp").unlink(missing_ok=True)

    def claimed(self, stored: StoredObject) -> bool:
        """Whether the object is as whoever wrote its stamp found it: a claim, not a proof."""
        status = regular(stored.path)
        return status is not None and self._stamped(stored, status, mine=False)

    def restamp_after_link(self, stored: StoredObject, before: os.stat_result) -> None:
        """Take the stamp again after a link of ours moved the ctime and nothing else did."""
        now = regular(stored.path)
        if now and Stamp.of(now)._replace(ctime=0) == Stamp.of(before)._replace(ctime=0):
            self.stamp(stored, now)

    def publish(
        self, source: Path, digests: Digests, record: Mapping[str, Any], keys: Iterable[str]
    ) -> StoredObject:
        """Make the complete file `source` the object, in one step; `source` is gone then.

        The record and the keys come first: whoever finds them before the bytes finds an
        object that fails its check, and no kill leaves bytes that nothing leads to.
        """
        sha256 = digests.sha256
        text = _record_text(digests, record)
        source.chmod(0o444)
        with open(source, "rb") as file:
            os.fsync(file.fileno())
        folder = self.layout.folder(sha256)
        self.layout.make_folder(folder)
        self.layout.write(folder / "record.json", text)
        self.bind(sha256, digests.md5, keys)
        data = folder / "data"
        self.layout.move(source, data)
        for path in (folder, folder.parent, folder.parent.parent):
            sync_folder(path)
        stored = StoredObject(sha256, digests.md5, digests.size, data, json.loads(text))
        status = regular(data)
        if status is not None:
            self.stamp(stored, status)
        return stored

    def bind(self, sha256: str, md5: str, keys: Iterable[str]) -> None:
        """Let `keys`, and the object's md5, stand for the object."""
        answers = self._answers(sha256)
        new = {key for key in keys if not is_digest(key)} - answers
        if new:
            text = "\n".join(sorted(answers | new)) + "\n"
            self.layout.write(self.layout.folder(sha256) / "keys", text)
        for key in {*keys, f"md5-{md5}"}:
            self.layout.bind(key, sha256)

    def unbound(self, stored: StoredObject, keys: Iterable[str]) -> bool:
        """Whether one of `keys` does not stand for the object yet."""
        answers = self._answers(stored.sha256)
        return any(
            self.layout.alias(key) != stored.sha256 or not (is_digest(key) or key in answers)
            for key in (*keys, f"md5-{stored.md5}")
        )

    def _answers(self, sha256: str) -> set[str]:
        """The keys that are not digests and that this user found the object to answer."""
        return set((read_small(self.layout.folder(sha256) / "keys", mine=True) or "").split())

    def rebuild(
        self, sha256: str, candidates: Iterable[Path] = ()
    ) -> tuple[StoredObject, Path] | None:
        """Rebuild an object from one of its placements, or of `candidates`, that has its bytes.

        Returns the object and the file that it was rebuilt from.
        """
        known = self.load(sha256)
        record = dict(known.record) if known else {"source": "rebuilt from a place"}
        recorded = [(view.path, view.method) for _, view in self.records.of(sha256)]
        for path, method in [*recorded, *((path, "unknown") for path in candidates)]:
            status = visible(path)
            if status is None or (known and status.st_size != known.size):
                continue
            try:
                digests = self._take(path, method, status, sha256)
            except OSError:
                continue
            if digests is not None:
                temporary, taken = digests
                try:
                    return self.publish(temporary, taken, record, ()), path
                finally:
                    temporary.unlink(missing_ok=True)
        return None

    def _take(
        self, path: Path, method: str, status: os.stat_result, sha256: str
    ) -> tuple[Path, Digests] | None:
        if not compare(path, status.st_size, sha256)[0]:
            return None
        temporary = self.layout.temporary()
        # A link that we made to the old object, still read-only, is that object's inode. Any
        # other file is somebody's own and must stay free to change.
        if method == "hardlink" and not status.st_mode & 0o222:
            with suppress(OSError, StoreError):
                os.link(path, temporary)
        if not temporary.exists():
            clone(path, temporary, status.st_size)
        measured = measure(temporary)
        if measured is not None and measured[0].sha256 == sha256:
            return temporary, measured[0]
        temporary.unlink()
        return None

    def _stamped(self, stored: StoredObject, status: os.stat_result, *, mine: bool = True) -> bool:
        # What another user writes there is only a claim.
        text = read_small(stored.path.with_name("stamp"), mine=mine) or ""
        stamp, _, md5 = text.strip().rpartition(" ")
        return md5 == stored.md5 and Stamp.parse(stamp) == Stamp.of(status)

    def _correct(self, stored: StoredObject, digests: Digests) -> None:
        """Write the record anew whose md5 is not that of the bytes."""
        with suppress(OSError, StoreError):
            text = _record_text(digests, stored.record)
            self.layout.write(stored.path.with_name("record.json"), text)

    def _rebuilt(self, sha256: str) -> dict[str, Any] | None:
        """Return a record for bytes whose own record is lost."""
        data = self.layout.data(sha256)
        measured = measure(data)
        if measured is None or measured[0].sha256 != sha256:
            return None
        text = _record_text(measured[0], {"source": "unknown, the record was lost"})
        with suppress(OSError, StoreError):
            self.layout.write(data.with_name("record.json"), text)
        record: dict[str, Any] = json.loads(text)
        return record


def _consistent(record: Mapping[str, Any], sha256: str) -> bool:
    md5, size = record.get("md5"), record.get("bytes")
    return (
        record.get("sha256") == sha256 and isinstance(md5, str) and type(size) is int and size >= 0
    )


def _record_text(digests: Digests, record: Mapping[str, Any]) -> str:
    from datetime import datetime, timezone

    content = {
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        **record,
        "sha256": digests.sha256,
        "md5": digests.md5,
        "bytes": digests.size,
    }
    try:
        return to_json(content)
    except (TypeError, ValueError) as error:
        raise StoreError(f"A record of provenance must be plain JSON: {error}.") from error
