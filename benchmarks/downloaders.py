"""Our fetch beside the tools and libraries that people fetch models with, each with a digest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.fetching import ARIA, CURL, INSIDE, MEMORY, OURS, aria, curl, ours
from benchmarks.measure import Comparison, Contender, Outcome, Reading, Setting, interleave
from benchmarks.peers import peer, python
from benchmarks.tools import (
    MB,
    PYTHON,
    check,
    digests,
    environment,
    fresh,
    library_result,
    model,
    run,
    serving,
)

WGET = "wget -O f && md5sum f"


@dataclass(frozen=True)
class Library:
    """A peer that is called from Python: its name, our call of it, its environment."""

    name: str
    call: str
    environment: str = ""
    """Empty: the one that runs this, which has CM."""


LIBRARIES = (
    Library("pooch.retrieve, md5", "pooch", "downloaders"),
    Library("huggingface_hub's http_get && md5sum f", "huggingface_hub", "downloaders"),
    Library("torch.hub.download_url_to_file, sha256", "torch_hub", "torch"),
    Library("the old script's downloader && md5sum f", "cm_utils"),
)
"""Each checks a digest. http_get compares sizes only: md5sum follows it, as in the old script."""


def command(setting: Setting, library: Library, url: str, md5: str, sha256: str) -> list[str]:
    """Return the command line that fetches `url` to the file ``f``."""
    wanted = sha256 if library.call == "torch_hub" else md5
    interpreter = python(setting.peers, library.environment) if library.environment else PYTHON
    script = Path(__file__).with_name("library_peers.py")
    return [str(interpreter), str(script), library.call, url, wanted, "f"]


def variables(setting: Setting) -> Mapping[str, str]:
    """Return the environment of those command lines, with a CM of its own, which has its index."""
    repos = setting.work / "cm-of-the-peer"
    env = {**environment(peers=True), "CM_REPOS": str(repos)}
    if not repos.exists():
        run([PYTHON, "-m", "cmind.cli", "reindex", "repo"], cwd=setting.work, env=env)
    return env


def downloaders(setting: Setting) -> Outcome:
    """As `unlimited`, against every downloader."""
    file = model(setting)
    md5, sha256 = digests(file)
    versions: list[str] = []

    def contender(library: Library, line: Sequence[str]) -> Contender:
        def contend() -> list[Reading]:
            folder = fresh(setting, "library")
            seconds, out = run(line, cwd=folder, env=variables(setting))
            inside = library_result(out)
            if inside["version"] not in versions:
                versions.append(inside["version"])
            check(folder / "f", md5, library.name)
            return [
                Reading(library.name, seconds),
                Reading(f"{library.name}, after imports", inside["seconds"]),
                Reading(f"{library.name}, peak memory", inside["peak_mb"], "MB"),
            ]

        return contend

    with serving(file) as served:
        contenders = [
            ours(setting, served.url, md5),
            _wget(setting, served.url, md5),
            curl(setting, served.url, md5),
            aria(setting, served.url, md5),
            *(
                contender(library, command(setting, library, served.url, md5, sha256))
                for library in LIBRARIES
            ),
        ]
        series = interleave(contenders, setting.rounds, warm=not setting.quick)
    names = [library.name for library in LIBRARIES]
    return Outcome(
        f"Every downloader, {file.stat().st_size / MB:.1f} MB on loopback without a limit",
        series,
        [
            *(Comparison(OURS, name) for name in (WGET, CURL, ARIA, *names)),
            *(Comparison(INSIDE, f"{name}, after imports") for name in names),
            *(Comparison(MEMORY, f"{name}, peak memory") for name in names),
        ],
        [
            "All verify: md5sum reads the file once more after wget, curl, http_get (which "
            "compares sizes only) and CM's downloader; aria2c and pooch compare an md5, "
            f"torch.hub a sha256; ours computes both. Versions: {', '.join(versions)}."
        ],
    )


def _wget(setting: Setting, url: str, digest: str) -> Contender:
    program = peer("wget")

    def contend() -> list[Reading]:
        folder = fresh(setting, "wget")
        line = ["sh", "-c", f"'{program}' -q -O f '{url}' && md5sum f"]
        seconds, _ = run(line, cwd=folder)
        check(folder / "f", digest, WGET)
        return [Reading(WGET, seconds)]

    return contend
