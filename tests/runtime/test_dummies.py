"""Every ``_dummy-weights`` that ``cm`` delivers, in its runtime; one network in each lineage."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.dummy.shared import nchw, normalized, pixels
from tests.harness.cm import CM, Result
from tests.runtime import running

pytestmark = pytest.mark.runtime

COUNT = 4
Dummy = Callable[..., Result]


def reference(dummy: Dummy) -> running.Answer:
    """Return what the plain request answers to `pixels`."""
    result = dummy()
    return running.onnx(result.path, result.env, nchw(pixels(COUNT)))


@pytest.mark.parametrize(
    ("names", "run", "channels_first"),
    [
        (("onnx", "opset-8"), running.onnx, True),
        (("onnx", "from-tf"), running.onnx, False),
        (("tf",), running.frozen, False),
        (("tflite",), running.tflite, False),
        (("tflite", "no-argmax"), running.tflite, False),
    ],
    ids=["opset-8", "from-tf", "tensorflow", "tflite", "tflite-no-argmax"],
)
def test_tensorflow_lineage_is_one_network(
    dummy: Dummy,
    names: tuple[str, ...],
    run: Callable[..., running.Answer],
    channels_first: bool,
) -> None:
    result = dummy(*names)
    images = pixels(COUNT)
    argmax, scores = run(result.path, result.env, nchw(images) if channels_first else images)
    expected, softmax = reference(dummy)
    np.testing.assert_allclose(softmax.sum(axis=1), 1, rtol=0, atol=1e-5)
    np.testing.assert_allclose(scores, softmax, rtol=0, atol=1e-5)
    assert (argmax is None) == ("no-argmax" in names)
    if argmax is not None:
        assert argmax.dtype == np.int64
        np.testing.assert_array_equal(argmax, expected)


def test_torchvision_lineage_is_one_network(dummy: Dummy) -> None:
    images = normalized(COUNT)
    logits = running.torch(dummy("pytorch").path, images)
    assert logits.shape == (COUNT, 1000)
    assert np.isfinite(logits).all()
    result = dummy("ncnn")
    graph = Path(result.env["CM_ML_MODEL_PARAM_FILE_WITH_PATH"])
    assert (result.path.name, graph.name) == ("resnet50_v1.bin", "resnet50_v1.param")
    assert result.path.parent == graph.parent
    found = running.ncnn(result.path, graph, images)
    np.testing.assert_allclose(found, logits, rtol=0, atol=1e-4)


def test_batch_of_four_in_onnx_runtime(dummy: Dummy) -> None:
    result = dummy("onnx", "batch_size.4")
    entry, *_ = running.session(result.path).get_inputs()
    assert entry.shape == [4, 3, 224, 224]
    images = nchw(pixels(4))
    argmax, scores = running.onnx(result.path, result.env, images)
    original = Path(result.env["CM_ML_MODEL_STARTING_FILE_PATH"])
    for index in range(4):
        single = running.onnx(original, result.env, images[index : index + 1])
        assert argmax[index] == single[0][0]
        np.testing.assert_allclose(scores[index], single[1][0], rtol=0, atol=1e-6)
    with pytest.raises(Exception, match="INVALID_ARGUMENT"):
        running.onnx(result.path, result.env, images[:3])


@pytest.mark.parametrize("framework", ["pytorch", "tflite"])
def test_int8_is_refused_plainly(user: CM, framework: str) -> None:
    result = user.get(framework, "int8", "dummy-weights")
    assert result.code == 1
    assert "_dummy-weights: random weights are not available for" in result.error
    assert "Traceback" not in result.text
