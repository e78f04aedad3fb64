"""A batch size that is asked for is true in the file."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from tests.engine.test_identity import exported
from tests.harness.artifacts import delivered
from tests.harness.cm import CM
from tests.harness.origin import Origin


def scores(path: Path, images: np.ndarray, outputs: int = 2) -> list[np.ndarray]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return list(session.run(None, {session.get_inputs()[0].name: images}))


@pytest.mark.parametrize("names", [("onnx",), ("opset-8",), ("dummy-weights",)])
@pytest.mark.under_mlc("names0")
def test_onnx_takes_the_batch_asked_for_and_no_other(engine: CM, names: tuple[str, ...]) -> None:
    from onnxruntime.capi.onnxruntime_pybind11_state import InvalidArgument

    result = engine.get(*names, "batch_size.2")
    assert result.ok, result.text
    assert exported(result.env, "BATCH_SIZE") == "2"
    original = Path(result.env["CM_ML_MODEL_STARTING_FILE_PATH"])
    assert original.parent != result.path.parent
    images = np.random.default_rng(1).normal(0, 50, (2, 3, 224, 224)).astype(np.float32)
    both = scores(result.path, images)
    single = [scores(original, images[n : n + 1]) for n in range(2)]
    np.testing.assert_allclose(both[1], np.concatenate([s[1] for s in single]), atol=1e-5)
    with pytest.raises(InvalidArgument):
        scores(result.path, images[:1])


@pytest.mark.under_mlc()
def test_shaped_and_plain_do_not_answer_for_each_other(
    engine: CM, origin: Origin, served: dict[str, Path], tmp_path: Path
) -> None:
    published = delivered(served["onnx-opset-11"])
    seen = {}
    for names in (
        ("batch_size.4",),
        (),
        ("batch_size.8",),
        ("fix-input-shape",),
        ("batch_size.1",),
    ):
        for _ in range(2):
            result = engine.get(*names)
            assert result.ok, result.text
            seen[names] = result.env["CM_ML_MODEL_SHA256"]
            assert (result.path.read_bytes() == published) == (names == ())
            original = exported(result.env, "STARTING_FILE_PATH")
            assert (original is None) == (names == ())
            assert original is None or Path(original).read_bytes() == published
    assert seen[("fix-input-shape",)] == seen[("batch_size.1",)]
    assert len(set(seen.values())) == 4
    assert origin.bytes_sent() == len(published)
    folder = tmp_path / "out"
    result = engine.get("batch_size.4", outdirname=str(folder))
    assert [path.name for path in folder.iterdir()] == ["resnet50_v1.onnx"]
    assert result.env["CM_ML_MODEL_SHA256"] == seen[("batch_size.4",)]


def test_damaged_result_is_repaired(engine: CM, origin: Origin) -> None:
    first = engine.get("batch_size.4")
    good = first.path.read_bytes()
    for victim in (first.path, Path(first.env["CM_ML_MODEL_STARTING_FILE_PATH"])):
        victim.unlink()
        victim.write_bytes(b"damaged")
        result = engine.get("batch_size.4")
        assert result.ok, result.text
        assert result.path.read_bytes() == good
        assert result.env == first.env
        assert victim.read_bytes() != b"damaged"


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (("pytorch",), "accepts any batch size"),
        (("pytorch", "int8"), "accepts any batch size"),
        (("ncnn",), "accepts any batch size"),
        (("tflite",), "has its own batch size"),
    ],
)
@pytest.mark.under_mlc()
def test_where_there_is_nothing_to_fix_it_is_said(
    engine: CM, names: tuple[str, ...], said: str
) -> None:
    for _ in range(2):
        result = engine.get(*names, "batch_size.8")
        assert result.ok, result.text
        assert result.err.count(said) == 1
    strict = engine.get(*names, "batch_size.8", strict="yes")
    assert strict.ok == (said == "accepts any batch size")


def test_tensorflow_gets_its_shape_in_the_native_step(
    cm: CM, served: dict[str, Path], origin: Origin
) -> None:
    skip = {"CM_RESNET50_SKIP_TENSORFLOW": "yes"}
    results = [cm.get("tf", "fix-input-shape", env=skip) for _ in range(2)]
    for result in results:
        assert result.ok, result.text
        assert result.path.name == "resnet50_v1.pb"
        original = Path(result.env["CM_ML_MODEL_STARTING_FILE_PATH"])
        assert original.read_bytes() == delivered(served["tensorflow"])
        assert original.parent != result.path.parent
        assert exported(result.env, "TF_FIX_INPUT_SHAPE") == "yes"
    assert "run-fix-input.sh" in results[0].err
    assert results[0].env == results[1].env
    in_process = cm.get("tf", "batch_size.1")
    assert in_process.env["CM_ML_MODEL_SHA256"] == results[0].env["CM_ML_MODEL_SHA256"]


@pytest.fixture
def two_pythons(cm: CM, tmp_path: Path) -> CM:
    """Return a user with a second Python on PATH, of which the engine asks which one to take."""
    other = tmp_path / "bin" / "python3"
    other.parent.mkdir()
    other.write_text(f'#!/bin/sh\nexec {cm.installation.python} "$@"\n')
    other.chmod(0o755)
    path = f"{cm.environment()['PATH']}{os.pathsep}{other.parent}"
    return cm.also(variables={**cm.variables, "PATH": path, "PIP_NO_INDEX": "1"})


@pytest.mark.parametrize("framework", ["onnx", "tf"])
def test_a_batch_is_fixed_without_a_look_for_pythons(two_pythons: CM, framework: str) -> None:
    skip = {"CM_RESNET50_SKIP_TENSORFLOW": "yes"} if framework == "tf" else {}
    result = two_pythons.get(framework, "fix-input-shape", env=skip, tty=True, quiet=False)
    assert result.ok, result.text
    assert "get python3" not in result.text


def test_without_a_terminal_nothing_is_asked(two_pythons: CM) -> None:
    """TensorFlow is installed into some Python; here pip has no index."""
    result = two_pythons.get("tf", "fix-input-shape", quiet=False)
    assert "get python3" in result.err
    assert "_package.tensorflow" in result.err
    assert "EOFError" not in result.text
    assert "Make your selection" not in result.text
