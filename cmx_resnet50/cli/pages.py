"""``docs``: the generated README."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from cmx_resnet50.cli.arguments import command, path
from cmx_resnet50.cli.output import say


def add(commands: Any) -> None:
    """Add the subcommand."""
    docs = command(
        commands,
        "docs",
        _docs,
        "print the README, which is generated from _cm.json",
        examples="cmx-resnet50 docs\ncmx-resnet50 docs --output README.md",
    )
    docs.add_argument(
        "--output", type=path, metavar="FILE", help="file to write; standard output by default"
    )


def _docs(parsed: argparse.Namespace) -> None:
    from cmx_resnet50.catalog import Catalog
    from cmx_resnet50.docs import render

    text = render(Catalog.load().meta)
    if parsed.output is None:
        sys.stdout.write(text)
    else:
        parsed.output.write_text(text, encoding="utf-8")
        say(str(parsed.output))
