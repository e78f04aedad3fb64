"""Eight ``cm run`` at the same instant in one new CM_REPOS: how many of them succeed."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
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
from benchmarks.stage import OLD, OURS
from benchmarks.tools import ROOT
from tests.harness import artifacts, build, models
from tests.harness.authority import Authority
from tests.harness.cm import CM
from tests.harness.origin import Origin
from tests.races.rounds import DIFFERENT, FILES, at_once, loss, trace

SAME = [("onnx",)] * 8
_ROUNDS = 30
_QUICK = 5


@dataclass
class _Field:
    """Both scripts with small files to deliver, and an engine that says where it fails."""

    folder: Path
    served: dict[str, Path]
    origin: Origin
    installations: dict[str, build.Installation]
    losses: Counter[str] = field(default_factory=Counter)

    @classmethod
    def make(cls, folder: Path, origin: Origin) -> _Field:
        served = models.write_all(folder / "served")
        models.publish(origin, served)
        made = cls(folder, served, origin, {})
        wheel = build.build_wheel(ROOT, folder / "wheel")
        for who, name, package in ((OURS, "ours", wheel), (OLD, "old", None)):
            installation = build.install(folder / name, package)
            artifacts.patch(installation, served)
            trace(installation)
            made.installations[who] = installation
            done = CM(installation, folder / "home", made.index(who), origin).run("reindex", "repo")
            if not done.ok:
                raise BenchmarkError(done.text)
        return made

    def index(self, who: str) -> Path:
        """Return the CM_REPOS that holds an index, and in which no script ever ran."""
        return self.folder / f"index-{who.rsplit(' ', 1)[-1]}"

    def contender(self, who: str, name: str, requests: Sequence[Sequence[str]]) -> Contender:
        """Return what runs `requests` at once in a new CM_REPOS."""
        wanted = 1 if len(set(requests)) == 1 else FILES

        def contend() -> list[Reading]:
            home = self.folder / "user"
            shutil.rmtree(home, ignore_errors=True)
            cm = CM(
                self.installations[who], home / "home", home / "CM", self.origin, self.index(who)
            )
            self.origin.clear_log()
            results = at_once(cm, requests)
            good = 0
            for result in results:
                if result.ok and result.path.stat().st_size:
                    good += 1
                else:
                    self.losses[f"{who}, {name}: {loss(result)}"] += 1
            fetches = sum(1 for request in self.origin.requests if request.sent)
            return [
                Reading(f"{who}, {name}", good, "of 8 succeed"),
                Reading(f"{who}, {name}, fetches", fetches / wanted, "fetches / files wanted"),
                Reading(f"{who}, {name}, time", max(result.seconds for result in results)),
            ]

        return contend


def races(setting: Setting) -> Outcome:
    """The same request eight times, and eight different ones."""
    folder = setting.work / "races"
    folder.mkdir()
    with Origin(Authority(folder)) as origin:
        made = _Field.make(folder, origin)
        rounds = _QUICK if setting.quick else _ROUNDS
        contenders = [
            made.contender(OURS, "one request", SAME),
            made.contender(OLD, "one request", SAME),
        ]
        series = interleave(contenders, rounds, warm=False)
        contenders = [
            made.contender(OURS, "8 requests", DIFFERENT),
            made.contender(OLD, "8 requests", DIFFERENT),
        ]
        series |= interleave(contenders, rounds if setting.quick else rounds // 3, warm=False)
    outcome = Outcome(
        "8 `cm run` at the same instant in a CM_REPOS in which no script ever ran",
        series,
        [
            Comparison(f"{who}, {name}", f"{OLD}, {name}")
            for who in (OURS,)
            for name in ("one request", "8 requests")
        ],
    )
    for name in ("one request", "8 requests"):
        for who in (OURS, OLD):
            values = outcome.series[f"{who}, {name}"].values
            counts = ", ".join(
                f"{int(good)} of 8 in {number} rounds"
                for good, number in sorted(Counter(values).items(), reverse=True)
            )
            outcome.notes.append(f"{who}, {name}: {counts}.")
    outcome.notes += [f"Lost {number} times: {text}" for text, number in made.losses.most_common()]
    return outcome
