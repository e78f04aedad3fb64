"""The peers that are Python packages, each kind in an environment of its own, with pinned versions.

``python -m benchmarks.peers FOLDER`` installs what is missing there, and says which programs
are missing on this machine. A benchmark whose peer is not there fails and says so.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import venv
from collections.abc import Sequence
from pathlib import Path

from benchmarks.measure import BenchmarkError

PACKAGES = {
    "downloaders": ("pooch==1.9.0", "huggingface_hub==2.4.0", "tqdm"),
    "onnx": ("onnx==1.23.2", "onnxruntime==1.32.0"),
    "litert": ("ai-edge-litert==2.3.0",),
    "ncnn": ("ncnn==1.0.20261020",),
    "torch": ("torch==2.13.0", "numpy"),
    "tensorflow": ("tensorflow-cpu==2.21.0",),
    "plots": ("matplotlib==3.11.2",),
}
"""By the name of the environment. What has no version is only there to be imported."""

PROGRAMS = {
    "wget": "wget",
    "curl": "curl",
    "aria2c": "aria2",
    "md5sum": "coreutils",
    "ip": "iproute2",
    "git": "git",
    "tc": "iproute2",
}
"""Programs that are started, with the Debian package that brings each."""

_MARK = "installed"


def peer(name: str) -> str:
    """Return the path of the program `name`.

    Raises
    ------
    BenchmarkError
        If it is not installed: no row is dropped for that.
    """
    found = shutil.which(name)
    if found is None:
        package = PROGRAMS.get(name, name)
        raise BenchmarkError(f"the peer {name} is not installed. Do: apt-get install -y {package}")
    return found


def python(folder: Path, name: str) -> Path:
    """Return the interpreter of the environment `name` in `folder`.

    Raises
    ------
    BenchmarkError
        If it is not installed as it is pinned here.
    """
    place = folder / name
    if not _ready(place, name):
        raise BenchmarkError(
            f"the peers {', '.join(PACKAGES[name])} are not installed in {place}. "
            "Do: make bench, or python -m benchmarks.peers FOLDER"
        )
    return place / "bin" / "python"


def install(folder: Path) -> None:
    """Make the environments that are missing, or that are pinned otherwise now.

    Raises
    ------
    BenchmarkError
        If pip fails.
    """
    for name, wanted in PACKAGES.items():
        place = folder / name
        if _ready(place, name):
            continue
        print(f"installing {', '.join(wanted)} in {place} …", file=sys.stderr, flush=True)
        shutil.rmtree(place, ignore_errors=True)
        venv.EnvBuilder(with_pip=True).create(place)
        _pip(place, "install", "--quiet", *wanted)
        (place / _MARK).write_text("\n".join(wanted), encoding="utf-8")


def missing_programs() -> list[str]:
    """Return the Debian packages of the programs that are not there."""
    return sorted({package for name, package in PROGRAMS.items() if shutil.which(name) is None})


def _ready(place: Path, name: str) -> bool:
    mark = place / _MARK
    return mark.is_file() and mark.read_text(encoding="utf-8").split("\n") == [*PACKAGES[name]]


def _pip(place: Path, *arguments: str) -> None:
    command: Sequence[str | Path] = [place / "bin" / "python", "-m", "pip", *arguments]
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise BenchmarkError(f"pip {' '.join(arguments)} failed: {done.stderr[-800:]}")


def main() -> int:
    """Install all; return 1 if a program is missing."""
    install(Path(sys.argv[1]))
    missing = missing_programs()
    if missing:
        print(f"Missing programs. Do: apt-get install -y {' '.join(missing)}", file=sys.stderr)
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
