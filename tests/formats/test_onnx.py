"""The ONNX reader against the onnx package's report, on good, cut, altered and hostile files."""

from __future__ import annotations

import contextlib
import functools
import math
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import pytest
from google.protobuf.message import DecodeError
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from cmx_resnet50 import dummy
from cmx_resnet50.formats import read_facts
from cmx_resnet50.formats.facts import (
    Damaged,
    FormatError,
    ModelFacts,
    NotAModel,
    NotReadHere,
    TensorInfo,
)
from cmx_resnet50.formats.onnx.check import check_onnx
from cmx_resnet50.formats.protobuf import (
    Document,
    encode_bytes,
    encode_length_prefix,
    encode_varint_field,
)
from tests.formats.messages import facts_of, onnx_model, onnx_tensor, onnx_value, read_cheaply

KINDS = ("onnx-opset-8", "onnx-opset-11", "onnx-from-tf")
PACKAGE = Path(onnx.__file__).parent / "backend" / "test" / "data"
MODELS = sorted(PACKAGE.rglob("*.onnx"))
TENSORS = sorted(PACKAGE.rglob("*.pb"))

SMALL = {
    "BFLOAT16": "bfloat16",
    "FLOAT8E4M3FN": "float8_e4m3fn",
    "FLOAT8E4M3FNUZ": "float8_e4m3fnuz",
    "FLOAT8E5M2": "float8_e5m2",
    "FLOAT8E5M2FNUZ": "float8_e5m2fnuz",
    "INT4": "int4",
    "UINT4": "uint4",
}

IMAGE = onnx_value(11, "image", ("N", 3, 224, 224))
SCORES = onnx_value(12, "scores", ("N", 1000))


def weights(graph: onnx.GraphProto | onnx.FunctionProto) -> list[onnx.TensorProto]:
    """Return the constants of a graph, and of those inside it."""
    found = []
    if isinstance(graph, onnx.GraphProto):
        found = [*graph.initializer, *(sparse.values for sparse in graph.sparse_initializer)]
    for node in graph.node:
        for attribute in node.attribute:
            if node.op_type == "Constant" and attribute.HasField("t"):
                found.append(attribute.t)
            for inner in (*attribute.graphs, *([attribute.g] if attribute.HasField("g") else ())):
                found += weights(inner)
    return found


def reported(model: onnx.ModelProto) -> dict[str, object]:
    """Say of a parsed model what the reader says of its file."""
    graph = model.graph
    initializers = [*graph.initializer, *(sparse.values for sparse in graph.sparse_initializer)]
    constants = weights(graph) + [w for function in model.functions for w in weights(function)]
    names = {tensor.name for tensor in initializers}
    opsets = {entry.domain: entry.version for entry in model.opset_import}
    default = opsets.get("", opsets.get("ai.onnx"))
    return {
        "version": {"ir": model.ir_version} | ({} if default is None else {"opset": default}),
        "producer": " ".join(filter(None, [model.producer_name, model.producer_version])) or None,
        "inputs": tuple(info(value) for value in graph.input if value.name not in names),
        "outputs": tuple(info(value) for value in graph.output),
        "parameter_count": sum(math.prod(tensor.dims) for tensor in constants),
        "metadata": {entry.key: entry.value for entry in model.metadata_props},
    }


def info(value: onnx.ValueInfoProto) -> TensorInfo:
    kind = value.type.tensor_type
    if not value.type.HasField("tensor_type"):
        return TensorInfo(value.name, None, None)
    known = kind.elem_type != TensorProto.UNDEFINED
    dtype = dtype_name(kind.elem_type) if known else None
    if not kind.HasField("shape"):
        return TensorInfo(value.name, None, dtype)
    shape = tuple(
        dim.dim_value if dim.HasField("dim_value") and dim.dim_value >= 0 else dim.dim_param or None
        for dim in kind.shape.dim
    )
    return TensorInfo(value.name, shape, dtype)


def dtype_name(number: int) -> str:
    """Name an element type as NumPy does; older releases of onnx only have a wider one for some."""
    name = TensorProto.DataType.Name(number)
    return SMALL.get(name) or helper.tensor_dtype_to_np_dtype(number).name


def seen(facts: ModelFacts) -> dict[str, object]:
    keys = ("version", "producer", "inputs", "outputs", "parameter_count", "metadata")
    return {key: getattr(facts, key) for key in keys}


@functools.cache
def small() -> bytes:
    """Return the bytes of a small model with the true graph, as tf2onnx orders them."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model"
        dummy.write("onnx-opset-8", path, width=1)
        return path.read_bytes()


@pytest.mark.parametrize("kind", KINDS)
def test_a_resnet50(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "model"
    dummy.write(kind, path, width=2)
    model = onnx.load(str(path))
    facts = read_facts(path, "onnx")
    assert seen(facts) == reported(model)
    assert facts.layout == ("NHWC" if kind == "onnx-from-tf" else "NCHW")
    assert facts.precision == "fp32"
    assert facts.classes == 1001
    assert facts.parameter_bytes == sum(len(t.raw_data) for t in model.graph.initializer)
    assert (facts.outputs[0].name, facts.outputs[0].dtype) == ("ArgMax:0", "int64")


def test_there_are_models_to_read() -> None:
    assert any(path.name == "light_resnet50.onnx" for path in MODELS)
    assert len(MODELS) > 100
    assert len(TENSORS) > 100


@pytest.mark.parametrize("path", MODELS, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_each_model_of_the_onnx_package(path: Path) -> None:
    assert seen(read_facts(path)) == reported(onnx.load(str(path)))


def test_light_resnet50() -> None:
    facts = read_facts(PACKAGE / "light" / "light_resnet50.onnx")
    assert facts.version == {"ir": 3, "opset": 9}
    assert facts.inputs == (TensorInfo("gpu_0/data_0", (1, 3, 224, 224), "float32"),)
    assert facts.outputs == (TensorInfo("gpu_0/softmax_1", (1, 1000), "float32"),)
    assert (facts.layout, facts.classes) == ("NCHW", 1000)


def test_a_lone_tensor_is_no_model() -> None:
    for path in TENSORS:
        with pytest.raises(NotAModel):
            read_facts(path)


TYPES = [
    number
    for name, number in TensorProto.DataType.items()
    if name not in ("UNDEFINED", "STRING")
    and "6E" not in name
    and dtype_name(number) == helper.tensor_dtype_to_np_dtype(number).name
]


@pytest.mark.parametrize("dtype", TYPES, ids=TensorProto.DataType.Name)
@pytest.mark.parametrize("raw", [True, False])
def test_each_type_of_weights(dtype: int, raw: bool, tmp_path: Path) -> None:
    values = np.arange(15).reshape(3, 5) % 2
    kind = helper.tensor_dtype_to_np_dtype(dtype)
    tensor = (
        numpy_helper.from_array(values.astype(kind), "w")
        if raw
        else helper.make_tensor("w", dtype, (3, 5), values.flatten().tolist())
    )
    value = helper.make_tensor_value_info("y", dtype, (3, 5))
    graph = helper.make_graph(
        [helper.make_node("Identity", ["w"], ["y"])], "g", [], [value], [tensor]
    )
    facts = facts_of(helper.make_model(graph).SerializeToString(), tmp_path)
    assert facts.outputs == (TensorInfo("y", (3, 5), kind.name),)
    bits = {"uint4": 4, "int4": 4, "float4_e2m1fn": 4, "uint2": 2, "int2": 2}.get(kind.name)
    assert facts.parameter_count == 15
    assert facts.parameter_bytes == math.ceil(15 * (bits or 8 * kind.itemsize) / 8)
    names = {"float32": "fp32", "float16": "fp16", "float64": "fp64", "bfloat16": "bf16"}
    assert facts.precision == names.get(kind.name, kind.name)


def test_precision_is_that_of_most_bytes(tmp_path: Path) -> None:
    graph = (
        IMAGE
        + SCORES
        + onnx_tensor("a", (10,), bytes(10), TensorProto.INT8)
        + onnx_tensor("b", (4,), bytes(8), TensorProto.FLOAT16)
        + onnx_tensor("c", (1,), bytes(8), TensorProto.INT64)
    )
    facts = facts_of(onnx_model(graph), tmp_path)
    assert facts.precision == "int8"
    assert (facts.parameter_count, facts.parameter_bytes) == (15, 26)


@pytest.mark.parametrize(
    ("shape", "layout"),
    [
        (("N", 3, 224, 224), "NCHW"),
        ((8, 224, 224, 3), "NHWC"),
        (("N", 1, 28, 28), "NCHW"),
        (("N", 3, 224, 3), None),
        (("N", 224, 224), None),
        (("N", "C", "H", "W"), None),
        ((), None),
    ],
)
def test_layout(shape: tuple[int | str, ...], layout: str | None, tmp_path: Path) -> None:
    facts = facts_of(onnx_model(onnx_value(11, "x", shape) + SCORES), tmp_path)
    assert facts.layout == layout
    assert facts.inputs[0].shape == shape


def dense(op: str, second: str, dims: tuple[int, ...]) -> bytes:
    """Return a graph that ends in a layer with a constant and tells only the type of its scores."""
    edges = encode_bytes(1, "image") + encode_bytes(1, second)
    layer = encode_bytes(1, edges + encode_bytes(2, "logits") + encode_bytes(4, op))
    argmax = encode_bytes(
        1, encode_bytes(1, "logits") + encode_bytes(2, "label") + encode_bytes(4, "ArgMax")
    )
    label = onnx_value(12, "label", ("N",), TensorProto.INT64)
    return layer + argmax + IMAGE + label + onnx_tensor(second, dims, bytes(4 * math.prod(dims)))


@pytest.mark.parametrize(
    ("graph", "classes"),
    [
        (IMAGE + SCORES, None),
        (IMAGE + onnx_value(12, "mask", ("N", 21, 64, 64)), None),
        (IMAGE + onnx_value(12, "label", ("N",), TensorProto.INT64), None),
        (IMAGE + onnx_value(12, "boxes", ("N", 100), TensorProto.INT64), None),
        (dense("MatMul", "w", (4, 1001)), 1001),
        (dense("Gemm", "w", (4, 1000)), 1000),
        (dense("Add", "b", (10,)), 10),
        (dense("Mul", "b", (10,)), None),
    ],
)
def test_classes(graph: bytes, classes: int | None, tmp_path: Path) -> None:
    assert facts_of(onnx_model(graph), tmp_path).classes == classes


def test_the_operator_set_of_another_domain_is_not_the_opset(tmp_path: Path) -> None:
    other = encode_bytes(8, encode_bytes(1, "ai.onnx.ml") + encode_varint_field(2, 3))
    facts = facts_of(onnx_model(IMAGE + SCORES, opset=12) + other, tmp_path)
    assert facts.version == {"ir": 8, "opset": 12}


def test_fields_in_another_order(tmp_path: Path) -> None:
    data = (
        encode_bytes(8, encode_varint_field(2, 9))
        + encode_bytes(7, IMAGE + SCORES)
        + encode_varint_field(1, 4)
    )
    assert facts_of(data, tmp_path).version == {"ir": 4, "opset": 9}


def boundaries(data: bytes) -> set[int]:
    """Return every offset at which a field of the model, the graph or a part begins or ends."""
    document = Document(data)
    model = list(document.fields())
    graph = [field for top in model if top.number == 7 for field in document.fields(top)]
    messages = [field for field in graph if field.number in (1, 5, 11, 12, 13)]
    parts = [field for message in messages for field in document.fields(message)]
    return {offset for field in (*model, *graph, *parts) for offset in (field.at, field.end)}


def test_a_cut_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model"
    data = small()
    fields = list(Document(data).fields())
    # What follows the operator sets is optional, so a cut there leaves a smaller whole model.
    opsets = max(field.end for field in fields if field.number == 8)
    whole = {field.end for field in fields if field.end >= opsets}
    cuts = boundaries(data) | {offset + 1 for offset in boundaries(data)} | set(range(100))
    assert len(cuts) > 500
    path.write_bytes(data)
    with path.open("rb+") as file:
        for cut in sorted((cut for cut in cuts if cut < len(data)), reverse=True):
            file.truncate(cut)
            if cut in whole:
                read_facts(path)
                continue
            with pytest.raises(FormatError) as caught:
                read_facts(path)
            # A few bytes are not an ONNX model yet, nor are complete fields without a graph.
            begins = cut > 3 and cut not in {field.end for field in fields if field.number < 7}
            assert isinstance(caught.value, Damaged if begins else NotAModel), cut


@functools.cache
def header_bits() -> st.SearchStrategy[int]:
    """Choose a bit outside the weights."""
    data = small()
    document = Document(data)
    graph = next(field for field in document.fields() if field.number == 7)
    weights = [field for field in document.fields(graph) if field.number == 5]
    outside = [0, *range(weights[0].at), *range(weights[-1].end, len(data))]
    starts = [offset for field in weights for offset in range(field.at, field.at + 24)]
    return st.sampled_from([8 * byte + bit for byte in outside + starts for bit in range(8)])


@settings(max_examples=300)
@given(data=st.data())
def test_a_flipped_bit_ends_in_facts_or_a_refusal(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    content = bytearray(small())
    bit = data.draw(header_bits())
    content[bit // 8] ^= 1 << bit % 8
    path = tmp_path_factory.getbasetemp() / "flipped.onnx"
    path.write_bytes(content)
    try:
        facts = read_facts(path)
    except FormatError:
        return
    if facts.format != "onnx":
        return
    try:
        model = onnx.ModelProto.FromString(bytes(content))
    except DecodeError:
        return  # in a part of a node that says nothing of inputs, outputs or weights
    assert seen(facts) == reported(model)


@settings(max_examples=200)
@given(st.binary(max_size=200), st.binary(max_size=200))
def test_noise_in_a_model_ends_in_facts_or_a_refusal(
    tmp_path_factory: pytest.TempPathFactory, graph: bytes, after: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "noise.onnx"
    path.write_bytes(onnx_model(graph) + after)
    with contextlib.suppress(FormatError):
        read_facts(path)


def branch(name: str, size: int, *, nested: int = 0) -> onnx.GraphProto:
    """Return a graph without inputs that holds a weight, and a graph that does, and so on."""
    weight = numpy_helper.from_array(np.zeros(size, np.float32), f"w_{name}")
    nodes = [helper.make_node("Identity", [f"w_{name}"], [f"out_{name}"])]
    if nested:
        inner = branch(f"{name}i", size, nested=nested - 1)
        nodes.append(helper.make_node("If", ["c"], ["z"], then_branch=inner, else_branch=inner))
    value = helper.make_tensor_value_info(f"out_{name}", TensorProto.FLOAT, [size])
    return helper.make_graph(nodes, name, [], [value], [weight])


def chosen(*, nested: int = 0) -> onnx.ModelProto:
    node = helper.make_node(
        "If",
        ["c"],
        ["y"],
        then_branch=branch("a", 100, nested=nested),
        else_branch=branch("b", 100, nested=nested),
    )
    condition = helper.make_tensor_value_info("c", TensorProto.BOOL, [])
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, [100])
    axis = numpy_helper.from_array(np.array([1], np.int64), "axis")
    return helper.make_model(helper.make_graph([node], "g", [condition], [output], [axis]))


def test_weights_in_branches_count(tmp_path: Path) -> None:
    facts = facts_of(chosen().SerializeToString(), tmp_path)
    assert (facts.precision, facts.parameter_count) == ("fp32", 201)
    # Each of the two branches holds another graph twice.
    facts = facts_of(chosen(nested=1).SerializeToString(), tmp_path)
    assert facts.parameter_count == 601


@pytest.mark.parametrize("data", [b"\x08\x03", b"\x08\x03\x08\x03"])
def test_a_version_alone_is_no_model(data: bytes, tmp_path: Path) -> None:
    with pytest.raises(NotAModel, match="is not a model but"):
        facts_of(data, tmp_path)


def test_graphs_nested_without_end(tmp_path: Path) -> None:
    with pytest.raises(NotReadHere, match="not read here: nests graphs deeper than 16"):
        content = encode_bytes(7, IMAGE)
        for _ in range(20):
            node = encode_bytes(4, "Loop") + encode_bytes(5, encode_bytes(6, content))
            content = encode_bytes(1, node)
        facts_of(onnx_model(content), tmp_path)


def test_weights_in_functions_count(tmp_path: Path) -> None:
    weight = numpy_helper.from_array(np.zeros(7, np.float32))
    constant = helper.make_node("Constant", [], ["w"], value=weight)
    add = helper.make_node("Add", ["x", "w"], ["y"])
    opsets = [helper.make_opsetid("", 13), helper.make_opsetid("mine", 1)]
    function = helper.make_function("mine", "Plus", ["x"], ["y"], [constant, add], opsets)
    value = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [7]) for name in "xy"]
    graph = helper.make_graph(
        [helper.make_node("Plus", ["x"], ["y"], domain="mine")], "g", value[:1], value[1:]
    )
    model = helper.make_model(graph, functions=[function], opset_imports=opsets)
    facts = facts_of(model.SerializeToString(), tmp_path)
    assert (facts.precision, facts.parameter_count) == ("fp32", 7)
    assert facts.requires == ()


def test_operators_of_others_are_named(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("QLinearAdd", ["x"], ["a"], domain="com.microsoft"),
        helper.make_node("Normalizer", ["a"], ["b"], domain="ai.onnx.ml"),
        helper.make_node("Odd\x1b[31m", ["b"], ["y"], domain="somewhere"),
    ]
    value = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [7]) for name in "xy"]
    model = helper.make_model(helper.make_graph(nodes, "g", value[:1], value[1:]))
    assert facts_of(model.SerializeToString(), tmp_path).requires == (
        "operators of com.microsoft: QLinearAdd",
        r"operators of somewhere: 'Odd\x1b[31m'",
    )


def test_external_weights_count_only_if_they_are_there(tmp_path: Path) -> None:
    weight = numpy_helper.from_array(np.zeros((10, 3, 2, 2), np.float32), "w")
    axis = numpy_helper.from_array(np.array([1], np.int64), "axis")
    graph = helper.make_graph(
        [helper.make_node("Conv", ["x", "w"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 10, 7, 7])],
        [weight, axis],
    )
    path = tmp_path / "model.onnx"
    onnx.save(
        helper.make_model(graph),
        str(path),
        save_as_external_data=True,
        location="weights.data",
        size_threshold=64,
    )
    facts = read_facts(path)
    assert (facts.precision, facts.parameter_count, facts.parameter_bytes) == ("fp32", 121, 488)
    assert facts.files == ("weights.data",)
    assert facts.requires == ("external data: the file 'weights.data'",)
    assert facts.warnings == ()
    data = tmp_path / "weights.data"
    data.write_bytes(data.read_bytes()[:-1])
    facts = read_facts(path)
    assert (facts.precision, facts.parameter_count, facts.parameter_bytes) == (None, None, None)
    assert "'weights.data', which is cut" in facts.warnings[0]
    data.unlink()
    facts = read_facts(path)
    assert (facts.precision, facts.parameter_count) == (None, None)
    assert "'weights.data', which is not next to it" in facts.warnings[0]


@pytest.mark.parametrize("location", ["/etc/passwd", "../outside", "a/../../outside", "a\nb"])
def test_external_weights_elsewhere_are_not_looked_at(location: str, tmp_path: Path) -> None:
    (tmp_path / "outside").write_bytes(bytes(100))
    folder = tmp_path / "folder"
    folder.mkdir()
    place = encode_bytes(13, encode_bytes(1, "location") + encode_bytes(2, location))
    record = encode_varint_field(1, 1) + encode_varint_field(2, 1) + encode_bytes(8, "w") + place
    weight = encode_bytes(5, record + encode_varint_field(14, 1))
    facts = facts_of(onnx_model(IMAGE + SCORES + weight), folder)
    assert facts.parameter_count is None
    assert "which is not next to it" in facts.warnings[0]


MIB = 1 << 20
HOSTILE = {
    "a length beyond the file": encode_varint_field(1, 8)
    + b"\x3a\xff\xff\xff\xff\xff\xff\xff\xff\x7f",
    "a length beyond the graph": onnx_model(b"\x0a\xff\x7f" + IMAGE),
    "two graphs": onnx_model(IMAGE) + encode_bytes(7, SCORES),
    "no operator set": encode_varint_field(1, 8) + encode_bytes(7, IMAGE + SCORES),
    "no graph": encode_varint_field(1, 8) + encode_bytes(8, encode_varint_field(2, 13)),
    "a graph that is a number": encode_varint_field(1, 8)
    + encode_varint_field(7, 1)
    + encode_bytes(8, encode_varint_field(2, 13)),
    "more elements than bytes": onnx_model(IMAGE + onnx_tensor("w", (1 << 40,), bytes(4))),
    "more bytes than elements": onnx_model(IMAGE + onnx_tensor("w", (1,), bytes(400))),
    "elements beyond counting": onnx_model(IMAGE + onnx_tensor("w", (1 << 62,) * 60, b"")),
    "a negative size": onnx_model(IMAGE + onnx_tensor("w", (-1,), b"")),
    "a rank beyond reason": onnx_model(IMAGE + onnx_tensor("w", (1,) * 1000, bytes(4))),
    "a type that does not exist": onnx_model(IMAGE + onnx_tensor("w", (1,), bytes(4), 99)),
    "an input of a thousand axes": onnx_model(onnx_value(11, "x", (1,) * 1000)),
    "a weight without data": onnx_model(
        encode_bytes(
            5, encode_varint_field(1, 3) + encode_varint_field(2, 7) + encode_bytes(8, "w")
        )
    ),
    "float weights without data": onnx_model(
        encode_bytes(5, encode_varint_field(1, 3) + encode_varint_field(2, 1))
    ),
    "a name that is no text": onnx_model(
        onnx_value(11, "x", (1,)) + encode_bytes(11, encode_bytes(1, b"\xff"))
    ),
    "millions of nodes": onnx_model(b"\x0a\x00" * (10 * MIB)),
    "millions of weights": onnx_model(b"\x2a\x00" * (10 * MIB)),
    "millions of operator sets": onnx_model(IMAGE) + b"\x42\x00" * (10 * MIB),
    "millions of packed sizes": onnx_model(encode_bytes(5, encode_bytes(1, bytes(20 * MIB)))),
    "names of many megabytes": onnx_model(onnx_value(11, "x" * (50 * MIB), (1,))),
    "metadata of many megabytes": onnx_model(IMAGE)
    + encode_bytes(14, encode_bytes(2, bytes(50 * MIB))),
    "nested without end": onnx_model(
        functools.reduce(lambda inner, _: encode_bytes(1, inner), range(2000), b"")
    ),
}


MAY_BE_VALID = {
    "a rank beyond reason",
    "a type that does not exist",
    "an input of a thousand axes",
    "metadata of many megabytes",
    "millions of nodes",
    "millions of operator sets",
    "millions of packed sizes",
    "names of many megabytes",
}
"""Of those, what exceeds a limit of the reader, or is of a later version."""
NO_ONNX_MODEL = {"no graph", "a length beyond the file", "a graph that is a number"}
"""Of those, what does not even begin as a model does."""


@pytest.mark.unmeasured
@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_is_refused_cheaply(name: str, tmp_path: Path) -> None:
    path = tmp_path / "model"
    path.write_bytes(HOSTILE[name])
    expected = "NotReadHere" if name in MAY_BE_VALID else "Damaged"
    assert read_cheaply(path) == ("NotAModel" if name in NO_ONNX_MODEL else expected)


def test_an_input_of_an_unknown_type_has_no_dtype(tmp_path: Path) -> None:
    (found,) = facts_of(onnx_model(onnx_value(11, "x", (1,), 99)), tmp_path).inputs
    assert found == TensorInfo("x", (1,), None)


@pytest.mark.unmeasured
def test_weights_are_not_read(tmp_path: Path) -> None:
    """Step over 4 GB of weights in 40,000 tensors, which are a hole in the file."""
    path = tmp_path / "model"
    count, each = 40_000, 100_000
    record = (
        encode_bytes(8, "w")
        + encode_varint_field(1, each)
        + encode_varint_field(2, TensorProto.INT8)
        + encode_length_prefix(9, each)
    )
    header = encode_length_prefix(5, len(record) + each) + record
    tail = IMAGE + SCORES
    size = count * (len(header) + each) + len(tail)
    with path.open("wb") as file:
        file.write(encode_varint_field(1, 8) + encode_length_prefix(7, size))
        for _ in range(count):
            file.write(header)
            file.seek(each, 1)
        file.write(tail + encode_bytes(8, encode_varint_field(2, 13)))
    assert read_cheaply(path) == "facts"


def test_check_accepts_what_the_package_accepts(tmp_path: Path) -> None:
    path = tmp_path / "model"
    dummy.write("onnx-opset-11", path, width=1)
    check_onnx(path)


def test_check_tells_the_reason(tmp_path: Path) -> None:
    path = tmp_path / "model"
    dummy.write("onnx-opset-11", path, width=1)
    model = onnx.load(str(path))
    model.graph.output[1].type.tensor_type.shape.dim[1].dim_value = 7
    onnx.save(model, str(path))
    assert read_facts(path).outputs[1].shape == ("N", 7)
    with pytest.raises(Damaged, match=r"rejected by the checker of the onnx package: .*1001"):
        check_onnx(path)


def test_counts_agree_over_the_types_of_a_model() -> None:
    counts = Counter(read_facts(path).precision for path in MODELS)
    assert counts["fp32"] > 10
