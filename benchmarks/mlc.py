"""Runs under MLC, the successor of CM, beside MLC's own commands and scripts."""

from __future__ import annotations

import shutil
import subprocess
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
from benchmarks.stage import KIND, OURS, Stage, staged
from benchmarks.tools import MB, check, fresh, run
from tests.harness import faults
from tests.harness.artifacts import ARTIFACTS
from tests.harness.mlc import MLC

HIT = "mlcr, ours, a hit"
COLD = "mlcr, ours, cold"
FIND = "mlc find script"
TAGS = "get,ml-model,resnet50"
THEIRS = "mlcr download,file,_mlcutil"
FEW = ("download-file", "detect-os")
"""The scripts that THEIRS runs."""
PACE = 12 * MB
"""Bytes a second of each connection."""
_HIT_ROUNDS = 15
_WANTED = ("mlcr", f"{TAGS},_onnx", "--quiet")


def mlc(setting: Setting) -> Outcome:
    """A first run and a cached one, and what MLC takes to find the script."""
    with staged(setting) as stage:
        warm = _user(stage, "warm")

        def contender(name: str, user: MLC | None, *command: str) -> Contender:
            def contend() -> list[Reading]:
                who = user or _user(stage, "cold")
                stage.origin.clear_log()
                seconds, _ = _run(who, command)
                if (user is None) != bool(stage.origin.requests):
                    raise BenchmarkError(f"{name}: {len(stage.origin.requests)} requests")
                return [Reading(name, seconds)]

            return contend

        _run(warm, _WANTED)
        series = interleave(
            [contender(HIT, warm, *_WANTED), contender(FIND, warm, "mlc", "find", "script", TAGS)],
            3 if setting.quick else _HIT_ROUNDS,
        )
        series.update(interleave([contender(COLD, None, *_WANTED)], setting.rounds, warm=False))
    return Outcome(
        "Under MLC, 102 MB over HTTPS on loopback",
        series,
        [Comparison(HIT, FIND, 1.3)],
        ["A hit compares the request, the object and its place; `mlc find script` runs nothing."],
    )


def mlc_cold(setting: Setting) -> Outcome:
    """The first run of a new user beside MLC's own downloader, which compares the md5, too."""
    everything = _repository(setting)
    few = fresh(setting, "few-scripts")
    shutil.copy2(everything / "meta.yaml", few)
    for name in FEW:
        shutil.copytree(everything / "script" / name, few / "script" / name)
    alone = "as set up by each one's documentation"
    paced = f"{len(FEW)} scripts, {PACE // MB} MB/s a connection"
    rows: dict[str, tuple[dict[str, Path | None], tuple[faults.Behaviour, ...]]] = {
        alone: ({COLD: None, THEIRS: everything}, ()),
        "all scripts registered": ({COLD: everything, THEIRS: everything}, ()),
        f"{len(FEW)} scripts registered": ({COLD: few, THEIRS: few}, ()),
        paced: ({COLD: few, THEIRS: few}, (faults.Trickle(PACE),)),
    }
    artifact = ARTIFACTS[KIND]
    with staged(setting) as stage:
        given = (f"--url={artifact.url}", f"--output_file={artifact.file}")
        theirs = ("mlcr", "download,file,_mlcutil", *given, f"--md5sum={stage.digest}", "--quiet")

        def contender(who: str, row: str, command: Sequence[str], file: str) -> Contender:
            repositories, behaviours = rows[row]
            repository = repositories[who]
            known = repository.name if repository else "ours-alone"
            template = _user(stage, f"{known}-{who}", repository, ours=who == COLD)

            def contend() -> list[Reading]:
                user = _user(stage, "cold", template=template.repos)
                stage.origin.heal()
                if behaviours:
                    stage.origin.fail(artifact.url, *behaviours)
                stage.origin.clear_log()
                seconds, said = _run(user, command)
                # The bytes come from the one address that both are told of, and once.
                if stage.origin.bytes_sent() < stage.file.stat().st_size:
                    raise BenchmarkError(f"{who}: {stage.origin.bytes_sent()} bytes fetched")
                if who == THEIRS and f"{artifact.file}: OK" not in said:
                    raise BenchmarkError(f"{who} compared no md5: {said[-800:]}")
                delivered = next(user.home.parent.glob(file), user.home / artifact.file)
                check(delivered, stage.digest, who)
                return [Reading(f"{who}, {row}", seconds)]

            return contend

        series = interleave(
            [
                one
                for row in rows
                for one in (
                    contender(COLD, row, _WANTED, f"MLC/local/cache/*/model/{artifact.file}"),
                    contender(THEIRS, row, theirs, f"home/cwd/{artifact.file}"),
                )
            ],
            setting.rounds,
            warm=False,
        )
    revision = _git(everything, "log", "-1", "--format=%h of %cs")
    return Outcome(
        "A first run under MLC, 102 MB over HTTPS on loopback, md5 compared",
        series,
        [
            Comparison(f"{COLD}, {row}", f"{THEIRS}, {row}", 0.6 if row in (alone, paced) else None)
            for row in rows
        ],
        [
            "MLC parses every registered meta twice in a run, which decides where all are "
            f"registered: mlperf-automations at {revision}. Set up as documented, only theirs has "
            "that. In the rows with all scripts both users have, and in the last two rows, of its "
            f"scripts only {' and '.join(f'`{name}`' for name in FEW)}, which its downloader "
            "needs. Ours has our package's folder besides. Indexes are made before."
        ],
    )


def _repository(setting: Setting) -> Path:
    """Return the clone of mlperf-automations, which is in git only.

    Raises
    ------
    BenchmarkError
        If it is missing.
    """
    folder = setting.peers / "mlperf-automations"
    if not (folder / "script" / FEW[0] / "meta.yaml").is_file():
        raise BenchmarkError(f"the peer is missing. Do: git clone {SCRIPTS} {folder}")
    return folder


def _git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", "-C", folder, *arguments], capture_output=True, text=True, check=False
    )
    return done.stdout.strip() or "an unknown revision"


def _user(
    stage: Stage,
    name: str,
    repository: Path | None = None,
    *,
    ours: bool = True,
    template: Path | None = None,
) -> MLC:
    """Return a new user of MLC, to whom the scripts are known and indexed."""
    home = stage.folder / f"user-mlc-{name}"
    shutil.rmtree(home, ignore_errors=True)
    user = MLC(stage.installations[OURS], home / "home", home / "MLC", stage.origin, template)
    if template is None:
        if repository is not None:
            _run(user, ("mlc", "add", "repo", str(repository)))
        if ours:
            _run(user, ("cmx-resnet50", "mlc", "add"))
        _run(user, ("mlc", "find", "script", TAGS))
    return user


def _run(user: MLC, command: Sequence[str]) -> tuple[float, str]:
    line: list[str | Path] = [user.installation.bin / command[0], *command[1:]]
    return run(line, cwd=user.cwd, env=user.environment())
