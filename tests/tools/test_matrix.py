"""`tools.matrix`: which Pythons it finds, and which cells it runs."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from tests.docs import pages
from tools import matrix
from tools.matrix import Cell, MatrixError

PROJECT = (pages.ROOT / "pyproject.toml").read_text(encoding="utf-8")
HERE = f"{sys.version_info[0]}.{sys.version_info[1]}"


def write_python(path: Path, version: str, code: int = 0) -> None:
    """Write a program that answers as a Python of `version` does."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\necho {version}\nexit {code}\n")
    path.chmod(0o755)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with all that is on PATH (``bin``) and in pyenv (``pyenv``)."""
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path / "pyenv"))
    return tmp_path


def test_the_pythons_are_those_of_the_classifiers() -> None:
    versions = matrix.supported(PROJECT)
    (lowest,) = re.findall(r'^requires-python = ">=(3\.\d+)"$', PROJECT, re.MULTILINE)
    assert versions[0] == lowest
    assert [int(v.partition(".")[2]) for v in versions] == list(range(10, 10 + len(versions)))
    assert HERE in versions


def test_a_python_is_found_on_path_and_in_pyenv(machine: Path) -> None:
    write_python(machine / "bin/python3.97", "3.97")
    write_python(machine / "pyenv/versions/3.98.9/bin/python", "3.98")
    write_python(machine / "pyenv/versions/3.98.10/bin/python", "3.98")
    assert matrix.interpreters(["3.97", "3.98", "3.99"]) == {
        "3.97": machine / "bin/python3.97",
        "3.98": machine / "pyenv/versions/3.98.10/bin/python",
    }


def test_a_python_that_does_not_run_is_missing(machine: Path) -> None:
    """As a shim of pyenv for a version that is not selected."""
    write_python(machine / "bin/python3.97", "3.97", code=127)
    write_python(machine / "bin/python3.98", "3.11")
    (machine / "pyenv/versions/3.99.1/bin").mkdir(parents=True)
    assert matrix.interpreters(["3.97", "3.98", "3.99"]) == {}


def test_without_names_all_that_is_found_is_run() -> None:
    cells = matrix.choose([], ["3.10", "3.11", "3.12"], ["3.12", "3.10"])
    assert list(map(str, cells)) == ["3.10-oldest", "3.10-newest", "3.12-oldest", "3.12-newest"]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("3.10", "is not a cell"),
        ("3.10-latest", "is not a cell"),
        ("2.7-oldest", "is not a cell"),
        ("3.12-oldest", "this machine has no Python 3.12"),
        ("3.9-newest", "names no Python 3.9"),
    ],
)
def test_a_cell_that_cannot_be_run_is_refused(name: str, reason: str) -> None:
    with pytest.raises(MatrixError, match=reason):
        matrix.choose([name], ["3.10", "3.12"], ["3.10"])


def test_a_machine_without_any_python_is_refused() -> None:
    with pytest.raises(MatrixError, match=r"no Python of 3\.10, 3\.12"):
        matrix.choose([], ["3.10", "3.12"], [])


def test_a_named_cell_is_read() -> None:
    assert matrix.choose(["3.10-oldest"], ["3.10"], ["3.10"]) == [Cell("3.10", "oldest")]
