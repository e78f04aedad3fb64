"""Compares the tag of a release with every file that names the version.

``python -m tools.release v1.2.3`` prints the files that name another version, if any, and fails.
The version of a build comes from the tag; these files say it to people, or need it without git.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
_VERSION = r"(\d+\.\d+\.\d+)"
PLACES = (
    ("CHANGELOG.md", rf"^## \[{_VERSION}\]"),
    ("CITATION.cff", rf"^version: {_VERSION}$"),
    ("pyproject.toml", rf'^fallback-version = "{_VERSION}'),
    ("_cm.json", rf'"image_name": "cmx-resnet50-{_VERSION}"'),
    ("docs/containers.md", rf"/cmx-resnet50-{_VERSION}:"),
)
"""Files, each with a pattern that finds the version; of several matches the first counts."""


def named(root: Path = ROOT) -> list[tuple[str, str]]:
    """Return each place's file with the version that it names, empty where it names none."""
    found = []
    for name, pattern in PLACES:
        match = re.search(pattern, (root / name).read_text(encoding="utf-8"), re.MULTILINE)
        found.append((name, match[1] if match else ""))
    return found


def main(arguments: Sequence[str]) -> int:
    """Compare a tag with all places; return 1 if one names another version."""
    (tag,) = arguments
    others = [(name, version) for name, version in named() if f"v{version}" != tag]
    for name, version in others:
        print(f"{name} names {version or 'no version'}; the tag is {tag}", file=sys.stderr)
    return 1 if others else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
