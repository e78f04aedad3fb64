"""stdout closed or full, and a working folder that is gone: the command works, or names it."""

from __future__ import annotations

import pytest

from tests.harness.cm import CM

COMMANDS = ("get _dummy-weights,_ncnn", "list", "verify", "prune", "docs start")


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&- <&-"])
@pytest.mark.parametrize("command", COMMANDS)
def test_a_closed_stream_is_no_error(cm: CM, command: str, closed: str) -> None:
    done = cm.command("/bin/bash", "-c", f"cmx-resnet50 {command} {closed}")
    assert done.ok, done.text
    assert "Traceback" not in done.text


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize(
    "command", ["list", "list --json", "get _onnx,_opset-9", "get _onnx,_opset-9 --json"]
)
def test_a_full_disk_behind_stdout_is_named(cm: CM, command: str, unbuffered: str) -> None:
    env = {"PYTHONUNBUFFERED": unbuffered}
    done = cm.command("/bin/bash", "-c", f"cmx-resnet50 {command} >/dev/full", env=env)
    assert done.code == (6 if "list" in command else 3), done.text
    assert "Traceback" not in done.err
    assert len(done.err.splitlines()) == 1 or "list" not in command, done.text
    assert ("No space left on device" in done.err) is ("list" in command), done.text
    assert "Exception ignored" not in done.err


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize(
    ("command", "code"),
    [("list", 0), ("list --json", 0), ("docs start", 0), ("get _onnx,_opset-9 --json", 3)],
)
def test_a_reader_that_leaves_does_not_change_the_exit_code(
    cm: CM, command: str, code: int, unbuffered: str
) -> None:
    script = f"exec 3> >(true); wait $!; cmx-resnet50 {command} >&3"
    done = cm.command("/bin/bash", "-c", script, env={"PYTHONUNBUFFERED": unbuffered})
    assert done.code == code, done.text
    assert "Traceback" not in done.err
    assert not done.err or code


def test_a_removed_working_folder_is_named(cm: CM) -> None:
    script = "mkdir gone && cd gone && rmdir ../gone && cmx-resnet50 get _dummy-weights --to models"
    done = cm.command("/bin/bash", "-c", script)
    assert done.code == 1
    # Python itself may fail above, as the .pth file of coverage does in such a folder.
    assert done.err.splitlines()[-1].startswith("cmx-resnet50: the working folder was removed")
