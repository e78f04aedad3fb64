"""What operators do with the batch: rows are kept, as TensorFlow keeps them, or it is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cmx_resnet50.formats import read_facts
from cmx_resnet50.rewrite import ReshapeError, reshape
from tests.harness.model_files import model_file
from tests.rewrite import graphs

BATCH = 5


def fixed(content: bytes, tmp_path: Path, batch: int = BATCH) -> Path:
    source, dest = tmp_path / "graph.pb", tmp_path / f"fixed-{batch}.pb"
    source.write_bytes(content)
    reshape(source, dest, batch=batch)
    return dest


@pytest.mark.parametrize("name", graphs.KEPT)
def test_rows_are_kept(name: str, tmp_path: Path) -> None:
    shape = read_facts(fixed(graphs.KEPT[name][0], tmp_path)).inputs[0].shape
    assert shape is not None
    assert shape[0] == BATCH


@pytest.mark.parametrize("name", graphs.REFUSED)
def test_other_graphs_are_refused(name: str, tmp_path: Path) -> None:
    content, reason = graphs.REFUSED[name]
    with pytest.raises(ReshapeError, match=reason):
        fixed(content, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["graph.pb"]


def test_a_squeeze_of_any_axis_keeps_more_than_one_image(tmp_path: Path) -> None:
    content = graphs.graph(graphs.op("Squeeze", "input_tensor"), image=(-1, 1, 1, 6))
    fixed(content, tmp_path, batch=2)
    with pytest.raises(ReshapeError, match="drops the axis of a single image"):
        fixed(content, tmp_path, batch=1)


def test_a_graph_that_is_not_frozen(tmp_path: Path) -> None:
    source = model_file("tf-not-frozen-mediapipe.pb")
    with pytest.raises(ReshapeError, match="variables, assignments or control flow"):
        reshape(source, tmp_path / "fixed.pb", batch=4)


def run(path: Path, images: np.ndarray) -> tuple[list[int | None], np.ndarray]:
    """Import `path` into TensorFlow; return the shape of ``y`` that it infers, and its value."""
    tf = pytest.importorskip("tensorflow", reason="needs tensorflow-cpu")
    definition = tf.compat.v1.GraphDef.FromString(path.read_bytes())
    with tf.Graph().as_default() as graph:
        tf.import_graph_def(definition, name="")
        output: Any = graph.get_tensor_by_name("y:0")
        with tf.compat.v1.Session() as session:
            found = session.run(output, {"input_tensor:0": images})
    return output.shape.as_list(), found


@pytest.mark.runtime
@pytest.mark.parametrize("name", graphs.KEPT)
def test_tensorflow_gives_a_row_an_image(name: str, tmp_path: Path) -> None:
    content, expected = graphs.KEPT[name]
    together, single = fixed(content, tmp_path), fixed(content, tmp_path, batch=1)
    shape = read_facts(together).inputs[0].shape
    images = np.random.default_rng(3).uniform(-1, 1, shape).astype(np.float32)
    inferred, found = run(together, images)
    assert inferred == [BATCH, *expected]
    rows = [run(single, images[index : index + 1])[1] for index in range(BATCH)]
    np.testing.assert_allclose(found, np.concatenate(rows), rtol=1e-5, atol=1e-6)


@pytest.mark.runtime
@pytest.mark.parametrize(
    "tool", ["optimize_for_inference", "strip_unused", "remove_training_nodes"]
)
def test_graphs_of_tensorflows_own_tools(tool: str, tmp_path: Path) -> None:
    """These tools leave out the version of the graph."""
    tf = pytest.importorskip("tensorflow", reason="needs tensorflow-cpu")
    from tensorflow.python.tools import optimize_for_inference_lib, strip_unused_lib

    v1 = tf.compat.v1
    with tf.Graph().as_default() as graph:
        image = v1.placeholder(tf.float32, [None, 8, 8, 3], name="input_tensor")
        value = tf.nn.conv2d(image, tf.ones([3, 3, 3, 4]), 1, "SAME")
        value = v1.nn.fused_batch_norm(
            value, tf.ones([4]), tf.ones([4]), tf.ones([4]), tf.ones([4]), is_training=False
        )[0]
        value = tf.nn.relu(tf.identity(value))
        value = tf.reshape(value, [tf.shape(value)[0], 256])
        value = tf.matmul(value, tf.fill([256, 7], 0.01))
        tf.nn.softmax(value, name="y")
    definition = graph.as_graph_def()
    ends = ["input_tensor"], ["y"], tf.float32.as_datatype_enum
    if tool == "optimize_for_inference":
        definition = optimize_for_inference_lib.optimize_for_inference(definition, *ends)
    elif tool == "strip_unused":
        definition = strip_unused_lib.strip_unused(definition, *ends)
    else:
        definition = v1.graph_util.remove_training_nodes(definition, protected_nodes=["y"])
    path = fixed(definition.SerializeToString(), tmp_path, batch=3)
    images = np.random.default_rng(1).uniform(-1, 1, (3, 8, 8, 3)).astype(np.float32)
    inferred, found = run(path, images)
    assert inferred == [3, 7]
    single = fixed(definition.SerializeToString(), tmp_path, batch=1)
    rows = [run(single, images[index : index + 1])[1] for index in range(3)]
    np.testing.assert_allclose(found, np.concatenate(rows), rtol=1e-5, atol=1e-6)
