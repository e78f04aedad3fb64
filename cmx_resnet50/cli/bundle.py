"""``bundle``: the store's files to another machine, or to a site's own mirror."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from cmx_resnet50.cli.arguments import command, json_switch, path, requests, transfer_switches
from cmx_resnet50.cli.chosen import check_requests, chosen_objects, expected_names, rows, total
from cmx_resnet50.cli.output import (
    begin_transfer,
    print_json,
    print_line,
    print_note,
    print_table,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from cmx_resnet50.delivery.pipeline import Pipeline
    from cmx_resnet50.store import StoredObject


def add(commands: Any) -> None:
    """Add the subcommands."""
    bundle = command(
        commands,
        "bundle",
        None,
        "carry files to a machine without a network",
        "Export a bundle on a machine with a network, and import it on one without.\n"
        "export and import have a --help of their own.",
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
        "Without requests, all files of the store are exported, except random weights.\n"
        "Requested files that the store lacks are fetched first. In a folder, files with\n"
        "the right bytes stay and missing ones are added; any number of machines may\n"
        "export to one folder at the same time. A folder can be served as it is: with its\n"
        "address in CM_RESNET50_MIRROR, files are found there by digest and by name. A\n"
        ".tar file is replaced. Files that are not of a bundle are kept, unless you give\n"
        "--force. A file that is published as an archive is packed twice, unpacked and as\n"
        "that archive, which machines request from a mirror.",
        examples="cmx-resnet50 bundle export models.tar\n"
        "cmx-resnet50 bundle export /srv/www/resnet50 _onnx _pytorch\n"
        "cmx-resnet50 bundle export models.tar --all",
        page="airgapped",
    )
    export.add_argument("target", type=path, metavar="TARGET", help="folder or .tar file to write")
    requests(export)
    export.add_argument(
        "--force", action="store_true", help="replace a file of yours that is in the way"
    )
    json_switch(export)
    transfer_switches(export, "the bundle's path")

    import_ = command(
        ways,
        "import",
        _import,
        "import the files of a bundle into the store",
        "Each file is compared with its digest; nothing is fetched. A file without a\n"
        "published digest is used only if this machine can make it again: from its\n"
        "archive, or from the file whose batch size was fixed.",
        examples="cmx-resnet50 bundle import models.tar",
        page="airgapped",
    )
    import_.add_argument("source", type=path, metavar="SOURCE", help="folder or .tar file")
    json_switch(import_)


def _export(parsed: argparse.Namespace) -> None:
    from cmx_resnet50 import api
    from cmx_resnet50.mirror.bundle import check_target, export
    from cmx_resnet50.progress import progress_for

    check_requests(parsed)
    target = parsed.target
    show = begin_transfer(parsed)
    pipeline = api.pipeline({}, show)
    replaced = check_target(target, expected_names(pipeline, parsed), force=parsed.force)
    objects = chosen_objects(pipeline, parsed, f"{target} was not written: it would be incomplete.")
    written = export(pipeline.store, objects, target, progress_for(show), force=parsed.force)
    if not parsed.quiet:
        if replaced:
            print_note(f"{target} was there, and was replaced.")
        _warn_of_archives(pipeline, objects, target)
    if parsed.json:
        new = {stored.sha256 for stored in written}
        listed = [{**row, "written": row["sha256"] in new} for row in rows(objects)]
        print_json({"target": str(target), "objects": listed})
    elif parsed.quiet:
        print_line(str(target))
    else:
        _show(objects)
        kept = len(objects) - len(written)
        there = f"; {total(written)} written, {kept} already there" if kept else ""
        print_line(f"{target}: {total(objects)}{there}")


def _import(parsed: argparse.Namespace) -> None:
    from cmx_resnet50.delivery.confirm import unconfirmed
    from cmx_resnet50.mirror.bundle import import_
    from cmx_resnet50.options import Options, own_stores
    from cmx_resnet50.store import open_store

    options = Options.read({})
    store = open_store(options.store, own_stores())
    there = {stored.sha256 for stored in store.objects() if store.check(stored)}
    imported = import_(store, parsed.source, unconfirmed)
    objects = [one.stored for one in imported]
    taken = [stored for stored in objects if stored.sha256 not in there]
    for one in imported:
        if one.unconfirmed:
            reasons = "; ".join(dict.fromkeys(one.unconfirmed.values()))
            print_note(
                f"{parsed.source}: {one.stored.name} ({one.stored.sha256[:12]}) is in the store, "
                f"but does not answer all requests that the bundle lists: {reasons}."
            )
    if parsed.json:
        claims = {one.stored.sha256: dict(one.unconfirmed) for one in imported}
        print_json(
            [
                {
                    **row,
                    "taken": row["sha256"] not in there,
                    "unconfirmed": claims[row["sha256"]],
                }
                for row in rows(objects)
            ]
        )
    else:
        _show(objects)
        print_line(
            f"{parsed.source}: {total(objects)}; {total(taken)} taken into {store.root}, "
            f"{len(objects) - len(taken)} already there"
        )


def _warn_of_archives(pipeline: Pipeline, objects: Sequence[StoredObject], target: Path) -> None:
    """Report files that are of no use elsewhere, since the archive that has a digest is missing."""
    requests = {
        artifact.name: (requests[0], artifact)
        for artifact, requests in pipeline.catalog.published()
    }
    exported = {stored.sha256 for stored in objects}
    for stored in objects:
        known = requests.get(str(stored.record.get("artifact")))
        if known is not None and stored.archive is not None and stored.archive not in exported:
            text, artifact = known
            print_note(
                f"{target}: the archive that {stored.name} comes in, {artifact.mirror_name}, is "
                "not in the store. Without it, `bundle import` cannot verify the file, and a "
                "mirror does not serve it. To have it: "
                f"cmx-resnet50 prefetch {text}, then export again."
            )


def _show(objects: Sequence[StoredObject]) -> None:
    print_table([(stored.name, f"{stored.size:,} bytes", stored.sha256) for stored in objects])
