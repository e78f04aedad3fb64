"""Runs beside somebody who removes what they work in: they succeed, or end in one clear line."""

from __future__ import annotations

import contextlib
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from tests.harness.artifacts import ARTIFACTS
from tests.harness.cm import CM, Result
from tests.harness.faults import Stall, Status
from tests.harness.mlc import MLC
from tests.harness.origin import Origin
from tests.races.rounds import DIFFERENT, at_once, loss
from tests.races.test_at_once import in_use
from tests.races.test_run_lock import NAME, REQUEST, WAITING, assert_good, held, lock

ROUNDS = 8
SAID = "The cache entry of this run was removed while the run worked in it"
PRUNE = ("cmx-resnet50", "prune", "--apply")


def removal(user: CM) -> tuple[str, ...]:
    program = "mlc" if isinstance(user, MLC) else "cm"
    return (program, "rm", "cache", "--tags=get,ml-model,resnet50", "-f")


@pytest.mark.parametrize("line", [removal, lambda _: PRUNE], ids=["rm cache", "prune"])
def test_removed_during_the_fetch(
    engine: CM, origin: Origin, served: dict[str, Path], line: Callable[[CM], tuple[str, ...]]
) -> None:
    """The entry is made again, and answers the next run."""
    origin.fail(ARTIFACTS[NAME].url, Stall(200_000), times=1)
    patient = {"CM_RESNET50_READ_TIMEOUT": "5", "CM_RESNET50_CONNECTIONS": "1"}
    with engine.start(*engine.request(*REQUEST, quiet=True), env=patient) as running:
        origin.wait(lambda: origin.bytes_sent() >= 200_000)
        done = engine.command(*line(engine))
        assert done.ok, done.text
        result = running.wait()
    assert_good(result, served)
    origin.clear_log()
    again = engine.get(*REQUEST)
    assert_good(again, served)
    assert again.path == result.path
    assert not origin.requests


def test_removed_while_a_run_waits_for_its_turn(
    engine: CM, origin: Origin, served: dict[str, Path]
) -> None:
    with held(lock(engine, "run")):
        running = engine.start(*engine.request(*REQUEST, quiet=True))
        origin.wait(lambda: WAITING in running.err)
        done = engine.command(*removal(engine))
        assert done.ok, done.text
    with running:
        assert_good(running.wait(), served)


def test_a_folder_of_the_run_is_not_left_behind(engine: CM, origin: Origin) -> None:
    temporary = engine.home / "tmp"
    assert engine.get(*REQUEST).ok
    origin.fail(ARTIFACTS["pytorch-int8"].url, Status(404))
    assert not engine.get("pytorch", "int8").ok
    assert not list(temporary.glob("cmx-resnet50-*"))


@contextlib.contextmanager
def again_and_again(user: CM, line: Sequence[str]) -> Iterator[None]:
    """Repeat a command for as long as the block runs."""
    over = threading.Event()

    def repeat() -> None:
        while not over.is_set():
            user.command(*line)

    thread = threading.Thread(target=repeat)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def outcome(result: Result) -> str:
    if result.ok:
        return "good"
    return "clear" if SAID in result.err and "Traceback" not in result.text else loss(result)


@pytest.mark.races
def test_entries_are_removed_all_the_time(
    new_cm: Callable[..., CM], served: dict[str, Path]
) -> None:
    """Never a traceback of ours; of the engine's own, which docs/races.md names, few."""
    found: Counter[str] = Counter()
    for number in range(ROUNDS):
        cm = in_use(new_cm(f"user-{number}"))
        with again_and_again(cm, removal(cm)):
            results = at_once(cm, DIFFERENT)
        for result in results:
            assert "/cmx_resnet50/" not in result.err.partition("Traceback")[2], result.text
        found.update(map(outcome, results))
        assert cm.get("onnx").ok
    print(found.most_common())
    assert found["good"] + found["clear"] >= ROUNDS * len(DIFFERENT) * 9 // 10


@pytest.mark.races
def test_unused_files_are_removed_all_the_time(
    new_cm: Callable[..., CM], served: dict[str, Path]
) -> None:
    for number in range(ROUNDS):
        cm = in_use(new_cm(f"user-{number}"))
        with again_and_again(cm, PRUNE):
            results = at_once(cm, DIFFERENT)
        for result in results:
            assert result.ok, result.text
