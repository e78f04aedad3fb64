"""Writes a small quantized TorchScript archive, as ``torch.jit.save`` would (fbgemm, int8).

The network is one quantized linear layer with 1000 outputs behind a pooled image; input and
output are as in the published file. Layout of the archive and opcodes of its pickles were
read off a file that PyTorch 2.13 wrote.
"""

from __future__ import annotations

import hashlib
import io
import struct
import zipfile
from dataclasses import dataclass

_FEATURES = 48
_CLASSES = 1000
_ALIGNMENT = 64

_CODE = """class ResNet(Module):
  __parameters__ = []
  __buffers__ = []
  training : bool
  _is_full_backward_hook : Optional[bool]
  fc : __torch__.Linear
  def forward(self: __torch__.ResNet,
    x: Tensor) -> Tensor:
    fc = self.fc
    _0 = torch.quantize_per_tensor(x, 0.02, 114, 13)
    _1 = torch.adaptive_avg_pool2d(_0, [4, 4])
    _2 = (fc).forward(torch.flatten(_1, 1), )
    return torch.dequantize(_2)
class Linear(Module):
  __parameters__ = []
  __buffers__ = []
  training : bool
  _is_full_backward_hook : Optional[bool]
  _packed_params : __torch__.LinearPackedParams
  def forward(self: __torch__.Linear,
    argument_1: Tensor) -> Tensor:
    _packed_params = self._packed_params
    _packed_params0 = _packed_params._packed_params
    return ops.quantized.linear(argument_1, _packed_params0, 0.1, 128)
class LinearPackedParams(Module):
  __parameters__ = []
  __buffers__ = []
  training : bool
  _is_full_backward_hook : Optional[bool]
  dtype : int
  _packed_params : __torch__.torch.classes.quantized.LinearPackedParamsBase
"""


@dataclass(frozen=True)
class _Global:
    name: str


@dataclass(frozen=True)
class _Persistent:
    key: tuple[object, ...]


@dataclass(frozen=True)
class _Call:
    function: _Global
    arguments: tuple[object, ...]


@dataclass(frozen=True)
class _Object:
    kind: _Global
    state: object


def torchscript(name: str) -> bytes:
    """Return the archive; `name` is its root folder, the file's name without its ending."""
    weight = hashlib.shake_128(b"weight").digest(_FEATURES * _CLASSES)
    bias = struct.pack(f"<{_CLASSES}f", *(i / _CLASSES for i in range(_CLASSES)))
    members = {
        "data/0": weight,
        "data/1": bias,
        "data.pkl": _pickle(_module()),
        "code/__torch__.py": _CODE.encode(),
        "code/__torch__/torch/classes/quantized.py": b"",
        "constants.pkl": _pickle(()),
        "version": b"3\n",
        "byteorder": b"little",
    }
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        for member, data in members.items():
            entry = zipfile.ZipInfo(f"{name}/{member}", (1980, 1, 1, 0, 0, 0))
            # PyTorch maps tensors where they lie, so each member starts on a boundary; the
            # filling is an extra field of the kind "FB".
            start = out.tell() + 30 + len(entry.filename) + 4
            entry.extra = (
                b"FB" + struct.pack("<H", -start % _ALIGNMENT) + bytes(-start % _ALIGNMENT)
            )
            archive.writestr(entry, data)
    return out.getvalue()


def _module() -> _Object:
    weight_storage = _storage("QInt8Storage", "0", _FEATURES * _CLASSES)
    affine = (_Global("torch per_tensor_affine"), 0.01, 0)
    hooks = _Call(_Global("collections OrderedDict"), ())
    weight = _Call(
        _Global("torch._utils _rebuild_qtensor"),
        (weight_storage, 0, (_CLASSES, _FEATURES), (_FEATURES, 1), affine, False, hooks),
    )
    bias = _Call(
        _Global("torch._utils _rebuild_tensor_v2"),
        (_storage("FloatStorage", "1", _CLASSES), 0, (_CLASSES,), (1,), False, hooks),
    )
    packed = _Object(
        _Global("__torch__.torch.classes.quantized LinearPackedParamsBase"), (weight, bias)
    )
    parameters = _nn("LinearPackedParams", dtype=12, _packed_params=packed)
    return _nn("ResNet", fc=_nn("Linear", _packed_params=parameters))


def _nn(name: str, **members: object) -> _Object:
    state = {"training": False, "_is_full_backward_hook": None, **members}
    return _Object(_Global(f"__torch__ {name}"), state)


def _storage(kind: str, key: str, count: int) -> _Persistent:
    return _Persistent(("storage", _Global(f"torch {kind}"), key, "cpu", count))


def _pickle(value: object) -> bytes:
    return b"\x80\x02" + _opcodes(value) + b"."


def _opcodes(value: object) -> bytes:
    """Write `value` without memory of what came before: longer than PyTorch's, read the same."""
    match value:
        case None:
            return b"N"
        case bool():
            return b"\x88" if value else b"\x89"
        case int():
            return b"J" + struct.pack("<i", value)
        case float():
            return b"G" + struct.pack(">d", value)
        case str():
            return b"X" + struct.pack("<I", len(value.encode())) + value.encode()
        case tuple():
            return b"(" + b"".join(map(_opcodes, value)) + b"t"
        case dict():
            items = b"".join(_opcodes(key) + _opcodes(item) for key, item in value.items())
            return b"}(" + items + b"u"
        case _Global(name):
            return b"c" + name.replace(" ", "\n").encode() + b"\n"
        case _Persistent(key):
            return _opcodes(key) + b"Q"
        case _Call(function, arguments):
            return _opcodes(function) + _opcodes(arguments) + b"R"
        case _Object(kind, state):
            return _opcodes(kind) + b")\x81" + _opcodes(state) + b"b"
    raise TypeError(f"{value!r} has no place in these pickles")
