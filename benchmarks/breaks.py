"""What is fetched twice when something breaks."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.downloaders import LIBRARIES, variables
from benchmarks.downloaders import command as library_command
from benchmarks.fetching import ARIA, aria_command
from benchmarks.measure import (
    BenchmarkError,
    Comparison,
    Contender,
    Outcome,
    Reading,
    Setting,
    interleave,
)
from benchmarks.peers import peer
from benchmarks.tools import (
    MB,
    PYTHON,
    Served,
    check,
    digests,
    environment,
    fresh,
    md5,
    model,
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
    (digest, sha256), size = digests(file), file.stat().st_size
    wget, curl, aria2c = peer("wget"), peer("curl"), peer("aria2c")
    pace = 2 * _PACE if setting.quick else _PACE
    with serving(file, "--pace", str(pace), "--buffer", str(_BUFFER)) as served:

        def contender(
            name: str, command: Sequence[str | Path], env: Mapping[str, str] | None = None
        ) -> Contender:
            def contend() -> list[Reading]:
                folder = fresh(setting, "killed")
                served.reset()
                _kill_at(served, size // 2, command, folder, env or environment())
                run(command, cwd=folder, env=env)
                check(folder / "f", digest, name)
                return [Reading(name, (served.count() - size) / MB, "MB fetched twice")]

            return contend

        tools: dict[str, Sequence[str | Path]] = {
            OURS: _fetch(served, digest),
            WGET: [wget, "-q", "-c", "-O", "f", served.url],
            CURL: [curl, "-sSf", "-C", "-", "-o", "f", served.url],
            ARIA: aria_command(aria2c, served.url, digest),
        }
        series = interleave(
            [contender(name, line) for name, line in tools.items()],
            setting.rounds,
            warm=False,
        )
        libraries = [
            contender(
                library.name,
                library_command(setting, library, served.url, digest, sha256),
                variables(setting),
            )
            for library in LIBRARIES
        ]
        series.update(interleave(libraries, setting.rounds, warm=False))
    nothing = "nothing fetched twice, computed"
    others = [*list(tools)[1:], *(library.name for library in LIBRARIES)]
    outcome = Outcome(
        "Killed (SIGKILL) when half was served, run again",
        series,
        [
            Comparison(OURS, nothing, 4.0, difference=True),
            *(Comparison(OURS, name, difference=True) for name in others),
        ],
        [
            "Counted by the server: bytes that lay in a socket buffer when the client died "
            f"count too, for all alike. {pace // MB} MB/s a connection. huggingface_hub's "
            "http_get is called as its documentation shows, without the size of what is there."
        ],
    )
    outcome.known(nothing, 0.0, "MB fetched twice")
    return outcome


def _fetch(served: Served, digest: str) -> list[str]:
    return [PYTHON, "-m", "benchmarks.once", "fetch", served.url, digest, "f"]


def _kill_at(
    served: Served,
    count: int,
    command: Sequence[str | Path],
    folder: Path,
    env: Mapping[str, str],
) -> None:
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=env,
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
