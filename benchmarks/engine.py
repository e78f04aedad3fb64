"""Whole ``cm`` runs beside the old script's, in the same engine, and many processes at once."""

from __future__ import annotations

import itertools
import re
import shutil
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from benchmarks.link import HEADERS, PACKET, SERVER, Line, line, listener, narrow
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
from benchmarks.stage import KIND, OLD, OURS, staged
from benchmarks.tools import check, environment, fresh, run
from tests.harness import artifacts
from tests.harness.cm import CM

GET = "cmx-resnet50 get"
CURLS = "curl"
STORED = f"{OURS}, the store has the file"
FILE = "resnet50_v1.onnx"
BEYOND = "beyond bytes / rate"
"""Bytes on the line: those of the file, and the headers of the packets that carry them."""
GIGABIT = 125e6
"""Bytes per second."""
HERE = "127.0.0.1"
_HIT_ROUNDS = 31
_AT_ONCE = 8
_LEVELS = (1, 2, 4, 8, 16)
_IMPORT = re.compile(r"^import time: +(\d+) \|", re.MULTILINE)
"""A line of ``python -X importtime``: microseconds of the module without what it imports."""


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
        rounds = 3 if setting.quick else _HIT_ROUNDS
        series = interleave(contenders, rounds)
    return Outcome(
        "A cached `cm run`, 102 MB file",
        series,
        [Comparison(OURS, OLD, 1.1)],
        ["Ours looks at object and place on every hit; the old script looks at nothing."],
    )


def cold(setting: Setting) -> Outcome:
    """The first request of a new user, file fetched and verified."""
    with staged(setting) as stage:

        def contender(who: str, name: str) -> Contender:
            def contend() -> list[Reading]:
                return [Reading(who, _get(stage.user(who, name)))]

            return contend

        store = {"CM_RESNET50_STORE": str(fresh(setting, "store"))}
        _get(stage.user(OURS, "stored"), store)
        numbers = itertools.count()

        def stored() -> list[Reading]:
            stage.origin.clear_log()
            # Another user each time: to remove an entry is to alter the links of the object, which
            # is then read and compared.
            seconds = _get(stage.user(OURS, f"stored-{next(numbers)}"), store)
            if stage.origin.requests:
                raise BenchmarkError(f"{STORED}: it went to the network")
            return [Reading(STORED, seconds)]

        series = interleave(
            [contender(OURS, "ours"), contender(OLD, "old"), stored], max(3, setting.rounds)
        )
    return Outcome(
        "A cold `cm run`, 102 MB over HTTPS on loopback, verified",
        series,
        [Comparison(OURS, OLD, 0.75), Comparison(STORED, OLD, 0.45)],
        [
            "The server, in Python, ends TLS on the same cores as the client. "
            "The old script checks with md5sum, twice; ours computes md5 and sha256. Where the "
            "store has the file, nothing is fetched, and what is left is the engine's: it starts, "
            "looks for the script and its entry, and writes its index three times, twice for the "
            "entry. That is the floor for a cold run of any cached script."
        ],
    )


def gigabit(setting: Setting) -> Outcome:
    """The first request of a new user, over a line of 1 Gbit/s."""
    return _over_a_line(setting, "1 Gbit/s", narrow(setting.work, rate=GIGABIT), GIGABIT, HERE)


def distant(setting: Setting) -> Outcome:
    """The first request of a new user, over a line of 100 Mbit/s with a round trip of 20 ms."""
    laid = line(setting.work, round_trip=0.02, rate=GIGABIT / 10)
    payload = 1 - HEADERS / PACKET
    return _over_a_line(setting, "100 Mbit/s with 20 ms", laid, GIGABIT / 10, SERVER, payload)


def _over_a_line(
    setting: Setting,
    name: str,
    laid: AbstractContextManager[Line],
    rate: float,
    host: str,
    payload: float = 1.0,
) -> Outcome:
    """Measure cold runs; `payload` is the share of bytes on the line that are the file's."""
    with laid as ends, staged(setting) as stage:
        door = listener(ends.server, host)
        proxy = f"http://{host}:{door.getsockname()[1]}"
        stage.origin.listen(door)
        names = ("HTTPS_PROXY", "HTTP_PROXY", "https_proxy", "http_proxy")
        env = dict.fromkeys(names, proxy)
        least = stage.file.stat().st_size / payload / rate
        headers = f", with headers of IP and TCP in {1 - payload:.1%} of it" if payload < 1 else ""

        def contender(who: str, user: str) -> Contender:
            def contend() -> list[Reading]:
                seconds = _get(stage.user(who, user), env, ends.client)
                return [Reading(who, seconds), Reading(f"{who}, {BEYOND}", seconds - least)]

            return contend

        series = interleave(
            [contender(OURS, "ours"), contender(OLD, "old")], setting.rounds, warm=False
        )
    return Outcome(
        f"A cold `cm run`, 102 MB over HTTPS at {name}, verified",
        series,
        [
            Comparison(OURS, OLD, 0.75 if rate == GIGABIT else None),
            Comparison(f"{OURS}, {BEYOND}", f"{OLD}, {BEYOND}", None if rate == GIGABIT else 0.6),
        ],
        [f"The line alone takes {least:.2f} s for the bytes of the file{headers}."],
    )


def together(setting: Setting) -> Outcome:
    """Processes at once that want one file, more and more of them."""
    url = artifacts.ARTIFACTS[KIND].url
    curl = peer("curl")
    with staged(setting) as stage:
        size = stage.file.stat().st_size
        program = stage.installations[OURS].bin / "cmx-resnet50"
        commands: dict[str, list[str | Path]] = {
            GET: [program, "get", "_onnx", "--to", ".", "--silent"],
            CURLS: [curl, "-sSf", "-o", FILE, url],
        }

        def contender(who: str, count: int) -> Contender:
            name = f"{who}, {_at_once(count)}"

            def contend() -> list[Reading]:
                user = stage.user(OURS, "many")
                stage.origin.clear_log()
                folders = [user.cwd / str(number) for number in range(count)]
                for folder in folders:
                    folder.mkdir()
                begun = time.perf_counter()
                running = [
                    subprocess.Popen(
                        commands[who],
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
                # Ours are links to one file, which is read once.
                for path in {
                    (folder / FILE).stat().st_ino: folder / FILE for folder in folders
                }.values():
                    check(path, stage.digest, name)
                served = stage.origin.bytes_sent() / size
                return [
                    Reading(name, served, "bytes served / bytes of the file"),
                    Reading(f"{name}, time", seconds),
                ]

            return contend

        levels = [count for count in _LEVELS if count <= _AT_ONCE or not setting.quick]
        series = interleave(
            [contender(who, count) for count in levels for who in commands],
            setting.rounds,
            warm=False,
        )
        shutil.rmtree(stage.folder / "user-many")
    ours, one, curls = (
        f"{GET}, {_at_once(_AT_ONCE)}",
        f"{GET}, {_at_once(1)}",
        f"{CURLS}, {_at_once(_AT_ONCE)}",
    )
    outcome = Outcome(
        "Processes at once, one file of 102 MB, one store",
        series,
        [
            Comparison(ours, one, 1.0),
            Comparison(ours, curls),
            Comparison(f"{ours}, time", f"{curls}, time"),
        ],
        [
            "Over HTTPS. Ours verifies md5 and sha256; curl verifies nothing, and each has a "
            "file of its own."
        ],
    )
    outcome.plot(
        "together",
        ("processes at once", "until the last is done, s"),
        {who: {n: f"{who}, {_at_once(n)}, time" for n in levels} for who in commands},
    )
    outcome.plot(
        "together-bytes",
        ("processes at once", "bytes served / bytes of the file"),
        {who: {n: f"{who}, {_at_once(n)}" for n in levels} for who in commands},
    )
    return outcome


def imports(setting: Setting) -> Outcome:
    """The modules that a run imports: how long that takes, by the interpreter's own account."""
    with staged(setting) as stage:

        def contender(who: str, *, cold: bool) -> Contender:
            kind = "cold" if cold else "hit"
            warm = stage.user(who, f"imports-{kind}")

            def contend() -> list[Reading]:
                user = stage.user(who, f"imports-{kind}") if cold else warm
                cm = user.installation.bin
                line: list[str | Path] = [
                    cm / "python",
                    "-X",
                    "importtime",
                    cm / "cm",
                    *user.request(),
                    "--quiet",
                ]
                said = run(line, cwd=user.cwd, env=user.environment(), err=True)[1]
                found = [int(match) for match in _IMPORT.findall(said)]
                return [
                    Reading(f"{who}, {kind}", sum(found) / 1000, "ms"),
                    Reading(f"{who}, {kind}, modules", len(found), "modules"),
                ]

            return contend

        contenders = [contender(who, cold=cold) for cold in (False, True) for who in (OURS, OLD)]
        series = interleave(contenders, setting.rounds)

        def start(statement: str) -> Contender:
            line: list[str | Path] = [stage.installations[OURS].python, "-c", statement]
            env = environment(peers=True)

            def contend() -> list[Reading]:
                seconds = run(line, cwd=stage.folder, env=env)[0]
                return [Reading(f'python -c "{statement}"', seconds * 1000, "ms")]

            return contend

        statements = (
            "pass",
            "import cmind",
            "import requests",
            "import cmind, cmx_resnet50.cached_run.receipt",
            "import cmx_resnet50.fetch.http.transfer",
        )
        series.update(interleave([start(one) for one in statements], setting.rounds))
    return Outcome(
        "What is imported by a `cm run`, and what that costs",
        series,
        [
            Comparison(f"{OURS}, hit", f"{OLD}, hit"),
            Comparison(f"{OURS}, cold", f"{OLD}, cold"),
            Comparison(
                'python -c "import cmind, cmx_resnet50.cached_run.receipt"',
                'python -c "import cmind"',
                difference=True,
            ),
            Comparison(
                'python -c "import cmx_resnet50.fetch.http.transfer"',
                'python -c "import requests"',
                difference=True,
            ),
        ],
        ["The first rows are the sum of what `python -X importtime` tells, which slows it a bit."],
    )


def _get(user: CM, env: Mapping[str, str] | None = None, prefix: Sequence[str] = ()) -> float:
    command: list[str | Path] = [*prefix, user.installation.bin / "cm", *user.request(), "--quiet"]
    return run(command, cwd=user.cwd, env=user.environment(env))[0]


def _at_once(count: int) -> str:
    return "1 alone" if count == 1 else f"{count} at once"
