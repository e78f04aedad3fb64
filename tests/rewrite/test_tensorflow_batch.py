"""A batch size made true in frozen graphs; TensorFlow itself imports and runs the results."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cmx_resnet50 import dummy
from cmx_resnet50.formats import read_facts
from cmx_resnet50.formats.facts import Damaged
from cmx_resnet50.formats.protobuf import Document, encode_varint_field
from cmx_resnet50.rewrite import ReshapeError, reshape
from tests.formats.messages import (
    DT_FLOAT,
    DT_INT32,
    DT_INT64,
    attribute,
    dtype,
    output_shapes,
    tf_constant,
    tf_graph,
    tf_node,
    tf_placeholder,
)

FLOATS = dtype("T", DT_FLOAT)
INFERENCE = attribute("is_training", encode_varint_field(5, 0))
ANY = (-1, 4, 4, 3)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("source") / "resnet50_v1.pb"
    dummy.write("tensorflow", path, width=2)
    return path


def annotated(image: int = -1) -> bytes:
    """Return a graph whose nodes say their shapes, as TensorFlow writes with add_shapes."""
    shape, row = (image, 4, 4, 3), (image, 48)
    channels = tf_constant("c", (3,), struct.pack("<3f", 1, 2, 3))
    norm = tf_node(
        "norm",
        "FusedBatchNorm",
        ("input_tensor", "c", "c", "c", "c"),
        FLOATS + INFERENCE + output_shapes(shape, (3,), (3,), (3,), (3,)),
    )
    flat = tf_constant("flat/shape", (2,), struct.pack("<2i", -1, 48), DT_INT32)
    return tf_graph(
        tf_placeholder(shape, output_shapes(shape)),
        channels,
        norm,
        tf_node("size", "Shape", ("norm",), FLOATS + output_shapes((4,))),
        flat,
        tf_node(
            "flat",
            "Reshape",
            ("norm", "flat/shape"),
            FLOATS + dtype("Tshape", 3) + output_shapes(row),
        ),
        tf_node("softmax_tensor", "Softmax", ("flat",), FLOATS + output_shapes(row)),
    )


def saved(content: bytes, tmp_path: Path) -> Path:
    path = tmp_path / "graph.pb"
    path.write_bytes(content)
    return path


def nodes(path: Path) -> list[bytes]:
    data = path.read_bytes()
    return [data[field.at : field.end] for field in Document(data).fields()]


@pytest.mark.parametrize("batch", [1, 8, 200])
def test_only_the_placeholder_changes(source: Path, batch: int, tmp_path: Path) -> None:
    dest = tmp_path / "fixed"
    reshape(source, dest, batch=batch)
    before, after = read_facts(source), read_facts(dest, "tensorflow")
    assert after.inputs[0].shape == (batch, 224, 224, 3)
    assert after.inputs[0].name == "input_tensor"
    assert (after.outputs, after.parameter_bytes) == (before.outputs, before.parameter_bytes)
    changed = [
        (old, new) for old, new in zip(nodes(source), nodes(dest), strict=True) if old != new
    ]
    assert len(changed) == 1
    assert b"Placeholder" in changed[0][1]


def test_a_fixed_graph_can_be_given_another_batch(source: Path, tmp_path: Path) -> None:
    reshape(source, one := tmp_path / "one", batch=1)
    reshape(one, two := tmp_path / "two", batch=300)
    reshape(source, direct := tmp_path / "direct", batch=300)
    assert two.read_bytes() == direct.read_bytes()


@pytest.mark.parametrize("old", [-1, 3, 4])
def test_annotations_follow(old: int, tmp_path: Path) -> None:
    dest = tmp_path / "fixed"
    reshape(saved(annotated(old), tmp_path), dest, batch=300)
    # The statistics of 3 channels and the rank 4 are no batch, whatever the batch was.
    assert dest.read_bytes() == annotated(300)


def graph_with(*parts: bytes, image: tuple[int, ...] | None = ANY) -> bytes:
    return tf_graph(tf_placeholder(image), *parts)


def reshaped(*sizes: int, kind: int = DT_INT32) -> tuple[bytes, bytes]:
    letter = "i" if kind == DT_INT32 else "q"
    content = struct.pack(f"<{len(sizes)}{letter}", *sizes)
    constant = tf_constant("flat/shape", (len(sizes),), content, kind)
    attributes = FLOATS + dtype("Tshape", kind)
    return constant, tf_node("flat", "Reshape", ("input_tensor", "flat/shape"), attributes)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (graph_with(*reshaped(1, 48)), r"Reshape 'flat' binds another batch: it makes \[1, 48\]"),
        (graph_with(*reshaped(64, -1, kind=DT_INT64)), r"binds another batch: .*\[64, -1\]"),
        (graph_with(image=None), "does not state how many dimensions"),
        (
            graph_with(image=(-1, -1, 224, 3)),
            r"unknown than the batch: \['\?', '\?', 224, 3\]",
        ),
        (graph_with(image=()), "does not state how many dimensions"),
        (tf_graph(tf_node("x", "NoOp")), "one Placeholder to be fixed, and has: none"),
        (
            graph_with(tf_node("mask", "Placeholder", (), dtype("dtype", DT_FLOAT))),
            "has: input_tensor, mask",
        ),
        (
            graph_with(tf_node("r", "Relu", ("input_tensor",), FLOATS + output_shapes((9, 4)))),
            r"node 'r' is declared with the shape \[9, 4\]",
        ),
        (
            graph_with(tf_node("r", "Relu", ("input_tensor",), FLOATS + output_shapes((-1, -1)))),
            r"node 'r' is declared with the shape \['\?', '\?'\], and would be \[6, 4, 4, 3\]",
        ),
    ],
)
def test_a_graph_that_binds_its_shape_is_refused(
    content: bytes, reason: str, tmp_path: Path
) -> None:
    path = saved(content, tmp_path)
    with pytest.raises(ReshapeError, match=reason) as caught:
        reshape(path, tmp_path / "fixed", batch=6)
    assert str(caught.value).startswith(f"{path} cannot be given the batch 6: ")
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("sizes", [(-1, 48), (6, 48), (6, -1)])
def test_a_reshape_that_allows_the_batch(sizes: tuple[int, ...], tmp_path: Path) -> None:
    dest = tmp_path / "fixed"
    reshape(saved(graph_with(*reshaped(*sizes)), tmp_path), dest, batch=6)
    assert read_facts(dest).inputs[0].shape == (6, 4, 4, 3)


def test_a_reshape_of_weights_is_none_of_the_batch(tmp_path: Path) -> None:
    parts = (
        tf_constant("w", (3,), bytes(12)),
        tf_constant("w/shape", (2,), struct.pack("<2i", 1, 3), DT_INT32),
        tf_node("w/row", "Reshape", ("w", "w/shape"), FLOATS + dtype("Tshape", DT_INT32)),
        tf_node("sum", "Add", ("input_tensor", "w/row"), FLOATS),
    )
    reshape(saved(graph_with(*parts), tmp_path), tmp_path / "fixed", batch=6)


def test_a_damaged_graph(source: Path, tmp_path: Path) -> None:
    path = saved(source.read_bytes()[:-3000], tmp_path)
    with pytest.raises(Damaged):
        reshape(path, tmp_path / "fixed", batch=6)
    path = saved(tf_graph(tf_placeholder(ANY), tf_node("r", "Relu", ("gone",))), tmp_path)
    with pytest.raises(Damaged, match="reads 'gone', which does not exist"):
        reshape(path, tmp_path / "fixed", batch=6)
    assert list(tmp_path.iterdir()) == [path]


def run(path: Path, images: np.ndarray) -> tuple[Any, list[np.ndarray]]:
    """Import `path` into TensorFlow; return the scores' shape and the outputs for the images."""
    tf = pytest.importorskip("tensorflow", reason="needs tensorflow-cpu")
    definition = tf.compat.v1.GraphDef.FromString(path.read_bytes())
    names = [f"{out.name}:0" for out in read_facts(path).outputs]
    with tf.Graph().as_default() as graph:
        tf.import_graph_def(definition, name="")
        outputs = [graph.get_tensor_by_name(name) for name in names]
        image = graph.get_tensor_by_name("input_tensor:0")
        with tf.compat.v1.Session() as session:
            found = session.run(outputs, {image: images})
    return [output.shape.as_list() for output in outputs], found


@pytest.mark.runtime
def test_tensorflow_gives_the_same_results(source: Path, tmp_path: Path) -> None:
    dest = tmp_path / "fixed"
    reshape(source, dest, batch=3)
    rng = np.random.default_rng(1)
    images = rng.uniform(-120, 130, (3, 224, 224, 3)).astype(np.float32)
    shapes, together = run(dest, images)
    assert shapes == [[3], [3, 1001]]
    single = [run(source, image[None])[1] for image in images]
    np.testing.assert_array_equal(together[0], np.concatenate([one[0] for one in single]))
    np.testing.assert_allclose(together[1], np.concatenate([one[1] for one in single]), atol=1e-6)
    with pytest.raises(ValueError, match="Cannot feed value of shape"):
        run(dest, images[:2])


@pytest.mark.runtime
@pytest.mark.parametrize("old", [-1, 2])
def test_tensorflow_accepts_the_annotations(old: int, tmp_path: Path) -> None:
    dest = tmp_path / "fixed"
    reshape(saved(annotated(old), tmp_path), dest, batch=5)
    shapes, (_, scores) = run(dest, np.ones((5, 4, 4, 3), np.float32))
    assert shapes[1] == [5, 48]
    assert scores.shape == (5, 48)
