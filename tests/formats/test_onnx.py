"""The ONNX reader against the onnx package's report; `test_onnx_hostile` has damaged files."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from cmx_resnet50 import dummy
from cmx_resnet50.formats import read_facts
from cmx_resnet50.formats.facts import (
    Damaged,
    NotAModel,
    NotReadHere,
    TensorInfo,
)
from cmx_resnet50.formats.onnx.check import check_onnx
from cmx_resnet50.formats.protobuf import (
    encode_bytes,
    encode_varint_field,
)
from tests.formats.messages import facts_of, onnx_model, onnx_tensor, onnx_value
from tests.formats.onnx_report import dtype_name, reported, seen

KINDS = ("onnx-opset-8", "onnx-opset-11", "onnx-from-tf")
PACKAGE = Path(onnx.__file__).parent / "backend" / "test" / "data"
MODELS = sorted(PACKAGE.rglob("*.onnx"))
TENSORS = sorted(PACKAGE.rglob("*.pb"))

IMAGE = onnx_value(11, "image", ("N", 3, 224, 224))
SCORES = onnx_value(12, "scores", ("N", 1000))


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


def test_an_input_of_an_unknown_type_has_no_dtype(tmp_path: Path) -> None:
    (found,) = facts_of(onnx_model(onnx_value(11, "x", (1,), 99)), tmp_path).inputs
    assert found == TensorInfo("x", (1,), None)


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
