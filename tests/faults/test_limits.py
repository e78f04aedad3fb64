"""Limits of the system, each lowered step by step: a result, or one sentence with the way out.

A traceback of the engine's own is not ours to prevent; one with a frame of ours is.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.faults.support import assert_good, objects, store_of
from tests.faults.test_disks import mounted
from tests.harness.artifacts import delivered
from tests.harness.cm import CM, Result

NAME = "tflite-no-argmax"
COMMAND = "cmx-resnet50 get _tflite,_no-argmax"
ENGINE = "cm run script --tags=get,ml-model,resnet50,_tflite,_no-argmax --quiet"
WAYS = {"command": COMMAND, "cm": ENGINE}
LONG = "x" * 300
DEEP = "/".join(["y" * 200] * 25)

NO_LOCKS = """
import errno, fcntl, os
number = getattr(errno, os.environ["NO_LOCKS"])
def refuse(*_):
    raise OSError(number, os.strerror(number))
fcntl.flock = refuse
"""


def told(result: Result) -> str:
    """Return all that was printed; without a traceback of ours."""
    text = result.out + result.err
    frames = [line for line in text.splitlines() if line.lstrip().startswith('File "')]
    ours = [line for line in frames if "/cmx_resnet50/" in line]
    assert not ours, text
    assert "Traceback" not in text or "cmx-resnet50" not in result.args[-1].split()[0], text
    return text


def shell(cm: CM, line: str, env: dict[str, str] | None = None) -> Result:
    """Run a shell line; what it prints goes through a pipe, which no limit on files reaches."""
    whole = f"set -o pipefail; ({line}) 2>&1 </dev/null | cat"
    return cm.command("/bin/bash", "-c", whole, env=env)


STEPS: dict[str, tuple[str, list[int], str]] = {
    "open files": ("-n", [4, 5, 6, 7, 8, 9, 10, 12], "Raise the limit (ulimit -n 256)"),
    "size of a file, KB": ("-f", [0, 1, 50, 300], "Raise the limit (ulimit -f unlimited)"),
    "memory, KB": ("-v", [n << 10 for n in (32, 44, 60, 80, 100)], ""),
}


@pytest.mark.unmeasured
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    "kind",
    # How much memory is enough differs from one interpreter and machine to another.
    [pytest.param(kind, marks=[pytest.mark.full] * (kind == "memory, KB")) for kind in STEPS],
)
def test_a_limit_that_is_lowered_step_by_step(
    cm: CM, new_cm: Callable[..., CM], served: dict[str, Path], kind: str, way: str
) -> None:
    switch, steps, advice = STEPS[kind]
    outcomes = []
    for step in steps:
        # The engine may damage its own index below a limit; for the command all is one store.
        user = new_cm(f"user-{step}") if way == "cm" else cm
        result = shell(user, f"ulimit {switch} {step}; {WAYS[way]}")
        text = told(result)
        outcomes.append(result.ok)
        if not result.ok and way == "command":
            assert advice in text, text
            assert "cmx-resnet50: " in text
        for path in objects(store_of(user)).values():
            assert path.read_bytes() == served[NAME].read_bytes()
    assert not all(outcomes), f"{kind} was never low enough"
    assert_good(cm, cm.get("tflite", "no-argmax"), served, NAME)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("where", ["store", "output"])
@pytest.mark.parametrize(
    ("option", "advice"), [("nr_inodes", "no inode for one more file (df -i)"), ("size", "free")]
)
def test_a_disk_that_gets_smaller_step_by_step(
    cm: CM, served: dict[str, Path], option: str, advice: str, where: str, way: str
) -> None:
    steps = {"nr_inodes": ["1", "3", "6", "10", "14"], "size": ["8k", "64k", "300k"]}[option]
    disk = cm.home / "disk"
    disk.mkdir()
    failed = 0
    for step in steps:
        with mounted("-t", "tmpfs", "-o", f"{option}={step}", "none", at=disk):
            line, env = WAYS[way], {"CM_RESNET50_STORE": str(disk / "store")}
            if where == "output":
                line, env = f"{line} --to={disk}/out", {}
            result = shell(cm, line, env)
            text = told(result)
            if not result.ok:
                failed += 1
                assert advice in text, text
                assert str(disk) in text
                assert "Free some space" in text or "Remove files there" in text, text
                assert not (disk / "out" / served[NAME].name).exists()
    assert failed
    assert_good(cm, cm.get("tflite", "no-argmax"), served, NAME)


NAMES: dict[str, tuple[str, dict[str, str]]] = {
    "the folder of the store": (COMMAND, {"CM_RESNET50_STORE": LONG}),
    "the path of the store": (COMMAND, {"CM_RESNET50_STORE": DEEP}),
    "the store, in the engine": (ENGINE, {"CM_RESNET50_STORE": LONG}),
    "CM_REPOS": (COMMAND, {"CM_REPOS": f"/tmp/{LONG}"}),
    "--to": (f"{COMMAND} --to {LONG}", {}),
    "--to, deep": (f"{COMMAND} --to {DEEP}", {}),
    "--to, in the engine": (f"{ENGINE} --to={LONG}", {}),
    "--checkpoint": (f"{COMMAND} --checkpoint {LONG}", {}),
    "--checkpoint, in the engine": (f"{ENGINE} --checkpoint={LONG}", {}),
    "inspect": (f"cmx-resnet50 inspect {LONG}", {}),
    "bundle export": (f"cmx-resnet50 bundle export {LONG} _ncnn", {}),
    "bundle export, tar": (f"cmx-resnet50 bundle export {LONG}.tar _ncnn", {}),
    "bundle import": (f"cmx-resnet50 bundle import {LONG}", {}),
    "verify": ("cmx-resnet50 verify", {"CM_RESNET50_STORE": LONG}),
    "prune": ("cmx-resnet50 prune", {"CM_RESNET50_STORE": LONG}),
}


@pytest.mark.parametrize("what", NAMES)
def test_a_name_that_is_too_long_is_named(cm: CM, what: str) -> None:
    line, env = NAMES[what]
    result = shell(cm, line, env)
    text = told(result)
    assert result.code, text
    assert "too long for the file system" in text
    assert "Choose a folder with a shorter path, or a shorter file name." in text
    assert (LONG in text) or (DEEP in text)


@pytest.fixture
def powerless() -> Iterator[str]:
    """Return what to run a command with, so that root too may only read what it may."""
    if os.geteuid():
        yield ""
        return
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        pytest.skip("root may read everything, and there is no setpriv")
    caps = "-dac_override,-dac_read_search"
    line = f"{setpriv} --bounding-set={caps} --inh-caps={caps} "
    if subprocess.run([*line.split(), "true"], capture_output=True).returncode:
        pytest.skip("no capability can be dropped here")
    yield line


@pytest.mark.parametrize("part", ["", "objects", "aliases", "record.json", "locks", "data"])
def test_a_store_that_cannot_be_read(
    cm: CM, served: dict[str, Path], powerless: str, part: str
) -> None:
    first = cm.get("tflite", "no-argmax")
    assert_good(cm, first, served, NAME)
    store = store_of(cm)
    ((_, data),) = objects(store).items()
    beside = {"record.json": data.with_name("record.json"), "data": data}
    path = beside.get(part, store / part)
    mode = path.stat().st_mode
    shutil.rmtree(cm.repos / "repos" / "local", ignore_errors=True)
    path.chmod(0)
    try:
        lines = [COMMAND, ENGINE, *(f"cmx-resnet50 {c}" for c in ("verify", "prune", "list"))]
        for line in lines:
            result = shell(cm, powerless + line)
            text = told(result)
            if result.code:
                assert str(path) in text, text
                assert "cannot be read" in text or "cannot read" in text, text
                assert "Make it readable for this user" in text
    finally:
        if path.exists():
            path.chmod(mode)
    again = cm.get("tflite", "no-argmax")
    assert again.ok, again.text
    assert again.path.read_bytes() == delivered(served[NAME])


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("number", ["ENOLCK", "EOPNOTSUPP"])
def test_a_file_system_without_locks(
    cm: CM, served: dict[str, Path], number: str, way: str
) -> None:
    """No file system at hand refuses them: in this process alone, ``flock`` is replaced."""
    (cm.home / "site").mkdir()
    (cm.home / "site" / "sitecustomize.py").write_text(NO_LOCKS)
    env = {"PYTHONPATH": str(cm.home / "site"), "NO_LOCKS": number}
    result = shell(cm, WAYS[way], env)
    text = told(result)
    assert result.code, text
    assert f"{store_of(cm)} cannot be written or locked (the file system has no file locks" in text
    assert "Name a store on a local disk with CM_RESNET50_STORE" in text
    # What is there is served without them.
    assert cm.command(*COMMAND.split()).ok
    hit = shell(cm, COMMAND, env)
    assert hit.ok, told(hit)


@pytest.mark.parametrize(
    ("line", "named"),
    [
        (COMMAND, False),
        ("cmx-resnet50 list", False),
        ("cmx-resnet50 list", True),
        (f"{COMMAND} --offline", True),
    ],
)
def test_a_user_without_a_home(cm: CM, line: str, named: bool) -> None:
    setpriv = shutil.which("setpriv")
    if os.geteuid() or setpriv is None:
        pytest.skip("only root can become a user without a home")
    read = "-all,+dac_read_search"
    start = f"{setpriv} --reuid=54321 --clear-groups --inh-caps={read} --ambient-caps={read} "
    env = {"CM_REPOS": "", "CM_RESNET50_STORE": str(cm.home / "store") if named else ""}
    result = shell(cm, f"unset HOME; {start} --bounding-set={read} {line}", env)
    text = told(result)
    assert ("HOME is not set, and this user has no home folder. Set HOME" in text) == (not named)
    assert named or "CM_RESNET50_STORE" in text


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&- <&-"])
@pytest.mark.parametrize("more", ["", " -j"])
def test_a_closed_stream_is_no_error_in_the_engine(cm: CM, more: str, closed: str) -> None:
    """Nor on a hit; and with stderr closed, stdout holds JSON alone."""
    for _ in range(2):
        result = cm.command("/bin/bash", "-c", f"{ENGINE}{more} {closed}")
        told(result)
        assert result.ok, result.text
        if more and closed == "2>&-":
            assert "sha256 " not in result.out


def test_a_removed_working_folder_in_the_engine(cm: CM) -> None:
    result = cm.command("/bin/bash", "-c", f"mkdir gone && cd gone && rmdir ../gone && {ENGINE}")
    told(result)
    assert result.code
