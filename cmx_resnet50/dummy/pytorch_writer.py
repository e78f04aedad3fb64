"""Writes the network's state_dict in PyTorch's first container, a tar.

Members, in order: `sys_info`, `pickle` (the dictionary, with a persistent id for each tensor),
`tensors` (storage, shape, stride and offset of each) and `storages` (the bytes). Source: the
function legacy_load of torch/serialization.py. The pickles are assembled from opcodes, because the
classes that they name are PyTorch's.
"""

from __future__ import annotations

import pickle
import struct
import tarfile
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import TYPE_CHECKING, BinaryIO, ClassVar

from cmx_resnet50.dummy.network import Conv, WeightsSpeller, walk
from cmx_resnet50.dummy.weights import Weights, description

if TYPE_CHECKING:
    from cmx_resnet50.dummy.weights import Floats

_PROTOCOL = 2
_PROTOCOL_VERSION = 1000
"""What PyTorch calls this form of its files."""


def write(out: BinaryIO, weights: Weights) -> None:
    """Write the complete container to `out`."""
    state = _StateDict(weights)
    walk(weights.network, state)
    shapes = list(state.shapes.values())
    for name, data in (
        ("sys_info", _sys_info(weights.seed)),
        ("pickle", _dictionary(list(state.shapes))),
        ("tensors", _tensors(shapes)),
    ):
        out.write(_member(name, len(data)) + data + bytes(-len(data) % tarfile.BLOCKSIZE))
    _write_storages(out, state.values(), shapes)
    # Two empty blocks end a tar, and the file is filled up to a full record.
    out.write(bytes(2 * tarfile.BLOCKSIZE))
    out.write(bytes(-out.tell() % tarfile.RECORDSIZE))


class _StateDict(WeightsSpeller):
    """Collects names and shapes; the tensors are made one layer at a time."""

    shortcut_last: ClassVar[bool] = True

    def __init__(self, weights: Weights) -> None:
        self._weights = weights
        self._layers: list[Callable[[], Iterable[Floats]]] = []
        self.shapes: dict[str, tuple[int, ...]] = {}

    def conv(self, conv: Conv, value: None, *, relu: bool) -> None:
        """Add the kernel and the four vectors of the normalization."""
        shape = (conv.outputs, conv.inputs, conv.kernel, conv.kernel)
        self.shapes[f"{conv.name}.weight"] = shape
        for name in ("weight", "bias", "running_mean", "running_var"):
            self.shapes[f"{conv.norm}.{name}"] = (conv.outputs,)
        self._layers.append(lambda: self._conv_values(conv))

    def _conv_values(self, conv: Conv) -> Iterator[Floats]:
        yield self._weights.kernel(conv)
        norm = self._weights.norm(conv)
        yield from (norm.gamma, norm.beta, norm.mean, norm.variance)

    def head(self, value: None) -> None:
        """Add the dense layer."""
        network = self._weights.network
        self.shapes["fc.weight"] = (network.variant.classes, network.features)
        self.shapes["fc.bias"] = (network.variant.classes,)
        self._layers.append(self._weights.dense)

    def values(self) -> Iterator[Floats]:
        """Make the tensors, in the order of `shapes`."""
        return chain.from_iterable(make() for make in self._layers)


def _member(name: str, size: int) -> bytes:
    """Return the header of a tar member, without time or owner."""
    info = tarfile.TarInfo(name)
    info.size = size
    return info.tobuf(format=tarfile.USTAR_FORMAT)


def _integer(value: int) -> bytes:
    return pickle.BININT + struct.pack("<i", value)


def _text(value: str) -> bytes:
    data = value.encode()
    return pickle.BINUNICODE + struct.pack("<I", len(data)) + data


def _pickled(body: bytes) -> bytes:
    return pickle.PROTO + bytes([_PROTOCOL]) + body + pickle.STOP


def _mapping(items: list[bytes]) -> bytes:
    """Return the opcodes that set keys and values, which alternate, on what is on the stack."""
    return pickle.MARK + b"".join(items) + pickle.SETITEMS


def _sys_info(seed: int) -> bytes:
    """Return what the container records about its machine, and about the weights."""
    sizes = [_text("short"), _integer(2), _text("int"), _integer(4), _text("long"), _integer(8)]
    items = [
        _text("protocol_version"),
        _integer(_PROTOCOL_VERSION),
        _text("little_endian"),
        pickle.NEWTRUE,
        _text("type_sizes"),
        pickle.EMPTY_DICT + _mapping(sizes),
    ]
    items += [_text(word) for pair in description(seed).items() for word in pair]
    return _pickled(pickle.EMPTY_DICT + _mapping(items))


def _dictionary(names: list[str]) -> bytes:
    """Return an OrderedDict from name to tensor; a tensor's key is its position, from 1 on."""
    empty = pickle.GLOBAL + b"collections\nOrderedDict\n" + pickle.EMPTY_TUPLE + pickle.REDUCE
    items = [_text(name) + _text(str(key)) + pickle.BINPERSID for key, name in enumerate(names, 1)]
    return _pickled(empty + _mapping(items))


def _tensors(shapes: list[tuple[int, ...]]) -> bytes:
    """Return each tensor's own storage (of the same key), its shape, and its strides."""
    parts = [_pickled(_integer(len(shapes)))]
    kind = pickle.GLOBAL + b"torch\nFloatTensor\n"
    for key, shape in enumerate(shapes, 1):
        parts.append(_pickled(_integer(key) + _integer(key) + kind + pickle.TUPLE3))
        strides = [1]
        for length in reversed(shape[1:]):
            strides.insert(0, strides[0] * length)
        rank = len(shape)
        # The rank takes 8 bytes; what follows the lengths and strides is the offset.
        parts.append(struct.pack(f"<q{2 * rank}qq", rank, *shape, *strides, 0))
    return b"".join(parts)


def _write_storages(
    out: BinaryIO, tensors: Iterable[Floats], shapes: list[tuple[int, ...]]
) -> None:
    """Write the member that holds the bytes, without having them all in memory."""
    start, end = _pickled(_integer(len(shapes))), _pickled(pickle.EMPTY_LIST)
    kind = pickle.GLOBAL + b"torch\nFloatStorage\n"
    heads, size = [], len(start) + len(end)
    for key, shape in enumerate(shapes, 1):
        count = 1
        for length in shape:
            count *= length
        head = _pickled(_integer(key) + _text("cpu") + kind + pickle.TUPLE3)
        heads.append(head + struct.pack("<q", count))
        size += len(heads[-1]) + 4 * count
    out.write(_member("storages", size) + start)
    for head, values in zip(heads, tensors, strict=True):
        out.write(head)
        out.write(values.astype("<f4", copy=False).data)
    out.write(end + bytes(-size % tarfile.BLOCKSIZE))
