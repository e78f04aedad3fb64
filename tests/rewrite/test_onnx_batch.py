"""A batch size made true in ONNX models: the checker, ONNX Runtime and the bytes must agree."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.shape_inference
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from cmx_resnet50 import dummy
from cmx_resnet50.formats import read_facts
from cmx_resnet50.formats.facts import Damaged
from cmx_resnet50.formats.onnx.check import check_onnx
from cmx_resnet50.rewrite import ReshapeError, reshape
from tests.harness.model_files import model_file

KINDS = ("onnx-opset-8", "onnx-opset-11", "onnx-from-tf")


@pytest.fixture(scope="module", params=KINDS)
def source(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("source") / request.param
    dummy.write(request.param, path, width=2)
    return path


def session(path: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def open_shapes(model: onnx.ModelProto) -> list[str]:
    """Return the names of values with a dimension that is not a number."""
    graph = model.graph
    return [
        value.name
        for value in (*graph.input, *graph.output, *graph.value_info)
        if not value.type.tensor_type.HasField("shape")
        or not all(dim.HasField("dim_value") for dim in value.type.tensor_type.shape.dim)
    ]


@pytest.mark.parametrize("batch", [1, 3])
def test_the_batch_is_true_everywhere(source: Path, batch: int, tmp_path: Path) -> None:
    dest = tmp_path / "fixed"
    reshape(source, dest, batch=batch)
    before, after = onnx.load(str(source)), onnx.load(str(dest))
    assert open_shapes(after) == []
    facts = read_facts(dest, "onnx")
    assert [value.shape[0] for value in (*facts.inputs, *facts.outputs)] == [batch] * 3
    assert facts.inputs[0].shape[1:] == read_facts(source).inputs[0].shape[1:]

    names = {output for node in after.graph.node for output in node.output}
    annotated = {value.name: value for value in (*after.graph.value_info, *after.graph.output)}
    assert names == set(annotated)
    images = [
        value.name for value in annotated.values() if len(value.type.tensor_type.shape.dim) == 4
    ]
    assert len(images) > 100
    for value in annotated.values():
        assert value.type.tensor_type.shape.dim[0].dim_value == batch, value.name

    check_onnx(dest)
    onnx.shape_inference.infer_shapes(after, check_type=True, strict_mode=True, data_prop=True)

    # All but the shapes is as it was.
    for model in (before, after):
        del model.graph.value_info[:]
        for value in (*model.graph.input, *model.graph.output):
            if value.name not in {tensor.name for tensor in model.graph.initializer}:
                value.type.tensor_type.ClearField("shape")
    assert before.SerializeToString() == after.SerializeToString()


def test_a_batch_gives_what_single_runs_give(source: Path, tmp_path: Path) -> None:
    dest = tmp_path / "fixed"
    reshape(source, dest, batch=3)
    free, fixed = session(source), session(dest)
    (entry,) = free.get_inputs()
    shape = [3 if not isinstance(size, int) else size for size in entry.shape]
    images = np.random.default_rng(1).uniform(-120, 130, shape).astype(np.float32)
    together = fixed.run(None, {entry.name: images})
    single = [free.run(None, {entry.name: image[None]}) for image in images]
    np.testing.assert_array_equal(together[0], np.concatenate([one[0] for one in single]))
    np.testing.assert_allclose(
        together[1], np.concatenate([one[1] for one in single]), rtol=1e-4, atol=1e-6
    )
    with pytest.raises(onnxruntime.capi.onnxruntime_pybind11_state.InvalidArgument):
        fixed.run(None, {entry.name: images[:2]})


def test_a_fixed_model_can_be_given_another_batch(source: Path, tmp_path: Path) -> None:
    one, two, direct = tmp_path / "one", tmp_path / "two", tmp_path / "direct"
    reshape(source, one, batch=1)
    reshape(one, two, batch=5)
    reshape(source, direct, batch=5)
    assert two.read_bytes() == direct.read_bytes()
    reshape(two, again := tmp_path / "again", batch=5)
    assert again.read_bytes() == direct.read_bytes()


def model(
    nodes: list[onnx.NodeProto],
    output: tuple[str, list[int | str | None]],
    constants: dict[str, np.ndarray] | None = None,
    image: tuple[int | str, ...] = ("N", 3, 4, 4),
) -> onnx.ModelProto:
    """Return a model of opset 13 with one input ``x``; a sample of it can be run."""
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, image)],
        [helper.make_tensor_value_info(output[0], TensorProto.FLOAT, output[1])],
        [numpy_helper.from_array(value, name) for name, value in (constants or {}).items()],
    )
    opset = [helper.make_opsetid("", 13)]
    return helper.make_model(graph, opset_imports=opset, ir_version=8)


def saved(content: onnx.ModelProto, tmp_path: Path) -> Path:
    path = tmp_path / "model.onnx"
    onnx.save(content, str(path))
    return path


RESHAPE = helper.make_node("Reshape", ["x", "shape"], ["y"], "flat")


def shape(*sizes: int) -> dict[str, np.ndarray]:
    return {"shape": np.array(sizes, np.int64)}


@pytest.mark.parametrize(
    "free",
    [
        model([RESHAPE], ("y", ["N", 48]), shape(-1, 48)),
        model([RESHAPE], ("y", ["N", 48]), shape(0, -1)),
        model([helper.make_node("Flatten", ["x"], ["y"])], ("y", ["N", 48])),
        model(
            [
                helper.make_node("Constant", [], ["shape"], value_ints=[-1, 48]),
                RESHAPE,
            ],
            ("y", ["N", 48]),
        ),
    ],
    ids=["minus one", "zero", "Flatten", "Constant"],
)
def test_a_reshape_that_leaves_the_batch_free(free: onnx.ModelProto, tmp_path: Path) -> None:
    source = saved(free, tmp_path)
    dest = tmp_path / "fixed"
    reshape(source, dest, batch=6)
    assert read_facts(dest).outputs[0].shape == (6, 48)
    values = np.ones((6, 3, 4, 4), np.float32)
    assert session(dest).run(None, {"x": values})[0].shape == (6, 48)
    check_onnx(dest)


@pytest.mark.parametrize(
    ("bound", "reason"),
    [
        (model([RESHAPE], ("y", [1, 48]), shape(1, 48)), "Reshape 'flat' binds another batch"),
        (model([RESHAPE], ("y", [1, None]), shape(1, -1)), r"output 'y' would be \[1, 288\]"),
        (
            model(
                [helper.make_node("Add", ["x", "c"], ["y"])],
                ("y", [8, 3, 4, 4]),
                {"c": np.zeros((8, 3, 4, 4), np.float32)},
            ),
            "do not allow it",
        ),
        (
            model(
                [helper.make_node("Relu", ["x"], ["y"])], ("y", ["N"] * 4), None, ("N", 3, "H", 4)
            ),
            r"leaves more unknown than the batch: \[6, 3, 'H', 4\]|\['N', 3, 'H', 4\]",
        ),
        (
            model([helper.make_node("Relu", ["x"], ["y"])], ("y", []), None, ()),
            "has no dimensions",
        ),
        (
            model(
                [
                    helper.make_node("NonZero", ["x"], ["z"]),
                    helper.make_node("Cast", ["z"], ["y"], to=1),
                ],
                ("y", [4, "n"]),
            ),
            "stays unknown",
        ),
        (
            model([helper.make_node("Odd", ["x"], ["y"], domain="somewhere")], ("y", ["N"])),
            "stays unknown|do not allow",
        ),
    ],
    ids=["Reshape", "flattened", "constant", "height", "scalar", "NonZero", "unknown"],
)
def test_a_model_that_binds_its_shape_is_refused(
    bound: onnx.ModelProto, reason: str, tmp_path: Path
) -> None:
    source = saved(bound, tmp_path)
    dest = tmp_path / "fixed"
    with pytest.raises(ReshapeError, match=reason) as caught:
        reshape(source, dest, batch=6)
    assert str(caught.value).startswith(f"{source} cannot be given the batch 6: ")
    assert not dest.exists()


def test_two_inputs(tmp_path: Path) -> None:
    content = model([helper.make_node("Relu", ["x"], ["y"])], ("y", ["N", 3, 4, 4]))
    content.graph.input.append(helper.make_tensor_value_info("mask", TensorProto.FLOAT, ["N"]))
    with pytest.raises(ReshapeError, match="must have one input to be fixed, and has: x, mask"):
        reshape(saved(content, tmp_path), tmp_path / "fixed", batch=6)


def test_control_flow(tmp_path: Path) -> None:
    branch = helper.make_graph(
        [helper.make_node("Relu", ["x"], ["z"])],
        "b",
        [],
        [helper.make_tensor_value_info("z", TensorProto.FLOAT, None)],
    )
    choice = helper.make_node("If", ["c"], ["y"], "choice", then_branch=branch, else_branch=branch)
    content = model([choice], ("y", ["N", 3, 4, 4]), {"c": np.array(True)})
    with pytest.raises(ReshapeError, match=r"control flow \(the operator If 'choice'\)"):
        reshape(saved(content, tmp_path), tmp_path / "fixed", batch=6)


def test_weights_in_another_file_are_put_into_this_one(tmp_path: Path) -> None:
    content = model(
        [
            helper.make_node("Add", ["x", "c"], ["a"]),
            helper.make_node("Reshape", ["a", "shape"], ["y"]),
        ],
        ("y", ["N", 48]),
        {"c": np.arange(4800, dtype=np.float32).reshape(1, 3, 40, 40)} | shape(-1, 4800),
        ("N", 3, 40, 40),
    )
    source = tmp_path / "model.onnx"
    onnx.save(content, str(source), save_as_external_data=True, location="w", size_threshold=0)
    dest = tmp_path / "elsewhere" / "fixed.onnx"
    dest.parent.mkdir()
    reshape(source, dest, batch=2)
    values = np.ones((2, 3, 40, 40), np.float32)
    found = session(dest).run(None, {"x": values})[0]
    np.testing.assert_array_equal(found, np.arange(4800, dtype=np.float32)[None] + np.ones((2, 1)))
    assert read_facts(dest).requires == ()
    (tmp_path / "w").write_bytes(bytes(100))
    with pytest.raises(ReshapeError, match="its weights are not in the file 'w' next to it"):
        reshape(source, tmp_path / "fixed", batch=6)


def test_stale_annotations_are_replaced(tmp_path: Path) -> None:
    nodes = [helper.make_node("Relu", ["x"], ["r"]), helper.make_node("Abs", ["r"], ["y"])]
    content = model(nodes, ("y", ["unk__1", 3, 4, 4]))
    stale = helper.make_tensor_value_info("r", TensorProto.FLOAT, [2, 3, "unk__2", 4], "a comment")
    gone = helper.make_tensor_value_info("gone", TensorProto.FLOAT, ["unk__3"])
    content.graph.value_info.extend([stale, gone])
    dest = tmp_path / "fixed"
    reshape(saved(content, tmp_path), dest, batch=6)
    (value,) = onnx.load(str(dest)).graph.value_info
    assert (value.name, value.doc_string) == ("r", "a comment")
    assert [dim.dim_value for dim in value.type.tensor_type.shape.dim] == [6, 3, 4, 4]


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


@pytest.mark.parametrize("where", ["node", "value", "initializer", "opset"])
def test_text_that_is_not_utf_8_is_refused(where: str, tmp_path: Path) -> None:
    content = model([helper.make_node("Relu", ["x"], ["yyy"])], ("yyy", ["N", 3, 4, 4]))
    content.graph.node[0].doc_string = "n~x"
    content.graph.value_info.append(helper.make_tensor_value_info("v~x", 1, ["N"]))
    content.graph.initializer.append(numpy_helper.from_array(np.ones(3, np.float32), "i~x"))
    content.opset_import.append(helper.make_opsetid("o~x", 1))
    path = tmp_path / "model.onnx"
    path.write_bytes(content.SerializeToString().replace(f"{where[0]}~".encode(), b"\xc3\x28"))
    with pytest.raises((Damaged, ReshapeError)):
        reshape(path, tmp_path / "fixed", batch=4)
    assert list(tmp_path.iterdir()) == [path]


def test_a_damaged_model(source: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut"
    cut.write_bytes(source.read_bytes()[:-1000])
    with pytest.raises(Damaged, match="cut"):
        reshape(cut, tmp_path / "fixed", batch=2)
    assert list(tmp_path.iterdir()) == [cut]
