"""What is fetched twice when something breaks, and how much memory a fetch takes."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.fetching import ARIA, aria_command
from benchmarks.measure import (
    BenchmarkError,
    Comparison,
    Contender,
    Outcome,
    Reading,
    Series,
    Setting,
    interleave,
)
from benchmarks.tools import (
    MB,
    PYTHON,
    Served,
    check,
    environment,
    fresh,
    md5,
    model,
    once,
    peer,
    run,
    serving,
)

CUT = 30 * MB
OURS = "cmx_resnet50.fetch"
WGET = "wget -c"
CURL = "curl -C -"
THE_FILE = "the file, computed"
_PACE = 20 * MB
_BUFFER = 64 * 1024
_LARGE = 4 << 30
_UNIT = "bytes served / bytes of the file"


def cuts(setting: Setting) -> Outcome:
    """Cut after every 30 MB that the server sent."""
    file = model(setting)
    digest, size = md5(file), file.stat().st_size
    wget, aria2c = peer("wget"), peer("aria2c")
    with serving(file, "--cut", str(CUT)) as served:

        def contender(name: str, command: Sequence[str | Path]) -> Contender:
            def contend() -> list[Reading]:
                folder = fresh(setting, "cuts")
                served.reset()
                run(command, cwd=folder)
                check(folder / "f", digest, name)
                return [Reading(name, served.count() / size, _UNIT)]

            return contend

        tries = [wget, "-q", "-t", "20", "--waitretry=1", "-O", "f", served.url]
        series = interleave(
            [
                contender(OURS, _fetch(served, digest)),
                contender("wget -t 20", tries),
                contender(ARIA, aria_command(aria2c, served.url, digest)),
            ],
            setting.rounds,
            warm=False,
        )
    outcome = Outcome(
        f"All connections cut after every {CUT // MB} MB served",
        series,
        [Comparison(OURS, THE_FILE, 1.02), Comparison(OURS, "wget -t 20"), Comparison(OURS, ARIA)],
    )
    outcome.known(THE_FILE, 1.0, _UNIT)
    return outcome


def killed(setting: Setting) -> Outcome:
    """Killed when half was served, and started again."""
    file = model(setting)
    digest, size = md5(file), file.stat().st_size
    wget, curl = peer("wget"), peer("curl")
    with serving(file, "--pace", str(_PACE), "--buffer", str(_BUFFER)) as served:

        def contender(name: str, command: Sequence[str | Path]) -> Contender:
            def contend() -> list[Reading]:
                folder = fresh(setting, "killed")
                served.reset()
                _kill_at(served, size // 2, command, folder)
                run(command, cwd=folder)
                check(folder / "f", digest, name)
                return [Reading(name, (served.count() - size) / MB, "MB fetched twice")]

            return contend

        series = interleave(
            [
                contender(OURS, _fetch(served, digest)),
                contender(WGET, [wget, "-q", "-c", "-O", "f", served.url]),
                contender(CURL, [curl, "-sSf", "-C", "-", "-o", "f", served.url]),
            ],
            setting.rounds,
            warm=False,
        )
    nothing = "nothing fetched twice, computed"
    outcome = Outcome(
        "Killed (SIGKILL) when half was served, run again",
        series,
        [
            Comparison(OURS, nothing, 4.0, difference=True),
            Comparison(OURS, WGET, difference=True),
            Comparison(OURS, CURL, difference=True),
        ],
        [
            "Counted by the server: bytes that lay in a socket buffer when the client died "
            f"count too, for all alike. {_PACE // MB} MB/s a connection."
        ],
    )
    outcome.known(nothing, 0.0, "MB fetched twice")
    return outcome


def memory(setting: Setting) -> Outcome:
    """The peak of memory, for a small and a large file."""
    files = [model(setting)]
    if not setting.quick:
        large = setting.work / "large"
        with large.open("wb") as out:
            out.truncate(_LARGE)
        files.append(large)
    empty = 'python -c "import requests"'
    series: dict[str, Series] = {}
    comparisons = []
    for file in files:
        digest = md5(file)
        name = f"{OURS}, {file.stat().st_size / MB:.0f} MB"

        with serving(file) as served:

            def fetch(
                name: str = name, digest: str = digest, url: str = served.url
            ) -> list[Reading]:
                target = fresh(setting, "memory") / "f"
                _, inside = once(setting, "fetch", url, digest, target)
                return [Reading(name, inside["peak_mb"], "MB")]

            def nothing() -> list[Reading]:
                _, inside = once(setting, "requests")
                return [Reading(empty, inside["peak_mb"], "MB")]

            found = interleave([fetch, nothing], setting.rounds, warm=False)
        series.update({**found, **series})
        comparisons.append(Comparison(name, empty, 60.0, difference=True))
    fresh(setting, "memory")
    return Outcome(
        "Peak memory of a fetch (resident set)",
        series,
        comparisons,
        ["The large file is 4 GiB of zeros."] if not setting.quick else ["4 GiB left out: quick."],
    )


def _fetch(served: Served, digest: str) -> list[str]:
    return [PYTHON, "-m", "benchmarks.once", "fetch", served.url, digest, "f"]


def _kill_at(served: Served, count: int, command: Sequence[str | Path], folder: Path) -> None:
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    while served.count() < count:
        if process.poll() is not None:
            raise BenchmarkError(f"{Path(command[0]).name} ended before it could be killed")
        time.sleep(0.002)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    # The server's side of the connections ends a moment later.
    time.sleep(0.3)
