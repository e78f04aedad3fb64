"""``examples/loadgen.py`` as an MLPerf user runs it: LoadGen's own summary is what counts."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from cmx_resnet50 import dummy
from cmx_resnet50.rewrite import reshape

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.runtime


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("mlperf_loadgen", reason="needs mlcommons-loadgen")
    pytest.importorskip("onnxruntime", reason="needs onnxruntime")
    path = tmp_path_factory.mktemp("model") / "resnet50_v1.onnx"
    dummy.write("onnx-opset-11", path, width=2)
    return path


def _run(folder: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, ROOT / "examples" / "loadgen.py", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def _logged(key: str, folder: Path) -> int:
    """Return a number from LoadGen's detailed log."""
    detail = (folder / "mlperf_log_detail.txt").read_text()
    (found,) = re.findall(rf'"key": "{key}", "value": (\d+)', detail)
    return int(found)


def test_both_scenarios_end_in_a_summary(model: Path, tmp_path: Path) -> None:
    done = _run(tmp_path, "--model", model, "--count", "6", "--logs", tmp_path / "logs")
    assert done.returncode == 0, done.stdout + done.stderr
    offline, single = done.stdout.split("=== ")[1:]
    assert offline.startswith("Offline, 6 samples")
    assert re.search(r"Samples per second: \d+\.?\d*", offline)
    assert single.startswith("SingleStream, 6 samples")
    assert re.search(r"90.0th percentile latency \(ns\) : \d+", single)
    for text in (offline, single):
        assert "No errors encountered during test" in text
    assert "samples_per_query : 6" in offline
    assert _logged("result_query_count", tmp_path / "logs" / "SingleStream") == 6
    # Nothing is left beside the logs that were asked for.
    assert [path.name for path in tmp_path.iterdir()] == ["logs"]


def test_model_with_a_fixed_batch_runs(model: Path, tmp_path: Path) -> None:
    fixed = tmp_path / "batch5.onnx"
    reshape(model, fixed, batch=5)
    done = _run(tmp_path, "--model", fixed, "--count", "7")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("No errors encountered during test") == 2


def test_no_model_is_said_plainly(model: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.onnx"
    page.write_text("<html>")
    done = _run(tmp_path, "--model", page)
    assert (done.returncode, done.stdout) == (1, "")
    assert "cannot load" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.usefixtures("model")
def test_what_was_requested_and_is_not_delivered_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CM_RESNET50_STORE", str(tmp_path / "store"))
    request = ["--request", "onnx int8 dummy-weights", "--scenario", "Offline"]
    done = _run(tmp_path, *request, "--count", "1", "--batch", "1")
    assert done.returncode == 0, done.stderr
    assert "is fp32, and is called that.\nThe weights are random" in done.stderr
    assert "Warning:" not in done.stderr
