"""``list``: which files there are, and which of them the store has."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from cmx_resnet50.cli.arguments import command, json_switch
from cmx_resnet50.cli.output import print_json, print_table

if TYPE_CHECKING:
    from cmx_resnet50.delivery.pipeline import Pipeline
    from cmx_resnet50.model import KnownModel


def add(commands: Any) -> None:
    """Add the subcommand."""
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
