"""``verify``, ``prune``, ``store``: which objects are valid, which unused; what is a store."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cmx_resnet50.cli.arguments import command, json_switch, path
from cmx_resnet50.cli.output import print_json, print_line, print_note, print_table
from cmx_resnet50.cli.users import shown, users_of

if TYPE_CHECKING:
    from cmx_resnet50.store import Pruned, Store, StoredObject


def add(commands: Any) -> None:
    """Add the subcommands."""
    verify = command(
        commands,
        "verify",
        _verify,
        "read every object of the store and compare its digests",
        "Exits with 1 if an object is damaged, and prints the command that fixes it.\n"
        "For each object it lists who uses it: cache entries of CM and MLC, and other\n"
        "folders.",
        examples="cmx-resnet50 verify\ncmx-resnet50 verify --json",
        page="airgapped",
    )
    json_switch(verify)

    prune = command(
        commands,
        "prune",
        _prune,
        "list unused objects, or remove them",
        "An object is used as long as a placement contains it: a cache entry of CM or\n"
        "MLC, a folder named with --to or --outdirname, or any other hard link to it. An\n"
        "archive is used as long as the file that was unpacked from it. Files left by\n"
        "killed runs are removed after a week, if no later run on the same host has\n"
        "removed them.",
        examples="cmx-resnet50 prune\ncmx-resnet50 prune --apply",
        page="airgapped",
    )
    store = command(
        commands,
        "store",
        None,
        "make a folder a store",
        "Mostly not needed: a new or empty folder becomes a store on first use. This is\n"
        "for a folder that is refused, or to share a store with a group.",
        examples="cmx-resnet50 store init --help",
        page="clusters",
    )
    ways: Any = store.add_subparsers(required=True, metavar="init")
    init = command(
        ways,
        "init",
        _init,
        "mark a folder as a store",
        "The folder must be missing, empty, or contain what a store contains and nothing\n"
        "else: a store of an earlier version, or one that lost its mark. Nothing in it is\n"
        "changed.",
        examples="cmx-resnet50 store init /mnt/models/store\n"
        "cmx-resnet50 store init --shared /mnt/models/store",
        page="clusters",
    )
    init.add_argument(
        "--shared",
        action="store_true",
        help="let the members of the folder's group write it, who must trust one another",
    )
    init.add_argument("folder", type=path, metavar="DIR", help="the folder")
    json_switch(init)

    prune.add_argument("--apply", action="store_true", help="remove them, not only list them")
    json_switch(prune)


def _store() -> Store:
    from cmx_resnet50.options import Options, own_stores
    from cmx_resnet50.store import open_store

    options = Options.read({})
    return open_store(options.store, own_stores())


def _init(parsed: argparse.Namespace) -> None:
    from cmx_resnet50.store import init_store

    store = init_store(parsed.folder, shared=parsed.shared)
    if parsed.json:
        print_json({"store": str(store.root), "shared": store.layout.shared})
    elif store.layout.shared:
        print_line(f"{store.root} is a store that the group {_group(store.root)} writes")
    else:
        print_line(f"{store.root} is a store that you alone write")


def _group(folder: Path) -> str:
    number = str(folder.stat().st_gid)
    if sys.platform == "win32":  # which has no groups of this kind
        return number
    try:
        return folder.group()
    except KeyError:  # a group without a name here
        return number


def _verify(parsed: argparse.Namespace) -> int:
    store = _store()
    usage = store.usage()
    rows: list[dict[str, Any]] = []
    for stored, valid in store.verify():
        state = "valid" if valid else "damaged" if os.path.lexists(stored.path) else "missing"
        rows.append(
            {
                "state": state,
                "file": stored.name,
                "bytes": stored.size,
                "sha256": stored.sha256,
                "path": str(stored.path),
                "fix": None if valid else _fix(stored),
                "used": users_of(usage, stored),
            }
        )
    bad = [row for row in rows if row["fix"] is not None]
    if parsed.json:
        print_json(rows)
    else:
        table: list[tuple[str, ...]] = []
        for row in rows:
            table.append((row["state"], row["file"], row["sha256"], row["path"]))
            table += [("", "", "", f"used by {shown(user)}") for user in row["used"]]
        print_table(table)
        print_line(f"{len(rows)} files in {store.root}, {len(bad)} not valid")
        for row in bad:
            print_note(f"{row['file']} ({row['sha256'][:12]}) is {row['state']}: {row['fix']}")
    return 1 if bad else 0


def _fix(stored: StoredObject) -> str:
    """Return what to do about a damaged object: a command where one fixes it."""
    from cmx_resnet50.cli.chosen import is_random, request_of

    request, found = request_of(stored)
    published = found is not None and (
        found.archive is not None
        or not {stored.sha256, stored.md5}.isdisjoint({found.sha256, found.md5})
    )
    if found is None or not (published or is_random(stored) or "_batch_size." in request):
        return (
            "its source is not recorded; import a bundle that holds it, or remove "
            f"{stored.path.parent}"
        )
    return f"cmx-resnet50 prefetch {request}"


_LEFT = {
    "partial": "unfinished download",
    "lock": "lock file of an ended run",
    "alias": "name of a file that is gone",
    "placement": "record of a place that is unknown",
    "leftover": "temporary file of an ended run",
}
"""What is pruned beside objects, by its kind."""


def _what(item: Pruned) -> str:
    if item.stored is not None:
        return item.stored.name
    return f"record of {item.place}, which is gone" if item.place else _LEFT[item.kind]


def _prune(parsed: argparse.Namespace) -> None:
    stores = _store().writable()
    gone: list[Pruned] = []
    kept: list[tuple[StoredObject, list[dict[str, Any]]]] = []
    for store in stores:
        usage = store.usage()
        here = store.prune(usage.is_used, dry_run=not parsed.apply)
        removed = {item.stored.sha256 for item in here if item.stored is not None}
        kept += [(one, users_of(usage, one)) for one in usage.objects if one.sha256 not in removed]
        gone += here
    if parsed.json:
        print_json(
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
                        "used": users,
                    }
                    for stored, users in kept
                ],
            }
        )
        return
    word = "removed" if parsed.apply else "unused"
    print_table(
        [
            (
                word,
                _what(item),
                f"{item.size:,} bytes",
                str(item.path),
            )
            for item in gone
        ]
        + [
            ("used", stored.name, f"{stored.size:,} bytes", f"by {shown(user)}")
            if index == 0
            else ("", "", "", f"by {shown(user)}")
            for stored, users in kept
            for index, user in enumerate(users)
        ]
    )
    size = sum(item.size for item in gone)
    roots = " and ".join(str(store.root) for store in stores)
    stay = "1 file stays" if len(kept) == 1 else f"{len(kept)} files stay"
    print_line(f"{len(gone)} {word} in {roots}, {size:,} bytes; {stay}")
    if gone and not parsed.apply:
        print_note("Nothing was removed. To remove it: cmx-resnet50 prune --apply")
