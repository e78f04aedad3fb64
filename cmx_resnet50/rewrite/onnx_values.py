"""The small tensors with which an ONNX graph computes shapes, evaluated without data.

``x.view(x.size(0), -1)`` is Shape, Gather, Unsqueeze, Concat and Reshape in a file: shape inference
stops at the Reshape. Here such operators are computed with NumPy, for the new batch size and for
the next one, so that a value which depends on the batch is known as such.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import onnx
    from numpy.typing import NDArray

    Array = NDArray[Any]

MAX_ELEMENTS = 4096
"""Elements of a tensor that is followed."""


class Value(NamedTuple):
    """A tensor at the new batch size, and what it would be at the next one."""

    here: Array
    next: Array

    @property
    def varies(self) -> bool:
        """Whether it depends on the batch size."""
        import numpy as np

        return not np.array_equal(self.here, self.next)


def constant(array: Array) -> Value:
    """Return a value that does not depend on the batch."""
    return Value(array, array)


def shape_value(shape: Sequence[int], *, rows: bool) -> Value:
    """Return the shape of a tensor as a value; with `rows`, axis 0 is the batch."""
    import numpy as np

    here = np.array(shape, np.int64)
    following = here.copy()
    if rows and len(following):
        following[0] += 1
    return Value(here, following)


def attributes_of(node: onnx.NodeProto) -> dict[str, Any]:
    """Return the attributes of a node by name; a tensor becomes an array."""
    import onnx
    from onnx import numpy_helper

    found = {}
    for attribute in node.attribute:
        value = onnx.helper.get_attribute_value(attribute)
        if isinstance(value, onnx.TensorProto):
            value = numpy_helper.to_array(value)
        found[attribute.name] = value
    return found


def evaluate(node: onnx.NodeProto, inputs: Sequence[Value | None]) -> list[Value] | None:
    """Return the outputs of `node`, None if they are not known here.

    An input is None if it is omitted; all others must be known.
    """
    compute = _OPERATORS.get(node.op_type)
    if compute is None or node.domain not in ("", "ai.onnx"):
        return None
    attributes = attributes_of(node)
    results = []
    for name in Value._fields:
        arrays = [None if value is None else getattr(value, name) for value in inputs]
        try:
            outputs = compute(attributes, *arrays)
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
            return None
        if any(output.size > MAX_ELEMENTS for output in outputs):
            return None
        results.append(outputs)
    return [Value(here, following) for here, following in zip(*results, strict=True)]


def _ints(value: Any) -> list[int]:
    """Return integers that are an attribute or an input."""
    return [int(item) for item in value]


def _require_small(shape: Iterable[int]) -> tuple[int, ...]:
    sizes = tuple(int(size) for size in shape)
    if min(sizes, default=0) < 0 or math.prod(sizes) > MAX_ELEMENTS:
        raise ValueError
    return sizes


def _axes(attributes: Mapping[str, Any], given: Array | None) -> list[int] | None:
    if given is not None:
        return _ints(given)
    return _ints(attributes["axes"]) if "axes" in attributes else None


def _constant(attributes: Mapping[str, Any]) -> list[Array]:
    import numpy as np

    for name in ("value_int", "value_ints"):
        if name in attributes:
            return [np.array(attributes[name], np.int64)]
    for name in ("value_float", "value_floats"):
        if name in attributes:
            return [np.array(attributes[name], np.float32)]
    return [np.asarray(attributes["value"])]


def _unsqueeze(
    attributes: Mapping[str, Any], data: Array, axes: Array | None = None
) -> list[Array]:
    import numpy as np

    return [np.expand_dims(data, tuple(_axes(attributes, axes) or ()))]


def _squeeze(attributes: Mapping[str, Any], data: Array, axes: Array | None = None) -> list[Array]:
    import numpy as np

    named = _axes(attributes, axes)
    return [np.squeeze(data, None if named is None else tuple(named))]


def _slice(
    attributes: Mapping[str, Any],
    data: Array,
    starts: Array | None = None,
    ends: Array | None = None,
    axes: Array | None = None,
    steps: Array | None = None,
) -> list[Array]:
    first = _ints(attributes["starts"] if starts is None else starts)
    last = _ints(attributes["ends"] if ends is None else ends)
    along = _axes(attributes, axes) or list(range(len(first)))
    stride = [1] * len(first) if steps is None else _ints(steps)
    index = [slice(None)] * data.ndim
    for axis, start, stop, step in zip(along, first, last, stride, strict=True):
        # The end of a backward slice that includes position 0 is below every valid index.
        end = None if step < 0 and stop < -data.shape[axis] else stop
        index[axis] = slice(start, end, step)
    return [data[tuple(index)]]


def _cast(attributes: Mapping[str, Any], data: Array) -> list[Array]:
    import onnx

    return [data.astype(onnx.helper.tensor_dtype_to_np_dtype(attributes["to"]))]


def _divide(attributes: Mapping[str, Any], left: Array, right: Array) -> list[Array]:
    import numpy as np

    if left.dtype.kind not in "iu":
        return [left / right]
    if (np.asarray(left) < 0).any() or (np.asarray(right) <= 0).any():
        raise ValueError  # rounds in another direction than NumPy
    return [left // right]


def _reshape(attributes: Mapping[str, Any], data: Array, shape: Array) -> list[Array]:
    target = _ints(shape)
    if not attributes.get("allowzero"):
        target = [data.shape[axis] if size == 0 else size for axis, size in enumerate(target)]
    return [data.reshape(target)]


def _expand(attributes: Mapping[str, Any], data: Array, shape: Array) -> list[Array]:
    import numpy as np

    common = np.broadcast_shapes(data.shape, tuple(_ints(shape)))
    return [np.broadcast_to(data, _require_small(common))]


def _tile(attributes: Mapping[str, Any], data: Array, repeats: Array) -> list[Array]:
    import numpy as np

    times = _ints(repeats)
    _require_small(size * count for size, count in zip(data.shape, times, strict=True))
    return [np.tile(data, times)]


def _constant_of_shape(attributes: Mapping[str, Any], shape: Array) -> list[Array]:
    import numpy as np

    value = np.asarray(attributes.get("value", np.zeros(1, np.float32)))
    return [np.full(_require_small(shape), value.reshape(-1)[0], value.dtype)]


def _range(attributes: Mapping[str, Any], start: Array, limit: Array, delta: Array) -> list[Array]:
    import numpy as np

    if (limit - start) / delta > MAX_ELEMENTS:
        raise ValueError
    return [np.arange(start.item(), limit.item(), delta.item()).astype(start.dtype)]


def _split(attributes: Mapping[str, Any], data: Array, sizes: Array | None = None) -> list[Array]:
    import numpy as np

    parts = _ints(attributes["split"] if sizes is None else sizes)
    axis = int(attributes.get("axis", 0))
    if sum(parts) != data.shape[axis]:
        raise ValueError
    return list(np.split(data, np.cumsum(parts)[:-1], axis))


def _reduce(name: str) -> Callable[..., list[Array]]:
    def compute(
        attributes: Mapping[str, Any], data: Array, axes: Array | None = None
    ) -> list[Array]:
        import numpy as np

        named = _axes(attributes, axes)
        if not named and attributes.get("noop_with_empty_axes"):
            return [data]
        keep = bool(attributes.get("keepdims", 1))
        along = tuple(named) if named else None
        found = getattr(np, name)(data, axis=along, keepdims=keep, dtype=data.dtype)
        return [np.asarray(found)]

    return compute


def _numpy(name: str) -> Callable[..., list[Array]]:
    def compute(attributes: Mapping[str, Any], *arrays: Array) -> list[Array]:
        import numpy as np

        found = getattr(np, name)(*arrays)
        return [np.asarray(found, arrays[-1].dtype)]

    return compute


def _compare(name: str) -> Callable[..., list[Array]]:
    def compute(attributes: Mapping[str, Any], *arrays: Array) -> list[Array]:
        import numpy as np

        return [np.asarray(getattr(np, name)(*arrays))]

    return compute


def _of_all(name: str) -> Callable[..., list[Array]]:
    def compute(attributes: Mapping[str, Any], *arrays: Array) -> list[Array]:
        import numpy as np

        found = arrays[0]
        for array in arrays[1:]:
            found = getattr(np, name)(found, array)
        return [np.asarray(found)]

    return compute


def _gather(attributes: Mapping[str, Any], data: Array, indices: Array) -> list[Array]:
    import numpy as np

    return [np.asarray(np.take(data, indices, int(attributes.get("axis", 0))))]


def _concat(attributes: Mapping[str, Any], *arrays: Array) -> list[Array]:
    import numpy as np

    return [np.concatenate(arrays, int(attributes["axis"]))]


def _transpose(attributes: Mapping[str, Any], data: Array) -> list[Array]:
    return [data.transpose(attributes.get("perm"))]


def _identity(attributes: Mapping[str, Any], data: Array) -> list[Array]:
    return [data]


_OPERATORS: dict[str, Callable[..., list[Array]]] = {
    "Abs": _numpy("abs"),
    "Add": _numpy("add"),
    "And": _compare("logical_and"),
    "Cast": _cast,
    "Ceil": _numpy("ceil"),
    "Concat": _concat,
    "Constant": _constant,
    "ConstantOfShape": _constant_of_shape,
    "Div": _divide,
    "Equal": _compare("equal"),
    "Expand": _expand,
    "Floor": _numpy("floor"),
    "Gather": _gather,
    "Greater": _compare("greater"),
    "Identity": _identity,
    "Less": _compare("less"),
    "Max": _of_all("maximum"),
    "Min": _of_all("minimum"),
    "Mul": _numpy("multiply"),
    "Neg": _numpy("negative"),
    "Not": _compare("logical_not"),
    "Or": _compare("logical_or"),
    "Range": _range,
    "ReduceProd": _reduce("prod"),
    "ReduceSum": _reduce("sum"),
    "Reshape": _reshape,
    "Slice": _slice,
    "Split": _split,
    "Squeeze": _squeeze,
    "Sub": _numpy("subtract"),
    "Tile": _tile,
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
    "Where": _numpy("where"),
}
