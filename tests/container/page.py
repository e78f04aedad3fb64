"""Runs the commands of docs/containers.md, section by section, as a reader would."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.docs import pages
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
    return shell(cm, cwd, "\n".join(commands), env)


def shell(cm: CM, cwd: Path, commands: str, env: Mapping[str, str] | None = None) -> str:
    """Run commands in one shell; return what they print."""
    code, said = _shell(cm, cwd, commands, env)
    assert code == 0, f"{commands}\n{said}"
    return said


def fails(cm: CM, cwd: Path, commands: str, env: Mapping[str, str] | None = None) -> str:
    """Run commands of which one must fail; return what they print."""
    code, said = _shell(cm, cwd, commands, env)
    assert code != 0, f"{commands}\n{said}"
    return said


def _shell(cm: CM, cwd: Path, commands: str, env: Mapping[str, str] | None) -> tuple[int, str]:
    done = subprocess.run(
        ["bash", "-e", "-c", commands],
        env=cm.environment(env),
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout
