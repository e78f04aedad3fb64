"""An example without what it needs says so in one line, with the command that its head has."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


@pytest.mark.parametrize(
    ("name", "there", "missing"),
    [
        ("classify", (), "numpy"),
        ("classify", ("numpy",), "onnxruntime"),
        ("classify", ("numpy", "onnxruntime"), "PIL"),
        ("loadgen", (), "mlperf_loadgen"),
        ("loadgen", ("mlperf_loadgen", "numpy"), "onnxruntime"),
        ("from_python", (), "cmx_resnet50"),
    ],
)
def test_what_is_missing_is_named(
    name: str, there: tuple[str, ...], missing: str, tmp_path: Path
) -> None:
    for module in there:
        (tmp_path / f"{module}.py").touch()
    example = EXAMPLES / f"{name}.py"
    done = subprocess.run(
        [sys.executable, "-S", example],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    (command,) = re.findall(r"^    (pip install .*)$", example.read_text("utf-8"), re.MULTILINE)
    line = f"No module named '{missing}'. In the clone, run: {command}\n"
    assert (done.returncode, done.stdout, done.stderr) == (1, "", line)


@pytest.mark.parametrize("name", ["classify", "loadgen"])
def test_the_help_needs_no_package(name: str) -> None:
    example = EXAMPLES / f"{name}.py"
    done = subprocess.run(
        [sys.executable, "-S", example, "--help"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "--request" in done.stdout
