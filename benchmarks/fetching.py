"""How fast the bytes come: unlimited, paced, and over a long line that loses packets."""

from __future__ import annotations

from pathlib import Path

from benchmarks.link import SERVER, line
from benchmarks.measure import Comparison, Contender, Outcome, Reading, Setting, interleave
from benchmarks.peers import peer
from benchmarks.tools import MB, check, fresh, md5, model, once, run, serving

CONNECTIONS = 8
PACE = 10 * MB
ROUND_TRIP = 0.05
LOSS = 0.01
_PIECE = 24 * MB
_LOSSY_ROUNDS = 3
"""Times as many rounds as elsewhere: which packets are lost decides a round."""

OURS = "cmx_resnet50.fetch, whole process"
INSIDE = "cmx_resnet50.fetch, after imports"
MEMORY = f"{OURS}, peak memory"
CURL = "curl -o f && md5sum f"
ARIA = f"aria2c -x{CONNECTIONS} -s{CONNECTIONS} -k1M --checksum=md5"


def ours(setting: Setting, url: str, digest: str, prefix: tuple[str, ...] = ()) -> Contender:
    """Return our fetcher on one file."""

    def contend() -> list[Reading]:
        target = fresh(setting, "ours") / "f"
        seconds, inside = once(setting, "fetch", url, digest, target, prefix=prefix)
        check(target, digest, OURS)
        return [
            Reading(OURS, seconds),
            Reading(INSIDE, inside["seconds"]),
            Reading(MEMORY, inside["peak_mb"], "MB"),
        ]

    return contend


def curl(setting: Setting, url: str, digest: str) -> Contender:
    """Return one plain stream, and the digest after it."""
    program = peer("curl")
    peer("md5sum")

    def contend() -> list[Reading]:
        folder = fresh(setting, "curl")
        script = f"'{program}' -sSf -o f '{url}' && md5sum f"
        seconds, _ = run(["sh", "-c", script], cwd=folder)
        check(folder / "f", digest, CURL)
        return [Reading(CURL, seconds)]

    return contend


def aria(setting: Setting, url: str, digest: str, prefix: tuple[str, ...] = ()) -> Contender:
    """Return aria2c with as many connections, and its check of the digest."""
    program = peer("aria2c")

    def contend() -> list[Reading]:
        folder = fresh(setting, "aria2c")
        seconds, _ = run([*prefix, *aria_command(program, url, digest)], cwd=folder)
        check(folder / "f", digest, ARIA)
        return [Reading(ARIA, seconds)]

    return contend


def aria_command(program: str, url: str, digest: str) -> list[str]:
    """Return aria2c's command line; preallocation is left off, as it costs aria2c time."""
    many = [f"-x{CONNECTIONS}", f"-s{CONNECTIONS}", "-k1M"]
    quiet = ["-q", "--no-conf", "--file-allocation=none"]
    return [program, *quiet, *many, f"--checksum=md5={digest}", "-o", "f", url]


def unlimited(setting: Setting) -> Outcome:
    """As fast as loopback goes."""
    file = model(setting)
    digest = md5(file)
    with serving(file) as served:
        contenders = [
            ours(setting, served.url, digest),
            curl(setting, served.url, digest),
            aria(setting, served.url, digest),
        ]
        series = interleave(contenders, 3 if setting.quick else 9)
    return Outcome(
        f"Unlimited, {_size(file)} on loopback, with md5",
        series,
        [Comparison(OURS, CURL, 1.0), Comparison(INSIDE, CURL, 0.7), Comparison(OURS, ARIA)],
    )


def paced(setting: Setting) -> Outcome:
    """10 MB/s a connection, held by the kernel."""
    file = model(setting)
    digest = md5(file)
    with serving(file, "--pace", str(PACE)) as served:
        contenders = [ours(setting, served.url, digest), aria(setting, served.url, digest)]
        series = interleave(contenders, setting.rounds, warm=False)
        plain = [curl(setting, served.url, digest)]
        series.update(interleave(plain, setting.rounds, warm=False))
    floor = f"the floor, bytes / ({CONNECTIONS} x rate), computed"
    outcome = Outcome(
        f"{PACE // MB} MB/s a connection, {_size(file)}",
        series,
        [
            Comparison(OURS, ARIA, 0.75),
            Comparison(OURS, floor, 1.2),
            Comparison(OURS, CURL, 0.15),
        ],
        [
            "SO_MAX_PACING_RATE on each of the server's connections. One plain stream "
            "represents the old script, whose downloader uses one; its own start would be added."
        ],
    )
    outcome.known(floor, file.stat().st_size / (CONNECTIONS * PACE), "s")
    return outcome


def lossy(setting: Setting) -> Outcome:
    """A round trip of 50 ms, one packet of a hundred lost."""
    whole = model(setting)
    file = setting.work / "piece"
    size = _PIECE // 2 if setting.quick else _PIECE
    file.write_bytes(whole.read_bytes()[:size])
    digest = md5(file)
    with (
        line(setting.work, round_trip=ROUND_TRIP, loss=LOSS) as laid,
        serving(file, "--congestion", "cubic", host=SERVER, prefix=laid.server) as served,
    ):
        contenders = [
            ours(setting, served.url, digest, laid.client),
            aria(setting, served.url, digest, laid.client),
        ]
        series = interleave(contenders, _LOSSY_ROUNDS * setting.rounds, warm=False)
    return Outcome(
        f"{ROUND_TRIP * 1000:.0f} ms round trip, {LOSS:.0%} loss, {_size(file)}",
        series,
        [Comparison(OURS, ARIA, 0.8)],
        [
            "Two namespaces joined by TUN devices and a process that delays and drops packets "
            "both ways (benchmarks/link.py), real TCP with the congestion control cubic. The "
            f"first {size // MB} MB of the file only, because cubic brings about 0.4 MB/s a "
            "connection here."
        ],
    )


def _size(file: Path) -> str:
    return f"{file.stat().st_size / MB:.1f} MB"
