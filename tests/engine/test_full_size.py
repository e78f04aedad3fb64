"""Files of the true size, one a framework, through the real engine."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from cmx_resnet50.digests import digest_file
from tests.conftest import FullSize
from tests.harness import models
from tests.harness.cm import CM
from tests.harness.origin import Origin


@pytest.mark.full
@pytest.mark.parametrize(
    "names", [("onnx",), ("tensorflow",), ("pytorch",), ("tflite", "no-argmax"), ("ncnn",)]
)
def test_full_size(
    new_engine: Callable[..., CM], full_size: FullSize, origin: Origin, names: tuple[str, ...]
) -> None:
    models.publish(origin, full_size.served)
    engine = new_engine("big", full_size.ours)
    result = engine.get(*names)
    assert result.ok, result.text
    digests = digest_file(result.path)
    assert digests.size > 100_000_000
    assert result.env["CM_ML_MODEL_SHA256"] == digests.sha256
    assert result.env["CM_ML_MODEL_SIZE"] == str(digests.size)
    origin.clear_log()
    again = engine.get(*names)
    assert again.env == result.env
    assert not origin.requests


def test_dummy_weights_are_the_true_graph(new_engine: Callable[..., CM]) -> None:
    import onnxruntime

    engine = new_engine("dummy")
    result = engine.get("dummy-weights", "batch_size.2")
    assert result.ok, result.text
    assert result.env["CM_ML_MODEL_WEIGHTS"] == "dummy"
    assert result.env["CM_ML_MODEL_ACCURACY"] == ""
    assert result.err.count("The weights are random") == 1
    session = onnxruntime.InferenceSession(str(result.path), providers=["CPUExecutionProvider"])
    assert [put.name for put in session.get_inputs()] == ["input_tensor:0"]
    assert [put.name for put in session.get_outputs()] == ["ArgMax:0", "softmax_tensor:0"]
    assert session.get_modelmeta().custom_metadata_map["weights"] == "dummy"


def test_a_failed_download_never_falls_back_to_random_weights(
    new_engine: Callable[..., CM], empty_origin: Origin
) -> None:
    engine = new_engine("dummy")
    assert engine.get("dummy-weights").ok
    empty_origin.reset()
    result = engine.get("onnx")
    assert result.code == 1
    assert "404" in result.err
