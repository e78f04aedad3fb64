"""``list``, ``get``, ``prefetch``: which files there are, and how to get them."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from cmx_resnet50.cli.arguments import command, json_switch, path, requests, silent_switch
from cmx_resnet50.cli.output import (
    print_error,
    print_json,
    print_line,
    print_note,
    print_table,
    print_warning,
    show_log,
)

if TYPE_CHECKING:
    from cmx_resnet50.delivery.pipeline import Delivery, Pipeline
    from cmx_resnet50.model import KnownModel, Model


def add(commands: Any) -> None:
    """Add the subcommands."""
    listing = command(
        commands,
        "list",
        _list,
        "list every request that has a file, and which",
        "The column STORE shows whether the store has the file: valid, damaged, or not at\n"
        "all (-). Random weights (_dummy-weights) have a line of their own where the\n"
        "store has them.",
        examples="cmx-resnet50 list\ncmx-resnet50 list --json",
        page="choose",
    )
    json_switch(listing)

    get = command(
        commands,
        "get",
        _get,
        "get one model and print where it is, as `cm run script` would",
        "Fetches only what the store lacks. Without --to the model is placed in a folder\n"
        "of the store. The last line printed, or the JSON, is the result. The line ends\n"
        "with the origin of the bytes: fetched (now, over the network or from a mirror),\n"
        "store (they were there), local (the file that --checkpoint names), dummy (random\n"
        "weights, made now). The JSON has the fields that Python has, see `cmx-resnet50\n"
        "docs python`, and in `exports` the keys that the script exports.",
        examples="cmx-resnet50 get\n"
        "cmx-resnet50 get _onnx,_opset-8 --to models\n"
        "cmx-resnet50 get _pytorch --checkpoint /mnt/models/resnet50-19c8e357.pth\n"
        "cmx-resnet50 get _dummy-weights --json",
        page="choose",
    )
    get.add_argument(
        "variations",
        nargs="*",
        metavar="VARIATION",
        help="as in CM's tags, with commas or blanks between them; none for the defaults",
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
    get.add_argument(
        "--offline", action="store_true", help="work offline: take it from the store, or fail"
    )
    get.add_argument(
        "--checkpoint",
        type=path,
        metavar="PATH",
        help="a file, or a folder that holds it, in place of a download",
    )
    get.add_argument("--json", action="store_true", help="print all facts as JSON")
    silent_switch(get)

    prefetch = command(
        commands,
        "prefetch",
        _prefetch,
        "fetch files into the store, for later runs without a network",
        "What the store has is not fetched again; what is damaged is repaired. A\n"
        "request that fails does not stop the others; the exit code is 1 then. Each line\n"
        "names the origin of the bytes: fetched, store (they were there), dummy (random\n"
        "weights, made now).",
        examples="cmx-resnet50 prefetch _onnx,_opset-8 _pytorch\ncmx-resnet50 prefetch --all",
        page="airgapped",
    )
    requests(prefetch)
    json_switch(prefetch)
    silent_switch(prefetch)


def prefetched(
    pipeline: Pipeline, wanted: Sequence[str], every_file: bool
) -> tuple[list[tuple[str, Delivery]], int]:
    """Fetch what is requested into the store; report what fails, and go on.

    Returns
    -------
    list
        Each request that succeeded, with what it came to.
    int
        How many failed.
    """
    from cmx_resnet50.api import names_in
    from cmx_resnet50.errors import Resnet50Error
    from cmx_resnet50.wording import COMMAND

    catalog, strict = pipeline.catalog, pipeline.options.strict
    wanted = list(wanted)
    if every_file:
        wanted += [requests[0] for _, requests in catalog.published()]
    done, failed = [], 0
    shown: set[str] = set()
    for text in wanted:
        try:
            resolution = catalog.resolve(catalog.request(names_in(text)), strict=strict)
            for line in resolution.messages:
                if line not in shown:
                    print_warning(COMMAND.apply(line))
                shown.add(line)
            done.append((text, pipeline.obtain(resolution)))
        except Resnet50Error as error:
            print_error(f"{text}: {error}")
            failed += 1
            continue
        try:
            # A store that an earlier version filled has the unpacked file only.
            pipeline.obtain_archive(resolution)
        except Resnet50Error as error:
            print_note(
                f"{text}: the file is in the store; its archive, for a mirror, is not: {error}"
            )
    if failed and len(wanted) > 1:
        print_note(f"{failed} of {len(wanted)} requests failed, see above.")
    return done, failed


def _list(parsed: argparse.Namespace) -> None:
    from cmx_resnet50.api import models
    from cmx_resnet50.catalog.table import Catalog
    from cmx_resnet50.delivery.pipeline import Pipeline
    from cmx_resnet50.options import Options

    pipeline = Pipeline(Catalog.load(), Options.read({}))
    rows: list[dict[str, Any]] = []
    for known in models():
        rows += _rows(known, known.requests, _state(pipeline, known.requests[0]))
        dummies = [f"{request},_dummy-weights" for request in known.requests if known.dummy]
        state = _state(pipeline, dummies[0]) if dummies else None
        if state is not None:
            own = pipeline.catalog.artifacts[known.url].dummy or {}
            facts = {**own, "approx_bytes": own["bytes"], "top1": None}
            rows += [{**row, **facts} for row in _rows(known, dummies, state)]
    if parsed.json:
        print_json(rows)
        return
    shown = [(row["request"], row["store"] or "-", row["file"], row["artifact"]) for row in rows]
    print_table([("REQUEST", "STORE", "FILE", "ARTIFACT"), *shown])


def _rows(known: KnownModel, requests: Iterable[str], state: str | None) -> list[dict[str, Any]]:
    return [
        {
            "request": request,
            "store": state,
            "file": known.file,
            "artifact": known.name,
            "md5": known.md5,
            "sha256": known.sha256,
            "bytes": known.size,
            "approx_bytes": known.size or known.approx_size,
            "license": known.license,
            "top1": known.top1,
        }
        for request in requests
    ]


def _state(pipeline: Pipeline, request: str) -> str | None:
    """Return how the store has all that is requested: ``valid``, ``damaged``, or None."""
    from cmx_resnet50.api import names_in

    resolution = pipeline.catalog.resolve(pipeline.catalog.request(names_in(request)))
    dummy = resolution.request.weights == "dummy"
    wanted = (resolution.artifact, *resolution.companions)
    keys = [artifact.dummy_keys if dummy else artifact.store_keys for artifact in wanted]
    found = [pipeline.store.find(*names) for names in keys]
    present = [stored for stored in found if stored is not None]
    if len(present) < len(found):
        return None
    return "valid" if all(map(pipeline.store.check, present)) else "damaged"


def _get(parsed: argparse.Namespace) -> None:
    from cmx_resnet50.api import Settings, deliver, names_in

    if parsed.silent:
        show_log()
    names = names_in(" ".join(parsed.variations))
    settings: Settings = {"offline": True} if parsed.offline else {}
    if parsed.force:
        settings["force"] = True
    model, delivery = deliver(
        names,
        settings,
        to=parsed.to,
        checkpoint=parsed.checkpoint,
        progress=not parsed.silent,
        warn=print_warning,
    )
    for notice in model.notices:
        print_warning(notice)
    if parsed.json:
        print_json({**model.to_dict(), "exports": _exports(names, model, delivery)})
    else:
        print_line(
            f"ResNet-50: {model.path} ({model.size:,} bytes, sha256 {model.sha256}, {model.origin})"
        )


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


def _prefetch(parsed: argparse.Namespace) -> int:
    from cmx_resnet50.catalog.table import Catalog
    from cmx_resnet50.cli.arguments import usage_error
    from cmx_resnet50.delivery.pipeline import Pipeline
    from cmx_resnet50.options import Options
    from cmx_resnet50.progress import progress_for

    if bool(parsed.requests) == parsed.all:
        usage_error("prefetch", "name requests, or give --all.")
    pipeline = Pipeline(Catalog.load(), Options.read({}), progress_for(not parsed.silent))
    done, failed = prefetched(pipeline, parsed.requests, parsed.all)
    rows = [
        {
            "request": text,
            "origin": delivery.origin,
            "files": [
                {"file": name, "bytes": s.size, "sha256": s.sha256, "md5": s.md5}
                for s, name in delivery.files()
            ],
        }
        for text, delivery in done
    ]
    if parsed.json:
        print_json(rows)
    else:
        print_table(
            [
                (text, delivery.origin, name, f"{stored.size:,} bytes", stored.sha256)
                for text, delivery in done
                for stored, name in delivery.files()
            ]
        )
    return 1 if failed else 0
