"""A reader of a page: runs the commands of a block in one shell, as they stand."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping

from tests.harness.cm import CM


def follow(
    cm: CM,
    blocks: list[str],
    *,
    replaced: Mapping[str, str] | None = None,
    env: Mapping[str, str] | None = None,
    without: tuple[str, ...] = (),
    typed: str = "",
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
    """
    commands = "\n".join(blocks)
    for written, real in (replaced or {}).items():
        assert written in commands, written
        commands = commands.replace(written, real)
    environment = {key: v for key, v in cm.environment(env).items() if key not in without}
    done = subprocess.run(
        ["bash", "-e", "-c", commands],
        env=environment,
        cwd=cm.cwd,
        input=typed,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, f"{commands}\n{done.stdout}"
    return done.stdout
