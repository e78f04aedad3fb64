"""What the tests of the files with random weights have in common: widths, images, writing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cmx_resnet50 import dummy

NARROW = 8
"""Base channels of the small files; the graph is the true one."""

Images = NDArray[np.float32]


def written(folder: Path, kind: str, width: int = NARROW) -> Path:
    """Write `kind` into `folder` under its own name."""
    path = folder / f"{kind}-{width}"
    dummy.write(kind, path, width=width)
    return path


def pixels(count: int, seed: int = 5) -> Images:
    """Return random images as the TensorFlow lineage takes them: NHWC, minus the mean."""
    values = np.random.default_rng(seed).uniform(0, 255, (count, 224, 224, 3))
    return (values - [123.68, 116.78, 103.94]).astype(np.float32)


def normalized(count: int, seed: int = 5) -> Images:
    """Return random images as the torchvision lineage takes them: NCHW, unit variance."""
    return np.random.default_rng(seed).standard_normal((count, 3, 224, 224), dtype=np.float32)


def nchw(images: Images) -> Images:
    """Return NHWC images as NCHW."""
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2))
