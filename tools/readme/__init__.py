"""Writes README.md and docs/choose.md from ``_cm.json``: nothing is stated here a second time.

Options come from the field docstrings of ``options``, exported keys from ``engines.outputs``,
files from ``catalog``. Only the words around them, and the meaning of each key, are here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cmx_resnet50.catalog.table import Catalog
from tools.readme import customization, files, output, usage


def render(meta: Mapping[str, Any]) -> str:
    """Return the README that belongs to `meta`, the content of a ``_cm.json``."""
    catalog = Catalog(meta)
    sections = (
        usage.start(meta),
        usage.summary(meta),
        usage.reuse(meta),
        customization.variations(meta),
        customization.settings(meta),
        output.dependencies(meta),
        output.new_env(catalog),
        usage.people(meta),
        files.table_of_requests(catalog),
        usage.PICTURE,
        usage.FIGURES,
    )
    text = "\n\n".join(section.strip() for section in sections)
    return f"{text}\n\n<!-- Generated from _cm.json: change the source, then `make docs`. -->\n"
