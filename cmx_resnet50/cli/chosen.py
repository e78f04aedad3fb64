"""The objects that ``bundle export`` and ``publish`` send: named by requests, or all."""

from __future__ import annotations

import argparse
from contextlib import suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cmx_resnet50.catalog.table import Artifact
    from cmx_resnet50.delivery.pipeline import Pipeline
    from cmx_resnet50.store import StoredObject


def check_requests(parsed: argparse.Namespace) -> None:
    """End with a usage error where requests and ``--all`` are given together."""
    if parsed.requests and parsed.all:
        parsed.error("name requests, or give --all, not both.")


def chosen_objects(
    pipeline: Pipeline, parsed: argparse.Namespace, otherwise: str
) -> list[StoredObject]:
    """Return the objects that the command names, each once; what is missing is fetched first.

    The archive that a file comes in is included: machines look for that in a mirror. Random weights
    are included only by request: in a mirror they would have the name of the published file.

    Parameters
    ----------
    parsed : argparse.Namespace
        With ``requests`` and ``all``; without either, all that the store holds is meant.
    otherwise : str
        The sentence that ends the error if a file cannot be had.

    Raises
    ------
    Resnet50Error
        If a file cannot be had, or there is nothing.
    """
    from cmx_resnet50.cli.failure import Incomplete
    from cmx_resnet50.cli.prefetch import prefetched
    from cmx_resnet50.errors import Resnet50Error

    store = pipeline.store
    if parsed.requests or parsed.all:
        done = prefetched(pipeline, parsed.requests, parsed.all, quiet=parsed.quiet)
        if failures := [one.error for one in done if one.error is not None]:
            raise Incomplete(otherwise, failures)
        delivered = [one.delivery for one in done if one.delivery is not None]
        found = [stored for delivery in delivered for stored, _ in delivery.files()]
        found += [delivery.original for delivery in delivered if delivery.original is not None]
        archives = (store.archive(stored) for stored in found)
        found += [archive for archive in archives if archive is not None]
    else:
        found = _all_but_random(store.objects(), quiet=parsed.quiet)
    objects = list({stored.sha256: stored for stored in found}.values())
    if not objects:
        held = "holds random weights only" if any(store.objects()) else "is empty"
        raise Resnet50Error(f"The store {store.root} {held}. Name requests, or give --all.")
    return objects


def is_random(stored: StoredObject) -> bool:
    """Return whether an object of the store has random weights."""
    return str(stored.record.get("url", "")).startswith("dummy:")


def request_of(stored: StoredObject) -> tuple[str, Artifact | None]:
    """Return a request that means an object of the store, and the file of the catalog it is of.

    If that is unknown, both are empty.
    """
    from cmx_resnet50.catalog.request import BATCH
    from cmx_resnet50.catalog.table import Catalog

    catalog = Catalog.load()
    known: dict[str, tuple[str, Artifact]] = {}
    for artifact, requests in catalog.published():
        for part in (artifact, *(catalog.artifacts[url] for url in artifact.companions)):
            known[part.name] = (requests[0], part)
    request, found = known.get(str(stored.record.get("artifact")), ("", None))
    if found is None:
        return "", None
    # A record may be anybody's: only what is a request becomes part of a command.
    batch = str(stored.record.get("batch", ""))
    parts = [request, *(["_dummy-weights"] if is_random(stored) else [])]
    parts += [f"_batch_size.{batch}"] if BATCH.fullmatch(batch) else []
    return ",".join(parts), found


def _all_but_random(objects: Iterable[StoredObject], *, quiet: bool) -> list[StoredObject]:
    """Return the objects that are not random, and say which others there are."""
    from cmx_resnet50.cli.output import print_note

    found = list(objects)
    left_out = [stored for stored in found if is_random(stored)]
    if left_out and not quiet:
        names = ", ".join(sorted({stored.name for stored in left_out}))
        requests = " ".join(sorted({request_of(stored)[0] for stored in left_out}))
        print_note(f"Random weights are left out: {names}. To include them, name them: {requests}")
    return [stored for stored in found if not is_random(stored)]


def expected_names(pipeline: Pipeline, parsed: argparse.Namespace) -> list[str]:
    """Return the names of the files that `chosen_objects` will return, before it fetches any."""
    from cmx_resnet50.catalog.request import names_in
    from cmx_resnet50.errors import Resnet50Error

    catalog = pipeline.catalog
    if not (parsed.requests or parsed.all):
        return [stored.name for stored in pipeline.store.objects() if not is_random(stored)]
    wanted = [] if parsed.all else parsed.requests
    found = [artifact for artifact, _ in catalog.published()] if parsed.all else []
    for text in wanted:
        with suppress(Resnet50Error):  # reported when it is fetched
            resolution = catalog.resolve(catalog.request(names_in(text)))
            found += [resolution.artifact, *resolution.companions]
    return [name for artifact in found for name in (artifact.file, artifact.mirror_name)]


def rows(objects: Iterable[StoredObject]) -> list[dict[str, Any]]:
    """Return what ``--json`` prints of each object."""
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


def total(objects: Iterable[StoredObject]) -> str:
    """Return the number of objects and of their bytes, in words."""
    sizes = [stored.size for stored in objects]
    noun = "file" if len(sizes) == 1 else "files"
    return f"{len(sizes)} {noun}, {sum(sizes):,} bytes"
