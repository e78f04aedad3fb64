"""Writes a small TFLite model in int8 with uint8 at both ends, as the Edge TPU file has them.

The network is a convolution, a mean over the image, a dense layer with 1000 outputs and a
softmax. Field numbers are those of TensorFlow's flatbuffer schema (version 3).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import flatbuffers  # type: ignore[import-untyped]

_INT32, _UINT8, _INT8 = 2, 3, 9
_CONV, _DENSE, _SOFTMAX, _MEAN, _QUANTIZE = 3, 9, 25, 40, 114
_CONV_OPTIONS, _DENSE_OPTIONS, _SOFTMAX_OPTIONS, _MEAN_OPTIONS = 1, 8, 9, 27

_CHANNELS = 64
_CLASSES = 1000


@dataclass(frozen=True)
class _Tensor:
    name: str
    kind: int
    shape: tuple[int, ...]
    scale: float = 0.0
    zero: int = 0
    data: bytes = b""


@dataclass(frozen=True)
class _Operator:
    code: int
    inputs: tuple[int, ...]
    output: int
    options: int = 0
    fields: tuple[tuple[str, int, float], ...] = ()


def _noise(name: str, size: int) -> bytes:
    # Without -128, which symmetric int8 weights do not use.
    return hashlib.shake_128(name.encode()).digest(size).replace(b"\x80", b"\x00")


_TENSORS = (
    _Tensor("input_1", _UINT8, (1, 224, 224, 3), 1.0, 128),
    _Tensor("quantized", _INT8, (1, 224, 224, 3), 1.0, 0),
    _Tensor("conv1/kernel", _INT8, (_CHANNELS, 3, 3, 3), 0.01, 0, _noise("conv", _CHANNELS * 27)),
    _Tensor("conv1/bias", _INT32, (_CHANNELS,), 0.01, 0, bytes(4 * _CHANNELS)),
    _Tensor("conv1", _INT8, (1, 112, 112, _CHANNELS), 1.0, 0),
    _Tensor("axes", _INT32, (2,), data=b"\1\0\0\0\2\0\0\0"),
    _Tensor("mean", _INT8, (1, _CHANNELS), 1.0, 0),
    _Tensor(
        "dense/kernel", _INT8, (_CLASSES, _CHANNELS), 0.01, 0, _noise("dense", _CLASSES * _CHANNELS)
    ),
    _Tensor("dense/bias", _INT32, (_CLASSES,), 0.01, 0, bytes(4 * _CLASSES)),
    _Tensor("logits", _INT8, (1, _CLASSES), 1.0, 0),
    _Tensor("softmax", _INT8, (1, _CLASSES), 1 / 256, -128),
    _Tensor("Identity", _UINT8, (1, _CLASSES), 1 / 256, 0),
)
_OPERATORS = (
    _Operator(_QUANTIZE, (0,), 1),
    _Operator(
        _CONV,
        (1, 2, 3),
        4,
        _CONV_OPTIONS,
        (("Int8", 0, 0), ("Int32", 1, 2), ("Int32", 2, 2), ("Int32", 4, 1), ("Int32", 5, 1)),
    ),
    _Operator(_MEAN, (4, 5), 6, _MEAN_OPTIONS),
    _Operator(_DENSE, (6, 7, 8), 9, _DENSE_OPTIONS),
    _Operator(_SOFTMAX, (9,), 10, _SOFTMAX_OPTIONS, (("Float32", 0, 1.0),)),
    _Operator(_QUANTIZE, (10,), 11),
)


def edgetpu() -> bytes:
    """Return the file."""
    builder = flatbuffers.Builder(1 << 17)
    codes = sorted({operator.code for operator in _OPERATORS})
    # Buffer 0 is empty by convention, for tensors without data.
    buffers = [_table(builder, 1, []), *(_buffer(builder, t.data) for t in _TENSORS if t.data)]
    graph = _subgraph(builder, codes)
    code_tables = [
        _table(builder, 4, [("Int8", 0, code), ("Int32", 2, _version(code)), ("Int32", 3, code)])
        for code in codes
    ]
    model = _table(
        builder,
        5,
        [
            ("Uint32", 0, 3),
            ("UOffsetTRelative", 1, _offsets(builder, code_tables)),
            ("UOffsetTRelative", 2, _offsets(builder, [graph])),
            ("UOffsetTRelative", 3, builder.CreateString("made for tests")),
            ("UOffsetTRelative", 4, _offsets(builder, buffers)),
        ],
    )
    builder.Finish(model, b"TFL3")
    return bytes(builder.Output())


def _version(code: int) -> int:
    # The oldest version of each operation that takes int8.
    return {_CONV: 3, _DENSE: 4, _SOFTMAX: 2, _MEAN: 2, _QUANTIZE: 2}[code]


def _subgraph(builder: flatbuffers.Builder, codes: Sequence[int]) -> int:
    with_data = [tensor for tensor in _TENSORS if tensor.data]
    tensors = [
        _tensor(builder, tensor, with_data.index(tensor) + 1 if tensor.data else 0)
        for tensor in _TENSORS
    ]
    operators = [_operator(builder, operator, codes) for operator in _OPERATORS]
    return _table(
        builder,
        5,
        [
            ("UOffsetTRelative", 0, _offsets(builder, tensors)),
            ("UOffsetTRelative", 1, _numbers(builder, "Int32", (0,))),
            ("UOffsetTRelative", 2, _numbers(builder, "Int32", (len(_TENSORS) - 1,))),
            ("UOffsetTRelative", 3, _offsets(builder, operators)),
            ("UOffsetTRelative", 4, builder.CreateString("main")),
        ],
    )


def _tensor(builder: flatbuffers.Builder, tensor: _Tensor, buffer: int) -> int:
    fields: list[tuple[str, int, float]] = [
        ("UOffsetTRelative", 0, _numbers(builder, "Int32", tensor.shape)),
        ("Int8", 1, tensor.kind),
        ("Uint32", 2, buffer),
        ("UOffsetTRelative", 3, builder.CreateString(tensor.name)),
    ]
    if tensor.scale:
        scale = _numbers(builder, "Float32", (tensor.scale,))
        zero = _numbers(builder, "Int64", (tensor.zero,))
        quantization = [("UOffsetTRelative", 2, scale), ("UOffsetTRelative", 3, zero)]
        fields.append(("UOffsetTRelative", 4, _table(builder, 7, quantization)))
    return _table(builder, 8, fields)


def _operator(builder: flatbuffers.Builder, operator: _Operator, codes: Sequence[int]) -> int:
    fields: list[tuple[str, int, float]] = [
        ("Uint32", 0, codes.index(operator.code)),
        ("UOffsetTRelative", 1, _numbers(builder, "Int32", operator.inputs)),
        ("UOffsetTRelative", 2, _numbers(builder, "Int32", (operator.output,))),
    ]
    if operator.options:
        fields += [
            ("Uint8", 3, operator.options),
            ("UOffsetTRelative", 4, _table(builder, 6, operator.fields)),
        ]
    return _table(builder, 5, fields)


def _buffer(builder: flatbuffers.Builder, data: bytes) -> int:
    builder.StartVector(1, len(data), 16)
    builder.head = builder.Head() - len(data)
    builder.Bytes[builder.Head() : builder.Head() + len(data)] = data
    return _table(builder, 1, [("UOffsetTRelative", 0, builder.EndVector())])


def _table(
    builder: flatbuffers.Builder, slots: int, fields: Sequence[tuple[str, int, float]]
) -> int:
    builder.StartObject(slots)
    for kind, slot, value in fields:
        # No value equals this default, so that each one is written.
        getattr(builder, f"Prepend{kind}Slot")(slot, value, None)
    return int(builder.EndObject())


def _numbers(builder: flatbuffers.Builder, kind: str, values: Sequence[float]) -> int:
    size = 8 if kind == "Int64" else 4
    return _vector(builder, size, getattr(builder, f"Prepend{kind}"), values)


def _offsets(builder: flatbuffers.Builder, values: Sequence[int]) -> int:
    return _vector(builder, 4, builder.PrependUOffsetTRelative, values)


def _vector(
    builder: flatbuffers.Builder,
    size: int,
    prepend: Callable[[float], None],
    values: Sequence[float],
) -> int:
    builder.StartVector(size, len(values), size)
    for value in reversed(values):
        prepend(value)
    return int(builder.EndVector())
