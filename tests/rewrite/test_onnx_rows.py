"""A batch in ONNX models: N images give the rows of N single runs, or a refusal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.shape_inference
import pytest
from onnx import TensorProto, helper, numpy_helper

from cmx_resnet50.formats import read_facts
from cmx_resnet50.rewrite import ReshapeError, reshape
from tests.harness.model_files import model_file
from tests.rewrite.onnx_models import RESHAPE, model, saved, session, shape


def view(opset: int) -> onnx.ModelProto:
    """Return ``x.view(x.size(0), -1)`` as PyTorch 1.0 to 1.2 wrote it, before a dense layer."""
    constants = {
        "w": np.ones((8, 3, 3, 3), np.float32),
        "fw": np.ones((10, 8), np.float32),
        "zero": np.array(0, np.int64),
        "rest": np.array(-1, np.int64),
    }
    axes = {"axes": [0]}
    extra = []
    if opset >= 13:
        constants["axes"], axes, extra = np.array([0], np.int64), {}, ["axes"]
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], kernel_shape=[3, 3], pads=[1] * 4),
        helper.make_node("GlobalAveragePool", ["c"], ["p"]),
        helper.make_node("Shape", ["p"], ["all"]),
        helper.make_node("Gather", ["all", "zero"], ["first"], axis=0),
        helper.make_node("Unsqueeze", ["first", *extra], ["one"], **axes),
        helper.make_node("Unsqueeze", ["rest", *extra], ["two"], **axes),
        helper.make_node("Concat", ["one", "two"], ["shape"], axis=0),
        helper.make_node("Reshape", ["p", "shape"], ["f"]),
        helper.make_node("Gemm", ["f", "fw", "bias"], ["y"], transB=1),
    ]
    content = model(nodes, ("y", ["N", 10]), constants | {"bias": np.zeros(10, np.float32)})
    content.opset_import[0].version = opset
    if opset < 9:
        content.ir_version = 3
        content.graph.input.extend(
            helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
            for tensor in content.graph.initializer
        )
    return content


def rows_are_those_of_single_runs(source: Path, tmp_path: Path, batch: int = 4) -> None:
    """Reshape `source`, and run all images together and one by one."""
    reshape(source, together := tmp_path / "together", batch=batch)
    reshape(source, single := tmp_path / "single", batch=1)
    (image,) = read_facts(together).inputs
    assert image.shape is not None
    values = np.random.default_rng(1).uniform(0, 1, image.shape).astype(np.float32)
    all_at_once = session(together).run(None, {image.name: values})
    one = session(single)
    rows = [one.run(None, {image.name: values[index : index + 1]}) for index in range(batch)]
    for index, found in enumerate(all_at_once):
        np.testing.assert_allclose(found, np.concatenate([row[index] for row in rows]), rtol=1e-4)


@pytest.mark.parametrize("opset", range(7, 19))
def test_a_view_of_the_size_of_the_batch(opset: int, tmp_path: Path) -> None:
    rows_are_those_of_single_runs(saved(view(opset), tmp_path), tmp_path)


@pytest.mark.parametrize("node", ["initializer", "Constant"])
def test_a_reshape_to_the_old_batch_follows(node: str, tmp_path: Path) -> None:
    nodes, constants = [RESHAPE], shape(1, -1)
    if node == "Constant":
        value = numpy_helper.from_array(constants.pop("shape"))
        nodes = [helper.make_node("Constant", [], ["shape"], value=value), RESHAPE]
    source = saved(model(nodes, ("y", [1, 48]), constants, (1, 3, 4, 4)), tmp_path)
    rows_are_those_of_single_runs(source, tmp_path)


def test_a_shape_that_others_read_does_not_follow(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Reshape", ["w", "shape"], ["row"]),
        helper.make_node("Reshape", ["x", "shape"], ["flat"]),
        helper.make_node("Add", ["flat", "row"], ["y"]),
    ]
    constants = shape(1, 48) | {"w": np.zeros(48, np.float32)}
    source = saved(model(nodes, ("y", [1, 48]), constants, (1, 3, 4, 4)), tmp_path)
    with pytest.raises(ReshapeError, match="binds another batch"):
        reshape(source, tmp_path / "fixed", batch=4)


def test_results_that_nobody_reads_need_no_shape(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("BatchNormalization", ["x", *"cccc"], ["n", "m", "v", "sm", "sv"]),
        helper.make_node("Dropout", ["n"], ["d", "mask"]),
        helper.make_node("Relu", ["d"], ["y"]),
    ]
    content = model(nodes, ("y", [1, 3, 4, 4]), {"c": np.ones(3, np.float32)}, (1, 3, 4, 4))
    content.opset_import[0].version = 9
    content.ir_version = 4
    content.graph.value_info.append(
        helper.make_tensor_value_info("mask", TensorProto.BOOL, [1, 3, 4, 4])
    )
    reshape(saved(content, tmp_path), dest := tmp_path / "fixed", batch=4)
    values = np.ones((4, 3, 4, 4), np.float32)
    assert session(dest).run(None, {"x": values})[0].shape == (4, 3, 4, 4)


def test_a_real_file_with_a_mask_that_nobody_reads(tmp_path: Path) -> None:
    source = model_file("onnx-light_squeezenet-dropout-mask.onnx")
    rows_are_those_of_single_runs(source, tmp_path)


def quantized() -> onnx.ModelProto:
    """Return a model of quantized operators, two of which only ONNX Runtime defines."""
    scale, zero = "s", "z"
    nodes = [
        helper.make_node("QuantizeLinear", ["x", scale, zero], ["q"]),
        helper.make_node("QLinearConv", ["q", scale, zero, "w", scale, zero, scale, zero], ["c"]),
        helper.make_node(
            "QLinearAdd", ["c", scale, zero] * 2 + [scale, zero], ["a"], domain="com.microsoft"
        ),
        helper.make_node(
            "QLinearGlobalAveragePool",
            ["a", scale, zero, scale, zero],
            ["p"],
            domain="com.microsoft",
        ),
        helper.make_node("Flatten", ["p"], ["f"]),
        helper.make_node(
            "QGemm",
            ["f", scale, zero, "fw", scale, zero, "bias", scale, zero],
            ["g"],
            domain="com.microsoft",
            transB=1,
        ),
        helper.make_node("DequantizeLinear", ["g", scale, zero], ["y"]),
    ]
    constants = {
        "s": np.array(0.1, np.float32),
        "z": np.array(1, np.uint8),
        "w": np.ones((5, 3, 1, 1), np.uint8),
        "fw": np.ones((7, 5), np.uint8),
        "bias": np.ones(7, np.int32),
    }
    content = model(nodes, ("y", ["N", 7]), constants)
    content.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    return content


def test_operators_of_onnx_runtime(tmp_path: Path) -> None:
    rows_are_those_of_single_runs(saved(quantized(), tmp_path), tmp_path)


def test_a_row_once_an_image_is_added_to_each(tmp_path: Path) -> None:
    """A token that is expanded to the batch, as vision transformers have."""
    nodes = [
        helper.make_node("Shape", ["x"], ["all"]),
        helper.make_node("Gather", ["all", "zero"], ["n"]),
        helper.make_node("Concat", ["n", "rest"], ["target"], axis=0),
        helper.make_node("Expand", ["token", "target"], ["tokens"]),
        helper.make_node("Concat", ["x", "tokens"], ["y"], axis=1),
    ]
    constants = {
        "zero": np.array([0], np.int64),
        "rest": np.array([1, 4, 4], np.int64),
        "token": np.arange(16, dtype=np.float32).reshape(1, 1, 4, 4),
    }
    source = saved(model(nodes, ("y", ["N", 4, 4, 4]), constants), tmp_path)
    rows_are_those_of_single_runs(source, tmp_path)


def one(op: str, *inputs: str, **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(op, ["x", *inputs], ["y"], "one", **attributes)


MIXED: dict[str, tuple[list[onnx.NodeProto], dict[str, np.ndarray], str]] = {
    "a mean over the batch": (
        [
            helper.make_node("ReduceMean", ["x"], ["m"], axes=[0], keepdims=1),
            helper.make_node("Sub", ["x", "m"], ["y"]),
        ],
        {},
        "works along the axis of the images",
    ),
    "a slice of one row": (
        [
            helper.make_node("Slice", ["x", "from", "to", "from"], ["first"]),
            helper.make_node("Add", ["x", "first"], ["y"]),
        ],
        {"from": np.array([0], np.int64), "to": np.array([1], np.int64)},
        "binds another batch: it takes 0:1 of 4 images",
    ),
    "a transposition": (
        [
            helper.make_node("Transpose", ["x"], ["t"], perm=[1, 0, 2, 3]),
            helper.make_node("Relu", ["t"], ["r"]),
            helper.make_node("Transpose", ["r"], ["y"], perm=[1, 0, 2, 3]),
        ],
        {},
        "moves the axis of the images",
    ),
    "a softmax over the batch": ([one("Softmax", axis=0)], {}, "along the axis of the images"),
    "a running sum": ([one("CumSum", "zero")], {"zero": np.array(0)}, "CumSum 'one' is not known"),
    "a constant a row": (
        [one("Add", "c")],
        {"c": np.zeros((4, 1, 1, 1), np.float32)},
        r"binds another batch: 'c' has the shape \[4, 1, 1, 1\]",
    ),
    "a division by the batch": (
        [
            helper.make_node("Shape", ["x"], ["all"]),
            helper.make_node("Gather", ["all", "zero"], ["n"]),
            helper.make_node("Cast", ["n"], ["f"], to=1),
            helper.make_node("Div", ["x", "f"], ["y"]),
        ],
        {"zero": np.array(0, np.int64)},
        "binds another batch: 'f'",
    ),
    "padding of the batch": (
        [one("Pad", "p"), helper.make_node("Relu", ["y"], ["z"])],
        {"p": np.array([1, 0, 0, 0, 0, 0, 0, 0], np.int64)},
        "binds another batch|adds rows",
    ),
}


@pytest.mark.parametrize("name", MIXED)
def test_a_model_that_mixes_rows_is_refused(name: str, tmp_path: Path) -> None:
    nodes, constants, reason = MIXED[name]
    source = saved(model(nodes, ("y", ["N", 3, 4, 4]), constants), tmp_path)
    with pytest.raises(ReshapeError, match=reason):
        reshape(source, tmp_path / "fixed", batch=4)
