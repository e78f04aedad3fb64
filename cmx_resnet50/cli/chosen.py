"""The objects that ``bundle export`` and ``publish`` send: named by requests, or all."""

from __future__ import annotations

import argparse
from contextlib import suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

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

    The archive that a file comes in is included: machines look for that in a mirror.

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
        found = list(store.objects())
    objects = list({stored.sha256: stored for stored in found}.values())
    if not objects:
        raise Resnet50Error(f"The store {store.root} is empty. Name requests, or give --all.")
    return objects


def expected_names(pipeline: Pipeline, parsed: argparse.Namespace) -> list[str]:
    """Return the names of the files that `chosen_objects` will return, before it fetches any."""
    from cmx_resnet50.catalog.request import names_in
    from cmx_resnet50.errors import Resnet50Error

    catalog = pipeline.catalog
    if not (parsed.requests or parsed.all):
        return [stored.name for stored in pipeline.store.objects()]
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
