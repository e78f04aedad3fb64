"""``list``: which files there are, and which of them the store has."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from cmx_resnet50.cli.arguments import command, json_switch
from cmx_resnet50.cli.output import print_json, print_table
from cmx_resnet50.cli.users import counted, users_of

if TYPE_CHECKING:
    from cmx_resnet50.delivery.pipeline import Pipeline
    from cmx_resnet50.model import KnownModel
    from cmx_resnet50.store.usage import Usage


def add(commands: Any) -> None:
    """Add the subcommand."""
    listing = command(
        commands,
        "list",
        _list,
        "list every request that has a file, and which",
        "The column STORE shows whether the store has the file: valid, damaged, or not at\n"
        "all (-). USED counts the cache entries of CM and of MLC that have the file, and\n"
        "other folders; --json names them. Random weights (_dummy-weights) have a line of\n"
        "their own where the store has them.",
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
    usage = pipeline.store.usage()
    rows: list[dict[str, Any]] = []
    for known in models():
        rows += _rows(known, known.requests, _state(pipeline, usage, known.requests[0]))
        dummies = [f"{request},_dummy-weights" for request in known.requests if known.dummy]
        state = _state(pipeline, usage, dummies[0]) if dummies else _ABSENT
        if state["store"] is not None:
            own = pipeline.catalog.artifacts[known.url].dummy or {}
            facts = {**own, "approx_bytes": own["bytes"], "top1": None}
            rows += [{**row, **facts} for row in _rows(known, dummies, state)]
    if parsed.json:
        print_json(rows)
        return
    shown = [
        (row["request"], row["store"] or "-", row["file"], row["artifact"], counted(row["used"]))
        for row in rows
    ]
    print_table([("REQUEST", "STORE", "FILE", "ARTIFACT", "USED"), *shown])


def _rows(
    known: KnownModel, requests: Iterable[str], state: dict[str, Any]
) -> list[dict[str, Any]]:
    return [
        {
            "request": request,
            **state,
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


_ABSENT: dict[str, Any] = {"store": None, "used": []}


def _state(pipeline: Pipeline, usage: Usage, request: str) -> dict[str, Any]:
    """Return how the store has all that is requested, and who uses the model itself.

    The first is ``valid``, ``damaged``, or None.
    """
    from cmx_resnet50.api import names_in

    resolution = pipeline.catalog.resolve(pipeline.catalog.request(names_in(request)))
    dummy = resolution.request.weights == "dummy"
    wanted = (resolution.artifact, *resolution.companions)
    keys = [artifact.dummy_keys if dummy else artifact.store_keys for artifact in wanted]
    found = [pipeline.store.find(*names) for names in keys]
    present = [stored for stored in found if stored is not None]
    if len(present) < len(found):
        return _ABSENT
    state = "valid" if all(map(pipeline.store.check, present)) else "damaged"
    return {"store": state, "used": users_of(usage, present[0])}
