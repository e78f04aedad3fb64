"""Conclusions from shapes and types that are the same for every format."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

Shape = tuple[int | str | None, ...]

_PRECISIONS = {"float32": "fp32", "float16": "fp16", "float64": "fp64", "bfloat16": "bf16"}
_CHANNELS = (1, 3, 4)
_NAME = 80


def printable(name: str) -> str:
    """Return a name from a file as it may be printed: short, and without control characters."""
    shown = name[:_NAME]
    return shown if shown.isprintable() else ascii(shown)


def layout_of(shapes: Sequence[Shape | None]) -> str | None:
    """Return ``NCHW`` or ``NHWC`` of the first four-dimensional input, None if ambiguous.

    An image has 1, 3 or 4 channels, and is larger than that.
    """
    for shape in shapes:
        if shape is None or len(shape) != 4:
            continue
        first, last = shape[1] in _CHANNELS, shape[3] in _CHANNELS
        if first != last:
            return "NCHW" if first else "NHWC"
        return None
    return None


def precision_of(bytes_by_dtype: Mapping[str, int]) -> str | None:
    """Return the name of the type that holds most bytes of the weights, None without weights."""
    if not any(bytes_by_dtype.values()):
        return None
    dtype = max(bytes_by_dtype, key=lambda name: bytes_by_dtype[name])
    return _PRECISIONS.get(dtype, dtype)


def classes_of(shape: Shape | None) -> int | None:
    """Return the number of classes in scores of this shape, None if it is not a row of scores.

    Scores are a row for each image, ``[N, classes]``; some networks leave axes of length 1 around
    the classes. A single score is not a classification.
    """
    if shape is None or len(shape) < 2:
        return None
    wide = [size for size in shape[1:] if size != 1]
    return wide[0] if len(wide) == 1 and isinstance(wide[0], int) else None
