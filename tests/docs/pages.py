"""Reads Markdown pages: sections, lists, tables, links and blocks, as a reader finds them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"
EXTRA = ROOT / "README-extra.md"
CONTRIBUTING = ROOT / "CONTRIBUTING.md"
SECURITY = ROOT / "SECURITY.md"
DOCS = ROOT / "docs"
REFERENCE = DOCS / "reference.md"

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_HEADING = re.compile(r"^#{1,6} (.+)$", re.MULTILINE)


def section(text: str, title: str) -> str:
    """Return what is under the heading `title`, up to the next of its level or higher."""
    found = re.search(rf"^(#+) {re.escape(title)}$", text, re.MULTILINE)
    assert found, f"no heading {title!r}"
    level = len(found.group(1))
    rest = text[found.end() :]
    end = re.search(rf"^#{{1,{level}}} ", rest, re.MULTILINE)
    return rest[: end.start()] if end else rest


@dataclass(frozen=True)
class Block:
    """A fenced block, with the heading that it stands under, whatever that one's level."""

    heading: str
    language: str
    body: str


def all_blocks(text: str) -> list[Block]:
    """Return every fenced block in order."""
    found, heading, end = [], "", 0
    for match in _FENCE.finditer(text):
        headings = _HEADING.findall(text, end, match.start())
        heading = headings[-1] if headings else heading
        end = match.end()
        found.append(Block(heading, match[1], match[2]))
    return found


def under(page: Path, heading: str) -> list[str]:
    """Return the bash blocks of a page that stand under a heading and no further one."""
    text = page.read_text(encoding="utf-8")
    found = [b.body for b in all_blocks(text) if (b.heading, b.language) == (heading, "bash")]
    assert found, f"{page.name} has no commands under {heading!r}"
    return found


def blocks(text: str, language: str) -> list[str]:
    """Return the fenced blocks in `language`."""
    return [body for name, body in _FENCE.findall(text) if name == language]


def rows(text: str) -> list[list[str]]:
    """Return the rows of every table, without heads, one text a cell."""
    lines = text.splitlines()
    found = []
    for index, line in enumerate(lines):
        head = index + 1 < len(lines) and lines[index + 1].startswith("| ---")
        if line.startswith("| ") and not head and not line.startswith("| ---"):
            cells = re.split(r"(?<!\\)\|", line)[1:-1]
            found.append([cell.strip().replace("\\|", "|") for cell in cells])
    return found


def items(text: str) -> dict[str, set[str]]:
    """Return a two-level list: the first code span of each item, with its sub-items' texts."""
    found: dict[str, set[str]] = {}
    name = ""
    for line in text.splitlines():
        if line.startswith("- `"):
            name = line.split("`")[1]
            found[name] = set()
        elif line.startswith("  - "):
            found[name].add(line[4:])
    return found


def spans(text: str) -> set[str]:
    """Return all code spans outside fenced blocks."""
    return set(re.findall(r"`([^`\n]+)`", _FENCE.sub("", text)))


def links(text: str) -> list[str]:
    """Return the targets of all links outside fenced blocks."""
    return re.findall(r"\]\(([^)\s]+)\)", _FENCE.sub("", text))


def anchors(text: str) -> set[str]:
    """Return the names under which GitHub links to the headings."""
    titles = _HEADING.findall(_FENCE.sub("", text))
    return {re.sub(r"[^\w\- ]", "", title).strip().lower().replace(" ", "-") for title in titles}
