"""Turn a picture into the input of a model: the code of docs/preprocessing.md.

It needs Pillow and NumPy. The facts of a model describe its preprocessing (`Model.preprocessing`,
`Model.layout`), so the same functions serve every file; `classify.py` uses them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image

from cmx_resnet50 import Preprocessing

Pixels = np.ndarray[Any, np.dtype[Any]]


def prepare(picture: Image.Image, how: Preprocessing) -> Pixels:
    """Return what a model takes of a picture: height, width, channels, as float32."""
    picture = picture.convert("RGB")
    if how.resize is not None:
        width, height = picture.size
        ratio = how.resize / min(width, height)
        size = (round(width * ratio), round(height * ratio))
        picture = picture.resize(size, Image.Resampling.BILINEAR)
    if how.crop is not None:
        left, top = ((side - how.crop) // 2 for side in picture.size)
        picture = picture.crop((left, top, left + how.crop, top + how.crop))
    pixels = np.asarray(picture, np.float32)
    if how.channel_order == "BGR":
        pixels = pixels[:, :, ::-1]
    return (pixels - np.float32(how.mean)) * np.float32(how.scale)


def batch(prepared: list[Pixels], layout: str | None) -> Pixels:
    """Return prepared pictures as one input, with channels where `layout` has them."""
    pictures = np.stack(prepared)
    return pictures.transpose(0, 3, 1, 2) if layout == "NCHW" else pictures


def quantize(pixels: Pixels, scale: float, zero_point: int, dtype: str = "uint8") -> Pixels:
    """Return the integers that a quantized input takes, by the scale and zero point of the file."""
    limits = np.iinfo(dtype)
    steps = np.rint(pixels / np.float32(scale)) + zero_point
    return np.clip(steps, limits.min, limits.max).astype(dtype)
