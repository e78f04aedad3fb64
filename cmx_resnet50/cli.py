"""The command ``cmx-resnet50``: the same library without CM."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from cmx_resnet50 import __version__, steps
from cmx_resnet50.catalog import Catalog
from cmx_resnet50.compose import compose
from cmx_resnet50.errors import Resnet50Error
from cmx_resnet50.options import Options
from cmx_resnet50.pipeline import Pipeline


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code: 0, 1 for an error, 130 when interrupted."""
    parsed = _parser().parse_args(arguments)
    try:
        return int(parsed.run(parsed) or 0)
    except Resnet50Error as error:
        print(f"cmx-resnet50: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("cmx-resnet50: interrupted; what was fetched is kept.", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="cmx-resnet50", description="The ResNet-50 weights of MLPerf, checked and in place."
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    listing = commands.add_parser("list", help="every request that has a file, and which")
    listing.add_argument("--json", action="store_true", help="print JSON")
    listing.set_defaults(run=_list)

    get = commands.add_parser("get", help="get one model, as `cm run script` would")
    get.add_argument("variations", nargs="*", help="say _onnx,_opset-8 (commas or blanks)")
    get.add_argument("--to", type=Path, help="folder that shall hold the model")
    get.add_argument("--json", action="store_true", help="print the exported keys as JSON")
    get.add_argument("-s", "--silent", action="store_true", help="print no progress")
    get.set_defaults(run=_get)

    verify = commands.add_parser("verify", help="read every object and compare digests")
    verify.add_argument("--json", action="store_true", help="print JSON")
    verify.set_defaults(run=_verify)

    docs = commands.add_parser("docs", help="generate the README from _cm.json")
    docs.add_argument("--output", type=Path, help="file to write; standard output by default")
    docs.set_defaults(run=_docs)
    return parser


def _list(parsed: argparse.Namespace) -> None:
    catalog = Catalog.load()
    rows = []
    for request in catalog.requests():
        artifact = catalog.resolve(request).artifact
        rows.append((request.variations, artifact.file, artifact.name, artifact.md5 or ""))
    if parsed.json:
        names = ("request", "file", "artifact", "md5")
        print(json.dumps([dict(zip(names, row, strict=True)) for row in rows], indent=2))
        return
    for request_text, file, name, _ in rows:
        print(f"{request_text:40} {file:44} {name}")


def _get(parsed: argparse.Namespace) -> None:
    names = [name for text in parsed.variations for name in text.replace(",", " ").split()]
    catalog = Catalog.load()
    env: dict[str, object] = dict(compose(catalog.meta, names))
    options = Options.read({})
    explicit = [name.lstrip("_") for name in names]
    resolution = steps.resolve(steps.request_of(env, {}, explicit), options)
    steps.say_notes(env, resolution.notes)
    pipeline = Pipeline(catalog, options, silent=parsed.silent)
    delivery = pipeline.obtain(resolution)
    folder = parsed.to or options.store / "places" / delivery.model.sha256
    pipeline.place(delivery, folder.absolute())
    env[steps.PLACE] = str(folder.absolute() / resolution.artifact.file)
    steps.finish(env, delivery)
    if parsed.json:
        exported = {key: env[key] for key in sorted(env) if key.startswith("CM_ML_MODEL_")}
        print(json.dumps(exported, indent=2))
    else:
        print(steps.summary(env, delivery))


def _verify(parsed: argparse.Namespace) -> int:
    store = Pipeline(Catalog.load(), Options.read(os.environ)).store
    rows = [(stored.sha256, str(stored.path), good) for stored, good in store.verify()]
    if parsed.json:
        names = ("sha256", "path", "good")
        print(json.dumps([dict(zip(names, row, strict=True)) for row in rows], indent=2))
    else:
        for sha256, path, good in rows:
            print(f"{'good   ' if good else 'DAMAGED'} {sha256} {path}")
    return 0 if all(good for *_, good in rows) else 1


def _docs(parsed: argparse.Namespace) -> None:
    from cmx_resnet50.docs import render

    text = render(Catalog.load().meta)
    if parsed.output is None:
        print(text, end="")
    else:
        parsed.output.write_text(text, encoding="utf-8")
