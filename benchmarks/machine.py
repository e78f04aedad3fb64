"""On what it was measured: the machine, the versions, and how busy others kept it."""

from __future__ import annotations

import datetime
import os
import platform
import re
import resource
import shutil
import subprocess
import time
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from benchmarks.peers import PACKAGES

_PROGRAMS = ("curl", "wget", "aria2c")
_PACKAGES = ("cmind", "cmx4mlops", "onnx", "requests")


def describe(root: Path) -> dict[str, Any]:
    """Return machine, versions and date; what is not there says so."""
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "kind": kind(),
        "cpu": _field("/proc/cpuinfo", "model name"),
        "cpu_model": _model(),
        "cores": os.cpu_count(),
        "memory": _field("/proc/meminfo", "MemTotal"),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "commit": _commit(root),
        "programs": {name: _version(name) for name in _PROGRAMS},
        "packages": {name: _package(name) for name in _PACKAGES},
        "peers": [one for wanted in PACKAGES.values() for one in wanted if "==" in one],
    }


def kind() -> str:
    """Return a name for machines like this one, by processor and cores, for a folder."""
    words = f"{_field('/proc/cpuinfo', 'model name')} {_model()} {os.cpu_count()} cores"
    return "-".join(re.findall(r"[a-z0-9.]+", re.sub(r"\((r|tm)\)", "", words.lower())))


def _model() -> str:
    """Return what tells processors of one name apart: clouds hide the rest of the name."""
    names = ("cpu family", "model", "stepping")
    return " ".join(f"{name} {_field('/proc/cpuinfo', name)}" for name in names)


def _field(file: str, name: str) -> str:
    for line in Path(file).read_text(encoding="utf-8").splitlines():
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return "unknown"


def _commit(root: Path) -> str:
    def git(*arguments: str) -> str:
        done = subprocess.run(
            ["git", *arguments], cwd=root, capture_output=True, text=True, check=False
        )
        return done.stdout.strip()

    changed = git("status", "--porcelain", "--", "cmx_resnet50", "customize.py", "_cm.json")
    return (git("rev-parse", "--short", "HEAD") or "unknown") + (" and changes" if changed else "")


def _version(program: str) -> str:
    path = shutil.which(program)
    if path is None:
        return "missing"
    done = subprocess.run([path, "--version"], capture_output=True, text=True, check=False)
    return " ".join(done.stdout.splitlines()[0].split()[:3])


def _package(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "missing"


@dataclass(frozen=True)
class Noise:
    """The load when a benchmark began, for what others did in the meantime."""

    load: tuple[float, float, float]
    busy: float
    own: float
    clock: float

    @classmethod
    def begin(cls) -> Noise:
        """Look now."""
        return cls(os.getloadavg(), _busy(), _own(), time.monotonic())

    def end(self) -> dict[str, float]:
        """Return the seconds that it took, the load average at both ends, and others' share.

        ``others_cores`` is how many cores others than this run and its children kept busy,
        on average; the kernel's work for loopback counts among it where it is nobody's.
        """
        seconds = time.monotonic() - self.clock
        others = (_busy() - self.busy) - (_own() - self.own)
        return {
            "seconds": round(seconds, 1),
            "load_before": round(self.load[0], 2),
            "load_after": round(os.getloadavg()[0], 2),
            "others_cores": round(max(0.0, others) / seconds, 2),
        }


def _busy() -> float:
    fields = Path("/proc/stat").read_text(encoding="ascii").splitlines()[0].split()[1:9]
    user, nice, system, _, _, irq, softirq, steal = map(int, fields)
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def _own() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)
