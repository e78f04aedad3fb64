"""A run is a process: its log, its progress, its answer, and its end when it is stopped."""

from __future__ import annotations

import json
import os
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from cmx_resnet50.gui.process import NotStarted, Run, as_on_terminal, in_order
from tests.harness.waiting import HANGS, until

Start = Callable[[str], Run]


@pytest.fixture
def start(tmp_path: Path) -> Start:
    """Return a maker of runs of a program that stands in for ``cm``."""

    def make(program: str) -> Run:
        file = tmp_path / "program.py"
        head = "import json, os, signal, subprocess, sys, time\n"
        file.write_text(head + textwrap.dedent(program), encoding="utf-8")
        return Run(["run", "script", "--a=b; $(c)"], [sys.executable, str(file)])

    return make


def test_the_command_is_a_list_behind_the_prefix(start: Start) -> None:
    run = start("print(json.dumps(sys.argv[1:]))")
    run.wait(HANGS)
    python, *arguments = json.loads(run.log)
    assert python == sys.executable
    assert arguments[:-1] == ["-m", "cmind", "run", "script", "--a=b; $(c)"]
    assert arguments[-1].startswith("--save_to_json=")
    assert (run.code, run.running, run.new_env) == (0, False, {})


def test_the_answer_is_read_and_its_file_goes(start: Start) -> None:
    run = start(
        """
        path = sys.argv[-1].partition("=")[2]
        json.dump({"return": 0, "new_env": {"B": 1, "A": "x"}}, open(path, "w"))
        print(path)
        """
    )
    run.wait(HANGS)
    assert run.new_env == {"A": "x", "B": "1"}
    assert not Path(run.log.strip()).parent.exists()


@pytest.mark.parametrize("content", ["", "{", "[]", '{"new_env": 3}', '{"new_env": {"A": "x"}}'])
def test_a_failed_run_exports_nothing(start: Start, content: str) -> None:
    run = start(f"open(sys.argv[-1].partition('=')[2], 'w').write({content!r}); sys.exit(3)")
    run.wait(HANGS)
    assert (run.code, run.new_env, run.error) == (3, {}, "")


def test_the_error_of_cm_is_kept(start: Start) -> None:
    run = start(
        """
        json.dump({"return": 1, "error": "no such file"}, open(sys.argv[-1][15:], "w"))
        sys.exit(1)
        """
    )
    run.wait(HANGS)
    assert (run.code, run.error) == (1, "no such file")


def test_log_and_progress_follow_the_run(start: Start, tmp_path: Path) -> None:
    go = tmp_path / "go"
    run = start(
        f"""
        print("x: 10.0 MB of 100.0 MB (10 %), 5 MB/s", file=sys.stderr, flush=True)
        while not os.path.exists({str(go)!r}): time.sleep(0.02)
        print("x: 70% done", flush=True)
        """
    )
    until(lambda: run.progress == 0.1)
    assert run.running and run.code is None
    go.touch()
    run.wait(HANGS)
    assert run.progress == 0.7
    assert run.log.count("\n") == 2


def test_a_long_log_keeps_its_end(start: Start) -> None:
    run = start("print('x' * 99 + '\\n' + ('y' * 99 + '\\n') * 9000 + 'the end')")
    run.wait(HANGS)
    assert run.log.endswith("the end\n")
    assert len(run.log) <= 200_000
    assert "x" not in run.log


def gone(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    status = Path(f"/proc/{process}/stat")
    return status.exists() and status.read_text().rpartition(")")[2].split()[0] == "Z"


@pytest.mark.parametrize("stubborn", [False, True])
def test_stop_ends_what_the_run_started(start: Start, stubborn: bool) -> None:
    ignore = "signal.signal(signal.SIGTERM, signal.SIG_IGN)" if stubborn else ""
    run = start(
        f"""
        {ignore}
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        print(os.getpid(), child.pid, flush=True)
        time.sleep(600)
        """
    )
    until(lambda: run.log.endswith("\n"))
    processes = list(map(int, run.log.split()))
    run.stop()
    assert run.stopped and not run.running
    until(lambda: all(map(gone, processes)))
    run.stop()


def test_stop_after_the_end_does_nothing(start: Start) -> None:
    run = start("print(1)")
    run.wait(HANGS)
    run.stop()
    assert not run.stopped


def test_a_prefix_that_does_not_exist_is_named() -> None:
    with pytest.raises(NotStarted, match="no-such-program cannot be started"):
        Run(["run"], ["no-such-program"])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a\r\nb", "a\nb"),
        ("  1%|#\r 50%|###\r100%|#####\nend", "100%|#####\nend"),
        ("\x1b[31mred\x1b[0m \x1b]0;title\x07x", "red x"),
        ("a\x00b\x08\u202ec\td", "abc\td"),
        ("", ""),
    ],
)
def test_a_log_is_shown_as_a_terminal_leaves_it(text: str, expected: str) -> None:
    assert as_on_terminal(text) == expected


def test_the_keys_named_first_come_first() -> None:
    env = {"C": "3", "A": "1", "B": "2"}
    assert in_order(env, ["B", "Z"]) == [("B", "2"), ("A", "1"), ("C", "3")]
