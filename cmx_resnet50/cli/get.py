"""``get``: one model, and where it is."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from cmx_resnet50.cli.arguments import command, path, transfer_switches
from cmx_resnet50.cli.output import begin_transfer, print_json, print_line, print_warning

if TYPE_CHECKING:
    from cmx_resnet50.delivery.delivered import Delivery
    from cmx_resnet50.model import Model


def add(commands: Any) -> None:
    """Add the subcommand."""
    get = command(
        commands,
        "get",
        _get,
        "get one model and print where it is, as `cm run script` would",
        "Fetches only what the store lacks. Without --to the model is placed in a folder\n"
        "of the store. The result is the last line printed, or the JSON. The line ends\n"
        "with the origin of the bytes: fetched (now, over the network or from a mirror),\n"
        "store (already there), local (the file that --checkpoint names), dummy (random\n"
        "weights, made now). The JSON has the fields of Python, see `cmx-resnet50 docs\n"
        "python`, and in `exports` the keys that the script exports.",
        examples="cmx-resnet50 get\n"
        "cmx-resnet50 get _onnx,_opset-8 --to opset-8\n"
        "cmx-resnet50 get _pytorch --checkpoint /mnt/models/resnet50-19c8e357.pth\n"
        "cmx-resnet50 get _dummy-weights --json",
        page="choose",
    )
    get.add_argument(
        "variations",
        nargs="*",
        metavar="VARIATION",
        help="variations as in CM's tags, separated by commas or blanks; underscores and the "
        "script's own tags are optional; without any, the default file",
    )
    get.add_argument(
        "--to",
        type=path,
        metavar="DIR",
        help="place the model in this folder; created if missing",
    )
    get.add_argument(
        "--force", action="store_true", help="replace a file of yours in the folder --to"
    )
    get.add_argument("--offline", action="store_true", help="work offline: use the store, or fail")
    get.add_argument(
        "--checkpoint",
        type=path,
        metavar="PATH",
        help="use this file, or the folder that contains it, instead of a download",
    )
    get.add_argument("--json", action="store_true", help="print all facts as JSON")
    transfer_switches(get, "the paths of its files")


def _get(parsed: argparse.Namespace) -> None:
    from cmx_resnet50.api import Settings, deliver
    from cmx_resnet50.catalog.request import names_in

    warn = _ignore if parsed.quiet else print_warning
    names = names_in(" ".join(parsed.variations))
    settings: Settings = {"offline": True} if parsed.offline else {}
    if parsed.force:
        settings["force"] = True
    model, delivery = deliver(
        names,
        settings,
        to=parsed.to,
        checkpoint=parsed.checkpoint,
        progress=begin_transfer(parsed),
        warn=warn,
    )
    for notice in model.notices:
        warn(notice)
    if parsed.json:
        print_json({**model.to_dict(), "exports": _exports(names, model, delivery)})
    elif parsed.quiet:
        for file in model.files:
            print_line(str(file))
    else:
        print_line(
            f"ResNet-50: {model.path} ({model.size:,} bytes, sha256 {model.sha256}, {model.origin})"
        )


def _ignore(_: str) -> None:
    """Print nothing."""


def _exports(names: Sequence[str], model: Model, delivery: Delivery) -> dict[str, str]:
    """Return the keys that the script exports for the same request."""
    from cmx_resnet50.catalog.table import Catalog
    from cmx_resnet50.catalog.variations import compose
    from cmx_resnet50.engines import env_run, outputs
    from cmx_resnet50.engines.cm import CM
    from cmx_resnet50.engines.dialect import MODEL

    env = CM.view(dict(compose(Catalog.load().meta, names)))
    env[env_run.PLACE] = str(model.path)
    env_run.finish(env, delivery)
    if model.original is not None:
        env[outputs.ORIGINAL] = str(model.original)
    return {env.full(name): env[name] for name in sorted(env) if name.startswith(MODEL)}
