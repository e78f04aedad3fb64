"""Both scripts installed as users have them, and a server for the published addresses."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measure import BenchmarkError, Setting
from benchmarks.tools import ROOT, md5, model
from tests.harness import artifacts, build
from tests.harness.authority import Authority
from tests.harness.cm import CM
from tests.harness.origin import Origin

KIND = "onnx-opset-11"
OURS = "cm run, ours"
OLD = "cm run, the old script"


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
    """Have the wheel and the old script installed, and the file served at its public URLs.

    What is installed is kept for the next benchmark of the same run.
    """
    folder = setting.work / "stage"
    file = model(setting, KIND)
    installations = _installed(folder, file)
    with Origin(Authority(folder)) as origin:
        for url in artifacts.ARTIFACTS[KIND].urls:
            origin.serve(url, file)
        stage = Stage(folder, file, md5(file), installations, origin)
        for who in installations:
            if not stage.index(who).exists():
                user = CM(installations[who], folder / "indexing", stage.index(who), origin)
                done = user.run("reindex", "repo")
                if not done.ok:
                    raise BenchmarkError(done.text)
        yield stage


def _installed(folder: Path, file: Path) -> dict[str, build.Installation]:
    places = {OURS: (folder / "ours" / "env", "cmx_resnet50")}
    places[OLD] = (folder / "old" / "env", "cmx4mlops")
    done = folder / "installed"
    if done.exists():
        return {who: build.Installation(*place) for who, place in places.items()}
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    wheel = build.build_wheel(ROOT, folder / "wheel")
    made = {}
    for who, (prefix, _) in places.items():
        prefix.parent.mkdir()
        made[who] = build.install(prefix, wheel if who == OURS else None)
        artifacts.patch(made[who], {KIND: file})
    done.touch()
    return made
