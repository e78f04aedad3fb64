"""README-index.md, the description that a package index shows: README.md for readers elsewhere.

An index resolves no link to a file, and shows neither Mermaid nor our pictures. So a link to a page
becomes the command that prints it, the picture of the flow becomes words, and figures are left out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

from tools.readme import render
from tools.readme.markdown import GENERATED, NOTES

FLOW = """\
1. The *catalog* finds the one file that a request (tags of variations) means, or refuses it and
   names the nearest valid ones.
2. The *store* has the file already, by its digest; otherwise it is *fetched* from mirrors and
   public hosts, in order, and compared with its digest.
3. If a batch size is requested, it is *written* into a copy of the file.
4. The file is *placed* in the cache entry, and in the folder that you name.
5. The content of the file is *compared* with the catalog, and described by `CM_ML_MODEL_*` keys.

A later run finds the entry, checks store and placement, and repairs what has changed."""

_LINK = re.compile(r"(!?)\[([^\]]+)\]\(([^)\s]+)\)")
_NAMES = {"README": "start", "README-extra": "notes"}
"""Names of pages for ``cmx-resnet50 docs`` that are not the file's."""


def description(meta: Mapping[str, Any]) -> str:
    """Return the description that belongs to `meta`, the content of a ``_cm.json``."""
    text = render(meta).replace(GENERATED, "")
    text = re.sub(r"```mermaid\n.*?```", FLOW, text, flags=re.DOTALL)
    # Figures are of a checkout.
    text = re.sub(r"## How fast\n.*?(?=^## )", "", text, flags=re.DOTALL | re.MULTILINE)
    return _LINK.sub(_without_file, text).strip() + "\n"


def _without_file(link: re.Match[str]) -> str:
    picture, words, target = link.groups()
    if target.startswith("https://"):
        return link[0]
    if picture:
        return words
    page = PurePosixPath(target.partition("#")[0]).stem
    command = f"`cmx-resnet50 docs {_NAMES.get(page, page)}`"
    # A link whose text is the name of its file needs no further words.
    return command if words.endswith(".md") or words == NOTES else f"{words} ({command})"
