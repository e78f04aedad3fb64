"""Operators that move, cut or join axes, and those that compute with shapes."""

from __future__ import annotations

import math

from cmx_resnet50.rewrite.tensorflow_rules.call import (
    MAX_NUMBERS,
    Call,
    Number,
    Tensor,
    axis_of,
    data,
    numbers_of,
)


def _sizes(call: Call, tensor: Tensor, index: int) -> list[Number]:
    """Return the sizes of a tensor as numbers."""
    shape = call.shape(index)
    if tensor.varies:
        raise call.refuse("reads a shape that depends on the batch")
    return [
        (size, size + 1) if tensor.rows and not axis else (size, size)
        for axis, size in enumerate(shape)
    ]


def shape(call: Call) -> list[Tensor]:
    """Return the sizes of each input as numbers."""
    found = []
    for index, tensor in enumerate(call.inputs):
        sizes = _sizes(call, tensor, index)
        found.append(numbers_of(sizes, (len(sizes),)))
    return found


def size(call: Call) -> list[Tensor]:
    """Return the number of elements."""
    pairs = _sizes(call, call.tensor(0), 0)
    number = (math.prod(one for one, _ in pairs), math.prod(other for _, other in pairs))
    return [numbers_of((number,), ())]


def rank(call: Call) -> list[Tensor]:
    """Return the number of axes."""
    rank = len(call.shape(0))
    return [numbers_of(((rank, rank),), ())]


def reshape(call: Call) -> list[Tensor]:
    """Rows stay rows if there are as many as before."""
    tensor, before = call.tensor(0), call.shape(0)
    target = call.integers(1)
    shown = f"it makes {target} of {list(before)}"
    known = math.prod(size for size in target if size != -1)
    if target.count(-1) > 1 or min(target, default=0) < -1:
        raise call.refuse(f"has no valid shape: {shown}")
    if -1 in target and known:
        target = [math.prod(before) // known if size == -1 else size for size in target]
    if math.prod(target) != math.prod(before):
        raise call.refuse(f"binds another batch: {shown}")
    if tensor.rows and (not target or target[0] != call.batch):
        raise call.refuse(f"binds another batch: {shown}")
    shape = tuple(target)
    if tensor.numbers is not None:
        return [numbers_of(tensor.numbers, shape)]
    varies = tensor.varies or (call.tensor(1).varies and not tensor.rows)
    return [Tensor(shape, rows=tensor.rows, varies=varies)]


def squeeze(call: Call) -> list[Tensor]:
    """Axes of 1 are dropped, never that of the images."""
    tensor, shape = call.tensor(0), call.shape(0)
    named = call.list("squeeze_dims")
    axes = {axis_of(call, axis, len(shape), rows=tensor.rows) for axis in named}
    if not named:
        axes = {axis for axis, size in enumerate(shape) if size == 1}
        if tensor.rows and 0 in axes:
            raise call.refuse("drops the axis of a single image")
    if any(shape[axis] != 1 for axis in axes):
        raise call.refuse(f"drops an axis that is not 1: {list(shape)}")
    kept = tuple(size for axis, size in enumerate(shape) if axis not in axes)
    return [tensor._replace(shape=kept)]


def expand_dims(call: Call) -> list[Tensor]:
    """An axis of 1 is added, never before that of the images."""
    tensor, shape = call.tensor(0), list(call.shape(0))
    shape.insert(axis_of(call, call.scalar(1), len(shape) + 1, rows=tensor.rows), 1)
    return [tensor._replace(shape=tuple(shape))]


def transpose(call: Call) -> list[Tensor]:
    """Axes change places, but for that of the images."""
    shape, order = call.shape(0), call.integers(1)
    if sorted(order) != list(range(len(shape))):
        raise call.refuse(f"has the order {order}")
    if call.tensor(0).rows and order[0] != 0:
        raise call.refuse("moves the axis of the images")
    return [data(call, (shape[axis] for axis in order), 0)]


def pad(call: Call) -> list[Tensor]:
    """Images grow, but no row is added."""
    shape, flat = call.shape(0), call.integers(1)
    call.constant(1)
    pads = list(zip(flat[::2], flat[1::2], strict=False))
    if len(flat) != 2 * len(shape) or min(flat, default=0) < 0:
        raise call.refuse(f"has the padding {flat}")
    if call.tensor(0).rows and pads[0] != (0, 0):
        raise call.refuse("adds rows that are not images")
    return [data(call, (size + a + b for size, (a, b) in zip(shape, pads, strict=True)), 0)]


def concat(call: Call) -> list[Tensor]:
    """Inputs are joined, along any axis but that of the images."""
    first = call.node.op == "Concat"  # the first form has the axis in front
    axis_at = 0 if first else len(call.inputs) - 1
    indices = [index for index in range(len(call.inputs)) if index != axis_at]
    read = [call.tensor(index) for index in indices]
    if not read:
        raise call.refuse("has too few inputs")
    shapes = [call.shape(index) for index in indices]
    rows = any(tensor.rows for tensor in read)
    axis = axis_of(call, call.scalar(axis_at), len(shapes[0]), rows=rows)
    if (
        len({(*shape[:axis], *shape[axis + 1 :]) for shape in shapes}) > 1
        or len({len(shape) for shape in shapes}) > 1
    ):
        raise call.refuse(f"binds another batch: it joins {[list(shape) for shape in shapes]}")
    if rows:
        for index, tensor in zip(indices, read, strict=True):
            if not tensor.rows and (tensor.varies or call.batch != 1):
                raise call.refuse(f"binds another batch: {call.edge(index)!r} is a constant")
    total = sum(shape[axis] for shape in shapes)
    shape = (*shapes[0][:axis], total, *shapes[0][axis + 1 :])
    parts = [tensor.numbers for tensor in read]
    if len(shape) == 1 and None not in parts:
        return [numbers_of((number for part in parts for number in part or ()), shape)]
    return [data(call, shape, *indices)]


def pack(call: Call) -> list[Tensor]:
    """Inputs are joined along a new axis."""
    shapes = [call.shape(index) for index in range(len(call.inputs))]
    if not shapes or len(set(shapes)) > 1:
        raise call.refuse(f"binds another batch: it joins {[list(shape) for shape in shapes]}")
    rows = any(tensor.rows for tensor in call.inputs)
    axis = axis_of(call, call.integer("axis"), len(shapes[0]) + 1, rows=rows)
    if rows and not all(tensor.rows for tensor in call.inputs) and call.batch != 1:
        raise call.refuse("binds another batch: it joins images and constants")
    shape = (*shapes[0][:axis], len(shapes), *shapes[0][axis:])
    parts = [tensor.numbers for tensor in call.inputs]
    if len(shape) == 1 and None not in parts:
        return [numbers_of((number for part in parts for number in part or ()), shape)]
    return [data(call, shape)]


def unpack(call: Call) -> list[Tensor]:
    """An axis becomes outputs."""
    tensor, shape = call.tensor(0), call.shape(0)
    axis = axis_of(call, call.integer("axis"), len(shape), rows=tensor.rows)
    left = (*shape[:axis], *shape[axis + 1 :])
    if tensor.numbers is not None and len(shape) == 1:
        return [numbers_of((number,), ()) for number in tensor.numbers]
    return [data(call, left, 0)] * min(shape[axis], MAX_NUMBERS)


def split(call: Call) -> list[Tensor]:
    """An axis is cut into equal parts."""
    shape = list(call.shape(1))
    axis = axis_of(call, call.scalar(0), len(shape), rows=call.tensor(1).rows)
    count = call.integer("num_split")
    if not 0 < count <= MAX_NUMBERS or shape[axis] % count:
        raise call.refuse(f"splits {shape} into {count}")
    shape[axis] //= count
    return [data(call, shape, 1)] * count


def split_v(call: Call) -> list[Tensor]:
    """An axis is cut into parts of given sizes."""
    shape, sizes = list(call.shape(0)), call.integers(1)
    axis = axis_of(call, call.scalar(2), len(shape), rows=call.tensor(0).rows)
    if sizes.count(-1) == 1:
        left = shape[axis] - sum(size for size in sizes if size != -1)
        sizes = [left if size == -1 else size for size in sizes]
    if sum(sizes) != shape[axis] or min(sizes, default=0) < 0:
        raise call.refuse(f"splits {shape} into {sizes}")
    return [data(call, (*shape[:axis], size, *shape[axis + 1 :]), 0) for size in sizes]


def cut(call: Call) -> list[Tensor]:
    """A part is taken, which must have every row."""
    tensor, shape = call.tensor(0), call.shape(0)
    begins, sizes = call.integers(1), call.integers(2)
    if len(begins) != len(shape) or len(sizes) != len(shape):
        raise call.refuse(f"takes {sizes} of {list(shape)}")
    found = [
        extent - begin if size == -1 else size
        for begin, size, extent in zip(begins, sizes, shape, strict=True)
    ]
    for begin, size, extent in zip(begins, found, shape, strict=True):
        if begin < 0 or size < 0 or begin + size > extent:
            raise call.refuse(f"binds another batch: it takes {sizes} of {list(shape)}")
    if tensor.rows and (begins[0] != 0 or found[0] != call.batch):
        raise call.refuse(f"binds another batch: it takes {sizes} of {list(shape)}")
    if tensor.numbers is not None and len(shape) == 1:
        return [numbers_of(tensor.numbers[begins[0] : begins[0] + found[0]], tuple(found))]
    return [data(call, found, 0)]


def strided_slice(call: Call) -> list[Tensor]:
    """A part is taken, which must have every row."""
    tensor, shape = call.tensor(0), call.shape(0)
    begins, ends, strides = (call.integers(index) for index in (1, 2, 3))
    if not len(begins) == len(ends) == len(strides):
        raise call.refuse("has no valid range")
    names = ("begin_mask", "end_mask", "ellipsis_mask", "new_axis_mask", "shrink_axis_mask")
    open_begin, open_end, ellipsis, new_axis, shrink = (call.integer(name) for name in names)
    if ellipsis.bit_count() > 1:
        raise call.refuse("has no valid range")
    taken = sum(1 for i in range(len(begins)) if not (ellipsis | new_axis) >> i & 1)
    found: list[int] = []
    ranges: list[range] = []
    axis = 0
    for i, (begin, end, stride) in enumerate(zip(begins, ends, strides, strict=True)):
        if ellipsis >> i & 1:
            for _ in range(len(shape) - taken):
                ranges.append(range(shape[axis]))
                found.append(shape[axis])
                axis += 1
            continue
        if new_axis >> i & 1:
            if tensor.rows and axis == 0:
                raise call.refuse("moves the axis of the images")
            found.append(1)
            continue
        if axis >= len(shape) or not stride:
            raise call.refuse("has no valid range")
        extent = shape[axis]
        single = bool(shrink >> i & 1)
        if single:
            at = begin + extent if begin < 0 else begin
            if not 0 <= at < extent:
                raise call.refuse(f"takes {begin} of {extent}")
            chosen = range(at, at + 1)
        else:
            first = None if open_begin >> i & 1 else begin
            last = None if open_end >> i & 1 else end
            chosen = range(*slice(first, last, stride).indices(extent))
        if tensor.rows and axis == 0 and (single or chosen != range(extent)):
            raise call.refuse(f"binds another batch: it takes {begin}:{end} of {extent} images")
        ranges.append(chosen)
        if not single:
            found.append(len(chosen))
        axis += 1
    found += shape[axis:]
    if tensor.numbers is not None and len(shape) == 1 and ranges:
        return [numbers_of((tensor.numbers[index] for index in ranges[0]), tuple(found))]
    return [data(call, found, 0)]


def gather(call: Call) -> list[Tensor]:
    """Positions of an axis are taken."""
    tensor, shape, indices = call.tensor(0), call.shape(0), call.shape(1)
    call.constant(1)
    axis = call.scalar(2) if call.node.op == "GatherV2" else 0
    axis = axis_of(call, axis, len(shape), rows=tensor.rows)
    if call.integer("batch_dims"):
        raise call.refuse("gathers by batch")
    found = (*shape[:axis], *indices, *shape[axis + 1 :])
    if tensor.numbers is not None and len(shape) == 1 and len(indices) < 2:
        chosen = call.integers(1)
        if all(0 <= index < shape[0] for index in chosen):
            return [numbers_of((tensor.numbers[index] for index in chosen), found)]
    return [data(call, found, 0)]


def tile(call: Call) -> list[Tensor]:
    """Axes are repeated, never that of the images."""
    shape, times = call.shape(0), call.integers(1)
    call.constant(1)
    if len(times) != len(shape) or min(times, default=0) < 0:
        raise call.refuse(f"repeats {list(shape)} by {times}")
    if call.tensor(0).rows and times[0] != 1:
        raise call.refuse("repeats the images")
    return [data(call, (size * count for size, count in zip(shape, times, strict=True)), 0)]


def reverse(call: Call) -> list[Tensor]:
    """Axes are reversed, never that of the images."""
    for axis in call.integers(1):
        axis_of(call, axis, len(call.shape(0)), rows=call.tensor(0).rows)
    return [data(call, call.shape(0), 0)]


def fill(call: Call) -> list[Tensor]:
    """A constant of a given shape."""
    call.constant(1)
    return [Tensor(tuple(call.integers(0)), varies=call.tensor(0).varies)]


def range_(call: Call) -> list[Tensor]:
    """Integers in a row."""
    call.constant(0)
    start, limit, delta = (call.scalar(index) for index in range(3))
    if not delta:
        raise call.refuse("has no valid range")
    numbers = range(start, limit, delta)
    if len(numbers) > MAX_NUMBERS:
        return [Tensor((len(numbers),))]
    return [numbers_of(((number, number) for number in numbers), (len(numbers),))]
