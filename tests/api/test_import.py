"""``import cmx_resnet50``: costs nothing, names everything."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import cmx_resnet50
from cmx_resnet50.errors import Resnet50Error

ROOT = Path(__file__).resolve().parents[2]


def python(program: str) -> str:
    done = subprocess.run(
        [sys.executable, "-S", "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_importing_the_package_imports_one_module() -> None:
    program = (
        "import sys; before = set(sys.modules); import cmx_resnet50;"
        "dir(cmx_resnet50); print(sorted(set(sys.modules) - before))"
    )
    assert python(program).strip() == "['cmx_resnet50']"


@pytest.mark.parametrize("name", ["Resnet50Error", "RequestError", "Model", "OptionError"])
def test_an_error_or_a_type_is_imported_alone(name: str) -> None:
    heavy = {"requests", "onnx", "numpy", "tqdm", "filelock", "hashlib", "ssl", "cmind"}
    program = f"import sys; from cmx_resnet50 import {name}; print(*sys.modules)"
    assert not heavy & set(python(program).split())


def test_the_functions_import_nothing_heavy_before_they_are_called() -> None:
    heavy = {"requests", "onnx", "numpy", "tqdm", "filelock", "ssl", "cmind"}
    names = "convert, find, get, inspect, models, reshape"
    program = f"import sys; from cmx_resnet50 import {names}; models(); print(*sys.modules)"
    assert not heavy & set(python(program).split())


def test_every_public_name_is_there_and_documented() -> None:
    assert set(cmx_resnet50.__all__) <= set(dir(cmx_resnet50))
    for name in cmx_resnet50.__all__:
        found = getattr(cmx_resnet50, name)
        assert found.__name__ == name
        assert found.__doc__
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = cmx_resnet50.no_such_name  # type: ignore[attr-defined]


def test_type_checkers_see_the_same_names() -> None:
    tree = ast.parse((ROOT / "cmx_resnet50" / "__init__.py").read_text(encoding="utf-8"))
    seen = {
        alias.asname or alias.name: node.module
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("cmx_resnet50.")
        for alias in node.names
    }
    assert seen == {name: f"cmx_resnet50.{module}" for name, module in cmx_resnet50._HOMES.items()}
    assert sorted(seen) == sorted(cmx_resnet50.__all__)


def test_errors_are_of_one_family() -> None:
    errors = [name for name in cmx_resnet50.__all__ if name.endswith("Error")]
    assert len(errors) > 5
    for name in errors:
        assert issubclass(getattr(cmx_resnet50, name), Resnet50Error), name
