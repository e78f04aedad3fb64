"""What it costs as the file grows, and as the store does."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path

from benchmarks.fetching import CURL
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
from benchmarks.stage import KIND, OURS, Stage, staged
from benchmarks.tools import MB, fresh, once, run, serving
from cmx_resnet50.store import Store

FETCH = "cmx_resnet50.fetch"
SYNC = " && sync f"
REQUESTS = 'python -c "import requests"'
_SIZES = (1, 10, 102, 1000, 4000)
"""Megabytes."""
_OBJECTS = (1, 10, 100, 1000, 10_000)


def sizes(setting: Setting) -> Outcome:
    """Fetch files of zeros, from 1 MB to 4 GB."""
    wanted = [size for size in _SIZES if size <= 102 or not setting.quick]
    program, outcome = peer("curl"), Outcome("Cost of a fetch as the file grows", {}, [])

    def name(who: str, size: int, what: str = "") -> str:
        return f"{who}, {size} MB{what}"

    for size in wanted:
        source = setting.work / "zeros"
        with source.open("wb") as file:
            file.truncate(size * MB)
        digest = run([peer("md5sum"), source], cwd=setting.work)[1].split()[0]
        with serving(source) as served:

            def ours(
                url: str = served.url, size: int = size, digest: str = digest
            ) -> list[Reading]:
                target = fresh(setting, "sizes") / "f"
                seconds, inside = once(setting, "fetch", url, digest, target)
                _long_enough(target, size * MB)
                return [
                    Reading(name(FETCH, size), seconds),
                    Reading(name(FETCH, size, ", peak memory"), inside["peak_mb"], "MB"),
                ]

            def curl(
                url: str = served.url,
                size: int = size,
                digest: str = digest,
                sync: str = "",
            ) -> list[Reading]:
                folder = fresh(setting, "sizes")
                line = ["sh", "-c", f"'{program}' -sSf -o f '{url}' && md5sum f{sync}"]
                seconds, out = run(line, cwd=folder)
                if not out.startswith(digest):
                    raise BenchmarkError(f"{CURL} left a wrong file")
                return [Reading(name(CURL + sync, size), seconds)]

            contenders = [ours, curl, functools.partial(curl, sync=SYNC)]
            outcome.series.update(interleave(contenders, setting.rounds, warm=size < 1000))
    fresh(setting, "sizes")

    def nothing() -> list[Reading]:
        return [Reading(REQUESTS, once(setting, "requests")[1]["peak_mb"], "MB")]

    outcome.series.update(interleave([nothing], setting.rounds))
    outcome.comparisons = [
        *(Comparison(name(FETCH, size), name(CURL, size)) for size in wanted),
        *(Comparison(name(FETCH, size), name(CURL + SYNC, size)) for size in wanted[-1:]),
        *(
            Comparison(name(FETCH, size, ", peak memory"), REQUESTS, 60.0, difference=True)
            for size in wanted
            if size >= 102
        ),
    ]
    outcome.notes = [
        "Files of zeros, whole processes, digests checked by ours itself and by md5sum. Ours has "
        "the disk write meanwhile, so that a store can sync at once; curl leaves that to the "
        "kernel, hence the row with sync." + (" Up to 102 MB only: quick." if setting.quick else "")
    ]
    outcome.plot(
        "sizes",
        ("size of the file, MB", "whole process with md5, s"),
        {who: {size: name(who, size) for size in wanted} for who in (FETCH, CURL, CURL + SYNC)},
    )
    outcome.plot(
        "memory",
        ("size of the file, MB", "peak memory, MB"),
        {FETCH: {size: name(FETCH, size, ", peak memory") for size in wanted}},
    )
    return outcome


def stores(setting: Setting) -> Outcome:
    """Work with a store that holds more and more objects."""
    levels = [count for count in _OBJECTS if count <= 100 or not setting.quick]
    memory = Path("/dev/shm")  # noqa: S108 - a disk would take a minute to sync 10,000 objects
    base = memory if memory.is_dir() else setting.work
    with staged(setting) as stage, tempfile.TemporaryDirectory(dir=base) as folder:
        user = stage.user(OURS, "stores")
        root = Path(folder, "store")
        env = {
            **user.environment(),
            "CM_RESNET50_STORE": str(root),
            "CM_RESNET50_OFFLINE": "yes",
        }
        _first(stage, root)
        outcome = Outcome("Cost as the store grows: one model of 102 MB, all others tiny", {}, [])
        commands: dict[str, list[str | Path]] = {
            "cm run, a hit": [stage.installations[OURS].bin / "cm", *user.request(), "--quiet"],
            **{
                f"cmx-resnet50 {name}": [stage.installations[OURS].bin / "cmx-resnet50", *line]
                for name, line in (
                    ("get, a hit", ["get", "--silent"]),
                    ("list", ["list"]),
                    ("verify", ["verify"]),
                    ("prune, dry run", ["prune"]),
                )
            },
        }

        def contender(name: str, count: int) -> Contender:
            def contend() -> list[Reading]:
                seconds = run(commands[name], cwd=user.cwd, env=env)[0]
                return [Reading(f"{name}, {count:,} objects", seconds)]

            return contend

        made = 1
        for count in levels:
            _fill(root, made, count, setting.work)
            made = count
            outcome.series.update(
                interleave([contender(name, count) for name in commands], setting.rounds)
            )
    outcome.comparisons = [
        Comparison(f"{name}, {levels[-1]:,} objects", f"{name}, {levels[0]:,} objects")
        for name in commands
    ]
    outcome.notes = [
        f"The store is on {'a tmpfs' if base == memory else 'a disk'}; each of "
        "the other objects has 16 bytes. The largest store is compared with one that contains the "
        "model alone."
    ]
    outcome.plot(
        "stores",
        ("objects in the store", "whole process, s"),
        {name: {n: f"{name}, {n:,} objects" for n in levels} for name in commands},
    )
    return outcome


def _first(stage: Stage, root: Path) -> None:
    digest = stage.digest
    Store(root).import_file(stage.file, keys=[f"md5-{digest}"], record={"artifact": KIND})


def _fill(root: Path, have: int, wanted: int, work: Path) -> None:
    store, source = Store(root), work / "tiny"
    for number in range(have, wanted):
        source.write_bytes(number.to_bytes(16, "big"))
        store.import_file(source, record={"artifact": "tiny"})


def _long_enough(path: Path, size: int) -> None:
    if path.stat().st_size != size:
        raise BenchmarkError(f"{FETCH} left a wrong file")
