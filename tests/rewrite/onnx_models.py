"""ONNX models of a few nodes, and how they are run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx.shape_inference
import onnxruntime
from onnx import TensorProto, helper, numpy_helper


def session(path: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


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
