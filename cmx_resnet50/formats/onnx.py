"""The reader of ONNX files: it parses the protobuf around the weights.

Parsing the complete file with the ``onnx`` package takes a third of a second for the import alone
and five times the file's size in memory. The numbers of fields and types below are those of
``onnx.proto3`` (https://github.com/onnx/onnx, IR versions 3 to 13).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from stat import S_ISREG
from typing import NamedTuple

from cmx_resnet50.formats.classifier import Kind, Layer, count_classes
from cmx_resnet50.formats.facts import Damaged, ModelFacts, NotAModel, NotReadHere, TensorInfo
from cmx_resnet50.formats.protobuf import FIXED32, LENGTH, VARINT, Document, Field, map_file, peek
from cmx_resnet50.formats.tensors import (
    Shape,
    layout_of,
    precision_of,
    printable,
)

_MODEL_FIELDS = {
    1: VARINT,  # ir_version
    2: LENGTH,  # producer_name
    3: LENGTH,  # producer_version
    4: LENGTH,  # domain
    5: VARINT,  # model_version
    6: LENGTH,  # doc_string
    7: LENGTH,  # graph
    8: LENGTH,  # opset_import
    14: LENGTH,  # metadata_props
    20: LENGTH,  # training_info
    25: LENGTH,  # functions
    26: LENGTH,  # configuration
}

DTYPES: dict[int, tuple[str, int | None]] = {
    1: ("float32", 32),
    2: ("uint8", 8),
    3: ("int8", 8),
    4: ("uint16", 16),
    5: ("int16", 16),
    6: ("int32", 32),
    7: ("int64", 64),
    8: ("object", None),
    9: ("bool", 8),
    10: ("float16", 16),
    11: ("float64", 64),
    12: ("uint32", 32),
    13: ("uint64", 64),
    14: ("complex64", 64),
    15: ("complex128", 128),
    16: ("bfloat16", 16),
    17: ("float8_e4m3fn", 8),
    18: ("float8_e4m3fnuz", 8),
    19: ("float8_e5m2", 8),
    20: ("float8_e5m2fnuz", 8),
    21: ("uint4", 4),
    22: ("int4", 4),
    23: ("float4_e2m1fn", 4),
    24: ("float8_e8m0fnu", 8),
    25: ("uint2", 2),
    26: ("int2", 2),
    27: ("float6_e2m3fn", None),
    28: ("float6_e3m2fn", None),
}
"""TensorProto.DataType: NumPy's name, and bits an element in raw_data (None: not fixed)."""

_EXTERNAL = 1
_MAX_RANK = 64

_BODIES = frozenset({"If", "Loop", "Scan", "SequenceMap"})
"""Operators whose attributes are graphs."""

_MAX_DEPTH = 16
"""Graphs inside graphs."""

_STANDARD = frozenset({"", "ai.onnx", "ai.onnx.ml", "ai.onnx.training", "ai.onnx.preview.training"})
"""The domains of operators that ONNX defines."""

_SHOWN = 5

_HEAD = {
    "ArgMax": Kind.ARGMAX,
    "AveragePool": Kind.POOL,
    "Cast": Kind.PASS,
    "Clip": Kind.RECTIFY,
    "Conv": Kind.CONVOLUTION,
    "DequantizeLinear": Kind.PASS,
    "Dropout": Kind.PASS,
    "Flatten": Kind.PASS,
    "Gemm": Kind.DENSE,
    "GlobalAveragePool": Kind.POOL,
    "GlobalMaxPool": Kind.POOL,
    "Hardmax": Kind.SOFTMAX,
    "Identity": Kind.PASS,
    "LogSoftmax": Kind.SOFTMAX,
    "MatMul": Kind.DENSE,
    "QGemm": Kind.DENSE,
    "QLinearAveragePool": Kind.POOL,
    "QLinearConv": Kind.CONVOLUTION,
    "QLinearGlobalAveragePool": Kind.POOL,
    "QLinearMatMul": Kind.DENSE,
    "QuantizeLinear": Kind.PASS,
    "ReduceMean": Kind.POOL,
    "Relu": Kind.RECTIFY,
    "Reshape": Kind.PASS,
    "Softmax": Kind.SOFTMAX,
    "Squeeze": Kind.PASS,
    "TopK": Kind.PASS,
    "Unsqueeze": Kind.PASS,
}
_UNITS = {
    "Conv": (1, 0),
    "Gemm": (1, 0),
    "MatMul": (1, -1),
    "QGemm": (3, 0),
    "QLinearConv": (3, 0),
    "QLinearMatMul": (3, -1),
}
"""The input with the weights, and their axis that is as long as there are scores."""

_GEMMS = frozenset({"Gemm", "QGemm"})
_SAME_WEIGHT = frozenset({"Cast", "DequantizeLinear", "Identity", "Transpose"})


class External(NamedTuple):
    """The place of a tensor's data in another file."""

    location: str
    offset: int
    length: int | None


class Tensor(NamedTuple):
    """An initializer's record, without its data."""

    name: str
    dtype: int
    dims: tuple[int, ...]
    external: External | None = None

    @property
    def elements(self) -> int:
        """The number of elements."""
        return math.prod(self.dims)

    @property
    def size(self) -> int:
        """Bytes of all elements, packed; 0 for text, whose length is not in the record."""
        bits = DTYPES[self.dtype][1]
        return 0 if bits is None else (self.elements * bits + 7) // 8


class _Node(NamedTuple):
    op: str
    inputs: tuple[str, ...]
    transposed: bool
    """The attribute transB."""


@dataclass
class _Graph:
    parameters: dict[str, Tensor] = field(default_factory=dict)
    initializers: set[str] = field(default_factory=set)
    inputs: list[TensorInfo] = field(default_factory=list)
    outputs: list[TensorInfo] = field(default_factory=list)
    makers: dict[str, _Node] = field(default_factory=dict)
    inner: list[Tensor] = field(default_factory=list)
    """The constants of graphs inside this one, and of the model's functions."""
    operators: dict[str, set[str]] = field(default_factory=dict)
    """The operators in it and inside it, by domain."""


def sniff(head: bytes) -> bool:
    """Detect an ONNX model by the first bytes of the file."""
    fields = peek(head)
    if not fields or any(_MODEL_FIELDS.get(found.number) != found.wire for found in fields):
        return False
    numbers = {found.number for found in fields}
    # Writers put ir_version first. Other orders are legal, but one field is not enough: bzip2
    # data begins like an opset_import.
    if fields[0].number != 1:
        return {7, 8} <= numbers
    # A version alone is two bytes that many a message begins with.
    if numbers == {1}:
        return False
    # A TensorFlow SavedModel begins likewise, but its field 2 is a message that opens with field 1.
    return not any(
        found.number == 2 and head[found.value : found.value + 1] == b"\n" for found in fields
    )


def read_facts(path: Path) -> ModelFacts:
    """Read the facts of an ONNX file, without its weights.

    Raises
    ------
    NotAModel
        If `path` is not a regular file, or has no graph.
    Damaged
        If the file contradicts the format: cut, altered or hostile.
    NotReadHere
        If it exceeds a limit, or has types that are not known here.
    OSError
        If the file cannot be read.
    """
    with map_file(path) as document:
        return _read_model(document, path.parent)


def read_tensor(document: Document, record: Field) -> Tensor:
    """Read the record of a tensor (TensorProto), and compare the length of its data with its shape.

    Raises
    ------
    Damaged
        If it has an unknown type, an impossible shape, or data of another length.
    """
    name = ""
    dtype = 0
    dims: list[int] = []
    external = False
    entries: dict[str, str] = {}
    raw: int | None = None
    floats = doubles = others = 0
    for item in document.fields(record):
        if item.number == 1:
            dims += document.integers(item)
        elif item.number == 2:
            dtype = document.integer(item)
        elif item.number == 8:
            name = document.text(item)
        elif item.number == 9:
            raw = document.payload(item)
        elif item.number == 4:
            floats += 4 if item.wire == FIXED32 else document.payload(item)
        elif item.number == 10:
            doubles += item.end - item.value
        elif item.number in (5, 6, 7, 11):
            others += 1
        elif item.number == 13:
            key, value = _read_pair(document, item)
            entries[key] = value
        elif item.number == 14:
            external = document.integer(item) == _EXTERNAL
    where = f"the tensor {name!r}"
    if dtype not in DTYPES:
        if dtype <= 0:
            raise Damaged(f"{where} has no type", record.at)
        raise NotReadHere(f"{where} has the type {dtype}, unknown here", record.at)
    if len(dims) > _MAX_RANK:
        raise NotReadHere(
            f"{where} has more than {_MAX_RANK} dimensions, the limit here", record.at
        )
    if min(dims, default=0) < 0 or math.prod(dims) >> 63:
        raise Damaged(f"{where} has an impossible shape", record.at)
    tensor = Tensor(name, dtype, tuple(dims))
    numpy_name, bits = DTYPES[dtype]
    if external:
        return tensor._replace(external=_read_external(where, entries, record))
    if raw is not None:
        if bits is not None and raw != tensor.size:
            raise Damaged(
                f"{where} has {raw:,} bytes, its shape {list(dims)} and type {numpy_name} need"
                f" {tensor.size:,}",
                record.at,
            )
    elif (numpy_name == "float32" and floats != tensor.size) or (
        numpy_name == "float64" and doubles != tensor.size
    ):
        raise Damaged(
            f"{where} has {floats + doubles:,} bytes, its shape {list(dims)} needs {tensor.size:,}",
            record.at,
        )
    elif tensor.elements and not (floats or doubles or others):
        raise Damaged(f"{where} has no data", record.at)
    return tensor


def _read_external(where: str, entries: Mapping[str, str], record: Field) -> External:
    numbers = [entries.get(key, "") for key in ("offset", "length")]
    if not entries.get("location") or any(
        text and not (text.isascii() and text.isdigit() and len(text) < 20) for text in numbers
    ):
        raise Damaged(f"{where} is in another file, but its place there is not valid", record.at)
    offset, length = numbers
    return External(entries["location"], int(offset or 0), int(length) if length else None)


def check_onnx(path: Path) -> None:
    """Run the ``onnx`` package's full checker, with strict shape inference, on the file.

    Raises
    ------
    Damaged
        If the checker rejects the file; the text has its reason.
    """
    import onnx.checker
    import onnx.shape_inference

    try:
        onnx.checker.check_model(str(path), full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        reason = " ".join(str(error).split())[:1000]
        raise Damaged(f"rejected by the checker of the onnx package: {reason}") from None


def _read_model(document: Document, folder: Path) -> ModelFacts:
    version: dict[str, int | str] = {}
    metadata: dict[str, str] = {}
    producer = ["", ""]
    graph: _Graph | None = None
    functions = _Graph()
    defined: set[tuple[str, str]] = set()
    opsets = 0
    for item in document.fields():
        if item.number == 1:
            version["ir"] = document.integer(item)
        elif item.number in (2, 3):
            producer[item.number - 2] = document.text(item)
        elif item.number == 7:
            if graph is not None:
                raise Damaged("contains two graphs", item.at)
            graph = _read_graph(document, item)
        elif item.number == 25:
            defined.add(_read_function(document, item, functions))
        elif item.number == 8:
            opsets += 1
            domain, number = _read_opset(document, item)
            if domain in ("", "ai.onnx"):
                version["opset"] = number
        elif item.number == 14:
            key, value = _read_pair(document, item)
            metadata[key] = value
    if "ir" not in version or graph is None:
        raise NotAModel(
            "is a protobuf message without the graph of an ONNX model: another kind of file, or the"
            " beginning of a model"
        )
    # Required since IR version 3, and written after the weights.
    if int(version["ir"]) >= 3 and not opsets:
        raise Damaged(
            "ends without the version of its operator set: the file is cut", document.size
        )

    tensors = [*graph.parameters.values(), *graph.inner, *functions.inner]
    files, missing = _external_files(tensors, folder)
    sizes: Counter[str] = Counter()
    for tensor in tensors:
        sizes[DTYPES[tensor.dtype][0]] += tensor.size
    inputs = [info for info in graph.inputs if info.name not in graph.initializers]
    return ModelFacts(
        format="onnx",
        version=version,
        producer=" ".join(part for part in producer if part) or None,
        inputs=tuple(inputs),
        outputs=tuple(graph.outputs),
        layout=layout_of([info.shape for info in inputs]),
        precision=None if missing else precision_of(sizes),
        classes=_count_classes(graph, inputs),
        parameter_count=None if missing else sum(tensor.elements for tensor in tensors),
        parameter_bytes=None if missing else sum(tensor.size for tensor in tensors),
        metadata=metadata,
        files=files,
        requires=(
            *_foreign_operators((graph, functions), defined),
            *(f"external data: the file {location[:200]!r}" for location in files),
        ),
        warnings=missing,
    )


def _external_files(
    tensors: Iterable[Tensor], folder: Path
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the names of the files that hold weights, and what is wrong with them."""
    ends: dict[str, int] = {}
    for tensor in tensors:
        place = tensor.external
        if place is not None:
            length = tensor.size if place.length is None else max(place.length, tensor.size)
            ends[place.location] = max(ends.get(place.location, 0), place.offset + length)
    missing = []
    for location, end in ends.items():
        file = external_file(folder, location)
        if file is None or file.stat().st_size < end:
            state = "not next to it" if file is None else "cut"
            missing.append(
                f"weights are in the file {location[:200]!r}, which is {state}: precision and"
                " parameters are not known"
            )
    return tuple(ends), tuple(missing)


def external_file(folder: Path, location: str) -> Path | None:
    """Return the file `location` below `folder`, None if there is none or it would be elsewhere."""
    pure = PurePosixPath(location)
    if pure.is_absolute() or ".." in pure.parts or not location.isprintable():
        return None
    file = folder / pure
    try:
        return file if S_ISREG(file.stat().st_mode) else None
    except OSError:
        return None


def _foreign_operators(graphs: Iterable[_Graph], defined: set[tuple[str, str]]) -> Iterator[str]:
    """Describe the operators that neither ONNX nor the model itself defines."""
    foreign: dict[str, set[str]] = {}
    for graph in graphs:
        for domain, operators in graph.operators.items():
            if domain not in _STANDARD:
                left = {op for op in operators if (domain, op) not in defined}
                foreign.setdefault(domain, set()).update(left)
    for domain, operators in sorted(foreign.items()):
        if operators:
            shown = ", ".join(printable(name) for name in sorted(operators)[:_SHOWN])
            more = f" and {len(operators) - _SHOWN} more" if len(operators) > _SHOWN else ""
            yield f"operators of {printable(domain)}: {shown}{more}"


def _read_graph(document: Document, record: Field, depth: int = 0) -> _Graph:
    if depth > _MAX_DEPTH:
        raise NotReadHere(f"nests graphs deeper than {_MAX_DEPTH}, the limit here", record.at)
    graph = _Graph()
    for item in document.fields(record):
        if item.number == 1:
            _read_node(document, item, graph, depth)
        elif item.number == 5:
            tensor = read_tensor(document, item)
            graph.parameters[tensor.name] = tensor
            graph.initializers.add(tensor.name)
        elif item.number == 15:
            values = document.only(item, 1)
            if values is not None:
                tensor = read_tensor(document, values)
                graph.parameters[tensor.name] = tensor
                graph.initializers.add(tensor.name)
        elif item.number == 11:
            graph.inputs.append(read_value_info(document, item))
        elif item.number == 12:
            graph.outputs.append(read_value_info(document, item))
    return graph


def _read_function(document: Document, record: Field, functions: _Graph) -> tuple[str, str]:
    """Add the nodes of a FunctionProto to `functions`; return its domain and name."""
    name = domain = ""
    for item in document.fields(record):
        if item.number == 1:
            name = document.text(item)
        elif item.number == 7:
            function = _Graph()
            _read_node(document, item, function, 1)
            _add_inner(functions, function)
        elif item.number == 10:
            domain = document.text(item)
    return domain, name


def _add_inner(graph: _Graph, inner: _Graph) -> None:
    graph.inner += [*inner.parameters.values(), *inner.inner]
    for domain, operators in inner.operators.items():
        graph.operators.setdefault(domain, set()).update(operators)


def _read_node(document: Document, record: Field, graph: _Graph, depth: int) -> None:
    inputs = []
    outputs = []
    attributes = []
    op = domain = ""
    for item in document.fields(record):
        if item.number == 1:
            inputs.append(document.text(item))
        elif item.number == 2:
            outputs.append(document.text(item))
        elif item.number == 4:
            op = document.text(item)
        elif item.number == 5:
            attributes.append(item)
        elif item.number == 7:
            domain = document.text(item)
    graph.operators.setdefault(domain, set()).add(op)
    if op in _BODIES or domain not in _STANDARD:
        for attribute in attributes:
            for item in document.fields(attribute):
                if item.number in (6, 11):
                    _add_inner(graph, _read_graph(document, item, depth + 1))
    if op == "Constant" and len(outputs) == 1:
        for attribute in attributes:
            value = document.only(attribute, 5)
            if value is not None:
                graph.parameters[outputs[0]] = read_tensor(document, value)
    else:
        node = _Node(op, tuple(inputs), op in _GEMMS and _is_transposed(document, attributes))
        for output in outputs:
            graph.makers[output] = node


def _is_transposed(document: Document, attributes: list[Field]) -> bool:
    for attribute in attributes:
        name, value = document.only(attribute, 1), document.only(attribute, 3)
        if name is not None and value is not None and document.text(name) == "transB":
            return bool(document.integer(value))
    return False


def read_value_info(document: Document, record: Field) -> TensorInfo:
    """Read the name, shape and type of a value (ValueInfoProto) of a graph.

    A value of another kind (a sequence, a map) has neither shape nor dtype.
    """
    name_field = document.only(record, 1)
    name = "" if name_field is None else document.text(name_field)
    kind = document.only(record, 2)
    tensor = None if kind is None else document.only(kind, 1)
    if tensor is None:
        return TensorInfo(name, None, None)
    shape: Shape | None = None
    dtype = None
    for item in document.fields(tensor):
        if item.number == 1:
            dtype = DTYPES.get(document.integer(item), (None, None))[0]
        elif item.number == 2:
            shape = tuple(
                _read_dimension(document, dimension)
                for dimension in document.fields(item)
                if dimension.number == 1
            )
            if len(shape) > _MAX_RANK:
                raise NotReadHere(
                    f"the value {name!r} has more than {_MAX_RANK} dimensions, the limit here",
                    item.at,
                )
    return TensorInfo(name, shape, dtype)


def _read_dimension(document: Document, record: Field) -> int | str | None:
    size: int | str | None = None
    for item in document.fields(record):
        if item.number == 1:
            size = document.integer(item)
            # Some exporters write -1 for an unknown size.
            if size < 0:
                size = None
        elif item.number == 2:
            size = document.text(item) or None
    return size


def _read_opset(document: Document, record: Field) -> tuple[str, int]:
    domain = ""
    number = 0
    for item in document.fields(record):
        if item.number == 1:
            domain = document.text(item)
        elif item.number == 2:
            number = document.integer(item)
    return domain, number


def _read_pair(document: Document, record: Field) -> tuple[str, str]:
    key = document.only(record, 1)
    value = document.only(record, 2)
    return "" if key is None else document.text(key), "" if value is None else document.text(value)


def _count_classes(graph: _Graph, inputs: list[TensorInfo]) -> int | None:
    def layer_of(name: str) -> Layer | None:
        node = graph.makers.get(name)
        if node is None or not node.inputs:
            return None
        if node.op == "Add":
            return _bias_of(graph, node)
        kind = _HEAD.get(node.op)
        if kind is None:
            return None
        units = None
        if node.op in _UNITS:
            place, axis = _UNITS[node.op]
            dims = _constant_dims(graph, node.inputs[place]) if place < len(node.inputs) else None
            if dims is None or len(dims) < 2:
                return None
            if node.op in _GEMMS and not node.transposed:
                axis = 1
            units = dims[axis]
        return Layer(kind, node.inputs[0], units)

    is_image = layout_of([info.shape for info in inputs]) is not None
    return count_classes(inputs, graph.outputs, layer_of, is_image=is_image)


def _bias_of(graph: _Graph, node: _Node) -> Layer | None:
    """Return an Add of a vector as a layer, None for any other Add."""
    for index, name in enumerate(node.inputs):
        dims = _constant_dims(graph, name)
        if dims is not None and len(dims) and math.prod(dims) == dims[-1]:
            return Layer(Kind.PASS, node.inputs[1 - index], dims[-1])
    return None


def _constant_dims(graph: _Graph, name: str) -> tuple[int, ...] | None:
    """Return the shape of a weight, which may be stored quantized or transposed."""
    dims = None
    turned = False
    for _ in range(_MAX_DEPTH):
        tensor = graph.parameters.get(name)
        if tensor is not None:
            dims = tensor.dims[::-1] if turned else tensor.dims
            break
        node = graph.makers.get(name)
        if node is None or node.op not in _SAME_WEIGHT or not node.inputs:
            break
        turned ^= node.op == "Transpose"
        name = node.inputs[0]
    return dims
