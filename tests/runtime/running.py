"""Each runtime behind one call: images in, scores out, under the names that the script exports.

``onnx``, ``frozen`` and ``tflite`` return (argmax or None, softmax), ``torch`` and ``ncnn``
logits; axis 0 of all of them counts the images.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.runtime.network import network

Array = NDArray[Any]
Answer = tuple[Array | None, Array]


def tensorflow() -> Any:
    """Return TensorFlow, or skip the test."""
    return pytest.importorskip("tensorflow", reason="runs graphs in TensorFlow: tensorflow-cpu")


def session(path: Path) -> Any:
    """Return an ONNX Runtime session of the file."""
    runtime = pytest.importorskip("onnxruntime", reason="runs ONNX files: onnxruntime")
    options = runtime.SessionOptions()
    options.log_severity_level = 3
    return runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def onnx(path: Path, env: dict[str, str], images: Array) -> Answer:
    """Run an ONNX file in ONNX Runtime; consumers rely on the order of the outputs."""
    argmax, scores = session(path).run(None, {env["CM_ML_MODEL_INPUT_LAYER_NAME"]: images})
    return argmax, scores


@contextmanager
def imported(path: Path) -> Iterator[Any]:
    """Import a frozen graph into TensorFlow and make it the default one."""
    tf = tensorflow()
    definition = tf.compat.v1.GraphDef()
    definition.ParseFromString(path.read_bytes())
    with tf.Graph().as_default() as graph:
        tf.import_graph_def(definition, name="")
        yield graph


def frozen(path: Path, env: dict[str, str], images: Array) -> Answer:
    """Run a frozen graph in TensorFlow."""
    ends = {"ArgMax:0": None, f"{env['CM_ML_MODEL_OUTPUT_LAYER_NAME']}:0": None}
    with imported(path) as graph, tensorflow().compat.v1.Session(graph=graph) as running:
        found = running.run(list(ends), {f"{env['CM_ML_MODEL_INPUT_LAYER_NAME']}:0": images})
    return found[0], found[1]


def interpreter(path: Path) -> Any:
    """Return a LiteRT interpreter of the file."""
    runtime = pytest.importorskip(
        "ai_edge_litert.interpreter", reason="runs TFLite files: ai-edge-litert"
    )
    return runtime.Interpreter(model_path=str(path))


def tflite(path: Path, env: dict[str, str], images: Array) -> Answer:
    """Run a TFLite file in LiteRT, one image after the other."""
    loaded = interpreter(path)
    loaded.allocate_tensors()
    (entry,) = loaded.get_input_details()
    assert entry["name"] == env["CM_ML_MODEL_INPUT_LAYER_NAME"]
    found: list[list[Array]] = []
    for index in range(len(images)):
        loaded.set_tensor(entry["index"], images[index : index + 1])
        loaded.invoke()
        found.append([loaded.get_tensor(one["index"]) for one in loaded.get_output_details()])
    columns = [np.concatenate(column) for column in zip(*found, strict=True)]
    assert len(columns) == (2 if env["CM_ML_MODEL_OUTPUT_LAYER_ARGMAX"] == "yes" else 1)
    return (columns[0] if len(columns) == 2 else None), columns[-1]


def torch(path: Path, images: Array) -> Array:
    """Run a state_dict in PyTorch, in the network that it belongs to."""
    runtime = pytest.importorskip("torch", reason="runs state_dicts: torch==2.13.0")
    model = network(runtime)
    # The tar container is older than weights_only, which refuses it; the file is our own.
    model.load_state_dict(runtime.load(path, weights_only=False))
    with runtime.no_grad():
        logits: Array = model.eval()(runtime.from_numpy(images)).numpy()
    return logits


def ncnn_net(weights: Path, graph: Path) -> Any:
    """Load a pair of files into ncnn, which computes in float32 then."""
    runtime = pytest.importorskip("ncnn", reason="runs .param and .bin: ncnn")
    net = runtime.Net()
    for option in ("use_fp16_packed", "use_fp16_storage", "use_fp16_arithmetic"):
        setattr(net.opt, option, False)
    assert net.load_param(str(graph)) == 0
    assert net.load_model(str(weights)) == 0
    return net


def ncnn(weights: Path, graph: Path, images: Array) -> Array:
    """Run a pair of files in ncnn, one image after the other."""
    import ncnn as runtime

    net = ncnn_net(weights, graph)
    rows = []
    for image in images:
        extractor = net.create_extractor()
        extractor.input("in0", runtime.Mat(image).clone())
        status, row = extractor.extract("out0")
        assert status == 0
        rows.append(np.array(row))
    return np.stack(rows)
