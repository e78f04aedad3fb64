"""``bundle``: the store's files to another machine, or to a site's own mirror."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from cmx_resnet50.cli.arguments import command, json_switch, path, requests, silent_switch
from cmx_resnet50.cli.output import remark, say, say_json, table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cmx_resnet50.delivery.pipeline import Pipeline
    from cmx_resnet50.store import StoredObject


def add(commands: Any) -> None:
    """Add the subcommands."""
    bundle = command(
        commands,
        "bundle",
        None,
        "carry files to a machine without a network",
        "Write a bundle where there is a network, read it where there is none. Both\n"
        "ways have a --help of their own.",
        examples="cmx-resnet50 bundle export models.tar --all\n"
        "cmx-resnet50 bundle import models.tar\n"
        "cmx-resnet50 bundle export --help",
        page="airgapped",
    )
    ways: Any = bundle.add_subparsers(required=True, metavar="export|import")

    export = command(
        ways,
        "export",
        _export,
        "write a bundle: a folder, or one file if the name ends in .tar",
        "Without requests: all that the store holds. What a request needs and the store\n"
        "lacks is fetched first. A folder can be served as it is: with its address in\n"
        "CM_RESNET50_MIRROR, files are found there by digest and by name. A file that\n"
        "comes as an archive is packed twice, as it is and as that archive, which a\n"
        "mirror is asked for.",
        examples="cmx-resnet50 bundle export models.tar\n"
        "cmx-resnet50 bundle export /srv/www/resnet50 _onnx _pytorch\n"
        "cmx-resnet50 bundle export models.tar --all",
        page="airgapped",
    )
    export.add_argument("target", type=path, metavar="TARGET", help="folder or .tar file to write")
    requests(export)
    json_switch(export)
    silent_switch(export)

    import_ = command(
        ways,
        "import",
        _import,
        "take the files of a bundle into the store",
        "Each file is compared with its digest; nothing is fetched.",
        examples="cmx-resnet50 bundle import models.tar",
        page="airgapped",
    )
    import_.add_argument("source", type=path, metavar="SOURCE", help="folder or .tar file")
    json_switch(import_)


def _export(parsed: argparse.Namespace) -> int:
    from cmx_resnet50.catalog.table import Catalog
    from cmx_resnet50.cli.arguments import wrong
    from cmx_resnet50.cli.get import prefetched
    from cmx_resnet50.delivery.pipeline import Pipeline
    from cmx_resnet50.errors import Resnet50Error
    from cmx_resnet50.mirror.bundle import export
    from cmx_resnet50.options import Options
    from cmx_resnet50.progress import progress_for

    if parsed.requests and parsed.all:
        wrong("bundle export", "name requests, or give --all, not both.")
    pipeline = Pipeline(Catalog.load(), Options.read({}), progress_for(not parsed.silent))
    if parsed.requests or parsed.all:
        done, failed = prefetched(pipeline, parsed.requests, parsed.all)
        if failed:
            raise Resnet50Error(f"{parsed.target} was not written: it would be incomplete.")
        found = [stored for _, delivery in done for stored, _ in delivery.files()]
        found += [delivery.original for _, delivery in done if delivery.original is not None]
        archives = (pipeline.store.archive(stored) for stored in found)
        found += [archive for archive in archives if archive is not None]
    else:
        found = list(pipeline.store.objects())
    objects = list({stored.sha256: stored for stored in found}.values())
    if not objects:
        raise Resnet50Error(
            f"The store {pipeline.store.root} holds nothing to export. Name requests, or --all."
        )
    target = export(pipeline.store, objects, parsed.target)
    _warn_of_archives(pipeline, objects)
    if parsed.json:
        say_json({"target": str(target), "objects": _rows(objects)})
    else:
        _show(objects)
        say(f"{target}: {_sum(objects)}")
    return 0


def _import(parsed: argparse.Namespace) -> None:
    from cmx_resnet50.mirror.bundle import import_
    from cmx_resnet50.options import Options
    from cmx_resnet50.store import Store

    store = Store(Options.read({}).store)
    there = {stored.sha256 for stored in store.objects() if store.check(stored)}
    objects = import_(store, parsed.source)
    taken = [stored for stored in objects if stored.sha256 not in there]
    if parsed.json:
        rows = _rows(objects)
        say_json([{**row, "taken": row["sha256"] not in there} for row in rows])
    else:
        _show(objects)
        say(
            f"{parsed.source}: {_sum(objects)}; {_sum(taken)} taken into {store.root}, "
            f"{len(objects) - len(taken)} already there"
        )


def _warn_of_archives(pipeline: Pipeline, objects: Sequence[StoredObject]) -> None:
    """Say which files a mirror made of this bundle would not have, as they are looked for."""
    from cmx_resnet50.cli.get import everything

    requests = {artifact.name: (text, artifact) for text, artifact in everything(pipeline.catalog)}
    exported = {stored.sha256 for stored in objects}
    for stored in objects:
        known = requests.get(str(stored.record.get("artifact")))
        if known is not None and stored.archive is not None and stored.archive not in exported:
            text, artifact = known
            remark(
                f"{stored.name}: the archive that it comes in, {artifact.mirror_name}, is not in "
                "the store, and a mirror is asked for that. `bundle import` does not need it. "
                f"To have it: cmx-resnet50 prefetch {text}, then export again."
            )


def _sum(objects: Sequence[StoredObject]) -> str:
    noun = "file" if len(objects) == 1 else "files"
    return f"{len(objects)} {noun}, {sum(stored.size for stored in objects):,} bytes"


def _rows(objects: Sequence[StoredObject]) -> list[dict[str, Any]]:
    return [
        {
            "file": stored.name,
            "artifact": stored.record.get("artifact"),
            "bytes": stored.size,
            "sha256": stored.sha256,
            "md5": stored.md5,
        }
        for stored in objects
    ]


def _show(objects: Sequence[StoredObject]) -> None:
    table([(stored.name, f"{stored.size:,} bytes", stored.sha256) for stored in objects])
