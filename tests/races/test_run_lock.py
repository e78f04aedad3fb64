"""The locks that keep runs apart: who waits for whom, and that nobody waits in vain."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.artifacts import ARTIFACTS, delivered
from tests.harness.cm import CM, Result
from tests.harness.faults import Stall
from tests.harness.origin import Origin

NAME = "tflite-no-argmax"
REQUEST = ("tflite", "no-argmax")
WAITING = "cmx-resnet50: waiting for process"


def lock(cm: CM, name: str) -> Path:
    return cm.repos / f"cmx-resnet50-{name}.lock"


@contextlib.contextmanager
def held(path: Path, age: float = 0.0) -> Iterator[None]:
    """Hold a lock as a run does that began `age` seconds ago."""
    with path.open("w+b", buffering=0) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.write(f"{os.getpid()} elsewhere {time.time() - age}\n".encode())
        yield


def free(path: Path) -> bool:
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def assert_good(result: Result, served: dict[str, Path]) -> None:
    assert result.ok, result.text
    assert result.path.read_bytes() == delivered(served[NAME])


@pytest.mark.parametrize("group", [False, True])
def test_a_stranger_cannot_hold_a_lock(cm: CM, group: bool) -> None:
    """Whoever can open the file can; so only those who can write in the folder may."""
    cm.repos.chmod(0o775 if group else 0o755)
    assert cm.get(*REQUEST).ok
    for path in cm.repos.glob("cmx-resnet50-*.lock"):
        assert path.stat().st_mode & 0o777 == (0o660 if group else 0o600)


def test_waits_for_the_turn_and_says_for_whom(
    cm: CM, origin: Origin, served: dict[str, Path]
) -> None:
    with held(lock(cm, "run")), cm.start(*cm.request(*REQUEST, quiet=True)) as running:
        origin.wait(lambda: WAITING in running.err)
        assert f"{WAITING} {os.getpid()} on elsewhere" in running.err
        assert running.err.count("waiting for") == 1
        assert not origin.requests
        # It waits for its turn, and keeps nobody from looking up.
        assert free(lock(cm, "lookup"))
        running.interrupt()
        assert not running.wait().ok
    assert_good(cm.get(*REQUEST), served)


def test_a_hit_waits_for_no_turn(cm: CM, served: dict[str, Path]) -> None:
    assert_good(cm.get(*REQUEST), served)
    with held(lock(cm, "run")):
        result = cm.get(*REQUEST)
    assert_good(result, served)
    assert "waiting" not in result.err


def test_an_old_look_up_holds_nobody_up(cm: CM, served: dict[str, Path]) -> None:
    with held(lock(cm, "lookup"), age=60):
        result = cm.get(*REQUEST)
    assert_good(result, served)
    assert "waiting" not in result.err


@pytest.mark.parametrize(
    "ending", [signal.SIGKILL, pytest.param(signal.SIGINT, marks=pytest.mark.races)]
)
def test_a_run_that_dies_leaves_no_lock(
    cm: CM, origin: Origin, served: dict[str, Path], ending: int
) -> None:
    """And none while it fetches: another request has its turn meanwhile."""
    origin.fail(ARTIFACTS[NAME].url, Stall(100_000))
    with cm.start(
        *cm.request(*REQUEST, quiet=True), env={"CM_RESNET50_CONNECTIONS": "1"}
    ) as running:
        origin.wait(lambda: origin.bytes_sent() >= 100_000)
        other = cm.get("onnx")
        assert other.ok, other.text
        running.send(ending)
        running.wait()
    origin.heal()
    assert free(lock(cm, "run")) and free(lock(cm, "lookup"))
    assert_good(cm.get(*REQUEST), served)


DRIVER = """
import fcntl, os, sys
import cmind
def free(name):
    with open(os.environ["CM_REPOS"] + f"/cmx-resnet50-{name}.lock", "rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True
for tags in sys.argv[1:]:
    answer = cmind.access({"action": "run", "automation": "script", "tags": tags, "quiet": True})
    print("RUN", answer["return"], free("run"), free("lookup"), file=sys.stderr)
"""


def test_a_caller_that_goes_on_holds_nothing(cm: CM, served: dict[str, Path]) -> None:
    """Cold, refused, and from the cache, one after the other in one process."""
    tags = "get,ml-model,resnet50,"
    asked = [f"{tags}_tflite,_no-argmax", f"{tags}_pytorch,_uint8", f"{tags}_tflite,_no-argmax"]
    done = subprocess.run(
        [cm.installation.python, "-c", DRIVER, *asked],
        env=cm.environment(),
        cwd=cm.cwd,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    told = [line for line in done.stderr.splitlines() if line.startswith("RUN")]
    assert told == ["RUN 0 True True", "RUN 1 True True", "RUN 0 True True"], done.stderr


def test_goes_on_where_there_is_no_lock_to_be_had(cm: CM, served: dict[str, Path]) -> None:
    for name in ("run", "lookup"):
        lock(cm, name).mkdir()
    result = cm.get(*REQUEST)
    assert_good(result, served)
    assert result.err.count("runs at the same time are not kept apart: ") == 1
    assert str(lock(cm, "run")) in result.err
    again = cm.get(*REQUEST)
    assert_good(again, served)
    assert "not kept apart" not in again.err
