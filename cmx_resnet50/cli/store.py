"""``verify`` and ``prune``: what the store holds, whether it is whole, what can go."""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING, Any

from cmx_resnet50.cli.arguments import command, json_switch
from cmx_resnet50.cli.output import remark, say, say_json, table

if TYPE_CHECKING:
    from cmx_resnet50.catalog.table import Artifact
    from cmx_resnet50.store import Store, StoredObject


def add(commands: Any) -> None:
    """Add the subcommands."""
    verify = command(
        commands,
        "verify",
        _verify,
        "read every object of the store and compare its digest",
        "Ends with 1 if one is damaged, and says how to mend it.",
        examples="cmx-resnet50 verify\ncmx-resnet50 verify --json",
        page="airgapped",
    )
    json_switch(verify)

    prune = command(
        commands,
        "prune",
        _prune,
        "say what nothing uses, or remove it",
        "A file of the store is used as long as a place that it fills still holds it: a\n"
        "cache entry of CM, a folder named with --to or --outdirname, or any other hard\n"
        "link to it. An archive is used as long as the file that was unpacked from it.\n"
        "Also goes what killed runs left a week ago or longer.",
        examples="cmx-resnet50 prune\ncmx-resnet50 prune --apply",
        page="airgapped",
    )
    prune.add_argument("--apply", action="store_true", help="remove it; by default only say what")
    json_switch(prune)


def _store() -> Store:
    from cmx_resnet50.options import Options
    from cmx_resnet50.store import Store

    return Store(Options.read({}).store)


def _verify(parsed: argparse.Namespace) -> int:
    store = _store()
    rows: list[dict[str, Any]] = []
    for stored, good in store.verify():
        state = "good" if good else "damaged" if os.path.lexists(stored.path) else "missing"
        rows.append(
            {
                "state": state,
                "file": stored.name,
                "bytes": stored.size,
                "sha256": stored.sha256,
                "path": str(stored.path),
                "mend": None if good else _mend(stored),
            }
        )
    bad = [row for row in rows if row["mend"] is not None]
    if parsed.json:
        say_json(rows)
    else:
        table([(row["state"], row["file"], row["sha256"], row["path"]) for row in rows])
        say(f"{len(rows)} files in {store.root}, {len(bad)} not good")
        for row in bad:
            remark(f"{row['file']} ({row['sha256'][:12]}) is {row['state']}: {row['mend']}")
    return 1 if bad else 0


def _mend(stored: StoredObject) -> str:
    """Say what brings a damaged object back."""
    from cmx_resnet50.catalog.table import Catalog
    from cmx_resnet50.cli.get import everything

    record = stored.record
    catalog = Catalog.load()
    requests: dict[str, tuple[str, Artifact]] = {}
    for asked, artifact in everything(catalog):
        for part in (artifact, *(catalog.artifacts[url] for url in artifact.companions)):
            requests[part.name] = (asked, part)
    asked, found = requests.get(str(record.get("artifact")), ("", None))
    dummy = str(record.get("url", "")).startswith("dummy:")
    batch = record.get("batch")
    published = found is not None and (
        found.archive is not None
        or not {stored.sha256, stored.md5}.isdisjoint({found.sha256, found.md5})
    )
    if found is None or not (published or dummy or batch):
        return (
            "nothing says where it came from; import a bundle that holds it, or remove "
            f"{stored.path.parent}"
        )
    parts = [asked, *(["_dummy-weights"] if dummy else [])]
    parts += [f"_batch_size.{batch}"] if batch else []
    return f"cmx-resnet50 prefetch {','.join(parts)}"


def _prune(parsed: argparse.Namespace) -> None:
    store = _store()
    uses = _Uses(store)
    gone = store.prune(lambda stored: bool(uses.of(stored)), dry_run=not parsed.apply)
    removed = {item.stored.sha256 for item in gone if item.stored is not None}
    kept = [(stored, uses.of(stored)) for stored in store.objects() if stored.sha256 not in removed]
    if parsed.json:
        say_json(
            {
                "applied": parsed.apply,
                "unused": [
                    {
                        "kind": item.kind,
                        "file": item.stored.name if item.stored else None,
                        "sha256": item.stored.sha256 if item.stored else None,
                        "bytes": item.size,
                        "path": str(item.path),
                    }
                    for item in gone
                ],
                "used": [
                    {
                        "file": stored.name,
                        "sha256": stored.sha256,
                        "bytes": stored.size,
                        "by": users,
                    }
                    for stored, users in kept
                ],
            }
        )
        return
    word = "removed" if parsed.apply else "unused"
    table(
        [
            (
                word if item.stored else f"{word} {item.kind}",
                item.stored.name if item.stored else item.path.name,
                f"{item.size:,} bytes",
                str(item.path),
            )
            for item in gone
        ]
        + [
            ("used", stored.name, f"{stored.size:,} bytes", f"by {user}")
            if index == 0
            else ("", "", "", f"by {user}")
            for stored, users in kept
            for index, user in enumerate(users)
        ]
    )
    size = sum(item.size for item in gone)
    stay = "1 file stays" if len(kept) == 1 else f"{len(kept)} files stay"
    say(f"{len(gone)} {word} in {store.root}, {size:,} bytes; {stay}")
    if gone and not parsed.apply:
        remark("Nothing was removed. To remove it: cmx-resnet50 prune --apply")


class _Uses:
    """Who uses an object: the places that hold it, what was unpacked from it, unknown links."""

    def __init__(self, store: Store) -> None:
        self._store = store
        known = list(store.objects())
        self._unpacked = [stored for stored in known if stored.archive is not None]
        self._owners = {
            (status.st_dev, status.st_ino): stored.sha256
            for stored in known
            if (status := _status(stored.path)) is not None
        }

    def of(self, stored: StoredObject) -> list[str]:
        """Return the users of an object as they are now."""
        places = []
        for path in self._store.placements(stored):
            status = _status(path)
            # A place may have been filled with another object since. A copy is taken for what
            # it was: where there is doubt, nothing is removed.
            if (
                status is not None
                and self._owners.get((status.st_dev, status.st_ino), stored.sha256) == stored.sha256
            ):
                places.append(str(path))
        own = _status(stored.path)
        if not places and own is not None and own.st_nlink > 1:
            places.append("a hard link that the store has no record of")
        return places + [
            f"{other.name}, which was unpacked from it"
            for other in self._unpacked
            if other.archive == stored.sha256 and self.of(other)
        ]


def _status(path: os.PathLike[str]) -> os.stat_result | None:
    try:
        return os.lstat(path)
    except OSError:
        return None
