"""Runs the commands of docs/containers.md, section by section, as a reader would."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from tests.docs import pages
from tests.docs.reader import follow
from tests.harness.cm import CM

PAGE = pages.ROOT / "docs" / "containers.md"


def text() -> str:
    """Return the page."""
    return PAGE.read_text(encoding="utf-8")


def blocks(title: str) -> list[str]:
    """Return the bash blocks of a section, without those of its subsections."""
    own = re.split(r"^#+ ", pages.section(text(), title), maxsplit=1, flags=re.MULTILINE)[0]
    return pages.blocks(own, "bash")


def run(cm: CM, cwd: Path, title: str, env: Mapping[str, str] | None = None) -> str:
    """Run all commands of a section in one shell; return what they print."""
    commands = blocks(title)
    assert commands, title
    return follow(cm, commands, cwd=cwd, env=env)


def shell(cm: CM, cwd: Path, commands: str, env: Mapping[str, str] | None = None) -> str:
    """Run commands in one shell; return what they print."""
    return follow(cm, [commands], cwd=cwd, env=env)


def fails(cm: CM, cwd: Path, commands: str, env: Mapping[str, str] | None = None) -> str:
    """Run commands of which one must fail; return what they print."""
    return follow(cm, [commands], cwd=cwd, env=env, fails=True)
