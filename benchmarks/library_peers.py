"""What a peer's own library does with the same file; runs in an interpreter that has it.

``library_peers.py CALL ARGUMENT…`` prints one line of JSON: seconds without imports, the peak of
memory, and the library's version. It imports nothing of ours.

- ``pooch|huggingface_hub|torch_hub|cm_utils URL DIGEST TARGET``: fetch, and check the digest
- ``tensorflow|onnxruntime_tool IN OUT BATCH``: fix the batch
- ``open_onnx|open_onnxruntime|open_tensorflow|open_litert|open_torch|open_ncnn FILE``: read it
"""

# mypy: ignore-errors
from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path


def _pooch(url: str, digest: str, target: str) -> float:
    import pooch

    pooch.get_logger().setLevel("ERROR")
    path = Path(target)
    begun = time.perf_counter()
    pooch.retrieve(url, known_hash=f"md5:{digest}", fname=path.name, path=path.parent)
    return time.perf_counter() - begun


def _huggingface_hub(url: str, digest: str, target: str) -> float:
    """``http_get`` compares the size only, so that md5sum follows it."""
    os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
    from huggingface_hub.file_download import http_get

    begun = time.perf_counter()
    with open(target, "wb") as file:
        http_get(url, file)
    _md5sum(target, digest)
    return time.perf_counter() - begun


def _torch_hub(url: str, digest: str, target: str) -> float:
    """It checks a sha256, not an md5."""
    import torch.hub

    begun = time.perf_counter()
    torch.hub.download_url_to_file(url, target, hash_prefix=digest, progress=False)
    return time.perf_counter() - begun


def _cm_utils(url: str, digest: str, target: str) -> float:
    """Fetch as the script that we replace does, by CM's `utils`; md5sum follows as there."""
    import cmind
    import requests  # noqa: F401 - what it imports when it is called

    path = Path(target)
    call = {"action": "download_file", "automation": "utils,dc2743f8450541e3", "url": url}
    begun = time.perf_counter()
    answer = cmind.access({**call, "path": str(path.parent), "filename": path.name})
    if answer["return"] > 0:
        raise SystemExit(answer["error"])
    _md5sum(target, digest)
    return time.perf_counter() - begun


def _md5sum(path: str, digest: str) -> None:
    command = ["md5sum", path]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    if done.stdout.split()[0] != digest:
        raise SystemExit("the wrong digest")


def _tensorflow(source: str, target: str, batch: str) -> float:
    tf = _import_tensorflow()
    begun = time.perf_counter()
    given = tf.compat.v1.GraphDef()
    given.ParseFromString(Path(source).read_bytes())
    with tf.Graph().as_default() as graph:
        shape = [int(batch), 224, 224, 3]
        image = tf.compat.v1.placeholder(tf.float32, shape, name="input_tensor")
        tf.import_graph_def(given, input_map={"input_tensor:0": image}, name="")
        Path(target).write_bytes(graph.as_graph_def(add_shapes=True).SerializeToString())
    return time.perf_counter() - begun


def _onnxruntime_tool(source: str, target: str, batch: str) -> float:
    """Do what ``python -m onnxruntime.tools.make_dynamic_shape_fixed --dim_param`` does."""
    import onnx
    from onnxruntime.tools.onnx_model_utils import fix_output_shapes, make_dim_param_fixed

    begun = time.perf_counter()
    model = onnx.load(source)
    name = model.graph.input[0].type.tensor_type.shape.dim[0].dim_param
    make_dim_param_fixed(model.graph, name, int(batch))
    fix_output_shapes(model)
    onnx.save(model, target)
    return time.perf_counter() - begun


def _open_onnx(path: str) -> float:
    import onnx

    begun = time.perf_counter()
    onnx.load(path)
    return time.perf_counter() - begun


def _open_onnxruntime(path: str) -> float:
    import onnxruntime

    begun = time.perf_counter()
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    _must([one.shape for one in session.get_inputs()])
    return time.perf_counter() - begun


def _open_tensorflow(path: str) -> float:
    tf = _import_tensorflow()
    begun = time.perf_counter()
    graph = tf.compat.v1.GraphDef()
    graph.ParseFromString(Path(path).read_bytes())
    _must(graph.node)
    return time.perf_counter() - begun


def _open_litert(path: str) -> float:
    from ai_edge_litert.interpreter import Interpreter

    begun = time.perf_counter()
    _must(Interpreter(model_path=path).get_input_details())
    return time.perf_counter() - begun


def _open_torch(path: str) -> float:
    import torch

    begun = time.perf_counter()
    # Since 2.6 torch opens the old tar container only so.
    _must({name: value.shape for name, value in torch.load(path, weights_only=False).items()})
    return time.perf_counter() - begun


def _open_ncnn(path: str) -> float:
    import ncnn

    begun = time.perf_counter()
    net = ncnn.Net()
    if net.load_param(str(Path(path).with_suffix(".param"))) or net.load_model(path):
        raise SystemExit("ncnn refuses the file")
    _must(net.input_names())
    return time.perf_counter() - begun


def _import_tensorflow():
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import tensorflow as tf

    return tf


def _must(found) -> None:
    if not found:
        raise SystemExit("nothing was read")


def _peak_mb() -> float:
    status = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in status if line.startswith("VmHWM:")) * 1024 / 1e6


_CALLS = {
    "pooch": (_pooch, "pooch"),
    "huggingface_hub": (_huggingface_hub, "huggingface_hub"),
    "torch_hub": (_torch_hub, "torch"),
    "cm_utils": (_cm_utils, "cmind"),
    "tensorflow": (_tensorflow, "tensorflow-cpu"),
    "onnxruntime_tool": (_onnxruntime_tool, "onnxruntime"),
    "open_onnx": (_open_onnx, "onnx"),
    "open_onnxruntime": (_open_onnxruntime, "onnxruntime"),
    "open_tensorflow": (_open_tensorflow, "tensorflow-cpu"),
    "open_litert": (_open_litert, "ai-edge-litert"),
    "open_torch": (_open_torch, "torch"),
    "open_ncnn": (_open_ncnn, "ncnn"),
}


if __name__ == "__main__":
    call, package = _CALLS[sys.argv[1]]
    seconds = call(*sys.argv[2:])
    told = {"seconds": seconds, "peak_mb": _peak_mb(), "version": f"{package} {version(package)}"}
    print(json.dumps(told))
