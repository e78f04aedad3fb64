"""Small files to store, ways to damage them, and Python programs run as processes."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from cmx_resnet50.digests import Digests, digest_file
from cmx_resnet50.store import Store, StoredObject
from tests.harness.waiting import HANGS

ROOT = Path(__file__).resolve().parents[2]
DATA = bytes(range(256)) * 64

MAKE_SLOWLY = """
    import sys, time
    from pathlib import Path
    from cmx_resnet50.digests import digest_file
    from cmx_resnet50.store import Store
    root, log, seconds = Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3])
    def make(partial):
        with open(log, "a") as file:
            file.write("made\\n")
        start = partial.stat().st_size if partial.exists() else 0
        data = bytes(range(256)) * 64
        with open(partial, "ab") as file:
            file.write(data[start:1000])
            file.flush()
            print("making from", start, flush=True)
            time.sleep(seconds)
            file.write(data[max(start, 1000):])
        return digest_file(partial), {}
    store = Store(root)
    stored, made = store.obtain(["url-a"], make, name="model.onnx")
    assert store.check(stored)
    print("got", made, flush=True)
"""
"""Obtains DATA: root, log of calls, seconds to wait in the middle of it."""


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def md5(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def maker(data: bytes = DATA, **record: Any) -> Callable[[Path], tuple[Digests, dict[str, Any]]]:
    """Return a `make` for `Store.obtain` that writes `data`."""

    def make(partial: Path) -> tuple[Digests, dict[str, Any]]:
        partial.write_bytes(data)
        return digest_file(partial), record

    return make


def never(partial: Path) -> tuple[Digests, dict[str, Any]]:
    """Be a `make` that must not be called."""
    raise AssertionError(f"asked to make {partial}")


def put(store: Store, data: bytes = DATA, *keys: str, name: str = "model.onnx") -> StoredObject:
    """Have `data` in the store, under its md5 if no other key is given."""
    return store.obtain(keys or [f"md5-{md5(data)}"], maker(data), name=name)[0]


def flip(path: Path, *, keep_mtime: bool = False) -> None:
    """Change one bit in place, whatever the mode of the file."""
    status = path.stat()
    path.chmod(0o644)
    with open(path, "r+b") as file:
        file.seek(status.st_size // 2)
        byte = file.read(1)[0]
        file.seek(status.st_size // 2)
        file.write(bytes([byte ^ 1]))
    path.chmod(status.st_mode)
    if keep_mtime:
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def bytes_read(action: Callable[[], object]) -> int:
    """Return how many bytes `action` reads, whatever of."""
    counts = Path("/proc/self/io")
    if not counts.exists():
        pytest.skip("the system does not count what a process reads")

    def so_far() -> int:
        return int(counts.read_text().split()[1])

    first, before = so_far(), so_far()
    action()
    return so_far() - before - (before - first)


def python(code: str, *arguments: object, inside: Sequence[str] = ()) -> subprocess.Popen[str]:
    """Start a Python program that can import this package; `inside` is a command to run it in."""
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    return subprocess.Popen(
        [*inside, sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": path},
    )


def finished(process: subprocess.Popen[str]) -> str:
    """Return the standard output of a process that must end well."""
    out, err = process.communicate(timeout=HANGS)
    assert process.returncode == 0, err
    return out


def until(process: subprocess.Popen[str], word: str) -> str:
    """Return the next line of output, which must hold `word`."""
    assert process.stdout is not None
    line = process.stdout.readline()
    assert word in line, (line, process.stderr.read() if process.stderr else "")
    return line
