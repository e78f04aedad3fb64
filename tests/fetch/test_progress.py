"""What a user sees of a transfer: a bar on a terminal, lines elsewhere, nothing when silent."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from cmx_resnet50.progress import Progress, progress_for

ROOT = Path(__file__).parents[2]

SHOW = """
import sys, time
from cmx_resnet50.progress import progress_for
progress = progress_for(len(sys.argv) == 1)
progress.start("model.onnx", 100_000_000, "https://h/f", 20_000_000)
for _ in range(160):
    progress.advance(500_000)
progress.note("a note")
progress.done()
progress.done()
"""


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", SHOW, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )


def test_lines_where_there_is_no_terminal() -> None:
    done = run()
    assert done.stdout == ""
    first, *tenths, note = done.stderr.splitlines()
    assert first == "model.onnx (100.0 MB) from https://h/f, resumed at 20.0 MB"
    assert note == "a note"
    assert [line.split("(")[1].split(" ")[0] for line in tenths] == [
        str(share) for share in range(30, 101, 10)
    ]
    assert "MB/s" in tenths[0]
    assert " s left" in tenths[0]


def test_a_line_now_and_then_where_a_tenth_takes_long(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = 0.0
    monkeypatch.setattr("cmx_resnet50.progress.time.monotonic", lambda: now)
    shown = progress_for(True)
    shown.start("model.onnx", 100_000_000, "https://h/f", 0)
    for _ in range(99):
        now += 1.0
        shown.advance(10_000)
    shown.done()
    _, *lines = capsys.readouterr().err.splitlines()
    assert [line.split(" of ")[0] for line in lines] == [
        f"model.onnx: {megabytes} MB" for megabytes in ("0.3", "0.6", "0.9")
    ]


def test_nothing_when_silent() -> None:
    done = run("silent")
    assert (done.stdout, done.stderr) == ("", "")
    assert type(progress_for(False)) is Progress


def test_a_function_is_told_what_is_there(capsys: pytest.CaptureFixture[str]) -> None:
    seen: list[tuple[str, int, int | None]] = []
    shown = progress_for(lambda *step: seen.append(step))
    shown.start("model.onnx", 100, "https://h/f", 20)
    for count in (30, 0, 50):
        shown.advance(count)
    shown.note("a note")
    shown.start("model.onnx", None, "https://other/f", 0)
    shown.advance(7)
    shown.done()
    name = "model.onnx"
    assert seen == [
        (name, 20, 100),
        (name, 50, 100),
        (name, 100, 100),
        (name, 0, None),
        (name, 7, None),
    ]
    assert capsys.readouterr().err == ""


def test_a_size_that_nobody_knows() -> None:
    code = SHOW.replace("100_000_000", "None")
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stderr.splitlines()[0] == "model.onnx from https://h/f, resumed at 20.0 MB"


def test_a_bar_on_a_terminal() -> None:
    near, far = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", SHOW], cwd=ROOT, stdout=subprocess.PIPE, stderr=far
    )
    os.close(far)
    seen = b""
    while True:
        try:
            data = os.read(near, 65536)
        except OSError:
            break
        if not data:
            break
        seen += data
    os.close(near)
    assert process.communicate()[0] == b""
    assert process.returncode == 0
    text = seen.decode()
    assert "resumed at 20.0 MB" in text
    assert "model.onnx:" in text
    assert "B/s" in text
    assert "a note" in text
