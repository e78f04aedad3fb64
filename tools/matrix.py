"""Runs the tests on each Python of this machine, with the oldest and the newest dependencies.

``python -m tools.matrix [CELL ...] [-- PYTEST ARGUMENT ...]``, where a cell is a Python and an end
of the declared ranges: ``3.10-oldest``, ``3.13-newest``. Without cells, all that the machine can
run; it reports which Pythons are missing. The Pythons are those of the classifiers, searched for on
PATH and in pyenv.

Each cell has an environment of its own, made by uv: the packages that the project declares, as old
as declared or as new as there are, and the newest of the group ``test``. The tests build the wheel
and install it beside these.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ENDS = ("oldest", "newest")
_ANSWER = "import ssl, sys, venv; print('%d.%d' % sys.version_info[:2])"


class MatrixError(Exception):
    """A cell that does not exist or cannot be run; the text says why."""


@dataclass(frozen=True, order=True)
class Cell:
    """One run: on a Python, with one end of the declared ranges of dependencies."""

    python: str
    end: str

    @classmethod
    def parse(cls, text: str) -> Cell:
        """Read ``3.10-oldest``.

        Raises
        ------
        MatrixError
            If it is not of that form.
        """
        python, _, end = text.partition("-")
        if not re.fullmatch(r"3\.\d+", python) or end not in ENDS:
            raise MatrixError(f"{text} is not a cell such as 3.10-oldest or 3.13-newest")
        return cls(python, end)

    def __str__(self) -> str:
        return f"{self.python}-{self.end}"


def supported(project: str) -> list[str]:
    """Return the Pythons that the classifiers in the text of ``pyproject.toml`` name, in order."""
    found = re.findall(r'"Programming Language :: Python :: (3\.\d+)"', project)
    return sorted(found, key=lambda version: int(version.partition(".")[2]))


def interpreters(versions: Iterable[str]) -> dict[str, Path]:
    """Return by version the Python that answers to it on this machine; some may be missing."""
    found = {}
    for version in versions:
        for path in _candidates(version):
            if _version(path) == version:
                found[version] = path
                break
    return found


def _candidates(version: str) -> list[Path]:
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    patches = sorted(
        pyenv.glob(f"{version}.*"),
        key=lambda folder: [int(number) for number in re.findall(r"\d+", folder.name)],
        reverse=True,
    )
    on_path = shutil.which(f"python{version}")
    return [
        *([Path(on_path)] if on_path else []),
        *(folder / "bin" / "python" for folder in patches),
    ]


def _version(python: Path) -> str:
    """Return which Python it is; none where it does not run, as a shim of pyenv may not."""
    try:
        done = subprocess.run([python, "-I", "-c", _ANSWER], capture_output=True, text=True)
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def install(cell: Cell, python: Path, folder: Path) -> Path:
    """Make the environment of a cell in `folder` anew, and return its Python.

    Raises
    ------
    MatrixError
        If uv finds no set of packages, or cannot install it.
    """
    made = folder / str(cell)
    _uv("venv", "--quiet", "--clear", "--python", python, made)
    project, constraints = ROOT / "pyproject.toml", made / "constraints.txt"
    # Wheels only: an old release without one for this Python was never meant for it.
    end = ["--resolution=lowest-direct", "--only-binary=:all:"] if cell.end == "oldest" else []
    _uv("pip", "compile", "--quiet", "--python", made, *end, project, "--output-file", constraints)
    # pip is what the tests install the wheel with.
    packages: list[str | Path] = ["--requirements", project, "--group", f"{project}:test", "pip"]
    _uv("pip", "install", "--quiet", "--python", made, "--constraints", constraints, *packages)
    return made / "bin" / "python"


def _uv(*arguments: str | Path) -> None:
    environment = {**os.environ, "UV_PYTHON_DOWNLOADS": "never"}
    command = [sys.executable, "-m", "uv", *arguments]
    if subprocess.run(command, env=environment, stdout=subprocess.DEVNULL).returncode != 0:
        raise MatrixError(f"uv {arguments[0]} failed")


def choose(names: Sequence[str], versions: Sequence[str], found: Iterable[str]) -> list[Cell]:
    """Return the cells to run: those that are named, or all of the Pythons that were found.

    Raises
    ------
    MatrixError
        If a named cell's Python is not supported or not on this machine, or none is.
    """
    present = set(found)
    if not names:
        names = [f"{version}-{end}" for version in versions for end in ENDS if version in present]
    cells = [Cell.parse(name) for name in names]
    for cell in cells:
        if cell.python not in versions:
            raise MatrixError(f"{cell}: pyproject.toml names no Python {cell.python}")
        if cell.python not in present:
            raise MatrixError(f"{cell}: this machine has no Python {cell.python}")
    if not cells:
        raise MatrixError(f"this machine has no Python of {', '.join(versions)}")
    return cells


def run(cell: Cell, python: Path, folder: Path, pytest: Sequence[str]) -> str:
    """Run the tests in a cell and return what came of it, in a word or a few."""
    try:
        made = install(cell, python, folder)
    except MatrixError as error:
        return f"failed: {error}"
    print(f"== {cell}: {python}", flush=True)
    # PYTHONPATH could name packages of another Python, in which the environment's own would hide.
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    code = subprocess.run([made, "-m", "pytest", *pytest], cwd=ROOT, env=environment).returncode
    return "passed" if code == 0 else f"failed: pytest ended with {code}"


def main(arguments: Sequence[str]) -> int:
    """Run the cells that are asked for; return 1 if one failed, 2 if one cannot be run here."""
    names = list(arguments)
    pytest: list[str] = []
    if "--" in names:
        pytest = names[names.index("--") + 1 :]
        del names[names.index("--") :]
    versions = supported((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    found = interpreters(versions)
    try:
        cells = choose(names, versions, found)
    except MatrixError as error:
        print(error, file=sys.stderr)
        return 2
    rows = []
    for cell in cells:
        begin = time.monotonic()
        outcome = run(cell, found[cell.python], Path(sys.prefix), pytest)
        rows.append(f"{cell!s:12}  {outcome}, {time.monotonic() - begin:.0f} s")
    if not names:
        rows += [
            f"{version:12}  not on this machine" for version in versions if version not in found
        ]
    print("\n".join(["== test matrix", *rows]), flush=True)
    return 1 if any("failed" in row for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
