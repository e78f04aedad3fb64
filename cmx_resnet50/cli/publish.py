"""``publish``: the store's files to an object store, from which the whole site is served."""

from __future__ import annotations

import argparse
import shlex
from typing import Any

from cmx_resnet50.cli.arguments import command, json_switch, requests, transfer_switches
from cmx_resnet50.cli.chosen import check_requests, chosen_objects, rows, total
from cmx_resnet50.cli.output import begin_transfer, print_json, print_line, print_table


def add(commands: Any) -> None:
    """Add the subcommand."""
    publish = command(
        commands,
        "publish",
        _publish,
        "fill a site's mirror in an S3-compatible object store",
        "Without requests, all files of the store are sent, except random weights.\n"
        "Requested files that the store lacks are fetched first. Files that the mirror\n"
        "has already, by size and by the sha256 in the metadata, are not sent again. Any\n"
        "number of machines may publish to one mirror at the same time; to use it, set\n"
        "CM_RESNET50_MIRROR to its URL. Endpoint, credentials and region are those of\n"
        "boto3 and the AWS CLI (AWS_ENDPOINT_URL, AWS_PROFILE, ~/.aws/config). For a\n"
        "mirror in a folder, see bundle export.",
        examples="cmx-resnet50 publish _onnx _pytorch --to s3://models/resnet50\n"
        "cmx-resnet50 publish --all --to s3://models/resnet50 --json\n"
        "cmx-resnet50 publish --from-store --to s3://models/resnet50",
        page="clusters",
    )
    requests(publish)
    publish.add_argument("--to", required=True, metavar="URL", help="s3://BUCKET/PREFIX")
    publish.add_argument(
        "--from-store",
        action="store_true",
        help="fetch nothing: use the store, or fail",
    )
    json_switch(publish)
    transfer_switches(publish, "the mirror's address")


def _publish(parsed: argparse.Namespace) -> None:
    from cmx_resnet50 import api
    from cmx_resnet50.errors import Resnet50Error
    from cmx_resnet50.mirror.manifest import check
    from cmx_resnet50.mirror.publish import publish
    from cmx_resnet50.mirror.to_s3 import S3Target
    from cmx_resnet50.options import Options
    from cmx_resnet50.progress import progress_for
    from cmx_resnet50.remote.s3_client import S3

    check_requests(parsed)
    _check_address(parsed, parsed.to)
    show = begin_transfer(parsed)
    options = Options.read({})
    times = {"connect_timeout": options.connect_timeout, "read_timeout": options.read_timeout}
    target = S3Target(parsed.to, S3(**times))
    if options.offline:
        raise Resnet50Error(
            f"{target.printable} cannot be filled: offline mode is on (CM_RESNET50_OFFLINE)."
        )
    # Whatever is wrong with the store shows before anything is fetched.
    check(target)
    pipeline = api.pipeline({"offline": True, "mirror": ()} if parsed.from_store else {}, show)
    objects = chosen_objects(pipeline, parsed, "Nothing was sent: the mirror would be incomplete.")
    sent = {
        stored.sha256: sent
        for stored, sent in publish(pipeline.store, objects, target, progress_for(show))
    }
    if parsed.json:
        listed = [{**row, "sent": sent[row["sha256"]]} for row in rows(objects)]
        print_json({"target": target.printable, "objects": listed})
        return
    if parsed.quiet:
        print_line(target.printable)
        return
    print_table(
        [
            ("sent" if sent[one.sha256] else "there", one.name, f"{one.size:,} bytes", one.sha256)
            for one in objects
        ]
    )
    print_line(f"{target.printable}: {total(objects)}; {sum(sent.values())} sent")


def _check_address(parsed: argparse.Namespace, url: str) -> None:
    """End with a usage error where `url` is not in S3, and name what to do instead."""
    from urllib.request import url2pathname

    from cmx_resnet50.redaction import redact

    scheme, colon, rest = url.partition("://")
    if colon and scheme.lower() == "s3":
        return
    if colon and scheme.lower() != "file":
        parsed.error(
            f"--to {redact(url)}: only s3:// is understood. For another store export a folder, "
            "copy it there with that store's own tool, and read it over https: "
            "cmx-resnet50 bundle export DIR"
        )
    folder = shlex.quote(url2pathname(rest.removeprefix("localhost")) if colon else url)
    parsed.error(f"--to takes s3://. For a folder: cmx-resnet50 bundle export {folder}")
