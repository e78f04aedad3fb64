"""`tools.sweep`: right facts pass, and a wrong fact or refusal is named and fails."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cmx_resnet50 import dummy
from cmx_resnet50.formats import read_facts
from cmx_resnet50.formats.facts import Damaged, NotAModel
from tests.docs.pages import ROOT
from tools.sweep.reference import of_onnx
from tools.sweep.run import Seen, differences


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two models, and what only has the name of one."""
    dummy.write("onnx-opset-11", tmp_path / "right.onnx", width=1)
    dummy.write("onnx-opset-8", tmp_path / "external.ONNX", width=1)
    (tmp_path / "notes.onnx").write_text("part of a book")
    return tmp_path


def sweep(*folders: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tools.sweep", *map(str, folders)],
        cwd=ROOT,
        env=dict(os.environ),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_it_says_what_it_compared(folder: Path) -> None:
    done = sweep(folder)
    assert done.returncode == 0, done.stdout + done.stderr
    assert ": 3 files, 2 read, 2 compared, 1 NotAModel, 1 refused by the library\n" in done.stdout
    assert "\npytorch: no files\n" in done.stdout
    assert done.stdout.endswith("0 wrong facts or refusals\n")


def seen(path: Path, **changes: Any) -> Seen:
    return Seen(path, replace(read_facts(path), **changes), None)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"version": {"opset": 12, "ir": 6}}, "opset is 12; for the library 11"),
        ({"parameter_count": 7}, "parameter_count is 7; for the library"),
        ({"inputs": ()}, "inputs are []"),
        ({"format": "tensorflow"}, "is tensorflow for inspect"),
    ],
)
def test_a_wrong_fact_is_named(folder: Path, changes: dict[str, Any], text: str) -> None:
    path = folder / "right.onnx"
    (found,) = differences("onnx", seen(path, **changes), of_onnx(path))
    assert found.startswith(text)


def test_a_wrong_shape_and_type_are_named(folder: Path) -> None:
    path = folder / "right.onnx"
    (image,) = read_facts(path).inputs
    wrong = replace(image, shape=(1, 3, 224, 224), dtype="float16")
    first, second = differences("onnx", seen(path, inputs=(wrong,)), of_onnx(path))
    assert first == "inputs: input_tensor:0 is float16; for the library float32"
    assert second.startswith("inputs: input_tensor:0 has the shape (1, 3, 224, 224)")


def test_what_is_unknown_is_not_wrong(folder: Path) -> None:
    path = folder / "right.onnx"
    assert not list(differences("onnx", seen(path, parameter_count=None), of_onnx(path)))


def test_a_false_damaged_is_named_and_a_file_of_another_kind_is_not(folder: Path) -> None:
    path = folder / "right.onnx"
    said = of_onnx(path)
    assert list(differences("onnx", Seen(path, None, Damaged("is cut")), said))
    refused = {"error": "DecodeError"}
    assert not list(differences("onnx", Seen(path, None, Damaged("is cut")), refused))
    assert not list(differences("pytorch", Seen(path, None, NotAModel("is text")), refused))
