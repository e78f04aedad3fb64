"""A batch size made true in ONNX models: the checker, ONNX Runtime and the bytes must agree."""

from __future__ import annotations

from pathlib import Path

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
from tests.rewrite.onnx_models import RESHAPE, model, saved, session, shape

KINDS = ("onnx-opset-8", "onnx-opset-11", "onnx-from-tf")


@pytest.fixture(scope="module", params=KINDS)
def source(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("source") / request.param
    dummy.write(request.param, path, width=2)
    return path


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
    for content in (before, after):
        del content.graph.value_info[:]
        for value in (*content.graph.input, *content.graph.output):
            if value.name not in {tensor.name for tensor in content.graph.initializer}:
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
