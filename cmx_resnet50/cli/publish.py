"""``publish``: the store's files to a mirror that the whole site is served from."""

from __future__ import annotations

import argparse
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from cmx_resnet50.cli.arguments import command, json_switch, requests, silent_switch
from cmx_resnet50.cli.output import say, say_json, table

if TYPE_CHECKING:
    from cmx_resnet50.delivery.pipeline import Pipeline
    from cmx_resnet50.mirror.publish import Item
    from cmx_resnet50.store import StoredObject


def add(commands: Any) -> None:
    """Add the subcommand."""
    publish = command(
        commands,
        "publish",
        _publish,
        "fill a site's mirror: an object store or a shared folder",
        "Without requests: all that the store holds. What a request needs and the store\n"
        "lacks is fetched first. What the mirror has already is not sent again: an object\n"
        "of S3 by its size and the sha256 in its metadata, a file elsewhere by its bytes.\n"
        "Any number of machines may publish to one mirror at the same time. The others\n"
        "name it in CM_RESNET50_MIRROR. Endpoint, credentials and region of S3 are those\n"
        "of boto3 and the AWS CLI (AWS_ENDPOINT_URL, AWS_PROFILE, ~/.aws/config).",
        examples="cmx-resnet50 publish _onnx _pytorch --to s3://models/resnet50\n"
        "cmx-resnet50 publish --all --to s3://models/resnet50 --json\n"
        "cmx-resnet50 publish --from-store --to /srv/www/resnet50",
        page="clusters",
    )
    requests(publish)
    publish.add_argument(
        "--to",
        required=True,
        metavar="URL",
        help="s3://BUCKET/PREFIX, a folder, file://, or what fsspec knows (gs://, az://, sftp://)",
    )
    publish.add_argument(
        "--from-store",
        action="store_true",
        help="fetch nothing: take it from the store, or fail",
    )
    json_switch(publish)
    silent_switch(publish)


def _publish(parsed: argparse.Namespace) -> int:
    from cmx_resnet50.catalog.table import Catalog
    from cmx_resnet50.cli.arguments import wrong
    from cmx_resnet50.delivery.pipeline import Pipeline
    from cmx_resnet50.errors import Resnet50Error
    from cmx_resnet50.mirror.bundle import FORMAT, VERSION
    from cmx_resnet50.mirror.publish import opened, publish
    from cmx_resnet50.options import Options
    from cmx_resnet50.progress import progress_for

    if parsed.requests and parsed.all:
        wrong("publish", "name requests, or give --all, not both.")
    options = Options.read({})
    target = opened(
        parsed.to, connect_timeout=options.connect_timeout, read_timeout=options.read_timeout
    )
    if options.offline and not target.local:
        raise Resnet50Error(
            f"{target.printable} cannot be filled: CM_RESNET50_OFFLINE forbids to open a socket."
        )
    if parsed.from_store:
        options = replace(options, offline=True, mirror=())
    progress = progress_for(not parsed.silent)
    pipeline = Pipeline(Catalog.load(), options, progress)
    items = _items(pipeline, parsed)
    rows: list[dict[str, Any]] = []
    head = {"format": FORMAT, "version": VERSION}
    for item, sent in publish(items, target, head, progress):
        entry = item.entry
        known = {key: entry[key] for key in ("bytes", "sha256", "md5")}
        rows.append(
            {"file": item.name, "artifact": entry["record"].get("artifact"), **known, "sent": sent}
        )
    if parsed.json:
        say_json({"target": target.printable, "objects": rows})
        return 0
    table(
        [
            (
                "sent" if row["sent"] else "there",
                row["file"],
                f"{row['bytes']:,} bytes",
                row["sha256"],
            )
            for row in rows
        ]
    )
    size = sum(row["bytes"] for row in rows)
    count = sum(row["sent"] for row in rows)
    noun = "file" if len(rows) == 1 else "files"
    say(f"{target.printable}: {len(rows)} {noun}, {size:,} bytes; {count} sent")
    return 0


def _items(pipeline: Pipeline, parsed: argparse.Namespace) -> list[Item]:
    """Return what is to be published, whole and each once.

    Raises
    ------
    Resnet50Error
        If something cannot be had, is damaged, or there is nothing.
    """
    from cmx_resnet50.cli.get import prefetched
    from cmx_resnet50.errors import Resnet50Error
    from cmx_resnet50.mirror.publish import Item

    store = pipeline.store
    if parsed.requests or parsed.all:
        done, failed = prefetched(pipeline, parsed.requests, parsed.all)
        if failed:
            raise Resnet50Error("Nothing was sent: the mirror would be incomplete.")
        found = [stored for _, delivery in done for stored, _ in delivery.files()]
        found += [delivery.original for _, delivery in done if delivery.original is not None]
        archives = (store.archive(stored) for stored in found)
        found += [archive for archive in archives if archive is not None]
    else:
        found = list(store.objects())
    objects = {stored.sha256: stored for stored in found}.values()
    if not objects:
        raise Resnet50Error(
            f"The store {store.root} holds nothing to publish. Name requests, or --all."
        )
    for stored in objects:
        if not store.check(stored):
            raise Resnet50Error(
                f"{stored.name} is damaged in the store, and nothing was sent. "
                "`cmx-resnet50 verify` says what mends it."
            )
    aliases = list(store.layout.aliases())
    return [Item(stored.path, stored.name, _entry(stored, aliases)) for stored in objects]


def _entry(stored: StoredObject, aliases: list[tuple[str, str]]) -> dict[str, Any]:
    """Return what a bundle's manifest says of an object."""
    return {
        "sha256": stored.sha256,
        "md5": stored.md5,
        "bytes": stored.size,
        "keys": sorted(key for key, sha256 in aliases if sha256 == stored.sha256),
        "record": dict(stored.record),
    }
