"""A machine without Chromium: root gets it from apt-get, anybody else one line."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.gui import chromium


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the only folder on PATH; it is empty, and this is root."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    return tmp_path


def write(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def test_the_one_that_is_there_is_taken(programs: Path) -> None:
    write(programs / "chromium", "exit 0")
    write(programs / "apt-get", "exit 1")
    assert chromium.program() == str(programs / "chromium")


def test_root_gets_it_from_apt_get(programs: Path) -> None:
    made, said = programs / "chromium", programs / "said"
    write(
        programs / "apt-get",
        f'echo "$DEBIAN_FRONTEND $*" >> {said}\n'
        f'[ "$1" = update ] || {{ : > {made}; /bin/chmod 755 {made}; }}',
    )
    assert chromium.program() == str(made)
    assert [line.split()[1] for line in said.read_text().splitlines()] == ["update", "install"]
    assert all(line.startswith("noninteractive ") for line in said.read_text().splitlines())


@pytest.mark.parametrize(
    ("script", "said"),
    [
        (None, "no apt-get to install it"),
        ("exit 100", "apt-get update failed"),
        ('[ "$1" = update ]', "apt-get install failed"),
        ("exit 0", "apt-get brought no chromium"),
    ],
)
def test_what_fails_is_one_line(programs: Path, script: str | None, said: str) -> None:
    if script is not None:
        write(programs / "apt-get", script)
    with pytest.raises(chromium.Unavailable, match=said) as reason:
        chromium.program()
    assert "\n" not in str(reason.value)


def test_nobody_else_installs(programs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(programs / "apt-get", f": > {programs}/canary")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(chromium.Unavailable, match=r"not root \(uid 1000\)"):
        chromium.program()
    assert not (programs / "canary").exists()
