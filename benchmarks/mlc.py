"""Runs under MLC, the successor of CM."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from benchmarks.compare import MLC as SCRIPTS
from benchmarks.measure import (
    BenchmarkError,
    Comparison,
    Contender,
    Outcome,
    Reading,
    Setting,
    interleave,
)
from benchmarks.stage import OURS, Stage, staged
from benchmarks.tools import run
from tests.harness.mlc import MLC

HIT = "mlcr, ours, a hit"
COLD = "mlcr, ours, cold"
FIND = "mlc find script"
TAGS = "get,ml-model,resnet50"
_HIT_ROUNDS = 15


def mlc(setting: Setting) -> Outcome:
    """A first run and a cached one, and what MLC takes to find the script."""
    with staged(setting) as stage:
        warm = _user(stage, "warm")

        def contender(name: str, user: MLC | None, *command: str) -> Contender:
            def contend() -> list[Reading]:
                who = user or _user(stage, "cold")
                stage.origin.clear_log()
                seconds = _run(who, command)
                if (user is None) != bool(stage.origin.requests):
                    raise BenchmarkError(f"{name}: {len(stage.origin.requests)} requests")
                return [Reading(name, seconds)]

            return contend

        wanted = ("mlcr", f"{TAGS},_onnx", "--quiet")
        _run(warm, wanted)
        series = interleave(
            [contender(HIT, warm, *wanted), contender(FIND, warm, "mlc", "find", "script", TAGS)],
            3 if setting.quick else _HIT_ROUNDS,
        )
        series.update(interleave([contender(COLD, None, *wanted)], setting.rounds, warm=False))
    return Outcome(
        "Under MLC, 102 MB over HTTPS on loopback",
        series,
        [Comparison(HIT, FIND)],
        [
            f"MLC's own download-file is in {SCRIPTS} only, which this does not install: the cold "
            "run is given without a peer."
        ],
    )


def _user(stage: Stage, name: str) -> MLC:
    """Return a new user of MLC, to whom our script is known and indexed."""
    home = stage.folder / f"user-mlc-{name}"
    shutil.rmtree(home, ignore_errors=True)
    user = MLC(stage.installations[OURS], home / "home", home / "MLC", stage.origin)
    _run(user, ("cmx-resnet50", "mlc", "add"))
    _run(user, ("mlc", "find", "script", TAGS))
    return user


def _run(user: MLC, command: Sequence[str]) -> float:
    line: list[str | Path] = [user.installation.bin / command[0], *command[1:]]
    return run(line, cwd=user.cwd, env=user.environment())[0]
