"""The reader of TensorFlow frozen graphs (a GraphDef in one file), without TensorFlow.

A frozen graph is a list of nodes; the weights are in the attribute ``value`` of its Const nodes
and are skipped. The numbers of fields and types are those of TensorFlow's ``graph.proto``,
``node_def.proto``, ``attr_value.proto``, ``tensor.proto``, ``tensor_shape.proto``,
``types.proto`` and ``versions.proto`` (https://github.com/tensorflow/tensorflow).
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from cmx_resnet50.formats.classifier import Kind, Layer, count_classes
from cmx_resnet50.formats.facts import Damaged, ModelFacts, NotReadHere, TensorInfo
from cmx_resnet50.formats.protobuf import LENGTH, VARINT, Document, Field, map_file, peek
from cmx_resnet50.formats.tensors import layout_of, precision_of

_GRAPH_FIELDS = {
    1: LENGTH,  # node
    2: LENGTH,  # library
    3: VARINT,  # version, of before VersionDef
    4: LENGTH,  # versions
    5: LENGTH,  # debug_info
}

_DTYPES: dict[int, tuple[str, int | None]] = {
    1: ("float32", 4),
    2: ("float64", 8),
    3: ("int32", 4),
    4: ("uint8", 1),
    5: ("int16", 2),
    6: ("int8", 1),
    7: ("string", None),
    8: ("complex64", 8),
    9: ("int64", 8),
    10: ("bool", 1),
    11: ("int8", 1),  # qint8
    12: ("uint8", 1),  # quint8
    13: ("int32", 4),  # qint32
    14: ("bfloat16", 2),
    15: ("int16", 2),  # qint16
    16: ("uint16", 2),  # quint16
    17: ("uint16", 2),
    18: ("complex128", 16),
    19: ("float16", 2),
    20: ("resource", None),
    21: ("variant", None),
    22: ("uint32", 4),
    23: ("uint64", 8),
    24: ("float8_e5m2", 1),
    25: ("float8_e4m3fn", 1),
    26: ("float8_e4m3fnuz", 1),
    27: ("float8_e4m3b11fnuz", 1),
    28: ("float8_e5m2fnuz", 1),
    29: ("int4", None),
    30: ("uint4", None),
    31: ("int2", None),
    32: ("uint2", None),
    33: ("float4_e2m1fn", None),
}
"""DataType: NumPy's name, and bytes an element in tensor_content (None: not fixed)."""

_REFERENCE = 100
"""Added to a DataType for a reference to a variable of it."""

_FIXED_OUTPUTS = {
    op: dtype
    for dtype, ops in {
        "bool": "ApproximateEqual Equal Greater GreaterEqual InTopK InTopKV2 IsFinite IsInf IsNan"
        " IsVariableInitialized Less LessEqual NotEqual RiscBinaryComparison RiscIsFinite ToBool",
        "float32": "AdjustContrast CropAndResize CropAndResizeGradBoxes EditDistance"
        " RequantizationRangePerChannel ResizeArea ResizeBicubic ResizeBilinear RiscRandomUniform"
        " ScaleAndTranslate TensorArrayScatter TensorArrayScatterV2 TensorArrayScatterV3"
        " TensorArraySplit TensorArraySplitV2 TensorArraySplitV3 TensorArrayUnpack TensorArrayWrite"
        " TensorArrayWriteV2 TensorArrayWriteV3",
        "float64": "DebugNumericSummary",
        "int32": "Bucketize NonMaxSuppressionV2 NonMaxSuppressionV3 NonMaxSuppressionV4"
        " NonMaxSuppressionV5 Rank SetSize",
        "int64": "AddManySparseToTensorsMap AddSparseToTensorsMap CTCBeamSearchDecoder"
        " CTCGreedyDecoder DebugNanCount DenseCountSparseOutput DenseToDenseSetOperation"
        " DenseToSparseSetOperation DeserializeManySparse DeserializeSparse"
        " RaggedCountSparseOutput RaggedFillEmptyRows RaggedTensorToSparse"
        " SparseAccumulatorTakeGradient SparseAdd SparseConcat SparseCountSparseOutput SparseCross"
        " SparseFillEmptyRows SparseReduceMaxSparse SparseReduceSumSparse SparseReorder SparseSlice"
        " SparseSparseMaximum SparseSparseMinimum SparseSplit SparseToSparseSetOperation"
        " TakeManySparseFromTensorsMap Where",
        "resource": "GetSessionHandleV2 ResourceConditionalAccumulator TensorArrayV3 VarHandleOp",
        "string": "AsString ConditionalAccumulator DtypeWithDefaultOp EncodePng GetSessionHandle"
        " HistogramSummary ImageSummary ScalarSummary SerializeTensor SparseConditionalAccumulator"
        " Substr TensorArray TensorArrayV2 TensorSummary TensorSummaryV2",
        "uint8": "Fingerprint PopulationCount",
        "uint64": "XlaRngBitGenerator",
        "variant": "DenseToCSRSparseMatrix Prelinearize SparseMatrixAdd SparseMatrixMul"
        " SparseTensorToCSRSparseMatrix",
    }.items()
    for op in ops.split()
}
"""The operations whose first output has one type, whatever their attributes are."""

_OUTPUT_TYPES = ("output_type", "out_type", "output_dtype", "Tout", "type", "dtype", "DstT", "T")
"""The attributes that may be the type of the first output, the decisive one first."""

_OUTPUT_DEFAULTS = {
    op: dtype
    for dtype, ops in {
        "complex64": "Complex",
        "float32": "Angle ComplexAbs DebugNumericSummaryV2 Dequantize Imag IsotonicRegression Real"
        " RiscImag RiscReal StatelessRandomNormal StatelessRandomUniform StatelessTruncatedNormal",
        "int32": "HistogramFixedWidth LowerBound RiscShape Shape ShapeN Size UpperBound",
        "int64": "ArgMax ArgMin Multinomial RaggedRange StatefulRandomBinomial StatelessMultinomial"
        " StatelessRandomBinomial",
        "string": "SerializeManySparse SerializeSparse",
        "uint64": "StatelessRandomUniformFullInt",
        "uint8": "RequantizePerChannel",
    }.items()
    for op in ops.split()
}
"""The operations that may omit their attribute for the type of the output; T is the input's."""

_NODE_NAME = re.compile(r"[A-Za-z0-9.][A-Za-z0-9_.\\/>-]*")
_OP_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.>]*")
_MAX_RANK = 254

INPUT_OPS = frozenset({"Placeholder", "PlaceholderV2"})
_NO_RESULT = INPUT_OPS | {"Const", "NoOp"}
_VARIABLES = frozenset(
    {
        "AutoReloadVariable",
        "ReadVariableOp",
        "ResourceGather",
        "TemporaryVariable",
        "VarHandleOp",
        "Variable",
        "VariableV2",
    }
)
"""Operations of a graph that is not frozen: its weights are in another file."""

_SCALAR_PLACEHOLDERS = 24
"""Producers before this one wrote an empty shape for a Placeholder of unknown rank."""

_RESULTS = frozenset({"ArgMax", "softmax_tensor"})
"""The outputs by name of the MLPerf graph, which stay outputs where another node reads them."""

_HEAD = {
    "Add": Kind.PASS,
    "AddV2": Kind.PASS,
    "ArgMax": Kind.ARGMAX,
    "AvgPool": Kind.POOL,
    "BiasAdd": Kind.PASS,
    "Cast": Kind.PASS,
    "Conv2D": Kind.CONVOLUTION,
    "ExpandDims": Kind.PASS,
    "Identity": Kind.PASS,
    "LogSoftmax": Kind.SOFTMAX,
    "MatMul": Kind.DENSE,
    "Mean": Kind.POOL,
    "Relu": Kind.RECTIFY,
    "Relu6": Kind.RECTIFY,
    "Reshape": Kind.PASS,
    "Softmax": Kind.SOFTMAX,
    "Squeeze": Kind.PASS,
    "TopKV2": Kind.PASS,
}
_BIASES = frozenset({"Add", "AddV2", "BiasAdd"})
_UNITS = {"Conv2D": (4, 3), "MatMul": (2, 1)}
"""The rank of the weights, and their axis that is as long as there are scores."""


class Constant(NamedTuple):
    """The record of a Const node's tensor, without its data."""

    dtype: int
    dims: tuple[int, ...]

    @property
    def size(self) -> int:
        """Bytes of all elements; 0 for text."""
        return math.prod(self.dims) * (_DTYPES[self.dtype][1] or 0)


class Node(NamedTuple):
    """A node of the graph; its attributes are the fields that hold them."""

    name: str
    op: str
    inputs: tuple[str, ...]
    attributes: tuple[Field, ...]


@dataclass
class _Graph:
    nodes: dict[str, Node] = field(default_factory=dict)
    constants: dict[str, Constant] = field(default_factory=dict)
    functions: list[Constant] = field(default_factory=list)
    """The constants inside functions of the graph's library."""
    version: dict[str, int | str] = field(default_factory=dict)
    frozen: bool = True
    """Whether all weights are constants in this file."""


def sniff(head: bytes) -> bool:
    """Detect a TensorFlow graph by the first bytes of the file."""
    fields = peek(head)
    if not fields or any(_GRAPH_FIELDS.get(found.number) != found.wire for found in fields):
        return False
    node = next((found for found in fields if found.number == 1), None)
    if node is None:
        return False
    # Many a protobuf message begins with a length-delimited field 1: a node has a name and an op.
    inner = peek(head[node.value : node.end])
    name = next((found for found in inner if found.number == 1), None)
    op = next((found for found in inner if found.number == 2), None)
    return (
        name is not None
        and _looks_like(_NODE_NAME, head, node, name)
        and (op is None or _looks_like(_OP_NAME, head, node, op))
    )


def read_facts(path: Path) -> ModelFacts:
    """Read the facts of a frozen graph, without its weights.

    Raises
    ------
    NotAModel
        If `path` is not a regular file, or empty.
    Damaged
        If the file contradicts the format: cut, altered or hostile.
    NotReadHere
        If it exceeds a limit, or has types that are not known here.
    OSError
        If the file cannot be read.
    """
    with map_file(path) as document:
        graph = _read_graph(document)
        consumed = {producer_of(name)[0] for node in graph.nodes.values() for name in node.inputs}
        inputs = [
            _describe(document, graph, node)
            for node in graph.nodes.values()
            if node.op in INPUT_OPS
        ]
        results = [
            node
            for node in graph.nodes.values()
            if node.op not in _NO_RESULT and (node.name not in consumed or node.name in _RESULTS)
        ]
        outputs = [_describe(document, graph, node) for node in results]
        classes = _count_classes(document, graph, inputs, outputs)

    constants = [*graph.constants.values(), *graph.functions]
    sizes: Counter[str] = Counter()
    for constant in constants:
        sizes[_DTYPES[constant.dtype][0]] += constant.size
    return ModelFacts(
        format="tensorflow",
        version=graph.version,
        inputs=tuple(inputs),
        outputs=tuple(outputs),
        layout=layout_of([info.shape for info in inputs]),
        precision=precision_of(sizes) if graph.frozen else None,
        classes=classes,
        parameter_count=sum(math.prod(c.dims) for c in constants) if graph.frozen else None,
        parameter_bytes=sum(c.size for c in constants) if graph.frozen else None,
    )


def producer_of(edge: str) -> tuple[str, int | None]:
    """Split a node's input into the node that produces it and the port, None for control only."""
    if edge.startswith("^"):
        return edge[1:], None
    name, colon, port = edge.rpartition(":")
    return (name, int(port)) if colon and port.isdecimal() and len(port) < 10 else (edge, 0)


def read_node(document: Document, record: Field) -> Node:
    """Read a node (NodeDef).

    Raises
    ------
    Damaged
        If it has no name or no operation.
    """
    name = op = ""
    inputs = []
    attributes = []
    for item in document.fields(record):
        if item.number == 1:
            name = document.text(item)
        elif item.number == 2:
            op = document.text(item)
        elif item.number == 3:
            inputs.append(document.text(item))
        elif item.number == 5:
            attributes.append(item)
    if not _NODE_NAME.fullmatch(name) or not _OP_NAME.fullmatch(op):
        raise Damaged(f"a node has the name {name[:80]!r} and the operation {op[:80]!r}", record.at)
    return Node(name, op, tuple(inputs), tuple(attributes))


def read_attributes(document: Document, node: Node) -> Mapping[str, Field]:
    """Return the values (AttrValue) of a node's attributes by their names."""
    values: dict[str, Field] = {}
    for entry in node.attributes:
        key = document.only(entry, 1)
        value = document.only(entry, 2)
        if key is not None and value is not None:
            values[document.text(key)] = value
    return values


def read_shape(document: Document, record: Field) -> tuple[int | None, ...] | None:
    """Read a TensorShapeProto; None is an unknown rank or, inside, an unknown size."""
    sizes: list[int | None] = []
    unknown = False
    for item in document.fields(record):
        if item.number == 2:
            size = document.only(item, 1)
            number = 0 if size is None else document.integer(size)
            if number < -1:
                raise Damaged("a shape has a negative size", item.at)
            sizes.append(None if number == -1 else number)
        elif item.number == 3:
            unknown = bool(document.integer(item))
    if len(sizes) > _MAX_RANK:
        raise Damaged(f"a shape has {len(sizes):,} dimensions", record.at)
    return None if unknown else tuple(sizes)


def read_constant(document: Document, node: Node, value: Field) -> Constant:
    """Read the record of a Const node's tensor, and compare the length of its data with its shape.

    Raises
    ------
    Damaged
        If it has an unknown type, no shape, or data of another length.
    """
    tensor = document.only(value, 8)
    if tensor is None:
        raise Damaged(f"the constant {node.name!r} has no tensor", value.at)
    dtype = 0
    dims: tuple[int | None, ...] | None = ()
    content: int | None = None
    for item in document.fields(tensor):
        if item.number == 1:
            dtype = document.integer(item)
        elif item.number == 2:
            dims = read_shape(document, item)
        elif item.number == 4:
            content = document.payload(item)
    if dtype not in _DTYPES:
        if dtype <= 0:
            raise Damaged(f"the constant {node.name!r} has no type", tensor.at)
        raise NotReadHere(
            f"the constant {node.name!r} has the type {dtype}, unknown here", tensor.at
        )
    if dims is None:
        raise Damaged(f"the constant {node.name!r} has no full shape", tensor.at)
    sizes = tuple(size for size in dims if size is not None)
    if len(sizes) != len(dims) or math.prod(sizes) >> 63:
        raise Damaged(f"the constant {node.name!r} has an impossible shape", tensor.at)
    constant = Constant(dtype, sizes)
    # Without tensor_content the values are in lists, where the last one repeats to the end.
    if content and _DTYPES[dtype][1] and content != constant.size:
        raise Damaged(
            f"the constant {node.name!r} has {content:,} bytes, its shape {list(sizes)} and type"
            f" {_DTYPES[dtype][0]} need {constant.size:,}",
            tensor.at,
        )
    return constant


def _looks_like(pattern: re.Pattern[str], head: bytes, node: Field, part: Field) -> bool:
    """Whether the text `part` inside `node` matches, as far as it is in `head`."""
    if part.wire != LENGTH:
        return False
    text = head[node.value + part.value : node.value + part.end]
    return bool(text) and pattern.fullmatch(text.decode("latin-1")) is not None


def _read_graph(document: Document) -> _Graph:
    graph = _Graph()
    for item in document.fields():
        if item.number == 1:
            node = read_node(document, item)
            if node.name in graph.nodes:
                raise Damaged(f"two nodes have the name {node.name!r}", item.at)
            if node.op == "Const":
                graph.constants[node.name] = _read_const(document, node, item)
            graph.nodes[node.name] = node
            graph.frozen &= node.op not in _VARIABLES
        elif item.number == 2:
            _read_library(document, item, graph)
        elif item.number == 3:
            graph.version.setdefault("producer", document.integer(item))
        elif item.number == 4:
            for entry in document.fields(item):
                if entry.number in (1, 2):
                    key = "producer" if entry.number == 1 else "min_consumer"
                    graph.version[key] = document.integer(entry)
    for node in graph.nodes.values():
        for edge in node.inputs:
            if producer_of(edge)[0] not in graph.nodes:
                raise Damaged(f"the node {node.name!r} reads {edge!r}, which does not exist")
    return graph


def _read_const(document: Document, node: Node, record: Field) -> Constant:
    value = read_attributes(document, node).get("value")
    if value is None:
        raise Damaged(f"the constant {node.name!r} has no value", record.at)
    return read_constant(document, node, value)


def _read_library(document: Document, record: Field, graph: _Graph) -> None:
    """Collect the constants of the functions that the nodes of `graph` may call."""
    for function in document.fields(record):
        if function.number != 1:
            continue
        for item in document.fields(function):
            if item.number == 3:
                node = read_node(document, item)
                if node.op == "Const":
                    graph.functions.append(_read_const(document, node, item))
                graph.frozen &= node.op not in _VARIABLES


def _describe(document: Document, graph: _Graph, node: Node) -> TensorInfo:
    """Return name, shape and type of a node's first result, as far as its attributes have them."""
    attributes = read_attributes(document, node)
    record = None
    if "_output_shapes" in attributes:
        shapes = document.only(attributes["_output_shapes"], 1)
        if shapes is not None:
            record = next((item for item in document.fields(shapes) if item.number == 7), None)
    elif node.op in INPUT_OPS and "shape" in attributes:
        record = document.only(attributes["shape"], 7)
    shape = None if record is None else read_shape(document, record)
    if shape == () and node.op in INPUT_OPS:
        producer = graph.version.get("producer", 0)
        if isinstance(producer, int) and producer < _SCALAR_PLACEHOLDERS:
            shape = None
    return TensorInfo(node.name, shape, _read_dtype(document, node, attributes))


def _read_dtype(document: Document, node: Node, attributes: Mapping[str, Field]) -> str | None:
    if node.op in _FIXED_OUTPUTS:
        return _FIXED_OUTPUTS[node.op]
    default = _OUTPUT_DEFAULTS.get(node.op)
    for key in _OUTPUT_TYPES:
        if key in attributes and not (key == "T" and default):
            kind = document.only(attributes[key], 6)
            number = 0 if kind is None else document.integer(kind)
            if number > _REFERENCE:
                number -= _REFERENCE
            return _DTYPES.get(number, (None, None))[0]
    return default


def _count_classes(
    document: Document, graph: _Graph, inputs: list[TensorInfo], outputs: list[TensorInfo]
) -> int | None:
    def dims_of(name: str) -> tuple[int, ...] | None:
        # A graph that was frozen from variables reads each of them through an Identity.
        node = graph.nodes[name]
        if node.op == "Identity" and node.inputs:
            name = producer_of(node.inputs[0])[0]
        constant = graph.constants.get(name)
        return None if constant is None else constant.dims

    def layer_of(name: str) -> Layer | None:
        node = graph.nodes[name]
        sources = [producer_of(edge)[0] for edge in node.inputs if not edge.startswith("^")]
        kind = _HEAD.get(node.op)
        if not sources or kind is None:
            return None
        if node.op in _BIASES:
            for index, source in enumerate(sources[:2]):
                dims = dims_of(source)
                if dims is not None and len(dims) == 1:
                    return Layer(kind, sources[1 - index], dims[0])
            return None
        units = None
        if node.op in _UNITS:
            dims = dims_of(sources[1]) if len(sources) > 1 else None
            rank, axis = _UNITS[node.op]
            if dims is None or len(dims) != rank:
                return None
            if node.op == "MatMul" and _is_true(document, node, "transpose_b"):
                axis = 0
            units = dims[axis]
        return Layer(kind, sources[0], units)

    is_image = layout_of([info.shape for info in inputs]) is not None
    return count_classes(inputs, outputs, layer_of, is_image=is_image)


def _is_true(document: Document, node: Node, name: str) -> bool:
    value = read_attributes(document, node).get(name)
    flag = None if value is None else document.only(value, 5)
    return flag is not None and bool(document.integer(flag))
