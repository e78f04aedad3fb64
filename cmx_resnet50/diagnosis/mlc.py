"""Checks of MLC: which version, whether it knows our script, and whether that answers."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from importlib.util import find_spec

from cmx_resnet50.catalog.table import Catalog
from cmx_resnet50.diagnosis.finding import Finding
from cmx_resnet50.diagnosis.versions import version
from cmx_resnet50.engines import mlc_registry
from cmx_resnet50.engines.cached_states import cut_entries

AREA = "MLC"
TAGS = "get,ml-model,resnet50"
ADD = "cmx-resnet50 mlc add"
META = "meta.json"
"""What a cache entry is."""


def installed() -> bool:
    """Whether MLC is there."""
    return mlc_registry.installed()


def versions() -> Iterator[Finding]:
    """Yield which MLC this is, and where the engine of its scripts is."""
    yield version(AREA, "mlcflow", "mlc")
    spec = find_spec("automation")
    places = list(spec.submodule_search_locations or ()) if spec is not None else []
    where = places[0] if places else "a repository of MLC's"
    yield Finding(AREA, f"its script engine is in {where}")


def answers() -> Iterator[Finding]:
    """Yield which script answers by tags and by uid."""
    repos = mlc_registry.home()
    if not (repos / "repos.json").is_file():
        # Nothing is wrong for somebody who uses CM only.
        yield Finding(AREA, f"home {repos}, not used yet; `{ADD}` registers the script")
        return
    yield Finding(AREA, f"home {repos}")
    if not mlc_registry.is_registered(repos):
        yield Finding(
            AREA,
            f"{mlc_registry.REPOSITORY} is not listed in {repos / 'repos.json'}",
            "MLC does not know this package's script, or knows it from an old index only.",
            ADD,
            ok=False,
        )
    found = mlc_registry.who_answers(repos, TAGS)
    uid = Catalog.load().meta["uid"]
    ours = [path for path in found if path.parent.parent == mlc_registry.REPOSITORY]
    # MLC's index has one script of each uid.
    for asked, scripts in ((TAGS, found[:1]), (f"uid {uid}", ours[:1])):
        ok = bool(scripts) and scripts[0] in ours
        yield Finding(
            AREA,
            f"{asked} is answered by {scripts[0] if scripts else 'no script of ours'}",
            "" if ok else f"That is not this package's script, {mlc_registry.REPOSITORY}.",
            "" if ok else ADD,
            ok,
        )


def cache() -> Iterator[Finding]:
    """Yield the entries of MLC's cache that MLC cannot load."""
    folder = mlc_registry.home() / "local" / "cache"
    for file in cut_entries(folder, META, "mlc-cached-state.json"):
        skipped = "MLC skips the entry, and warns at each start."
        yield Finding(
            AREA,
            f"the cache entry {file.parent} has a damaged {file.name}",
            skipped if file.name == META else "Each run that it answers ends with an error.",
            f"rm -r {shlex.quote(str(file.parent))}",
            ok=False,
        )
