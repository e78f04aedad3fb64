"""Operators on images, sums and products: the layers of a network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from cmx_resnet50.rewrite.tensorflow_rules.call import (
    Call,
    Rule,
    Tensor,
    axis_of,
    common_shape,
    data,
    numbers_of,
    require_aligned,
)


class _Image(NamedTuple):
    """Where the axes of an image are."""

    height: int
    width: int
    channels: int


def _layout(call: Call) -> _Image:
    layout = call.text("data_format", "NHWC")
    if layout not in ("NHWC", "NCHW") or len(call.shape(0)) != 4:
        raise call.refuse(f"reads {list(call.shape(0))} as {layout}")
    return _Image(1, 2, 3) if layout == "NHWC" else _Image(2, 3, 1)


def _windows(call: Call, kernel: tuple[int, int], strides: list[int]) -> list[int]:
    """Return the shape of the input with its height and width as windows over it leave them."""
    image = _layout(call)
    dilations = call.list("dilations") or [1] * 4
    if len(strides) != 4 or len(dilations) != 4 or min(*strides, *dilations, *kernel) < 1:
        raise call.refuse("has no valid strides")
    if strides[0] != 1 or dilations[0] != 1:
        raise call.refuse("works along the axis of the images")
    padding = call.text("padding", "")
    explicit = call.list("explicit_paddings")
    if padding == "EXPLICIT" and (len(explicit) != 8 or explicit[:2] != [0, 0]):
        raise call.refuse("has no valid padding")
    shape = list(call.shape(0))
    for axis, size in zip((image.height, image.width), kernel, strict=True):
        reach = (size - 1) * dilations[axis] + 1
        extent = shape[axis]
        if padding == "SAME":
            shape[axis] = -(-extent // strides[axis])
            continue
        if padding == "EXPLICIT":
            extent += sum(explicit[2 * axis : 2 * axis + 2])
        elif padding != "VALID":
            raise call.refuse(f"has the padding {padding!r}")
        if extent < reach:
            raise call.refuse("has windows larger than the image")
        shape[axis] = (extent - reach) // strides[axis] + 1
    return shape


def conv(call: Call) -> list[Tensor]:
    """Every output channel reads all input channels."""
    call.constant(1)
    kernel = call.shape(1)
    if len(kernel) != 4:
        raise call.refuse(f"has a kernel of the shape {list(kernel)}")
    shape = _windows(call, (kernel[0], kernel[1]), call.list("strides"))
    shape[_layout(call).channels] = kernel[3]
    return [data(call, shape)]


def depthwise(call: Call) -> list[Tensor]:
    """Every input channel has output channels of its own."""
    call.constant(1)
    kernel = call.shape(1)
    if len(kernel) != 4:
        raise call.refuse(f"has a kernel of the shape {list(kernel)}")
    shape = _windows(call, (kernel[0], kernel[1]), call.list("strides"))
    shape[_layout(call).channels] = kernel[2] * kernel[3]
    return [data(call, shape)]


def pool(call: Call) -> list[Tensor]:
    """Sizes are attributes."""
    return _pooled(call, call.list("ksize"), call.list("strides"))


def pool_v2(call: Call) -> list[Tensor]:
    """Sizes are inputs."""
    return _pooled(call, call.integers(1), call.integers(2))


def _pooled(call: Call, sizes: list[int], strides: list[int]) -> list[Tensor]:
    image = _layout(call)
    if len(sizes) != 4 or sizes[0] != 1 or sizes[image.channels] != 1:
        raise call.refuse("does not pool over height and width alone")
    return [data(call, _windows(call, (sizes[image.height], sizes[image.width]), strides), 0)]


def resize(call: Call) -> list[Tensor]:
    """Height and width are an input."""
    height, width = call.integers(1)
    shape = call.shape(0)
    if len(shape) != 4:
        raise call.refuse(f"reads {list(shape)}")
    return [data(call, (shape[0], height, width, shape[3]), 0)]


def space_to_depth(call: Call) -> list[Tensor]:
    """Blocks of pixels become channels."""
    image, size = _layout(call), call.integer("block_size")
    shape = list(call.shape(0))
    if size < 1 or shape[image.height] % size or shape[image.width] % size:
        raise call.refuse(f"has blocks of {size}")
    shape[image.height] //= size
    shape[image.width] //= size
    shape[image.channels] *= size * size
    return [data(call, shape)]


def reduce(compute: Callable[[Sequence[int]], int] | None = None) -> Rule:
    """Return the rule of a reduction, which `compute` applies to integers."""

    def rule(call: Call) -> list[Tensor]:
        tensor, shape = call.tensor(0), call.shape(0)
        axes = {axis_of(call, axis, len(shape), rows=tensor.rows) for axis in call.integers(1)}
        keep = call.flag("keep_dims")
        kept = [1 if axis in axes else size for axis, size in enumerate(shape)]
        found = [size for axis, size in enumerate(kept) if keep or axis not in axes]
        if compute and tensor.numbers is not None and axes == {0} and len(shape) == 1:
            number = compute([one for one, _ in tensor.numbers])
            other = compute([other for _, other in tensor.numbers])
            return [numbers_of(((number, other),), tuple(found))]
        return [data(call, found, 0)]

    return rule


def arg_max(call: Call) -> list[Tensor]:
    """One axis is dropped."""
    shape = list(call.shape(0))
    del shape[axis_of(call, call.scalar(1), len(shape), rows=call.tensor(0).rows)]
    return [data(call, shape, 0)]


def top(call: Call) -> list[Tensor]:
    """The last axis is cut, in values and indices."""
    shape = call.shape(0)
    count = call.integer("k") if call.node.op == "TopK" else call.scalar(1)
    axis_of(call, -1, len(shape), rows=call.tensor(0).rows)
    return [data(call, (*shape[:-1], count), 0)] * 2


def mat_mul(call: Call) -> list[Tensor]:
    """The rows of the first matrix stay rows; the second is a constant."""
    call.constant(1)
    left, right = call.shape(0), call.shape(1)
    if len(left) != 2 or len(right) != 2:
        raise call.refuse(f"multiplies {list(left)} by {list(right)}")
    if call.flag("transpose_a"):
        if call.tensor(0).rows:
            raise call.refuse("works along the axis of the images")
        left = left[::-1]
    if call.flag("transpose_b"):
        right = right[::-1]
    if left[1] != right[0]:
        raise call.refuse(f"binds another batch: it multiplies {list(left)} by {list(right)}")
    return [data(call, (left[0], right[1]))]


def batch_mat_mul(call: Call) -> list[Tensor]:
    """Matrices in the last two axes; those before are broadcast."""
    left, right = call.shape(0), call.shape(1)
    if len(left) < 2 or len(right) < 2:
        raise call.refuse(f"multiplies {list(left)} by {list(right)}")
    for index in range(2):
        # With two axes, rows are an axis of the product itself.
        if call.tensor(index).rows and len(call.shape(index)) < 3:
            raise call.refuse("works along the axis of the images")
    if call.flag("adj_x"):
        left = (*left[:-2], left[-1], left[-2])
    if call.flag("adj_y"):
        right = (*right[:-2], right[-1], right[-2])
    if left[-1] != right[-2]:
        raise call.refuse(f"multiplies {list(left)} by {list(right)}")
    outer = common_shape(call, (left[:-2], right[:-2]))
    shape = (*outer, left[-2], right[-1])
    if any(tensor.rows for tensor in call.inputs):
        for index, tensor in enumerate(call.inputs):
            require_aligned(call, index, tensor, shape)
    return [data(call, shape)]
