"""The pages of ``docs/`` as the package carries them, for whoever has no checkout at hand.

They are the very files, in the folder of the script. Their links lead on inside a checkout; in
an installation, each page is asked for by its name.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cmx_resnet50.catalog.table import SCRIPT

_NAMES = {"start": "docs/README.md", "notes": "README-extra.md"}
"""Pages that are not called as their file is."""


def page(name: str, meta: Mapping[str, Any]) -> str:
    """Return the page `name`; that on choosing a file is made of `meta`."""
    if name == "choose":
        from cmx_resnet50.docs import choose

        return choose.render(meta)
    return (SCRIPT / _NAMES.get(name, f"docs/{name}.md")).read_text(encoding="utf-8")
