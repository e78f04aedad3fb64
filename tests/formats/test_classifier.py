"""Classes are counted where a classifier's head is, and nowhere else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from cmx_resnet50.formats import read_facts

Nodes = list[onnx.NodeProto]


def node(op: str, *names: str, **attributes: object) -> onnx.NodeProto:
    """Return a node; the last of `names` is its output."""
    return helper.make_node(op, names[:-1], names[-1:], **attributes)


CONV = node("Conv", "x", "k", "c")
POOL = [CONV, node("GlobalAveragePool", "c", "p"), node("Flatten", "p", "f")]
FLAT = [CONV, node("Flatten", "c", "f")]
SCORES = node("Gemm", "f", "w", "b", "y", transB=1)
LOGITS = node("Gemm", "f", "w", "b", "l", transB=1)

HEADS: dict[str, tuple[Nodes, int | None]] = {
    "a dense layer over pooled images": ([*POOL, SCORES], 7),
    "a softmax over it": ([*POOL, LOGITS, node("Softmax", "l", "y", axis=1)], 7),
    "a softmax without a pool": ([*FLAT, LOGITS, node("Softmax", "l", "y", axis=1)], 7),
    "a bias of its own": (
        [*POOL, node("MatMul", "f", "t", "m"), node("Add", "m", "b", "y")],
        7,
    ),
    "a convolution that is pooled": (
        [
            CONV,
            node("Relu", "c", "r"),
            node("GlobalAveragePool", "r", "p"),
            node("Softmax", "p", "y", axis=1),
        ],
        5,
    ),
    "an embedding that is normalized": ([*POOL, LOGITS, node("LpNormalization", "l", "y")], None),
    "an embedding of a batch norm": (
        [*POOL, LOGITS, node("BatchNormalization", "l", "b", "b", "b", "b", "y")],
        None,
    ),
    "pooled features": (
        [CONV, node("GlobalAveragePool", "c", "p"), node("Flatten", "p", "y")],
        None,
    ),
    "coordinates without a pool": ([*FLAT, SCORES], None),
    "a map of classes": ([CONV, node("Softmax", "c", "y", axis=1)], None),
    "an activation": ([*POOL, LOGITS, node("Tanh", "l", "y")], None),
}


@pytest.mark.parametrize("name", HEADS)
def test_heads(name: str, tmp_path: Path) -> None:
    nodes, classes = HEADS[name]
    inside = 5 if any("p" in one.output for one in nodes) else 5 * 64
    constants = {
        "k": np.zeros((5, 3, 1, 1), np.float32),
        "w": np.zeros((7, inside), np.float32),
        "t": np.zeros((inside, 7), np.float32),
        "b": np.zeros(7, np.float32),
    }
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(value, key) for key, value in constants.items()],
    )
    path = tmp_path / "model.onnx"
    path.write_bytes(helper.make_model(graph).SerializeToString())
    assert read_facts(path).classes == classes


def test_a_recurrent_state_is_no_classes(tmp_path: Path) -> None:
    values = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name, shape in (("x", [1, 1, 64]), ("y", [1, 512]))
    ]
    graph = helper.make_graph([node("LSTM", "x", "w", "r", "y")], "g", values[:1], values[1:])
    path = tmp_path / "model.onnx"
    path.write_bytes(helper.make_model(graph).SerializeToString())
    assert read_facts(path).classes is None
