"""Small protobuf files made by hand for the tests of the readers, and what they may cost."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from cmx_resnet50.formats import read_facts
from cmx_resnet50.formats.facts import ModelFacts
from cmx_resnet50.formats.protobuf import encode_bytes, encode_varint_field
from tests.harness.build import MEASURED

FLOAT, INT64 = 1, 7  # TensorProto.DataType of ONNX
DT_FLOAT, DT_INT32, DT_INT64 = 1, 3, 9  # tensorflow.DataType

_COST = """
import sys, time
from pathlib import Path
from cmx_resnet50.formats import read_facts
from cmx_resnet50.formats.facts import FormatError

start = time.process_time()
try:
    read_facts(Path(sys.argv[1]))
    outcome = "facts"
except FormatError as error:
    outcome = type(error).__name__
seconds = time.process_time() - start
# VmHWM and not ru_maxrss, which a process inherits from the one that started it.
status = Path("/proc/self/status").read_text().split()
print(outcome, seconds, int(status[status.index("VmHWM:") + 1]) / 1024)
"""


def facts_of(data: bytes, tmp_path: Path) -> ModelFacts:
    """Read a file of these bytes."""
    path = tmp_path / "model"
    path.write_bytes(data)
    return read_facts(path)


def read_cheaply(path: Path, most: float = 100) -> str:
    """Read `path` in a process of its own, within a second and `most` MB; return the outcome."""
    done = subprocess.run(
        [sys.executable, "-c", _COST, str(path)],
        env={name: value for name, value in os.environ.items() if name != MEASURED},
        capture_output=True,
        text=True,
        check=True,
    )
    outcome, cpu, megabytes = done.stdout.split()
    assert float(cpu) < 1
    assert float(megabytes) < most
    return outcome


def onnx_model(graph: bytes, *, ir: int = 8, opset: int = 13) -> bytes:
    """Return an ONNX model around the bytes of a graph."""
    return (
        encode_varint_field(1, ir)
        + encode_bytes(2, "tests")
        + encode_bytes(7, graph)
        + encode_bytes(8, encode_varint_field(2, opset))
    )


def onnx_value(number: int, name: str, dims: tuple[int | str, ...], dtype: int = FLOAT) -> bytes:
    """Return a value of a graph: 11 is an input, 12 an output, 13 an inner value."""
    shape = b"".join(
        encode_bytes(
            1, encode_varint_field(1, dim) if isinstance(dim, int) else encode_bytes(2, dim)
        )
        for dim in dims
    )
    return encode_bytes(
        number,
        encode_bytes(1, name)
        + encode_bytes(2, encode_bytes(1, encode_varint_field(1, dtype) + encode_bytes(2, shape))),
    )


def onnx_tensor(name: str, dims: tuple[int, ...], raw: bytes, dtype: int = FLOAT) -> bytes:
    """Return an initializer of a graph."""
    sizes = b"".join(encode_varint_field(1, dim) for dim in dims)
    return encode_bytes(
        5, sizes + encode_varint_field(2, dtype) + encode_bytes(8, name) + encode_bytes(9, raw)
    )


def attribute(name: str, value: bytes) -> bytes:
    """Return an attribute of a TensorFlow node; `value` is an AttrValue."""
    return encode_bytes(5, encode_bytes(1, name) + encode_bytes(2, value))


def tf_shape(dims: tuple[int, ...] | None) -> bytes:
    """Return a TensorShapeProto; None is an unknown rank, -1 an unknown size."""
    if dims is None:
        return encode_varint_field(3, 1)
    return b"".join(encode_bytes(2, encode_varint_field(1, dim)) for dim in dims)


def output_shapes(*shapes: tuple[int, ...] | None) -> bytes:
    """Return the annotation `_output_shapes` of a TensorFlow node."""
    return attribute(
        "_output_shapes", encode_bytes(1, b"".join(encode_bytes(7, tf_shape(s)) for s in shapes))
    )


def tf_node(name: str, op: str, inputs: tuple[str, ...] = (), attributes: bytes = b"") -> bytes:
    """Return a node of a TensorFlow graph."""
    edges = b"".join(encode_bytes(3, edge) for edge in inputs)
    return encode_bytes(1, encode_bytes(1, name) + encode_bytes(2, op) + edges + attributes)


def tf_placeholder(dims: tuple[int, ...] | None, extra: bytes = b"") -> bytes:
    """Return a Placeholder named ``input_tensor``."""
    shape = attribute("shape", encode_bytes(7, tf_shape(dims)))
    return tf_node("input_tensor", "Placeholder", (), dtype("dtype", DT_FLOAT) + shape + extra)


def dtype(name: str, number: int) -> bytes:
    """Return an attribute that holds a type."""
    return attribute(name, encode_varint_field(6, number))


def tf_constant(name: str, dims: tuple[int, ...], content: bytes, kind: int = DT_FLOAT) -> bytes:
    """Return a Const node."""
    tensor = (
        encode_varint_field(1, kind) + encode_bytes(2, tf_shape(dims)) + encode_bytes(4, content)
    )
    return tf_node(
        name, "Const", (), dtype("dtype", kind) + attribute("value", encode_bytes(8, tensor))
    )


def tf_graph(*nodes: bytes, producer: int = 27) -> bytes:
    """Return a TensorFlow graph of these nodes."""
    return b"".join(nodes) + encode_bytes(
        4, encode_varint_field(1, producer) + encode_varint_field(2, 12)
    )
