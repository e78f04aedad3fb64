"""Versions of packages, and where they are."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterator
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

import cmx_resnet50
from cmx_resnet50.catalog.table import SCRIPT
from cmx_resnet50.diagnosis.finding import Finding

AREA = "package"


def own() -> Iterator[Finding]:
    """Yield what this package is, and what runs it."""
    yield Finding(AREA, f"Python {platform.python_version()} ({sys.executable})")
    folder = Path(cmx_resnet50.__file__).parent
    yield Finding(AREA, f"cmx-resnet50 {cmx_resnet50.__version__} ({folder})")
    there = (SCRIPT / "_cm.json").is_file()
    yield Finding(
        AREA,
        f"script {SCRIPT}" if there else f"there is no script in {SCRIPT}",
        "" if there else "The installation is not complete.",
        "" if there else f"{sys.executable} -m pip install --force-reinstall --no-deps .",
        there,
    )


def version(area: str, distribution: str, module: str) -> Finding:
    """Return which version of a package is installed, and where."""
    spec = find_spec(module)
    places = [] if spec is None else [spec.origin, *(spec.submodule_search_locations or ())]
    place = next((Path(path) for path in places if path and path != "built-in"), None)
    if place is None:
        return Finding(
            area,
            f"{distribution} is not installed",
            "The engine does not work without it.",
            f"{sys.executable} -m pip install {distribution}",
            ok=False,
        )
    try:
        number = metadata.version(distribution)
    except metadata.PackageNotFoundError:
        number = "(version unknown)"
    return Finding(area, f"{distribution} {number} ({place.parent if place.suffix else place})")
