"""The scripts of ``cmx4mlops`` that run the ONNX file, to their end."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from tests.callers.data import LABELS, Data, name
from tests.harness.cm import CM, Result
from tests.harness.origin import Origin

pytestmark = pytest.mark.callers

CLASSIFY = "--tags=app,image-classification,onnx,python"
LOADGEN = "--tags=app,loadgen,generic,python,_onnxruntime,_resnet50,_cpu"


def predictions(model: Path, data: Data) -> list[str]:
    """Return the label that the file gives each picture, run here as the caller runs it."""
    session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    images = data.pixels.astype(np.float32).transpose(0, 3, 1, 2)
    scores = np.concatenate(
        [session.run(["softmax_tensor:0"], {"input_tensor:0": image[None]})[0] for image in images]
    )
    return [LABELS[index] for index in scores[:, 1:].argmax(axis=1)]


def model_of(result: Result) -> Path:
    """Return the path that our script printed for the caller."""
    (path,) = re.findall(r"Path to the ML model: (.+)", result.err)
    return Path(path)


def test_classifies_with_random_weights(caller: CM, data: Data, origin: Origin) -> None:
    asked = ("run", "script", CLASSIFY, "--quiet", "--adr.ml-model.tags=_dummy-weights")
    result = caller.run(*asked, timeout=300)
    assert result.ok, result.text
    (expected, *_) = predictions(model_of(result), data)
    assert f"Top classification: {expected}" in result.out
    assert not origin.requests, "only pip may fetch, and it has a folder"
    assert not origin.connects


def test_classifies_with_a_served_file(
    caller: CM, data: Data, origin: Origin, served: dict[str, Path]
) -> None:
    expected = predictions(served["onnx-opset-11"], data)
    for _ in range(2):
        result = caller.run("run", "script", CLASSIFY, "--quiet", timeout=300)
        assert result.ok, result.text
        assert f"Top classification: {expected[0]}" in result.out
    assert origin.bytes_sent() == served["onnx-opset-11"].stat().st_size
    assert {record.url for record in origin.requests} == {
        "https://zenodo.org/record/4735647/files/resnet50_v1.onnx"
    }


def test_classifies_a_batch_that_is_fixed_in_the_file(
    caller: CM, data: Data, served: dict[str, Path]
) -> None:
    batch = ("--adr.ml-model.tags=_batch_size.4", "--env.CM_BATCH_SIZE=4")
    result = caller.run("run", "script", CLASSIFY, "--quiet", *batch, timeout=300)
    assert result.ok, result.text
    assert "Expected input shape: [4, 3, 224, 224]" in result.out
    shown = result.out.split(" * ")[1:]
    for number, label in enumerate(predictions(served["onnx-opset-11"], data)):
        assert name(number + 1) in shown[number]
        assert shown[number].splitlines()[1].endswith(label)


def test_loadgen_measures_it(caller: CM, tmp_path: Path) -> None:
    source = repository(tmp_path / "inference")
    result = caller.run(
        "run",
        "script",
        LOADGEN,
        "--quiet",
        "--scenario=Offline",
        "--samples=4",
        "--adr.loadgen.tags=_from-pip",
        # In place of github.com/mlcommons/inference, which the package from pip makes needless.
        f"--adr.inference-src-loadgen.tags=_repo.file://{source},_branch.master",
        "--env.CM_GET_MLPERF_IMPLEMENTATION_ONLY=yes",
        # This caller gives its dependency no name, so that --adr cannot reach it.
        "--const.CM_RESNET50_ASKED_WEIGHTS=dummy",
        timeout=300,
    )
    assert result.ok, result.text
    assert "The weights are random" in result.err
    assert "samples_per_query : 4" in result.out
    assert "No errors encountered during test" in result.out


def repository(folder: Path) -> Path:
    """Make a git repository with one empty commit."""
    git = ["git", "-c", "user.name=nobody", "-c", "user.email=nobody@example.org"]
    subprocess.run(["git", "init", "--quiet", "-b", "master", folder], check=True)
    commit = ["commit", "--quiet", "--allow-empty", "-m", "nothing"]
    subprocess.run([*git, *commit], cwd=folder, check=True)
    return folder
