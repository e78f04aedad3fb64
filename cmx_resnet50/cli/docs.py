"""``docs``: the README and the pages of ``docs/``, for whoever has no checkout at hand."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from cmx_resnet50.cli.arguments import command, path
from cmx_resnet50.cli.output import say

PAGES = (
    "start",
    "notes",
    "choose",
    "airgapped",
    "networks",
    "clusters",
    "races",
    "containers",
    "gui",
    "callers",
    "design",
)
"""What can be asked for; a test holds it against the folder. No look at the disk for each start."""


def add(commands: Any) -> None:
    """Add the subcommand."""
    docs = command(
        commands,
        "docs",
        _docs,
        "print a page of the documentation",
        f"Pages: {', '.join(PAGES[:6])},\n{', '.join(PAGES[6:])}.\n"
        "The page `start` says what is in each. Without PAGE: the README.",
        examples="cmx-resnet50 docs start\n"
        "cmx-resnet50 docs networks | less\n"
        "cmx-resnet50 docs --output README.md",
        page="start",
    )
    docs.add_argument("page", nargs="?", choices=PAGES, metavar="PAGE", help="name of a page")
    docs.add_argument(
        "--output", type=path, metavar="FILE", help="file to write; standard output by default"
    )


def _docs(parsed: argparse.Namespace) -> None:
    from cmx_resnet50.catalog.table import Catalog
    from cmx_resnet50.docs import render
    from cmx_resnet50.docs.pages import page

    meta = Catalog.load().meta
    text = render(meta) if parsed.page is None else page(parsed.page, meta)
    if parsed.output is None:
        sys.stdout.write(text)
    else:
        parsed.output.write_text(text, encoding="utf-8")
        say(str(parsed.output))
