"""A reader of a page: runs the commands of a block in one shell, as they stand."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.docs import pages
from tests.harness.cm import CM
from tests.harness.waiting import HANGS


def follow(
    cm: CM,
    blocks: list[str],
    *,
    replaced: Mapping[str, str] | None = None,
    env: Mapping[str, str] | None = None,
    without: tuple[str, ...] = (),
    typed: str = "",
    cwd: Path | None = None,
    fails: bool = False,
) -> str:
    """Run blocks, stopping at the first command that fails; return what they print.

    Parameters
    ----------
    replaced
        Texts of the page that stand for something of the reader's own, such as a host; each
        must be there.
    env
        Further environment.
    without
        Names that the environment shall not have.
    typed
        What the reader types.
    cwd
        Where the reader is, if that is not the user's own folder.
    fails
        Whether a command has to fail, in place of none.
    """
    commands = "\n".join(blocks)
    for written, real in (replaced or {}).items():
        assert written in commands, written
        commands = commands.replace(written, real)
    environment = {key: v for key, v in cm.environment(env).items() if key not in without}
    done = subprocess.run(
        ["bash", "-e", "-c", commands],
        env=environment,
        cwd=cwd or cm.cwd,
        input=typed,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=HANGS,
        check=False,
    )
    assert (done.returncode != 0) == fails, f"{commands}\n{done.stdout}"
    return done.stdout


def follow_section(cm: CM, text: str, title: str, *before: str) -> None:
    """Run all commands of a section of a page, after some of the reader's own."""
    blocks = pages.blocks(pages.section(text, title), "bash")
    assert blocks, title
    follow(cm, [*before, *blocks])
