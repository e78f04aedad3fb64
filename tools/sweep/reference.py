"""``python -m tools.sweep.reference FORMAT``: what the format's own library says of files.

Reads one path a line, and writes a line of JSON for each: the facts, as far as the library has
them, or ``error`` where it refuses the file. Its first line is the library's version, or why there
is none.
"""

from __future__ import annotations

import json
import math
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

Facts = dict[str, Any]
Tensor = tuple[str, "list[int | None] | None", "str | None"]
"""Name, shape (None is an open size, or an unknown rank) and NumPy's name of the type."""


class Refused(Exception):
    """The library does not take the file, or it is not of this format at all."""


def of_onnx(path: Path) -> Facts:
    """Read an ONNX model with the onnx package."""
    import onnx
    from onnx import TensorProto, helper

    model = onnx.load(str(path), load_external_data=False)
    graph = model.graph
    if not graph.node and not graph.output:
        raise Refused("no graph")

    def weights(inside: Any) -> Iterable[Any]:
        if isinstance(inside, onnx.GraphProto):
            yield from inside.initializer
            yield from (sparse.values for sparse in inside.sparse_initializer)
        for node in inside.node:
            for attribute in node.attribute:
                if node.op_type == "Constant" and attribute.HasField("t"):
                    yield attribute.t
                graphs = [*attribute.graphs, *([attribute.g] if attribute.HasField("g") else [])]
                for one in graphs:
                    yield from weights(one)

    def tensor(value: Any) -> Tensor:
        kind = value.type.tensor_type
        if not value.type.HasField("tensor_type"):
            return value.name, None, None
        dtype: str | None = None
        if kind.elem_type != TensorProto.UNDEFINED:
            dtype = helper.tensor_dtype_to_np_dtype(kind.elem_type).name
        if not kind.HasField("shape"):
            return value.name, None, dtype
        sizes = (d.dim_value if d.HasField("dim_value") else None for d in kind.shape.dim)
        return value.name, [size if (size or 0) >= 0 else None for size in sizes], dtype

    constants = [*weights(graph), *(w for function in model.functions for w in weights(function))]
    names = {one.name for one in graph.initializer}
    names |= {one.values.name for one in graph.sparse_initializer}
    opsets = {entry.domain: entry.version for entry in model.opset_import}
    found: Facts = {
        "opset": opsets.get("", opsets.get("ai.onnx")),
        "ir": model.ir_version,
        "inputs": [tensor(value) for value in graph.input if value.name not in names],
        "outputs": [tensor(value) for value in graph.output],
    }
    if not any(one.data_location == TensorProto.EXTERNAL for one in constants):
        found["parameter_count"] = sum(math.prod(one.dims) for one in constants)
    return found


def of_tflite(path: Path) -> Facts:
    """Read a TensorFlow Lite model with LiteRT."""
    litert = import_module("ai_edge_litert.interpreter")

    def tensor(one: Mapping[str, Any]) -> Tensor:
        shape = [int(size) for size in one["shape"]]
        signature = [int(size) for size in one["shape_signature"]]
        if len(signature) == len(shape):
            shape = signature
        dtype = one["dtype"].__name__
        return one["name"], [None if size < 0 else size for size in shape], dtype

    runtime = litert.Interpreter(model_path=str(path))
    return {
        "inputs": [tensor(one) for one in runtime.get_input_details()],
        "outputs": [tensor(one) for one in runtime.get_output_details()],
    }


def of_pytorch(path: Path) -> Facts:
    """Read a PyTorch file with PyTorch, which executes nothing of it but TorchScript's loader."""
    torch: Any = import_module("torch")

    try:
        tensors = list(torch.jit.load(str(path), map_location="cpu").state_dict().values())
    except RuntimeError:
        value = torch.load(path, map_location="cpu", weights_only=True)
    else:
        if not tensors:
            raise Refused("TorchScript without weights")
        return {"container": "torchscript", **_sizes(torch, tensors)}
    if not isinstance(value, dict):
        raise Refused(f"a {type(value).__name__}")
    tensors = [one for one in value.values() if isinstance(one, torch.Tensor)]
    if not tensors:
        inner = [one for one in value.values() if isinstance(one, dict) and one]
        inner = [one for one in inner if all(isinstance(t, torch.Tensor) for t in one.values())]
        if len(inner) != 1:
            raise Refused("a checkpoint without a state_dict of its own")
        tensors = list(inner[0].values())
    return _sizes(torch, tensors)


def _sizes(torch: Any, tensors: Iterable[Any]) -> Facts:
    strided = [one for one in tensors if one.layout == torch.strided]
    distinct = {(one.data_ptr(), one.numel(), str(one.dtype)): one for one in strided}.values()
    kinds: Counter[str] = Counter()
    for one in distinct:
        kinds[str(one.dtype).removeprefix("torch.")] += one.numel() * one.element_size()
    return {
        "parameter_count": sum(one.numel() for one in distinct),
        "parameter_bytes": kinds.total(),
    }


def of_tensorflow(path: Path) -> Facts:
    """Import a frozen graph with TensorFlow."""
    tf = import_module("tensorflow")

    message = tf.compat.v1.GraphDef()
    message.ParseFromString(path.read_bytes())
    if not message.node:
        raise Refused("no node")
    graph = tf.Graph()
    with graph.as_default():
        tf.compat.v1.import_graph_def(message, name="")

    def tensor(operation: Any) -> Tensor:
        value = operation.outputs[0]
        shape = None if value.shape.rank is None else value.shape.as_list()
        return operation.name, shape, value.dtype.base_dtype.name

    operations = graph.get_operations()
    return {
        "inputs": [
            tensor(one) for one in operations if one.type in ("Placeholder", "PlaceholderV2")
        ],
        "producer": message.versions.producer or None,
    }


def of_ncnn(path: Path) -> Facts:
    """Load an ncnn model, and its weights where they are there, with ncnn."""
    ncnn = import_module("ncnn")

    net = ncnn.Net()
    if net.load_param(str(path)):
        raise Refused("load_param fails")
    weights = path.with_suffix(".bin")
    if weights.is_file() and net.load_model(str(weights)):
        raise Refused("load_model fails")
    return {"input_names": list(net.input_names()), "output_names": list(net.output_names())}


REFERENCES: dict[str, tuple[str, Callable[[Path], Facts]]] = {
    "onnx": ("onnx", of_onnx),
    "tflite": ("ai_edge_litert", of_tflite),
    "pytorch": ("torch", of_pytorch),
    "tensorflow": ("tensorflow", of_tensorflow),
    "ncnn": ("ncnn", of_ncnn),
}
"""By format: the module that must be installed, and what reads a file with it."""


def main(arguments: list[str]) -> None:
    """Answer for each path on stdin."""
    module, read = REFERENCES[arguments[0]]
    # What the libraries print goes to stderr; the answers have a stream of their own.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    try:
        version = getattr(import_module(module), "__version__", "installed")
        first = {"library": f"{module} {version}"}
    except ImportError as error:
        first = {"missing": f"{module}: {error}"}
    print(json.dumps(first), file=answers, flush=True)
    for line in sys.stdin:
        try:
            found = read(Path(line.rstrip("\n")))
        except Exception as error:
            found = {"error": f"{type(error).__name__}: {str(error)[:200]}"}
        print(json.dumps(found), file=answers, flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
