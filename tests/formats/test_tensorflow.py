"""The reader of frozen graphs: good, cut, altered and hostile files; TensorFlow's own report."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cmx_resnet50 import dummy
from cmx_resnet50.formats import read_facts
from cmx_resnet50.formats.facts import Damaged, FormatError, TensorInfo
from cmx_resnet50.formats.protobuf import Document, encode_bytes, encode_varint_field
from tests.formats.messages import (
    DT_FLOAT,
    DT_INT32,
    DT_INT64,
    attribute,
    dtype,
    facts_of,
    output_shapes,
    read_cheaply,
    tf_constant,
    tf_graph,
    tf_node,
    tf_placeholder,
)
from tests.harness.model_files import model_file

IMAGE = tf_placeholder((-1, 224, 224, 3))
FLOATS = dtype("T", DT_FLOAT)


@functools.cache
def small() -> bytes:
    """Return the bytes of a small graph of the true network."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model"
        dummy.write("tensorflow", path, width=1)
        return path.read_bytes()


def test_a_resnet50(tmp_path: Path) -> None:
    path = tmp_path / "model"
    dummy.write("tensorflow", path, width=2)
    facts = read_facts(path, "tensorflow")
    assert facts.inputs == (TensorInfo("input_tensor", (None, 224, 224, 3), "float32"),)
    assert [(out.name, out.dtype) for out in facts.outputs] == [
        ("ArgMax", "int64"),
        ("softmax_tensor", "float32"),
    ]
    assert (facts.layout, facts.precision, facts.classes) == ("NHWC", "fp32", 1001)
    assert isinstance(facts.version["producer"], int)
    assert facts.parameter_bytes is not None
    assert 0.8 < facts.parameter_bytes / path.stat().st_size < 1


@pytest.mark.runtime
def test_agrees_with_tensorflow(tmp_path: Path) -> None:
    tf = pytest.importorskip("tensorflow", reason="needs tensorflow-cpu")
    path = tmp_path / "model"
    dummy.write("tensorflow", path, width=2)
    facts = read_facts(path)
    definition = tf.compat.v1.GraphDef.FromString(path.read_bytes())
    assert facts.version["producer"] == definition.versions.producer
    with tf.Graph().as_default() as graph:
        tf.import_graph_def(definition, name="")
    for value in (*facts.inputs, *facts.outputs):
        tensor = graph.get_tensor_by_name(f"{value.name}:0")
        assert tensor.dtype.as_numpy_dtype.__name__ == value.dtype
    assert facts.inputs[0].shape == tuple(graph.get_tensor_by_name("input_tensor:0").shape)
    scores = graph.get_tensor_by_name("softmax_tensor:0")
    assert scores.shape[-1] == facts.classes
    constants = [node for node in graph.get_operations() if node.type == "Const"]
    counts = [node.outputs[0].shape.num_elements() for node in constants]
    assert facts.parameter_count == sum(counts)


def test_outputs_are_what_nobody_reads(tmp_path: Path) -> None:
    data = tf_graph(
        IMAGE,
        tf_node("softmax_tensor", "Softmax", ("input_tensor",), FLOATS),
        tf_node("twice", "Split", ("softmax_tensor",), FLOATS),
        tf_node("read", "Relu", ("twice:1", "^watched"), FLOATS),
        tf_node("watched", "Relu", ("input_tensor",), FLOATS),
        tf_node("ArgMax", "ArgMax", ("twice",), FLOATS + dtype("output_type", 3)),
        tf_node("other", "ArgMax", ("twice",), FLOATS),
        tf_node("half", "Cast", ("twice",), dtype("SrcT", DT_FLOAT) + dtype("DstT", 19)),
        tf_constant("unused", (1,), bytes(4)),
        tf_node("init", "NoOp"),
    )
    facts = facts_of(data, tmp_path)
    assert [(out.name, out.dtype) for out in facts.outputs] == [
        ("softmax_tensor", "float32"),
        ("read", "float32"),
        ("ArgMax", "int32"),
        ("other", "int64"),
        ("half", "float16"),
    ]


def test_shapes_from_attributes(tmp_path: Path) -> None:
    scores = tf_node(
        "softmax_tensor", "Softmax", ("input_tensor",), FLOATS + output_shapes((-1, 7))
    )
    facts = facts_of(tf_graph(IMAGE, scores), tmp_path)
    assert facts.outputs == (TensorInfo("softmax_tensor", (None, 7), "float32"),)
    assert facts.classes == 7
    facts = facts_of(tf_graph(tf_placeholder(None), scores), tmp_path)
    assert facts.inputs == (TensorInfo("input_tensor", None, "float32"),)
    assert facts.layout is None
    facts = facts_of(tf_graph(tf_placeholder((4, 3, 224, 224)), scores), tmp_path)
    assert facts.inputs[0].shape == (4, 3, 224, 224)
    assert facts.layout == "NCHW"


def test_classes_of_the_last_layer_behind_an_identity(tmp_path: Path) -> None:
    data = tf_graph(
        IMAGE,
        tf_constant("bias", (1001,), bytes(4004)),
        tf_node("bias/read", "Identity", ("bias",), FLOATS),
        tf_node("logits", "BiasAdd", ("input_tensor", "bias/read"), FLOATS),
        tf_node("ArgMax", "ArgMax", ("logits",), FLOATS),
    )
    assert facts_of(data, tmp_path).classes == 1001


def test_constants_of_other_types(tmp_path: Path) -> None:
    data = tf_graph(
        IMAGE, tf_constant("a", (5, 2), bytes(10), 6), tf_constant("b", (), bytes(8), DT_INT64)
    )
    facts = facts_of(data, tmp_path)
    assert (facts.precision, facts.parameter_count) == ("int8", 11)
    assert facts.parameter_bytes == 18


def test_a_version_of_before_versions(tmp_path: Path) -> None:
    assert facts_of(IMAGE + encode_varint_field(3, 21), tmp_path).version == {"producer": 21}


def test_versions_are_optional(tmp_path: Path) -> None:
    facts = facts_of(IMAGE + tf_node("softmax_tensor", "Softmax", ("input_tensor",)), tmp_path)
    assert facts.version == {}
    assert [out.name for out in facts.outputs] == ["softmax_tensor"]


@pytest.mark.parametrize(("producer", "shape"), [(21, None), (23, None), (24, ()), (27, ())])
def test_an_empty_shape_of_an_old_producer_is_unknown(
    producer: int, shape: tuple[int, ...] | None, tmp_path: Path
) -> None:
    data = tf_graph(tf_placeholder(()), producer=producer)
    assert facts_of(data, tmp_path).inputs == (TensorInfo("input_tensor", shape, "float32"),)
    assert facts_of(tf_placeholder(()), tmp_path).inputs[0].shape is None


def test_types_of_outputs(tmp_path: Path) -> None:
    strings, quantized = dtype("dtype", 7), dtype("T", 12)
    data = tf_graph(
        tf_node("names", "Placeholder", (), strings),
        IMAGE,
        tf_node("larger", "Greater", ("input_tensor", "input_tensor"), FLOATS),
        tf_node("sized", "ResizeBilinear", ("input_tensor", "names"), dtype("T", 4)),
        tf_node("sizes", "Shape", ("input_tensor",), FLOATS),
        tf_node("wide", "Shape", ("input_tensor",), FLOATS + dtype("out_type", DT_INT64)),
        tf_node("plain", "Dequantize", ("input_tensor",), quantized),
        tf_node("variable", "Identity", ("input_tensor",), dtype("T", 101)),
    )
    facts = facts_of(data, tmp_path)
    assert facts.inputs[0] == TensorInfo("names", None, "string")
    assert [(out.name, out.dtype) for out in facts.outputs] == [
        ("larger", "bool"),
        ("sized", "float32"),
        ("sizes", "int32"),
        ("wide", "int64"),
        ("plain", "float32"),
        ("variable", "float32"),
    ]


@pytest.mark.parametrize("op", ["VariableV2", "VarHandleOp"])
def test_weights_outside_the_graph_are_not_guessed(op: str, tmp_path: Path) -> None:
    data = tf_graph(IMAGE, tf_node("w", op), tf_constant("step", (1,), bytes(4), DT_INT32))
    facts = facts_of(data, tmp_path)
    assert (facts.precision, facts.parameter_count, facts.parameter_bytes) == (None,) * 3


def test_weights_inside_functions_count(tmp_path: Path) -> None:
    body = tf_constant("w", (5,), bytes(20))[2:]
    function = encode_bytes(1, encode_bytes(1, encode_bytes(1, "f")) + encode_bytes(3, body))
    data = tf_graph(IMAGE, tf_constant("axis", (1,), bytes(4), DT_INT32)) + encode_bytes(
        2, function
    )
    facts = facts_of(data, tmp_path)
    assert (facts.precision, facts.parameter_count) == ("fp32", 6)


@pytest.mark.parametrize(
    ("name", "classes", "parameters"),
    [
        ("tf-cifar-frozen-dotnet-ml-testdata.pb", None, 58_818),
        ("tf-2.21-optimize_for_inference.pb", 3, 15),
        ("tf-not-frozen-mediapipe.pb", None, None),
    ],
)
def test_real_files(name: str, classes: int | None, parameters: int | None) -> None:
    facts = read_facts(model_file(name), "tensorflow")
    assert (facts.classes, facts.parameter_count) == (classes, parameters)
    assert facts.precision == (parameters and "fp32")


def test_a_cut_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model"
    data = small()
    document = Document(data)
    nodes = list(document.fields())
    fields = nodes + [field for node in nodes for field in document.fields(node)]
    edges = sorted({offset for field in fields for offset in (field.at, field.value, field.end)})
    # All of a few nodes, and some of all. Between two nodes, a cut may leave a smaller graph.
    cuts = {*edges[:150], *edges[::25], *(edge + 1 for edge in edges[::40]), *range(100)}
    cuts -= {node.at for node in nodes}
    assert len(cuts) > 400
    path.write_bytes(data)
    with path.open("rb+") as file:
        for cut in sorted((cut for cut in cuts if cut < len(data)), reverse=True):
            file.truncate(cut)
            with pytest.raises(FormatError):
                read_facts(path)


def test_a_cut_between_nodes_shows_in_an_edge(tmp_path: Path) -> None:
    data = tf_node("r", "Relu", ("input_tensor",), FLOATS) + IMAGE
    assert facts_of(data, tmp_path).inputs
    with pytest.raises(Damaged, match="'input_tensor', which does not exist"):
        facts_of(data[: -len(IMAGE)], tmp_path)


@functools.cache
def header_bits() -> st.SearchStrategy[int]:
    """Choose a bit of the small nodes, or of the first bytes of a large one."""
    fields = list(Document(small()).fields())
    offsets = [
        offset for field in fields for offset in range(field.at, min(field.end, field.at + 200))
    ]
    return st.sampled_from([8 * offset + bit for offset in offsets for bit in range(8)])


@settings(max_examples=150)
@given(data=st.data())
def test_a_flipped_bit_ends_in_facts_or_a_refusal(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    content = bytearray(small())
    bit = data.draw(header_bits())
    content[bit // 8] ^= 1 << bit % 8
    path = tmp_path_factory.getbasetemp() / "flipped.pb"
    path.write_bytes(content)
    with contextlib.suppress(FormatError):
        read_facts(path)


@settings(max_examples=200)
@given(st.binary(max_size=200))
def test_noise_in_a_graph_ends_in_facts_or_a_refusal(
    tmp_path_factory: pytest.TempPathFactory, noise: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "noise.pb"
    path.write_bytes(tf_graph(IMAGE, encode_bytes(1, noise)))
    with contextlib.suppress(FormatError):
        read_facts(path)


MIB = 1 << 20
HOSTILE: dict[str, Callable[[], bytes]] = {
    "a length beyond the file": lambda: IMAGE + b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\x7f",
    "two nodes of one name": lambda: tf_graph(IMAGE, IMAGE),
    "an input that does not exist": lambda: tf_graph(IMAGE, tf_node("x", "Relu", ("y",))),
    "a node without an operation": lambda: tf_graph(IMAGE, encode_bytes(1, encode_bytes(1, "x"))),
    "a node with a name of control bytes": lambda: tf_graph(IMAGE, tf_node("a\nb", "Relu")),
    "a constant without a value": lambda: tf_graph(IMAGE, tf_node("x", "Const")),
    "a constant without a tensor": lambda: tf_graph(
        IMAGE, tf_node("x", "Const", (), attribute("value", encode_varint_field(6, 1)))
    ),
    "more elements than bytes": lambda: tf_graph(IMAGE, tf_constant("w", (1 << 40,), bytes(4))),
    "more bytes than elements": lambda: tf_graph(IMAGE, tf_constant("w", (1,), bytes(400))),
    "elements beyond counting": lambda: tf_graph(IMAGE, tf_constant("w", (1 << 62,) * 200, b"")),
    "an open size of weights": lambda: tf_graph(IMAGE, tf_constant("w", (-1,), bytes(4))),
    "a negative size": lambda: tf_graph(IMAGE, tf_constant("w", (-2,), bytes(4))),
    "a rank beyond reason": lambda: tf_graph(IMAGE, tf_constant("w", (1,) * 1000, bytes(4))),
    "a type that does not exist": lambda: tf_graph(IMAGE, tf_constant("w", (1,), bytes(4), 99)),
    "millions of nodes": lambda: IMAGE + b"\x0a\x00" * (10 * MIB),
    "millions of inputs": lambda: tf_graph(
        IMAGE, encode_bytes(1, encode_bytes(1, "x") + b"\x1a\x00" * (10 * MIB))
    ),
    "a name of many megabytes": lambda: tf_graph(IMAGE, tf_node("x" * (50 * MIB), "Relu")),
    "many small nodes": lambda: tf_graph(
        IMAGE, *(tf_node(f"n{i}", "Relu", ("input_tensor",)) for i in range(80_000))
    ),
}


MAY_BE_VALID = {
    "a type that does not exist",
    "millions of inputs",
    "a name of many megabytes",
    "many small nodes",
}
"""Of those, what exceeds a limit of the reader, or is of a later version."""


@pytest.mark.unmeasured
@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_is_refused_cheaply(name: str, tmp_path: Path) -> None:
    path = tmp_path / "model"
    path.write_bytes(HOSTILE[name]())
    assert read_cheaply(path) == ("NotReadHere" if name in MAY_BE_VALID else "Damaged")


def test_a_circle_ends(tmp_path: Path) -> None:
    data = tf_graph(
        IMAGE,
        tf_node("a", "Add", ("b", "input_tensor"), FLOATS),
        tf_node("b", "Add", ("a", "a"), FLOATS),
        tf_node("ArgMax", "ArgMax", ("b",), FLOATS),
    )
    assert facts_of(data, tmp_path).classes is None


def test_the_refusal_names_the_node(tmp_path: Path) -> None:
    with pytest.raises(Damaged, match=r"the constant 'w' has 4 bytes.*need 12"):
        facts_of(tf_graph(IMAGE, tf_constant("w", (3,), bytes(4))), tmp_path)
