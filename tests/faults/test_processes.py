"""Processes that die, are interrupted, or run side by side."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from tests.faults.support import (
    IMPATIENT,
    PATIENT,
    REQUESTS,
    assert_good,
    assert_next_run_is_good,
    assert_nothing_half_written,
    objects,
    store_of,
)
from tests.harness.artifacts import ARTIFACTS, delivered
from tests.harness.cm import CM, Running
from tests.harness.faults import Stall, Status, Trickle
from tests.harness.origin import Origin

# The library alone, whatever engine calls it: the full run has these cases under MLC, too.
pytestmark = pytest.mark.under_mlc()

LONE = "tflite-no-argmax"
URL = ARTIFACTS[LONE].url
REQUEST = REQUESTS[LONE]
ONE_CONNECTION = {"CM_RESNET50_CONNECTIONS": "1"}
TOOL = "cmx-resnet50"
WAITING = "cmx-resnet50: waiting for process"


def command(*variations: str) -> tuple[str, ...]:
    return ("get", ",".join(f"_{name}" for name in variations))


def start(engine: CM, *variations: str, **env: str) -> Running:
    """Start ``cmx-resnet50 get``."""
    return engine.start(*command(*variations), program="cmx-resnet50", env={**IMPATIENT, **env})


@pytest.mark.parametrize(
    "sent",
    [300_000, *(pytest.param(n, marks=pytest.mark.full) for n in (1, 65_536, 150_000, 377_000))],
)
@pytest.mark.parametrize("program", ["cm", TOOL], ids=["engine", "command"])
@pytest.mark.under_mlc("engine-300000")
def test_kill_9_after_so_many_bytes(
    engine: CM, origin: Origin, served: dict[str, Path], program: str, sent: int
) -> None:
    size = served[LONE].stat().st_size
    origin.fail(URL, Trickle(250_000))
    line = engine.request(*REQUEST, quiet=True) if program == "cm" else command(*REQUEST)
    with engine.start(*line, program=program, env=ONE_CONNECTION) as running:
        # The journal is told twice a second, and of every quarter of a megabyte.
        told = 150_000
        origin.wait(
            lambda: (
                origin.bytes_sent(URL) >= sent
                and (sent < told or journalled(engine) or running.process.poll() is not None)
            )
        )
        running.kill()
        running.wait()
    assert_nothing_half_written(engine, served)
    known = journalled(engine)
    origin.heal()
    origin.clear_log()
    result = engine.get(*REQUEST)
    assert_good(engine, result, served, LONE)
    if known and origin.bytes_sent():
        assert "resumed at" in result.err
    assert origin.bytes_sent() in (0, size - known)
    assert_next_run_is_good(engine, origin, served, LONE)


def journalled(engine: CM) -> int:
    """How many bytes the journal in the store says are there."""
    known: set[int] = set()
    found: list[Path] = []
    # While the process works, they may be gone before they are read.
    with suppress(FileNotFoundError):
        found = list((store_of(engine) / "incoming").glob("*/*.journal"))
    for path in found:
        text = ""
        with suppress(FileNotFoundError):
            text = path.read_text()
        for start, end in re.findall(r"^\+(\d+) (\d+)$", text, re.MULTILINE):
            known.update(range(int(start), int(end)))
    return len(known)


@pytest.mark.full
@pytest.mark.parametrize("delay", [0.02 * step for step in range(1, 41)])
def test_kill_9_after_so_long(
    engine: CM, origin: Origin, served: dict[str, Path], delay: float
) -> None:
    """Anywhere between the first import and the last line."""
    origin.fail(URL, Trickle(2_000_000))
    with engine.start(*engine.request(*REQUEST, quiet=True)) as running:
        try:
            running.process.wait(delay)
        except subprocess.TimeoutExpired:
            running.kill()
        running.wait()
    assert_nothing_half_written(engine, served)
    mend_index(engine)
    assert_next_run_is_good(engine, origin, served, LONE)


def mend_index(engine: CM) -> None:
    """Follow docs/mlc.md where MLC was killed while it wrote its index, before any code of ours."""
    index = engine.repos / "index_script.json"
    try:
        if index.is_file():
            json.loads(index.read_text())
    except ValueError:
        assert engine.command(TOOL, "mlc", "add").ok


@pytest.mark.parametrize("program", ["cm", TOOL], ids=["engine", "command"])
@pytest.mark.under_mlc("engine")
def test_interrupt(engine: CM, origin: Origin, served: dict[str, Path], program: str) -> None:
    size = served[LONE].stat().st_size
    origin.fail(URL, Stall(200_000))
    line = engine.request(*REQUEST, quiet=True) if program == "cm" else command(*REQUEST)
    with engine.start(*line, program=program, env={**ONE_CONNECTION, **PATIENT}) as running:
        # Half of it was seen by the process itself, and not only sent.
        origin.wait(lambda: re.search(r"\(5\d %\)", running.err) is not None)
        running.interrupt()
        result = running.wait()
    assert result.code == (130 if program == TOOL else engine.interrupted), result.text
    assert "interrupted; fetched bytes are kept" in result.err
    assert "Traceback" not in result.err
    assert_nothing_half_written(engine, served)
    origin.heal()
    origin.clear_log()
    again = engine.get(*REQUEST)
    assert_good(engine, again, served, LONE)
    assert "resumed at" in again.err
    assert origin.bytes_sent() <= size / 2


@pytest.mark.parametrize("program", ["cm", TOOL], ids=["engine", "command"])
@pytest.mark.under_mlc("engine")
def test_interrupt_while_waiting_for_another(
    engine: CM, origin: Origin, served: dict[str, Path], program: str
) -> None:
    origin.fail(URL, Stall(200_000))
    line = engine.request(*REQUEST, quiet=True) if program == "cm" else command(*REQUEST)
    with start(engine, *REQUEST, **PATIENT) as first:
        origin.wait(lambda: origin.bytes_sent(URL) >= 200_000)
        with engine.start(*line, program=program) as second:
            origin.wait(lambda: WAITING in second.err)
            second.interrupt()
            result = second.wait()
        assert result.code == (130 if program == TOOL else engine.interrupted), result.text
        assert "Traceback" not in result.err
        assert first.process.poll() is None
    assert_next_run_is_good(engine, origin, served, LONE)


@pytest.mark.parametrize("ending", ["kill", "stop"])
def test_holder_of_the_lock_is_killed(
    engine: CM, origin: Origin, served: dict[str, Path], ending: str
) -> None:
    """Those who wait say on whom, and one takes over with what the dead one had brought."""
    origin.fail(URL, Stall(200_000), times=1)
    with start(engine, *REQUEST, **PATIENT) as first, ExitStack() as stack:
        origin.wait(lambda: "%" in first.err)
        others = [stack.enter_context(start(engine, *REQUEST)) for _ in range(2)]
        for other in others:
            origin.wait(lambda other=other: WAITING in other.err)  # type: ignore[misc]
            assert f"waiting for process {first.process.pid} on " in other.err
        first.send(signal.SIGKILL if ending == "kill" else signal.SIGTERM)
        results = [other.wait() for other in others]
    for result in results:
        assert result.ok, result.text
    assert any("taking over" in result.err for result in results)
    assert origin.bytes_sent() < 2 * served[LONE].stat().st_size
    assert_next_run_is_good(engine, origin, served, LONE)


def test_two_hosts_on_one_store(engine: CM, origin: Origin, served: dict[str, Path]) -> None:
    """Namespaces stand for hosts: names and process numbers of their own, one folder."""
    unshare = ["-rpuf", "--kill-child", "sh", "-c"]
    if subprocess.run(["unshare", *unshare, "true"], capture_output=True).returncode:
        pytest.skip("no namespaces can be made here")
    origin.fail(URL, Stall(200_000), times=1)

    def on(host: str) -> Running:
        get = f"hostname {host} && exec cmx-resnet50 {' '.join(command(*REQUEST))}"
        unshared = str(shutil.which("unshare"))
        return engine.start(*unshare, get, program=unshared, env={**PATIENT, **ONE_CONNECTION})

    with on("north") as first, ExitStack() as stack:
        origin.wait(lambda: "%" in first.err)
        others = [stack.enter_context(on(host)) for host in ("south", "east")]
        for other in others:
            origin.wait(lambda other=other: WAITING in other.err)  # type: ignore[misc]
            assert re.search(r"waiting for process \d+ on north", other.err)
        first.kill()
        results = [other.wait() for other in others]
    for result in results:
        assert result.ok, result.text
    assert origin.bytes_sent() < 2 * served[LONE].stat().st_size
    assert_next_run_is_good(engine, origin, served, LONE)


def test_eight_at_once_on_one_request(engine: CM, origin: Origin, served: dict[str, Path]) -> None:
    origin.fail(URL, Trickle(400_000))
    with ExitStack() as stack:
        running = [stack.enter_context(start(engine, *REQUEST, **ONE_CONNECTION)) for _ in range(8)]
        results = [process.wait() for process in running]
    for result in results:
        assert result.ok, result.text
        assert str(store_of(engine)) in result.out
    size = served[LONE].stat().st_size
    assert size <= origin.bytes_sent() <= size + 10_000
    (stored,) = objects(store_of(engine)).values()
    assert stored.read_bytes() == delivered(served[LONE])
    assert_next_run_is_good(engine, origin, served, LONE)


def test_eight_at_once_on_three_requests(
    engine: CM, origin: Origin, served: dict[str, Path]
) -> None:
    names = ["tflite-no-argmax", "pytorch-fp32", "tflite-argmax"]
    for name in names:
        origin.fail(ARTIFACTS[name].url, Trickle(400_000))
    with ExitStack() as stack:
        wanted = [names[number % 3] for number in range(8)]
        running = [
            stack.enter_context(start(engine, *REQUESTS[name], **ONE_CONNECTION)) for name in wanted
        ]
        results = [process.wait() for process in running]
    for result in results:
        assert result.ok, result.text
    for name in names:
        size = served[name].stat().st_size
        assert size <= origin.bytes_sent(ARTIFACTS[name].url) <= size + 10_000
    found = {path.read_bytes() for path in objects(store_of(engine)).values()}
    # The archive is kept beside what was in it.
    archive = served["tflite-argmax"].read_bytes()
    assert found == {archive, *(delivered(served[name]) for name in names)}
    for name in names:
        assert_next_run_is_good(engine, origin, served, name)


def test_eight_at_once_when_the_source_fails(
    engine: CM, origin: Origin, served: dict[str, Path]
) -> None:
    """Each gets the error, none waits for ever, nobody is left with half a file."""
    origin.fail(URL, Status(404))
    with ExitStack() as stack:
        running = [stack.enter_context(start(engine, *REQUEST)) for _ in range(8)]
        results = [process.wait() for process in running]
    for result in results:
        assert result.code == 4, result.text
        assert "HTTP 404" in result.err and "Traceback" not in result.err
    assert_next_run_is_good(engine, origin, served, LONE)
