"""``docs``: the README and the pages of ``docs/``, for users who have no checkout.

They are the files of the script's folder. Their links work in a checkout; in an installation,
each page is requested by its name.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from cmx_resnet50.cli.arguments import command, path
from cmx_resnet50.cli.output import print_line, print_text

if TYPE_CHECKING:
    from pathlib import Path

PAGES = (
    "start",
    "notes",
    "choose",
    "reference",
    "python",
    "preprocessing",
    "airgapped",
    "networks",
    "clusters",
    "races",
    "containers",
    "gui",
    "mlc",
    "callers",
    "compare",
    "design",
)
"""Names of pages; a test compares them with the folder, which is not read on each start."""
_FILES = {None: "README.md", "start": "docs/README.md", "notes": "README-extra.md"}
"""Pages that are not called as their file is."""


def add(commands: Any) -> None:
    """Add the subcommand."""
    docs = command(
        commands,
        "docs",
        _docs,
        "print a page of the documentation",
        "Pages:\n"
        + "\n".join(f"  {', '.join(PAGES[at : at + 6])}" for at in range(0, len(PAGES), 6))
        + "\n"
        "The page `start` lists what is in each. Without PAGE: the README.",
        examples="cmx-resnet50 docs start\n"
        "cmx-resnet50 docs networks | less\n"
        "cmx-resnet50 docs --output README.md",
        page="start",
    )
    docs.add_argument("page", nargs="?", choices=PAGES, metavar="PAGE", help="name of a page")
    docs.add_argument(
        "--output", type=path, metavar="FILE", help="file to write; standard output by default"
    )
    docs.add_argument("--force", action="store_true", help="replace another file at --output")


def _docs(parsed: argparse.Namespace) -> None:
    from cmx_resnet50.catalog.table import SCRIPT

    name = _FILES.get(parsed.page, f"docs/{parsed.page}.md")
    text = (SCRIPT / name).read_text(encoding="utf-8")
    if parsed.output is None:
        print_text(text)
    else:
        from cmx_resnet50.rewrite.new_file import write_new

        content = text.encode()

        def write(made: Path) -> None:
            made.write_bytes(content)

        write_new(
            parsed.output,
            write,
            may_be_ours=lambda there: there.read_bytes() == content,
            force=parsed.force,
        )
        print_line(str(parsed.output))
