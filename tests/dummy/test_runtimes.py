"""Every file in the runtime that it is made for; one network within each lineage."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from cmx_resnet50 import dummy
from tests.dummy.shared import NARROW, Images, nchw, normalized, pixels, written

pytestmark = pytest.mark.runtime

WIDTHS = pytest.mark.parametrize("width", [NARROW, 64])
COUNT = 4


def _onnx(folder: Path, width: int, images: Images) -> list[np.ndarray]:
    path = written(folder, "onnx-opset-11", width)
    session = onnxruntime.InferenceSession(str(path))
    return session.run(None, {"input_tensor:0": nchw(images)})


@WIDTHS
def test_tensorflow_agrees_with_onnx_runtime(width: int, tmp_path: Path) -> None:
    tf = pytest.importorskip("tensorflow", reason="needs tensorflow-cpu")
    images = pixels(COUNT)
    argmax, scores = _onnx(tmp_path, width, images)
    definition = tf.compat.v1.GraphDef()
    definition.ParseFromString(written(tmp_path, "tensorflow", width).read_bytes())
    count = Counter(node.op for node in definition.node)
    assert (count["Conv2D"], count["FusedBatchNorm"]) == (53, 53)
    assert (count["Relu"], count["Add"]) == (49, 16)
    with tf.Graph().as_default() as graph:
        tf.import_graph_def(definition, name="")
        image = graph.get_tensor_by_name("input_tensor:0")
        assert (image.dtype, image.shape.as_list()) == (tf.float32, [None, 224, 224, 3])
        best = graph.get_tensor_by_name("ArgMax:0")
        assert (best.dtype, best.shape.as_list()) == (tf.int64, [None])
        softmax = graph.get_tensor_by_name("softmax_tensor:0")
        assert softmax.shape.as_list() == [None, 1001]
        with tf.compat.v1.Session() as session:
            found = session.run([best, softmax], {image: images})
    np.testing.assert_array_equal(found[0], argmax)
    np.testing.assert_allclose(found[1], scores, rtol=0, atol=1e-5)


@WIDTHS
@pytest.mark.parametrize("kind", ["tflite-argmax", "tflite-no-argmax"])
def test_litert_agrees_with_onnx_runtime(kind: str, width: int, tmp_path: Path) -> None:
    litert = pytest.importorskip("ai_edge_litert.interpreter", reason="needs ai-edge-litert")
    images = pixels(COUNT)
    argmax, scores = _onnx(tmp_path, width, images)
    loaded = litert.Interpreter(str(written(tmp_path, kind, width)))
    loaded.allocate_tensors()
    (image,) = loaded.get_input_details()
    assert (image["name"], image["dtype"]) == ("input_tensor", np.float32)
    assert image["shape"].tolist() == [1, 224, 224, 3]
    outputs = loaded.get_output_details()
    names = [output["name"] for output in outputs]
    assert names == ["ArgMax", "softmax_tensor"][kind == "tflite-no-argmax" :]
    for index in range(COUNT):
        loaded.set_tensor(image["index"], images[index : index + 1])
        loaded.invoke()
        found = [loaded.get_tensor(output["index"]) for output in outputs]
        np.testing.assert_allclose(found[-1][0], scores[index], rtol=0, atol=1e-5)
        if len(found) == 2:
            assert found[0].dtype == np.int64
            assert found[0].tolist() == [argmax[index]]


def _torch_logits(torch: Any, state: dict[str, Any], images: Images) -> np.ndarray:
    """Torchvision's resnet50 on a state_dict, written out, for torchvision need not be here."""
    functional = torch.nn.functional

    def layer(value: Any, conv: str, norm: str, stride: int = 1, padding: int = 0) -> Any:
        value = functional.conv2d(value, state[f"{conv}.weight"], None, stride, padding)
        vectors = [state[f"{norm}.{name}"] for name in ("running_mean", "running_var")]
        vectors += [state[f"{norm}.{name}"] for name in ("weight", "bias")]
        return functional.batch_norm(value, *vectors, eps=1e-5)

    with torch.no_grad():
        value = torch.relu(layer(torch.from_numpy(images), "conv1", "bn1", 2, 3))
        value = functional.max_pool2d(value, 3, 2, 1)
        for stage, depth in enumerate((3, 4, 6, 3)):
            for position in range(depth):
                name = f"layer{stage + 1}.{position}"
                stride = 2 if stage and not position else 1
                shortcut = value
                if not position:
                    down = f"{name}.downsample"
                    shortcut = layer(value, f"{down}.0", f"{down}.1", stride)
                value = torch.relu(layer(value, f"{name}.conv1", f"{name}.bn1"))
                value = torch.relu(layer(value, f"{name}.conv2", f"{name}.bn2", stride, 1))
                value = torch.relu(layer(value, f"{name}.conv3", f"{name}.bn3") + shortcut)
        value = value.mean((2, 3))
        return functional.linear(value, state["fc.weight"], state["fc.bias"]).numpy()


@WIDTHS
def test_ncnn_agrees_with_torch(width: int, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="needs torch")
    ncnn = pytest.importorskip("ncnn", reason="needs ncnn")
    images = normalized(COUNT)
    # The tar container is older than weights_only, which refuses it; the file is our own.
    state = torch.load(written(tmp_path, "pytorch-fp32", width), weights_only=False)
    assert all(tensor.dtype == torch.float32 for tensor in state.values())
    assert state["fc.weight"].shape == (1000, 32 * width)
    logits = _torch_logits(torch, state, images)
    assert np.isfinite(logits).all()

    net, graph = ncnn.Net(), tmp_path / "resnet50.param"
    for option in ("use_fp16_packed", "use_fp16_storage", "use_fp16_arithmetic"):
        setattr(net.opt, option, False)
    dummy.write("ncnn-param", graph, width=width)
    assert net.load_param(str(graph)) == 0
    assert net.load_model(str(written(tmp_path, "ncnn", width))) == 0
    for index in range(COUNT):
        extractor = net.create_extractor()
        extractor.input("in0", ncnn.Mat(images[index]).clone())
        status, found = extractor.extract("out0")
        assert status == 0
        np.testing.assert_allclose(np.array(found), logits[index], rtol=0, atol=1e-4)


def test_torch_argmax_varies_over_random_images(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="needs torch")
    state = torch.load(written(tmp_path, "pytorch-fp32", 64), weights_only=False)
    assert len(set(_torch_logits(torch, state, normalized(64)).argmax(axis=1).tolist())) >= 8
