"""Checks of CM: which version, which script answers, and whether its cache can be read."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

from cmx_resnet50.catalog.table import Catalog
from cmx_resnet50.diagnosis.finding import Finding
from cmx_resnet50.diagnosis.versions import version
from cmx_resnet50.engines import cm_registry
from cmx_resnet50.engines.cached_states import cut_entries

AREA = "CM"
TAGS = "get,ml-model,resnet50"
FIX = "cmx-resnet50 doctor --fix"
REINDEX = "cm reindex repo"
META = "_cm.json"
"""What a cache entry is."""


def installed() -> bool:
    """Whether CM is there."""
    return find_spec("cmind") is not None


def versions() -> Iterator[Finding]:
    """Yield which CM this is, and where its parts are."""
    for name, module in (("cmind", "cmind"), ("cmx4mlops", "cmx4mlops")):
        yield version(AREA, name, module)
    program = shutil.which("cm")
    if program is None:
        yield Finding(
            AREA,
            "the command cm is not on PATH",
            "CM can be used as `python -m cmind` only.",
            f"export PATH={shlex.quote(str(Path(sys.executable).parent))}:$PATH",
            ok=False,
        )
    elif (other := _other_python(Path(program))) is not None:
        yield Finding(
            AREA,
            f"{program} runs {other}, where this package is not installed",
            f"It was installed for {sys.executable}: `cm` does not find it.",
            f"export PATH={shlex.quote(str(Path(sys.executable).parent))}:$PATH",
            ok=False,
        )


def answers() -> Iterator[Finding]:
    """Yield which script answers by tags and by uid, and whether CM's index is fresh."""
    repos = cm_registry.home()
    meta = Catalog.load().meta
    found = cm_registry.who_answers(repos, TAGS, meta)
    yield Finding(AREA, f"home {repos}{'' if repos.is_dir() else ', not used yet'}")
    first = found.candidates[0] if found.candidates else None
    ours_first = first is not None and cm_registry.is_ours(first)
    for asked, scripts in ((TAGS, found.by_tags), (f"uid {meta['uid']}", found.by_uid)):
        script = scripts[0] if scripts else None
        ok = script is not None and cm_registry.is_ours(script)
        fix = REINDEX if ours_first else FIX
        yield Finding(
            AREA,
            f"{asked} is answered by {script or 'no script'}",
            "" if ok else f"That is not this package's script, {cm_registry.PACKAGE}.",
            "" if ok else fix,
            ok,
        )
    if not cm_registry.uses_index():
        yield Finding(AREA, "the index is switched off: CM looks through all folders each time")
        return
    if not ours_first:
        yield Finding(
            AREA,
            f"of the scripts with this uid, CM takes {first or 'none'} when it makes its index",
            "CM puts packages that it finds later in sys.path first, unless their folders are "
            f"listed in {repos / 'repos.json'}.",
            FIX,
            ok=False,
        )
    stale = ours_first and not (
        any(map(cm_registry.is_ours, found.by_every_tag))
        and any(map(cm_registry.is_ours, found.by_uid))
    )
    yield Finding(
        AREA,
        "CM's index is older than this installation" if stale else "CM's index is fresh",
        "CM runs what its index names." if stale else "",
        REINDEX if stale else "",
        not stale,
    )


def cache() -> Iterator[Finding]:
    """Yield the entries of CM's cache that CM cannot load."""
    folder = cm_registry.home() / "repos" / "local" / "cache"
    for file in cut_entries(folder, META, "cm-cached-state.json"):
        entry = file.parent
        # CM removes no entry whose meta it cannot load.
        remove = f"rm -r {shlex.quote(str(entry))} && {REINDEX}"
        yield Finding(
            AREA,
            f"the cache entry {entry} has a damaged {file.name}",
            f"Each run that {'looks at' if file.name == META else 'is answered by'} it fails.",
            remove if file.name == META else f"cm rm cache {entry.name} -f",
            ok=False,
        )


def fix() -> list[str]:
    """Make our script answer in CM; return what was done, as lines.

    Raises
    ------
    CMError
        If CM fails, or its list of repositories cannot be changed.
    """
    repos = cm_registry.home()
    meta = Catalog.load().meta
    found = cm_registry.who_answers(repos, TAGS, meta)
    done = []
    if not found.candidates or not cm_registry.is_ours(found.candidates[0]):
        listed = cm_registry.put_first(repos, found.packages)
        done.append(f"wrote {repos / 'repos.json'}: {', '.join(listed)}")
    elif all(
        any(map(cm_registry.is_ours, scripts[:1]))
        for scripts in (found.by_tags, found.by_uid, found.by_every_tag)
    ):
        return ["CM: nothing to fix"]
    cm_registry.reindex(repos)
    return [*done, f"ran {REINDEX}"]


def _other_python(program: Path) -> str | None:
    """Return the Python that `program` runs, if that does not have this package."""
    with suppress(OSError, ValueError, subprocess.SubprocessError):
        first = program.open("rb").readline(4096)
        words = os.fsdecode(first[2:]).split() if first.startswith(b"#!") else []
        if len(words) != 1 or "python" not in Path(words[0]).name or words[0] == sys.executable:
            return None
        done = subprocess.run(  # noqa: S603 - what `cm` itself runs
            [words[0], "-c", "import cmx_resnet50"],
            cwd=program.parent,
            capture_output=True,
            check=False,
            timeout=30,
        )
        return words[0] if done.returncode else None
    return None
