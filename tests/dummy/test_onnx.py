"""The ONNX files: checked by onnx, run by ONNX Runtime."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from tests.dummy.shared import Images, nchw, pixels, written

NCHW = ["onnx-opset-8", "onnx-opset-11"]
ALL = [*NCHW, "onnx-from-tf"]


@pytest.fixture(scope="module")
def narrow(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("narrow")
    return {kind: written(folder, kind) for kind in ALL}


def session(path: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # opset 8 draws a warning for each initializer
    return onnxruntime.InferenceSession(str(path), options)


def run(path: Path, images: Images) -> list[np.ndarray]:
    loaded = session(path)
    return loaded.run(None, {loaded.get_inputs()[0].name: images})


@pytest.mark.parametrize("kind", ALL)
def test_passes_the_full_checker_and_strict_inference(kind: str, narrow: dict[str, Path]) -> None:
    onnx.checker.check_model(str(narrow[kind]), full_check=True)
    model = onnx.load(str(narrow[kind]))
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
    assert len(inferred.graph.value_info) == len(model.graph.value_info)


@pytest.mark.parametrize("kind", ALL)
def test_is_the_true_graph(kind: str, narrow: dict[str, Path]) -> None:
    graph = onnx.load(str(narrow[kind])).graph
    count = Counter(node.op_type for node in graph.node)
    assert (count["Conv"], count["Relu"], count["Add"]) == (53, 49, 16)
    attributes = [
        (node.op_type, {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute})
        for node in graph.node
    ]
    strided = [v["kernel_shape"] for op, v in attributes if op == "Conv" and v["strides"] == [2, 2]]
    # The stem, three 3x3 convolutions, and three shortcuts: never a first 1x1 (v1).
    assert Counter(map(tuple, strided)) == {(7, 7): 1, (3, 3): 3, (1, 1): 3}
    (pool,) = [values for op, values in attributes if op == "MaxPool"]
    assert pool["pads"] == [0, 0, 1, 1]
    norms = [values for op, values in attributes if op == "BatchNormalization"]
    assert norms
    assert all(values["epsilon"] == pytest.approx(1e-5) for values in norms)


@pytest.mark.parametrize(
    ("kind", "opset", "ir"),
    [("onnx-opset-8", 8, 4), ("onnx-opset-11", 11, 6), ("onnx-from-tf", 11, 6)],
)
def test_version_is_that_of_its_name(
    kind: str, opset: int, ir: int, narrow: dict[str, Path]
) -> None:
    model = onnx.load(str(narrow[kind]))
    assert model.ir_version == ir
    assert [(item.domain, item.version) for item in model.opset_import] == [("", opset)]


def test_only_opset_8_repeats_initializers_as_inputs(narrow: dict[str, Path]) -> None:
    for kind, path in narrow.items():
        graph = onnx.load(str(path)).graph
        constants = {tensor.name for tensor in graph.initializer}
        inputs = {value.name for value in graph.input}
        assert len(inputs - constants) == 1
        assert len(inputs & constants) == (len(constants) if kind == "onnx-opset-8" else 0)


@pytest.mark.parametrize("kind", ALL)
def test_says_that_its_weights_are_random(kind: str, narrow: dict[str, Path]) -> None:
    meta = session(narrow[kind]).get_modelmeta()
    assert meta.custom_metadata_map["weights"] == "dummy"
    assert meta.custom_metadata_map["seed"] == "0"
    assert meta.custom_metadata_map["generator"]
    assert "random" in meta.description


@pytest.mark.parametrize("kind", NCHW)
def test_runtime_sees_the_true_names_and_shapes(kind: str, narrow: dict[str, Path]) -> None:
    loaded = session(narrow[kind])
    (image,) = loaded.get_inputs()
    assert (image.name, image.type) == ("input_tensor:0", "tensor(float)")
    assert isinstance(image.shape[0], str)
    assert image.shape[1:] == [3, 224, 224]
    batch = image.shape[0]
    assert [(out.name, out.shape, out.type) for out in loaded.get_outputs()] == [
        ("ArgMax:0", [batch], "tensor(int64)"),
        ("softmax_tensor:0", [batch, 1001], "tensor(float)"),
    ]


def test_from_tf_takes_nhwc_under_its_documented_names(narrow: dict[str, Path]) -> None:
    loaded = session(narrow["onnx-from-tf"])
    (image,) = loaded.get_inputs()
    assert image.name == "input_tensor"
    assert image.shape[1:] == [224, 224, 3]
    assert [out.name for out in loaded.get_outputs()] == ["ArgMax:0", "softmax_tensor"]


def test_all_three_are_one_network(narrow: dict[str, Path]) -> None:
    images = pixels(3)
    argmax, scores = run(narrow["onnx-opset-11"], nchw(images))
    for other in (
        run(narrow["onnx-opset-8"], nchw(images)),
        run(narrow["onnx-from-tf"], images),
    ):
        np.testing.assert_array_equal(other[0], argmax)
        np.testing.assert_allclose(other[1], scores, rtol=0, atol=1e-5)


def _assert_varied(path: Path, images: Images) -> None:
    argmax, scores = run(path, nchw(images))
    assert np.isfinite(scores).all()
    np.testing.assert_allclose(scores.sum(axis=1), 1, atol=1e-4)
    np.testing.assert_array_equal(argmax, scores.argmax(axis=1))
    assert len(set(argmax.tolist())) >= 8


@pytest.mark.parametrize("width", [8, pytest.param(64, marks=pytest.mark.full)])
def test_argmax_varies_over_random_images(tmp_path: Path, width: int) -> None:
    _assert_varied(written(tmp_path, "onnx-opset-11", width), pixels(64))


def test_argmax_varies_also_when_pixels_are_scaled_down(narrow: dict[str, Path]) -> None:
    _assert_varied(narrow["onnx-opset-11"], pixels(64) * np.float32(1 / 255))
