"""Small pieces of Markdown, and CM's way of writing variations and dependencies in it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

NOTES = "README-extra.md"
PAGES = "docs/README.md"
CHOOSING = "docs/choose.md"
REFERENCE = "docs/reference.md"
"""Pages beside the README, as it links to them."""

GENERATED = "<!-- Generated from _cm.json: change the source, then `make docs`. -->"
"""The last line of each page."""

UNKNOWN = "unknown"
"""What is written where no public source says a fact."""


def code(text: str) -> str:
    """Return `text` as a code span."""
    return f"`{text}`"


def tag(variation: str) -> str:
    """Return a variation, also a combined one, as it is asked for: ``onnx,opset-8``."""
    return code(",".join(f"_{part}" for part in variation.split(",")))


def bullets(items: Iterable[str]) -> str:
    """Return a list."""
    return "\n".join(f"- {item}" for item in items)


def folded(title: str, text: str) -> str:
    """Return `text` under a title that opens it; the title is HTML."""
    return f"<details>\n<summary>{title}</summary>\n\n{text}\n\n</details>"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table; a bar inside a cell is escaped."""
    lines = [head, ["---"] * len(head), *rows]
    cells = (" | ".join(cell.replace("|", "\\|") for cell in line) for line in lines)
    return "\n".join(f"| {line} |" for line in cells)


def dependency(dep: Mapping[str, Any]) -> str:
    """Return one dependency: its tags, how to change it, whether it is dynamic."""
    text = code(dep["tags"])
    if "names" in dep:
        text += f" ({' or '.join(code(f'--adr.{name}.tags') for name in dep['names'])})"
    if dep.get("dynamic"):
        text += ", dynamic"
    return text
