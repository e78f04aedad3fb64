"""``list``: which files there are, what they are, and which of them the store has."""

from __future__ import annotations

import argparse
import dataclasses
import shutil
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from cmx_resnet50.cli.arguments import command, json_switch
from cmx_resnet50.cli.output import print_json, print_table, print_warning, tensor_text
from cmx_resnet50.cli.users import counted, shown, users_of

if TYPE_CHECKING:
    from cmx_resnet50.catalog.request import Resolution
    from cmx_resnet50.delivery.pipeline import Pipeline
    from cmx_resnet50.model import KnownModel
    from cmx_resnet50.store.usage import Usage

WIDTH = 80
"""Columns of the table without a terminal."""
_LEFT_OUT = ("USED", "FORMAT", "TOP-1", "PRECISION", "SIZE")
"""Columns that are left out where the table is too wide, in this order."""


def add(commands: Any) -> None:
    """Add the subcommand."""
    listing = command(
        commands,
        "list",
        _list,
        "list all known files, or all facts of one",
        "One line for each file, with the shortest request that means it. STORE shows\n"
        "whether the store has the file: valid, damaged, or not at all (-). USED counts\n"
        "the cache entries of CM and MLC that use it, and other folders. Random weights\n"
        "(_dummy-weights) are listed if the store has them. Columns that do not fit the\n"
        "terminal are omitted. With REQUEST or --json everything is shown; unknown\n"
        "values are a dash or null.",
        examples="cmx-resnet50 list\n"
        "cmx-resnet50 list --all\n"
        "cmx-resnet50 list _onnx,_opset-8\n"
        "cmx-resnet50 list --json",
        page="choose",
    )
    listing.add_argument(
        "request",
        nargs="*",
        metavar="REQUEST",
        help="show all facts of the file that this request means",
    )
    listing.add_argument("--all", action="store_true", help="one line for each request")
    json_switch(listing)


def _list(parsed: argparse.Namespace) -> None:
    from cmx_resnet50 import api

    if parsed.request and parsed.all:
        parsed.error("name a request, or give --all, not both.")
    pipeline = api.pipeline({}, False)
    usage = pipeline.store.usage()
    if parsed.request:
        facts = _one(pipeline, usage, " ".join(parsed.request))
        if parsed.json:
            print_json(facts)
        else:
            print_table(list(_lines(facts)))
        return
    rows = [
        row
        for known in api.models()
        for row in _rows(pipeline, usage, known, every_request=parsed.all)
    ]
    if parsed.json:
        print_json(rows)
    else:
        _print_fitting([_cells(row) for row in rows])


def _one(pipeline: Pipeline, usage: Usage, request: str) -> dict[str, Any]:
    """Return all facts of the file that `request` means; print how it differs from that."""
    from cmx_resnet50.api import models
    from cmx_resnet50.wording import COMMAND

    resolution = _resolved(pipeline, request)
    for message in resolution.messages:
        print_warning(COMMAND.apply(message))
    (known,) = (known for known in models() if known.name == resolution.artifact.name)
    facts = _facts(known, resolution.request.variations, pipeline, usage)
    facts["deviations"] = list(resolution.deviations)
    facts["variations"] = dict(_meanings(pipeline, facts["request"]))
    return facts


def _meanings(pipeline: Pipeline, request: str) -> Iterator[tuple[str, str]]:
    """Yield the variations of a request with what each is for."""
    for tag in request.split(","):
        found = pipeline.catalog.variations.find(tag.removeprefix("_"))
        if found is not None and found[0].description:
            yield tag, found[0].description


def _rows(
    pipeline: Pipeline, usage: Usage, known: KnownModel, *, every_request: bool
) -> Iterator[dict[str, Any]]:
    """Yield the facts of each line of a file; of random weights, only what the store has."""
    dummies = [f"{request},_dummy-weights" for request in known.requests if known.dummy]
    for requests in (known.requests, dummies):
        for request in requests if every_request else requests[:1]:
            facts = _facts(known, request, pipeline, usage)
            if requests is known.requests or facts["store"] is not None:
                yield facts


def _facts(known: KnownModel, request: str, pipeline: Pipeline, usage: Usage) -> dict[str, Any]:
    resolution = _resolved(pipeline, request)
    facts = dataclasses.asdict(known)
    size, approx_size = facts.pop("size"), facts.pop("approx_size")
    facts = {
        "request": request,
        **_state(pipeline, usage, resolution),
        "file": facts.pop("file"),
        "artifact": facts.pop("name"),
        **facts,
        "weights": resolution.request.weights,
        "bytes": size,
        "approx_bytes": size or approx_size,
    }
    if resolution.request.weights == "dummy":
        own = resolution.artifact.dummy or {}
        facts.update(own, approx_bytes=own["bytes"], top1=None)
        facts["requests"] = [f"{request},_dummy-weights" for request in known.requests]
    return facts


def _resolved(pipeline: Pipeline, request: str) -> Resolution:
    from cmx_resnet50.catalog.request import names_in

    return pipeline.catalog.resolve(pipeline.catalog.request(names_in(request)))


def _state(pipeline: Pipeline, usage: Usage, resolution: Resolution) -> dict[str, Any]:
    """Return how the store has all that is requested, and who uses the model itself.

    The first is ``valid``, ``damaged``, or None.
    """
    dummy = resolution.request.weights == "dummy"
    wanted = (resolution.artifact, *resolution.companions)
    keys = [artifact.dummy_keys if dummy else artifact.store_keys for artifact in wanted]
    found = [pipeline.store.find(*names) for names in keys]
    present = [stored for stored in found if stored is not None]
    if len(present) < len(found):
        return {"store": None, "used": []}
    state = "valid" if all(map(pipeline.store.check, present)) else "damaged"
    return {"store": state, "used": users_of(usage, present[0])}


def _cells(row: Mapping[str, Any]) -> dict[str, str]:
    """Return what the table has of a file."""
    return {
        "REQUEST": row["request"],
        "FORMAT": row["format"],
        "PRECISION": row["precision"] or "-",
        "SIZE": _size(row),
        "TOP-1": "-" if row["top1"] is None else f"{row['top1']:.3f}",
        "STORE": row["store"] or "-",
        "USED": counted(row["used"]),
    }


def _size(row: Mapping[str, Any]) -> str:
    from cmx_resnet50.fetch.errors import amount

    return "-" if row["approx_bytes"] is None else amount(row["approx_bytes"])


def _print_fitting(rows: Sequence[Mapping[str, str]]) -> None:
    """Print a table of those columns for which there is room."""
    columns = list(rows[0])
    room = shutil.get_terminal_size((WIDTH, 24)).columns
    for name in _LEFT_OUT:
        widths = [max(len(column), *(len(row[column]) for row in rows)) for column in columns]
        if sum(widths) + 2 * (len(widths) - 1) > room:
            columns.remove(name)
    print_table([columns, *([row[column] for column in columns] for row in rows)])


def _lines(facts: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the facts of one file as lines of a name and a value."""
    tensors = [
        (kind, tensor_text(**tensor)) for kind in ("inputs", "outputs") for tensor in facts[kind]
    ]
    yield "request", facts["request"]
    yield from facts["variations"].items()
    yield from (("also", other) for other in facts["requests"] if other != facts["request"])
    for name in ("file", "artifact", "format", "precision", "opset", "layout", "classes"):
        yield name, _text(facts[name])
    yield from tensors
    yield from _preprocessing(facts["preprocessing"])
    yield "weights", facts["weights"]
    yield "top-1 %", _text(facts["top1"])
    exact = facts["bytes"] is not None
    yield "bytes", f"{facts['bytes']:,}" if exact else f"about {_size(facts)}"
    for name in ("sha256", "md5", "license", "url"):
        yield name, _text(facts[name])
    yield from (("mirror", mirror) for mirror in facts["mirrors"])
    yield "store", _text(facts["store"])
    yield from (("used by", shown(user)) for user in facts["used"])


def _preprocessing(how: Mapping[str, Any] | None) -> Iterator[tuple[str, str]]:
    for name, value in (how or {}).items():
        texts = [f"{one:.6g}" for one in value] if isinstance(value, tuple) else [_text(value)]
        yield name.replace("_", " "), ", ".join(texts)


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "-" if value is None else str(value)
