"""What PyTorch's pickles describe: storages and the tensors that view them, as plain records.

The vocabularies here are all that a file of weights may name. A tensor becomes a record of where
its bytes are in the file, checked to be inside its storage; TorchScript modules become blanks.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from cmx_resnet50.formats.facts import Damaged
from cmx_resnet50.formats.pytorch.pickles import Global

_DIMENSIONS = 64

STORAGES = {
    "DoubleStorage": ("float64", 8),
    "FloatStorage": ("float32", 4),
    "HalfStorage": ("float16", 2),
    "BFloat16Storage": ("bfloat16", 2),
    "LongStorage": ("int64", 8),
    "IntStorage": ("int32", 4),
    "ShortStorage": ("int16", 2),
    "CharStorage": ("int8", 1),
    "ByteStorage": ("uint8", 1),
    "BoolStorage": ("bool", 1),
    "ComplexFloatStorage": ("complex64", 8),
    "ComplexDoubleStorage": ("complex128", 16),
    "QInt8Storage": ("int8", 1),
    "QUInt8Storage": ("uint8", 1),
    "QInt32Storage": ("int32", 4),
}
"""PyTorch's storage types: the NumPy name of the elements, and their bytes."""

_TENSORS = frozenset(name.replace("Storage", "Tensor") for name in STORAGES)
_TYPED_MODULES = ("torch", "torch.cuda")
_SCHEMES = frozenset(
    f"torch.per_{of}_{kind}"
    for of in ("tensor", "channel")
    for kind in ("affine", "symmetric", "affine_float_qparams")
)
_VIEWS = frozenset(
    f"torch._utils.{name}" for name in ("_rebuild_tensor", "_rebuild_tensor_v2", "_rebuild_qtensor")
)
_PARAMETERS = frozenset(
    {
        "torch._utils._rebuild_parameter",
        "torch.nn.parameter.Parameter",
        "torch.autograd.variable.Variable",
    }
)
_ORDERED = "collections.OrderedDict"
_SIZE = "torch.Size"
_CALLS = _VIEWS | _PARAMETERS | {_ORDERED, _SIZE}
_SCRIPT_MODULES = ("__torch__", "torch.jit._pickle")


@dataclass(eq=False)
class StorageRecord:
    """A run of elements in the file.

    Parameters
    ----------
    kind : str
        Its type as PyTorch names it, ``FloatStorage``.
    numel : int
        How many elements it has.
    at : int
        Offset of its first byte in the file; a legacy pickle gives it after it has named the
        storage.
    """

    kind: str
    numel: int
    at: int = -1

    @property
    def dtype(self) -> str:
        """NumPy's name of the element type."""
        return STORAGES[self.kind][0]

    @property
    def itemsize(self) -> int:
        """Bytes of an element."""
        return STORAGES[self.kind][1]

    @property
    def nbytes(self) -> int:
        """Bytes of all elements."""
        return self.numel * self.itemsize


@dataclass(frozen=True)
class TensorRecord:
    """A tensor: a view of a storage, offset and strides in elements."""

    storage: StorageRecord
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    @property
    def numel(self) -> int:
        """How many elements it has."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes of its elements."""
        return self.numel * self.storage.itemsize

    @property
    def at(self) -> int:
        """Offset of its first element in the file."""
        return self.storage.at + self.offset * self.storage.itemsize


class Blank:
    """Placeholder for an object that has no weights itself, or none that matter."""


class TorchVocabulary:
    """The names that a state_dict or a TorchScript module may use.

    Parameters
    ----------
    resolve : callable
        Given a persistent id and its offset, returns the record that it refers to.
    script : bool
        Whether modules of TorchScript may be named.
    """

    def __init__(self, resolve: Callable[[object, int], object], script: bool = False) -> None:
        self._resolve = resolve
        self._script = script
        self.tensors: list[TensorRecord] = []
        """The tensors in the order in which they were described."""

    def knows(self, name: Global) -> bool:
        """Whether the file may name this."""
        text = str(name)
        return (
            text in _CALLS
            or text in _SCHEMES
            or (name.module in _TYPED_MODULES and (name.name in STORAGES or name.name in _TENSORS))
            or (self._script and _in_script(name))
        )

    def build(self, name: Global, args: tuple[object, ...], at: int) -> object:
        """Return the record that replaces a call."""
        text = str(name)
        if text in _VIEWS:
            if len(args) < 4:
                raise Damaged("a tensor has too few numbers", at)
            tensor = tensor_record(args[0], args[1], args[2], args[3], at)
            self.tensors.append(tensor)
            return tensor
        if text in _PARAMETERS:
            if not args or not isinstance(args[0], TensorRecord):
                raise Damaged("a parameter holds no tensor", at)
            return args[0]
        if text == _ORDERED:
            return _ordered(args, at)
        if text == _SIZE and len(args) == 1 and isinstance(args[0], tuple | list):
            return tuple(args[0])
        if self._script and _in_script(name):
            return Blank()
        raise Damaged(f"the pickle calls {text}, which is not callable", at)

    def resolve(self, persistent: object, at: int) -> object:
        """Return what a persistent id refers to."""
        return self._resolve(persistent, at)


class PlainVocabulary:
    """The vocabulary of pickles that hold plain values, and at most name the type of a storage."""

    def knows(self, name: Global) -> bool:
        """Whether it is the name of a storage or tensor type."""
        return name.module in _TYPED_MODULES and (name.name in STORAGES or name.name in _TENSORS)

    def build(self, name: Global, args: tuple[object, ...], at: int) -> object:
        """Reject: nothing is callable."""
        raise Damaged(f"the pickle calls {name}, which is not callable", at)

    def resolve(self, persistent: object, at: int) -> object:
        """Reject: there is nothing to refer to."""
        raise Damaged("the pickle refers to an object outside of it", at)


def tensor_record(
    storage: object, offset: object, shape: object, strides: object, at: int
) -> TensorRecord:
    """Return the tensor that views `storage` so.

    Raises
    ------
    Damaged
        If a number is invalid, or the view exceeds its storage.
    """
    if not isinstance(storage, StorageRecord):
        raise Damaged("a tensor has no storage", at)
    start = count(offset, at)
    sizes, steps = _counts(shape, at), _counts(strides, at)
    if len(sizes) != len(steps):
        raise Damaged("a tensor has another number of strides than of dimensions", at)
    if 0 not in sizes:
        last = start + sum((size - 1) * step for size, step in zip(sizes, steps, strict=True))
        if last >= storage.numel:
            raise Damaged(
                f"a tensor of shape {list(sizes)} exceeds its {storage.numel:,} elements", at
            )
    return TensorRecord(storage, start, sizes, steps)


def storage_kind(value: object, at: int) -> str:
    """Return the name of the storage type in a pickle.

    Raises
    ------
    Damaged
        If it is something else.
    """
    if not isinstance(value, Global) or value.name not in STORAGES:
        raise Damaged("a storage has an unknown type", at)
    return value.name


def count(value: object, at: int) -> int:
    """Return a value that must be a number of elements or an offset.

    Raises
    ------
    Damaged
        If it is not a number, negative, or larger than any file.
    """
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 1 << 48:
        raise Damaged("a size or an offset of a tensor is invalid", at)
    return value


def storage_key(value: object, at: int) -> str | int:
    """Return a value that must be the key of a storage or tensor.

    Raises
    ------
    Damaged
        If it is neither a text nor a number.
    """
    if not isinstance(value, str | int):
        raise Damaged("the key of a storage is neither text nor number", at)
    return value


def _counts(values: object, at: int) -> tuple[int, ...]:
    if not isinstance(values, tuple | list) or len(values) > _DIMENSIONS:
        raise Damaged("the shape of a tensor is invalid", at)
    return tuple(count(value, at) for value in values)


def _ordered(args: tuple[object, ...], at: int) -> dict[object, object]:
    """Return an OrderedDict as a dict; Python 2 passed the items to the call."""
    ordered: dict[object, object] = {}
    if not args:
        return ordered
    items = args[0]
    if len(args) != 1 or not isinstance(items, list):
        raise Damaged("an OrderedDict has invalid arguments", at)
    for item in items:
        if not isinstance(item, list | tuple) or len(item) != 2 or not isinstance(item[0], str):
            raise Damaged("an OrderedDict has invalid arguments", at)
        ordered[item[0]] = item[1]
    return ordered


def _in_script(name: Global) -> bool:
    return name.module.split(".")[0] == "__torch__" or name.module in _SCRIPT_MODULES
