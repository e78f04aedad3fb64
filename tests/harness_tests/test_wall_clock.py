"""No test asserts wall-clock time, and one that did would be found."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from tests.harness_tests.wall_clock import findings, in_tests

TESTS = Path(__file__).resolve().parents[1]


def test_no_assertion_on_the_clock() -> None:
    assert in_tests(TESTS) == []


@pytest.mark.parametrize(
    "code",
    [
        "began = time.monotonic()\nrun()\nassert time.monotonic() - began < 5",
        "began = perf_counter()\nrun()\nlasted = perf_counter() - began\nassert lasted < 1",
        "due = time.time() + 4\nassert record.started >= due",
        "assert result.seconds < 12",
        "assert reply.elapsed.total_seconds() < 1",
        "assert min(timeit.repeat(run, number=1)) < 0.001",
        "end = time.monotonic() + 5\nif time.monotonic() > end:\n    raise TimeoutError",
        "end = time.monotonic() + 20\nwhile not ready():\n    assert time.monotonic() < end",
        "def pauses():\n    times = []\n    times.append(time.monotonic())\n    return times\n"
        "def test():\n    assert pauses()[0] < 1",
        "def seconds():\n    return time.perf_counter()\ndef test():\n    assert seconds() < 1",
        "subprocess.run(command, timeout=10)",
        "assert running.wait(10).ok",
        "thread.join(5)",
        "@settings(max_examples=9, deadline=200)\ndef test(): ...",
        "CODE = 'import time; start = time.perf_counter()'",
    ],
)
def test_an_assertion_that_is_put_in_is_found(code: str, tmp_path: Path) -> None:
    assert len(findings(code)) >= 1
    (tmp_path / "test_new.py").write_text(f"def test():\n{textwrap.indent(code, '    ')}")
    assert in_tests(tmp_path)[0].startswith("test_new.py:")


@pytest.mark.parametrize(
    "code",
    [
        "before = time.process_time()\nrun()\nassert time.process_time() - before < 1",
        "time.sleep(1)\nassert answer == 3",
        "os.utime(path, (time.time() - 9, time.time() - 9))\nassert path.exists()",
        "subprocess.run(command, timeout=300)",
        "with pytest.raises(TimeoutError):\n    run(timeout=2)",
        "options = FetchOptions(read_timeout=0.5)\nassert len(server.requests) == 3",
        "@settings(max_examples=9)\ndef test(): ...",
        "monkeypatch.setattr('time.monotonic', lambda: now)",
    ],
)
def test_what_holds_on_any_machine_is_left_alone(code: str) -> None:
    assert findings(code) == []
