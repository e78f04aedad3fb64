"""Writes README.md, README-index.md, docs/reference.md and docs/choose.md from ``_cm.json``.

Nothing is stated here a second time.

Options come from the field docstrings of ``options``, exported keys from ``engines.outputs``,
files from ``catalog``. Only the words around them, and the meaning of each key, are here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cmx_resnet50.catalog.table import Catalog
from tools.readme import customization, files, output, usage
from tools.readme.markdown import GENERATED


def render(meta: Mapping[str, Any]) -> str:
    """Return the README that belongs to `meta`, the content of a ``_cm.json``."""
    return _page(
        usage.start(meta),
        usage.summary(meta),
        usage.PICTURE,
        usage.INSTALL,
        usage.FIGURES,
        usage.people(meta),
    )


def reference(meta: Mapping[str, Any]) -> str:
    """Return ``docs/reference.md``: all that can be requested, set, and read afterwards."""
    catalog = Catalog(meta)
    return _page(
        usage.REFERENCE_START,
        files.table_of_requests(catalog),
        usage.reuse(meta),
        customization.variations(meta),
        customization.settings(meta),
        output.dependencies(meta),
        output.new_env(catalog),
    )


def _page(*sections: str) -> str:
    return "\n\n".join([*(section.strip() for section in sections), GENERATED]) + "\n"
