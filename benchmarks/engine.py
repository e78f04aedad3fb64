"""Whole ``cm`` runs beside the old script's, in the same engine, and eight processes at once."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measure import (
    BenchmarkError,
    Comparison,
    Contender,
    Outcome,
    Reading,
    Setting,
    interleave,
)
from benchmarks.tools import ROOT, check, fresh, md5, model, peer, run
from tests.harness import artifacts, build
from tests.harness.authority import Authority
from tests.harness.cm import CM
from tests.harness.origin import Origin

KIND = "onnx-opset-11"
OURS = "cm run, ours"
OLD = "cm run, the old script"
_HIT_ROUNDS = 31
_AT_ONCE = 8


@dataclass(frozen=True)
class Stage:
    """Both installations, which expect the dummy in place of the published file."""

    folder: Path
    file: Path
    digest: str
    installations: Mapping[str, build.Installation]
    origin: Origin

    def user(self, who: str, name: str) -> CM:
        """Return a new user of an installation, whose CM has its index."""
        home = self.folder / f"user-{name}"
        shutil.rmtree(home, ignore_errors=True)
        return CM(self.installations[who], home / "home", home / "CM", self.origin, self.index(who))

    def index(self, who: str) -> Path:
        """Return the CM_REPOS that holds an index and nothing else."""
        return self.installations[who].prefix.with_name(f"{who}-index")


@contextlib.contextmanager
def staged(setting: Setting) -> Iterator[Stage]:
    """Build the wheel, install it and the old script, and serve the file at its public URLs."""
    folder = fresh(setting, "stage")
    file = model(setting, KIND)
    wheel = build.build_wheel(ROOT, folder / "wheel")
    made = {}
    for name, package in ((OURS, wheel), (OLD, None)):
        prefix = folder / ("ours" if package else "old") / "env"
        prefix.parent.mkdir()
        made[name] = build.install(prefix, package)
        artifacts.patch(made[name], {KIND: file})
    authority = folder / "authority"
    authority.mkdir()
    with Origin(Authority(authority)) as origin:
        for url in artifacts.ARTIFACTS[KIND].urls:
            origin.serve(url, file)
        stage = Stage(folder, file, md5(file), made, origin)
        for name, installation in made.items():
            done = CM(installation, folder / "indexing", stage.index(name), origin).run(
                "reindex", "repo"
            )
            if not done.ok:
                raise BenchmarkError(done.text)
        yield stage


def hit(setting: Setting) -> Outcome:
    """The same request again."""
    with staged(setting) as stage:

        def contender(who: str, name: str) -> Contender:
            user = stage.user(who, name)
            _get(user)

            def contend() -> list[Reading]:
                stage.origin.clear_log()
                seconds = _get(user)
                if stage.origin.requests:
                    raise BenchmarkError(f"{who}: a hit went to the network")
                return [Reading(who, seconds)]

            return contend

        contenders = [contender(OURS, "ours"), contender(OLD, "old")]
        rounds = setting.rounds if setting.quick else _HIT_ROUNDS
        series = interleave(contenders, rounds)
    return Outcome(
        "A cached `cm run`, 102 MB file",
        series,
        [Comparison(OURS, OLD, 1.15)],
        ["Ours looks at object and place on every hit; the old script looks at nothing."],
    )


def cold(setting: Setting) -> Outcome:
    """The first request of a new user, file fetched and verified."""
    with staged(setting) as stage:

        def contender(who: str, name: str) -> Contender:
            def contend() -> list[Reading]:
                return [Reading(who, _get(stage.user(who, name)))]

            return contend

        series = interleave([contender(OURS, "ours"), contender(OLD, "old")], setting.rounds)
    return Outcome(
        "A cold `cm run`, 102 MB over HTTPS on loopback, verified",
        series,
        [Comparison(OURS, OLD, 0.75)],
        [
            "The server, in Python, ends TLS on the same cores as the client. "
            "The old script checks with md5sum, twice; ours computes md5 and sha256."
        ],
    )


def together(setting: Setting) -> Outcome:
    """Eight processes at once that want one file."""
    ours, one = f"cmx-resnet50 get, {_AT_ONCE} at once", "cmx-resnet50 get, 1 alone"
    curls = f"curl, {_AT_ONCE} at once"
    url = artifacts.ARTIFACTS[KIND].url
    curl = peer("curl")
    with staged(setting) as stage:
        size = stage.file.stat().st_size
        program = stage.installations[OURS].bin / "cmx-resnet50"

        def contender(name: str, command: list[str | Path], count: int) -> Contender:
            def contend() -> list[Reading]:
                user = stage.user(OURS, "many")
                stage.origin.clear_log()
                begun = time.perf_counter()
                folders = [user.cwd / str(number) for number in range(count)]
                for folder in folders:
                    folder.mkdir()
                running = [
                    subprocess.Popen(
                        command,
                        cwd=folder,
                        env=user.environment(),
                        stdin=subprocess.DEVNULL,
                        stdout=subprocess.DEVNULL,
                        stderr=subprocess.DEVNULL,
                    )
                    for folder in folders
                ]
                codes = [process.wait() for process in running]
                seconds = time.perf_counter() - begun
                if any(codes):
                    raise BenchmarkError(f"{name}: exit codes {codes}")
                for folder in folders:
                    check(folder / "resnet50_v1.onnx", stage.digest, name)
                served = stage.origin.bytes_sent() / size
                return [
                    Reading(name, served, "bytes served / bytes of the file"),
                    Reading(f"{name}, time", seconds),
                ]

            return contend

        get: list[str | Path] = [program, "get", "_onnx", "--to", ".", "--silent"]
        plain: list[str | Path] = [curl, "-sSf", "-o", "resnet50_v1.onnx", url]
        series = interleave(
            [
                contender(ours, get, _AT_ONCE),
                contender(one, get, 1),
                contender(curls, plain, _AT_ONCE),
            ],
            setting.rounds,
            warm=False,
        )
    return Outcome(
        f"{_AT_ONCE} processes at once, one file of 102 MB, one store",
        series,
        [
            Comparison(ours, one, 1.0),
            Comparison(ours, curls),
            Comparison(f"{ours}, time", f"{curls}, time"),
        ],
    )


def _get(user: CM) -> float:
    command: list[str | Path] = [user.installation.bin / "cm", *user.request(), "--quiet"]
    return run(command, cwd=user.cwd, env=user.environment())[0]
