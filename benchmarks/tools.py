"""Processes and files that the benchmarks share: timed runs, peers, servers, model files."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.measure import BenchmarkError, Setting
from benchmarks.peers import python
from cmx_resnet50 import dummy
from cmx_resnet50.digests import digest_file

ROOT = Path(__file__).resolve().parent.parent
PYTHON = sys.executable
MB = 1_000_000

SUFFIXES = {
    "onnx-opset-11": ".onnx",
    "tensorflow": ".pb",
    "tflite-no-argmax": ".tflite",
    "pytorch-fp32": ".pth",
    "ncnn": ".bin",
    "ncnn-param": ".param",
}
"""Of the dummies in use; the two of ncnn must share a name."""


def model(setting: Setting, kind: str = "onnx-opset-11") -> Path:
    """Return a file of the true size with random weights, written once a run."""
    folder = setting.work / "models"
    folder.mkdir(exist_ok=True)
    path = folder / f"{kind.removesuffix('-param')}{SUFFIXES[kind]}"
    if not path.exists():
        dummy.write(kind, path)
    return path


def md5(path: Path) -> str:
    """Return the md5 of a file."""
    return digest_file(path).md5


def digests(path: Path) -> tuple[str, str]:
    """Return md5 and sha256 of a file."""
    found = digest_file(path)
    return found.md5, found.sha256


def check(path: Path, expected: str, who: str) -> None:
    """Raise BenchmarkError unless the file at `path` is whole: a wrong file has no speed."""
    if not path.exists() or md5(path) != expected:
        raise BenchmarkError(f"{who} left a wrong file, or none, at {path.name}")


def environment(*, peers: bool = False) -> dict[str, str]:
    """Return the environment in which our package is found; with `peers`, where it is not.

    Python may write .pyc files in it, as in a user's installation: without them each start
    compiles every module anew, which is no cost that a user has.
    """
    found = {
        key: value
        for key, value in os.environ.items()
        if key not in ("PYTHONDONTWRITEBYTECODE", "PYTHONPATH")
    }
    return found if peers else {**found, "PYTHONPATH": str(ROOT)}


def run(
    command: Sequence[str | Path],
    *,
    cwd: Path,
    env: Mapping[str, str] | None = None,
    err: bool = False,
) -> tuple[float, str]:
    """Run a command; return its wall time in seconds and its stdout, or with `err` its stderr.

    Raises
    ------
    BenchmarkError
        If it fails, with the end of what it said.
    """
    begun = time.perf_counter()
    done = subprocess.run(
        command,
        cwd=cwd,
        env=dict(env) if env is not None else environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    seconds = time.perf_counter() - begun
    if done.returncode != 0:
        said = (done.stdout + done.stderr)[-800:]
        raise BenchmarkError(f"{Path(command[0]).name} ended with {done.returncode}: {said}")
    return seconds, done.stderr if err else done.stdout


def compile_all() -> None:
    """Write the .pyc files of our own modules, as pip does for a user."""
    folders = [ROOT / "cmx_resnet50", ROOT / "benchmarks"]
    run([PYTHON, "-m", "compileall", "-q", *folders], cwd=ROOT)


def library(
    setting: Setting, name: str, *arguments: str | Path, cwd: Path
) -> tuple[float, dict[str, Any]]:
    """Run `benchmarks/library_peers.py` in the peers' environment `name`; as `once`."""
    script = Path(__file__).with_name("library_peers.py")
    command: list[str | Path] = [python(setting.peers, name), script, *arguments]
    seconds, out = run(command, cwd=cwd, env=environment(peers=True))
    return seconds, library_result(out)


def library_result(out: str) -> dict[str, Any]:
    """Return what `benchmarks/library_peers.py` told; a library may print before it."""
    found: dict[str, Any] = json.loads(out.splitlines()[-1])
    return found


def once(
    setting: Setting, *arguments: str | Path, prefix: Sequence[str] = ()
) -> tuple[float, dict[str, Any]]:
    """Run `benchmarks.once`; return wall seconds, and what it measured inside."""
    command = [*prefix, PYTHON, "-m", "benchmarks.once", *arguments]
    seconds, out = run(command, cwd=setting.work)
    return seconds, json.loads(out)


def fresh(setting: Setting, name: str) -> Path:
    """Return an empty folder."""
    folder = setting.work / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


class Served:
    """A running `benchmarks.server`."""

    def __init__(self, process: subprocess.Popen[str], host: str) -> None:
        self._process = process
        port = self._line()
        self.url = f"http://{host}:{port}/f"

    def count(self) -> int:
        """Body bytes that the server's kernel took since the last reset."""
        return int(self._ask("count"))

    def reset(self) -> None:
        """Count anew."""
        self._ask("reset")

    def _ask(self, word: str) -> str:
        if self._process.stdin is None:
            raise BenchmarkError("the server has no stdin")
        self._process.stdin.write(f"{word}\n")
        self._process.stdin.flush()
        return self._line()

    def _line(self) -> str:
        line = self._process.stdout.readline() if self._process.stdout else ""
        if not line:
            raise BenchmarkError("the server of the benchmarks ended")
        return line.strip()


@contextlib.contextmanager
def serving(
    file: Path, *options: str, host: str = "127.0.0.1", prefix: Sequence[str] = ()
) -> Iterator[Served]:
    """Serve `file` in a process of its own; `options` as `benchmarks.server` has them."""
    command: list[str | Path] = [
        *prefix,
        PYTHON,
        "-m",
        "benchmarks.server",
        file,
        "--host",
        host,
        *options,
    ]
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment(),
        cwd=file.parent,
    )
    try:
        yield Served(process, host)
    finally:
        process.terminate()
        process.communicate()
