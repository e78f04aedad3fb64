"""``list``, ``get``, ``prefetch``: which files there are, and how to have them."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from cmx_resnet50.cli.arguments import command, json_switch, path, requests, silent_switch
from cmx_resnet50.cli.output import complain, remark, say, say_json, table

if TYPE_CHECKING:
    from pathlib import Path

    from cmx_resnet50.catalog.table import Artifact, Catalog, Resolution
    from cmx_resnet50.delivery.pipeline import Delivery, Pipeline
    from cmx_resnet50.engines.dialect import EnvView
    from cmx_resnet50.options import Options


def add(commands: Any) -> None:
    """Add the subcommands."""
    listing = command(
        commands,
        "list",
        _list,
        "list every request that has a file, and which",
        "The column STORE says whether the store has the file: whole, damaged, or not at\n"
        "all (-). Random weights (_dummy-weights) have a line of their own where the\n"
        "store holds them.",
        examples="cmx-resnet50 list\ncmx-resnet50 list --json",
        page="choose",
    )
    json_switch(listing)

    get = command(
        commands,
        "get",
        _get,
        "get one model and say where it is, as `cm run script` would",
        "Fetches only what the store lacks. Without --to the model is placed in a folder\n"
        "of the store. The last line printed, or the JSON, is the result. The line ends\n"
        "with the origin of the bytes: fetched (now, over the network or from a mirror),\n"
        "store (they were there), local (the file that --checkpoint names), dummy (random\n"
        "weights, made now).",
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
        help="folder that shall hold the model; made if missing",
    )
    get.add_argument(
        "--offline", action="store_true", help="open no socket: take it from the store, or fail"
    )
    get.add_argument(
        "--checkpoint",
        type=path,
        metavar="PATH",
        help="a file, or a folder that holds it, to take in place of a download",
    )
    get.add_argument("--json", action="store_true", help="print the exported keys as JSON")
    silent_switch(get)

    prefetch = command(
        commands,
        "prefetch",
        _prefetch,
        "bring files into the store, for later runs without a network",
        "What the store has whole is not fetched again; what is damaged is repaired. A\n"
        "request that fails does not stop the others; the exit code is 1 then. Each line\n"
        "names the origin of the bytes: fetched, store (they were there), dummy (random\n"
        "weights, made now).",
        examples="cmx-resnet50 prefetch _onnx,_opset-8 _pytorch\ncmx-resnet50 prefetch --all",
        page="airgapped",
    )
    requests(prefetch)
    json_switch(prefetch)
    silent_switch(prefetch)


def names_in(text: str) -> list[str]:
    """Return the variations in a request as a user writes it."""
    return [name for name in text.replace(",", " ").split() if name]


def resolved(
    catalog: Catalog, names: Sequence[str], options: Options, said: set[str], **given: str
) -> tuple[EnvView, Resolution]:
    """Return the env that variations make, and what they mean; say what there is to say on it.

    Parameters
    ----------
    said : set of str
        What was said already, and is not said again; what is said now comes to it.

    Raises
    ------
    RequestError
        If they mean no file.
    """
    from cmx_resnet50.catalog.variations import compose
    from cmx_resnet50.engines import env_run
    from cmx_resnet50.engines.cm import CM
    from cmx_resnet50.engines.env_request import request_of

    env = CM.view({**compose(catalog.meta, names), **given})
    # As the engine hands them over: without the underscore, but `-` before what is left out.
    explicit = [name.lstrip("_").replace("-_", "-", 1) for name in names]
    resolution = catalog.resolve(request_of(env, CM.view({}), explicit), strict=options.strict)
    env_run.print_notices(env, [text for text in resolution.messages if text not in said])
    said.update(resolution.messages)
    return env, resolution


def everything(catalog: Catalog) -> Iterator[tuple[str, Artifact]]:
    """Every known file that a request means, with the shortest such request."""
    seen = set()
    for request in catalog.requests():
        artifact = catalog.resolve(request).artifact
        if artifact.name not in seen:
            seen.add(artifact.name)
            yield request.variations, artifact


def prefetched(
    pipeline: Pipeline, asked: Sequence[str], everything_known: bool
) -> tuple[list[tuple[str, Delivery]], int]:
    """Bring what is asked for into the store; say what fails, and go on.

    Returns
    -------
    list
        Each request that succeeded, with what it came to.
    int
        How many failed.
    """
    from cmx_resnet50.errors import Resnet50Error

    wanted = list(asked)
    if everything_known:
        wanted += [name for name, _ in everything(pipeline.catalog)]
    done, failed = [], 0
    said: set[str] = set()
    for text in wanted:
        try:
            _, resolution = resolved(pipeline.catalog, names_in(text), pipeline.options, said)
            done.append((text, pipeline.obtain(resolution)))
        except Resnet50Error as error:
            complain(f"{text}: {error}")
            failed += 1
            continue
        try:
            # A store that an earlier version filled has the unpacked file only.
            pipeline.obtain_archive(resolution)
        except Resnet50Error as error:
            remark(f"{text}: the file is there; the archive for a mirror could not be had: {error}")
    if failed and len(wanted) > 1:
        remark(f"{failed} of {len(wanted)} requests failed, see above.")
    return done, failed


def _list(parsed: argparse.Namespace) -> None:
    from cmx_resnet50.catalog.table import Catalog
    from cmx_resnet50.delivery.pipeline import Pipeline
    from cmx_resnet50.options import Options

    catalog = Catalog.load()
    pipeline = Pipeline(catalog, Options.read({}))
    rows: list[dict[str, Any]] = []
    for request in catalog.requests():
        resolution = catalog.resolve(request)
        rows.append(_row(pipeline, resolution))
        if resolution.artifact.dummy is not None:
            dummy = catalog.resolve(replace(request, weights="dummy"))
            row = _row(pipeline, dummy)
            own = {**resolution.artifact.dummy, "approx_bytes": resolution.artifact.dummy["bytes"]}
            rows += [{**row, **own, "top1": None}] if row["store"] else []
    if parsed.json:
        say_json(rows)
        return
    shown = [(row["request"], row["store"] or "-", row["file"], row["artifact"]) for row in rows]
    table([("REQUEST", "STORE", "FILE", "ARTIFACT"), *shown])


def _row(pipeline: Pipeline, resolution: Resolution) -> dict[str, Any]:
    artifact = resolution.artifact
    return {
        "request": resolution.request.variations,
        "store": _state(pipeline, resolution),
        "file": artifact.file,
        "artifact": artifact.name,
        "md5": artifact.md5,
        "sha256": artifact.sha256,
        "bytes": artifact.bytes,
        "approx_bytes": artifact.bytes or artifact.approx_bytes,
        "license": artifact.license,
        "top1": artifact.top1,
    }


def _state(pipeline: Pipeline, resolution: Resolution) -> str | None:
    """Say how the store has all that is asked for: ``whole``, ``damaged``, or None."""
    dummy = resolution.request.weights == "dummy"
    wanted = (resolution.artifact, *resolution.companions)
    keys = [artifact.dummy_keys if dummy else artifact.store_keys for artifact in wanted]
    found = [pipeline.store.find(*names) for names in keys]
    present = [stored for stored in found if stored is not None]
    if len(present) < len(found):
        return None
    return "whole" if all(map(pipeline.store.check, present)) else "damaged"


def _get(parsed: argparse.Namespace) -> None:
    from cmx_resnet50.catalog.table import Catalog
    from cmx_resnet50.delivery.pipeline import Pipeline
    from cmx_resnet50.engines import env_run, outputs
    from cmx_resnet50.engines.dialect import MODEL
    from cmx_resnet50.options import Options
    from cmx_resnet50.progress import progress_for

    catalog = Catalog.load()
    options = Options.read({"CM_RESNET50_OFFLINE": "yes"} if parsed.offline else {})
    names = [name for text in parsed.variations for name in names_in(text)]
    given = {"CM_RESNET50_CHECKPOINT": str(parsed.checkpoint or "")}
    env, resolution = resolved(catalog, names, options, set(), **given)
    pipeline = Pipeline(catalog, options, progress_for(not parsed.silent))
    delivery = pipeline.obtain(resolution)
    own = options.store / "places" / delivery.model.sha256
    folder = parsed.to or own / "model"
    _place(pipeline, delivery, folder, named=parsed.to is not None)
    file = delivery.resolution.artifact.file
    # Not beside the model, as in a cache entry: the user has not named that folder.
    original = _place_original(pipeline, delivery, own / "original")
    seen = original.parent if original is not None and original.name == file else folder
    delivery = env_run.inspected(pipeline, delivery, seen)
    env[env_run.PLACE] = str(folder / file)
    env_run.finish(env, delivery)
    if original is not None:
        env[outputs.ORIGINAL] = str(original)
    if parsed.json:
        say_json({env.full(name): env[name] for name in sorted(env) if name.startswith(MODEL)})
    else:
        say(env_run.summary(env, delivery))


def _place(pipeline: Pipeline, delivery: Delivery, folder: Path, *, named: bool) -> None:
    """Fill `folder`; where it is ours and cannot be, say how to name another one."""
    from cmx_resnet50.store import ObjectMissing, StoreError

    try:
        pipeline.place(delivery, folder)
    except StoreError as error:
        if named or isinstance(error, ObjectMissing):
            raise
        raise StoreError(f"{error} With --to DIR the model comes to a folder of yours.") from error


def _place_original(pipeline: Pipeline, delivery: Delivery, folder: Path) -> Path | None:
    """Place the file before its batch was fixed, and return where it is; None without one.

    Of a store that can only be read, that is the object itself, which has another name.
    """
    from cmx_resnet50.store import ObjectMissing, StoreError

    if delivery.original is None:
        return None
    try:
        pipeline.place_original(delivery, folder)
    except StoreError as error:
        if isinstance(error, ObjectMissing):
            raise
        return delivery.original.path
    return folder / delivery.resolution.artifact.file


def _prefetch(parsed: argparse.Namespace) -> int:
    from cmx_resnet50.catalog.table import Catalog
    from cmx_resnet50.cli.arguments import wrong
    from cmx_resnet50.delivery.pipeline import Pipeline
    from cmx_resnet50.options import Options
    from cmx_resnet50.progress import progress_for

    if bool(parsed.requests) == parsed.all:
        wrong("prefetch", "name requests, or give --all.")
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
        say_json(rows)
    else:
        table(
            [
                (text, delivery.origin, name, f"{stored.size:,} bytes", stored.sha256)
                for text, delivery in done
                for stored, name in delivery.files()
            ]
        )
    return 1 if failed else 0
