"""The reader of TensorFlow Lite files: flatbuffers whose weights are skipped.

Field numbers and types are those of version 3 of TensorFlow Lite's schema (`schema.fbs`).
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

from cmx_resnet50.formats.classifier import Kind, Layer, count_classes
from cmx_resnet50.formats.facts import Damaged, ModelFacts, NotAModel, NotReadHere, TensorInfo
from cmx_resnet50.formats.flatbuffer import FlatBuffer, Table, Vector
from cmx_resnet50.formats.protobuf import map_file
from cmx_resnet50.formats.tensors import Shape, layout_of, precision_of, printable

_IDENTIFIER = b"TFL3"
_SCHEMA = 3

# Fields of Model, SubGraph, Tensor, Buffer, Metadata.
_VERSION, _CODES, _SUBGRAPHS, _DESCRIPTION, _BUFFERS, _METADATA = 0, 1, 2, 3, 4, 6
_OLD_CODE, _CUSTOM_NAME, _CODE = 0, 1, 3
_TENSORS, _INPUTS, _OUTPUTS, _OPERATORS = 0, 1, 2, 3
_CODE_INDEX, _READ, _GIVEN = 0, 1, 2
_SHAPE, _TYPE, _BUFFER, _NAME, _SPARSITY, _SIGNATURE = 0, 1, 2, 3, 6, 7
_DATA, _FAR_OFFSET, _FAR_SIZE = 0, 1, 2
_META_NAME, _META_BUFFER = 0, 1

_TYPES = {
    0: ("float32", 32),
    1: ("float16", 16),
    2: ("int32", 32),
    3: ("uint8", 8),
    4: ("int64", 64),
    5: ("str", None),
    6: ("bool", 8),
    7: ("int16", 16),
    8: ("complex64", 64),
    9: ("int8", 8),
    10: ("float64", 64),
    11: ("complex128", 128),
    12: ("uint64", 64),
    15: ("uint32", 32),
    16: ("uint16", 16),
    17: ("int4", 4),
    18: ("bfloat16", 16),
}
"""Element types by number: NumPy's name and bits of an element. Others (13, 14: handles of
variables, and what later schemas add) have no weights that are read here."""

_CUSTOM = 32
_EDGE_TPU = "edgetpu-custom-op"
"""A graph that was compiled for an Edge TPU: the weights are inside the operator."""

_HEAD = {
    1: Kind.POOL,  # AVERAGE_POOL_2D
    3: Kind.CONVOLUTION,  # CONV_2D
    6: Kind.PASS,  # DEQUANTIZE
    9: Kind.DENSE,  # FULLY_CONNECTED
    19: Kind.RECTIFY,  # RELU
    21: Kind.RECTIFY,  # RELU6
    22: Kind.PASS,  # RESHAPE
    25: Kind.SOFTMAX,  # SOFTMAX
    40: Kind.POOL,  # MEAN
    43: Kind.PASS,  # SQUEEZE
    50: Kind.SOFTMAX,  # LOG_SOFTMAX
    53: Kind.PASS,  # CAST
    56: Kind.ARGMAX,  # ARG_MAX
    70: Kind.PASS,  # EXPAND_DIMS
    114: Kind.PASS,  # QUANTIZE
}
"""BuiltinOperator."""

_SHOWN = 5
_RUNTIME = "min_runtime_version"
_RUNTIME_BYTES = 32


@dataclass(frozen=True)
class _Weights:
    """The totals of the constant tensors of a file."""

    count: int
    by_dtype: Counter[str]


def read_facts(path: Path) -> ModelFacts:
    """Read the facts of a TensorFlow Lite file, without its weights.

    Raises
    ------
    NotAModel
        If it is not a TensorFlow Lite file of schema 3.
    Damaged
        If an offset points out of it, or a tensor and its bytes disagree.
    OSError
        If it cannot be read.
    """
    with map_file(path) as document:
        return _facts(FlatBuffer(document.data))


def _facts(buffer: FlatBuffer) -> ModelFacts:
    if buffer.data[4:8] != _IDENTIFIER:
        raise NotAModel("is not a TensorFlow Lite file: it has no identifier TFL3", 4)
    model = buffer.root()
    schema = model.number(_VERSION, "<I")
    if schema != _SCHEMA:
        raise NotReadHere(f"has schema {schema}; only schema {_SCHEMA} is read", model.at)
    runs = [_run(buffer, table) for table in model.tables(_BUFFERS)]
    graphs = [(graph, graph.tables(_TENSORS)) for graph in model.tables(_SUBGRAPHS)]
    if not graphs:
        raise Damaged("contains no graph", model.at)
    main, tensors = graphs[0]
    inputs = _ends(main, _INPUTS, tensors)
    outputs = _ends(main, _OUTPUTS, tensors)
    weights = _weights([tensor for _, owned in graphs for tensor in owned], runs, buffer.size)
    codes = [_operator_code(table) for table in model.tables(_CODES)]
    custom = sorted({name for code, name in codes if code == _CUSTOM})
    compiled = _EDGE_TPU in custom
    return ModelFacts(
        format="tflite",
        version={"schema": schema},
        inputs=inputs,
        outputs=outputs,
        layout=layout_of([one.shape for one in inputs]),
        precision=None if compiled else precision_of(weights.by_dtype),
        classes=_classes(main, tensors, codes, inputs, outputs),
        parameter_count=None if compiled else weights.count,
        parameter_bytes=None if compiled else weights.by_dtype.total(),
        metadata=_metadata(buffer, model, runs),
        requires=tuple(
            "an Edge TPU (custom operator edgetpu-custom-op)"
            if name == _EDGE_TPU
            else f"the custom operator {printable(name)}"
            for name in custom[:_SHOWN]
        ),
    )


def _operator_code(table: Table) -> tuple[int, str]:
    """Return the number of an operator, and the name of a custom one."""
    old, new = table.number(_OLD_CODE, "<b"), table.number(_CODE, "<i")
    return max(old, new), table.text(_CUSTOM_NAME) or ""


def _classes(
    graph: Table,
    tensors: list[Table],
    codes: list[tuple[int, str]],
    inputs: tuple[TensorInfo, ...],
    outputs: tuple[TensorInfo, ...],
) -> int | None:
    """Count the classes, if the head of the graph is a classifier's."""
    makers: dict[int, Table] = {}
    for operator in graph.tables(_OPERATORS):
        for output in operator.numbers(_GIVEN) or ():
            makers[output] = operator

    def layer_of(name: str) -> Layer | None:
        operator = makers.get(int(name))
        if operator is None:
            return None
        index = operator.number(_CODE_INDEX, "<I")
        read = operator.numbers(_READ) or ()
        kind = _HEAD.get(codes[index][0]) if index < len(codes) else None
        if kind is None or not read:
            return None
        units = None
        if kind in (Kind.DENSE, Kind.CONVOLUTION):
            if len(read) < 2 or not 0 <= read[1] < len(tensors):
                return None
            dims = tensors[read[1]].numbers(_SHAPE) or ()
            if len(dims) < 2:
                return None
            units = dims[0]
        return Layer(kind, str(read[0]), units)

    # Tensors are identified by position: names may be missing, or occur twice.
    places = [str(place) for place in graph.numbers(_OUTPUTS) or ()]
    ends = [replace(output, name=place) for output, place in zip(outputs, places, strict=True)]
    is_image = layout_of([one.shape for one in inputs]) is not None
    return count_classes(inputs, ends, layer_of, is_image=is_image)


def _run(buffer: FlatBuffer, table: Table) -> Vector | None:
    """Return the place of a buffer's bytes: in it or, in files over 2 GB, after the graph."""
    far = table.number(_FAR_OFFSET, "<Q")
    if far > 1:
        run = Vector(far, table.number(_FAR_SIZE, "<Q"), 1)
        if run.end > buffer.size:
            raise Damaged("a buffer exceeds the file: it is cut", table.at)
        return run
    return table.run(_DATA)


def _ends(graph: Table, field: int, tensors: list[Table]) -> tuple[TensorInfo, ...]:
    """Return the inputs or outputs of a graph."""
    indices = graph.numbers(field) or ()
    found = []
    for index in indices:
        if not 0 <= index < len(tensors):
            raise Damaged(f"names tensor {index} of {len(tensors)}", graph.at)
        found.append(_info(tensors[index]))
    return tuple(found)


def _info(tensor: Table) -> TensorInfo:
    shape: Shape | None = tensor.numbers(_SHAPE)
    signature = tensor.numbers(_SIGNATURE)
    if signature is not None and shape is not None and len(signature) == len(shape):
        # The shape is one example of what the signature allows.
        shape = tuple(None if size < 0 else size for size in signature)
    dtype, _ = _TYPES.get(tensor.number(_TYPE, "<b"), (None, None))
    return TensorInfo(tensor.text(_NAME) or "", shape, dtype)


def _weights(tensors: list[Table], runs: list[Vector | None], size: int) -> _Weights:
    """Add up the tensors that have bytes in the file, each compared with its shape.

    Raises
    ------
    Damaged
        If a tensor has another number of bytes than its shape needs, or all together have more
        than the file.
    """
    count = 0
    by_dtype: Counter[str] = Counter()
    counted = set()
    for tensor in tensors:
        index = tensor.number(_BUFFER, "<I")
        if not runs:
            continue  # a model without any buffer holds no constants
        if index >= len(runs):
            raise Damaged(f"names buffer {index} of {len(runs)}", tensor.at)
        run = runs[index]
        dtype, bits = _TYPES.get(tensor.number(_TYPE, "<b"), (None, None))
        if run is None or run.length == 0 or dtype is None or bits is None:
            continue
        shape = tensor.numbers(_SHAPE) or ()
        if any(dimension < 0 for dimension in shape):
            raise Damaged(f"a constant tensor has the shape {list(shape)}", tensor.at)
        elements = math.prod(shape)
        sparse = tensor.table(_SPARSITY) is not None
        if not sparse and -(-elements * bits // 8) != run.length:
            raise Damaged(
                f"a {dtype} tensor of shape {list(shape)} has {run.length:,} bytes", tensor.at
            )
        # Tensors may share a buffer; its bytes are there once.
        if run.at not in counted:
            counted.add(run.at)
            count += elements
            by_dtype[dtype] += run.length
    if by_dtype.total() > size:
        raise Damaged("its tensors overlap: together they are larger than the file")
    return _Weights(count, by_dtype)


def _metadata(buffer: FlatBuffer, model: Table, runs: list[Vector | None]) -> dict[str, str]:
    """Return the description and the minimal runtime, as far as the file states them."""
    metadata = {}
    description = model.text(_DESCRIPTION)
    if description:
        metadata["description"] = description
    for entry in model.tables(_METADATA):
        index = entry.number(_META_BUFFER, "<I")
        if entry.text(_META_NAME) != _RUNTIME or index >= len(runs):
            continue
        run = runs[index]
        if run is not None and run.length <= _RUNTIME_BYTES:
            raw = buffer.data[run.at : run.end].rstrip(b"\0")
            metadata[_RUNTIME] = raw.decode("ascii", "backslashreplace")
    return metadata
