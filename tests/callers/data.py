"""A made-up ImageNet: pictures, labels, and the same as preprocessed arrays.

The pictures have the size of the network's input, so that a caller's resizing changes nothing
and a test can compute the same prediction. They are in PPM under the dataset's names: the
callers' readers go by content.
"""

from __future__ import annotations

import io
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

COUNT = 4
SIZE = 224
LABELS = [f"n{number:08d} thing number {number}" for number in range(1000)]
"""One a class, in order; without the background class that some files have."""

AUX = "caffe_ilsvrc12.tar.gz"


@dataclass(frozen=True)
class Data:
    """Where everything lies. `pixels` are uint8 [COUNT, SIZE, SIZE, 3]."""

    pictures: Path
    aux: Path
    preprocessed: Path
    pixels: NDArray[Any]


def name(number: int, suffix: str = "JPEG") -> str:
    """Return the name of a picture, counted from 1."""
    return f"ILSVRC2012_val_{number:08d}.{suffix}"


def write(folder: Path) -> Data:
    """Write it all below `folder`."""
    pixels = np.random.default_rng(7).integers(0, 256, (COUNT, SIZE, SIZE, 3), np.uint8)
    data = Data(folder / "pictures", folder / AUX, folder / "preprocessed", pixels)
    data.pictures.mkdir(parents=True)
    data.preprocessed.mkdir()
    for number, picture in enumerate(pixels, start=1):
        head = f"P6\n{SIZE} {SIZE}\n255\n".encode()
        (data.pictures / name(number)).write_bytes(head + picture.tobytes())
        scaled = picture.astype(np.float32) / 127.5 - 1
        # Without the header of NumPy's format: the caller reads bare numbers.
        (data.preprocessed / name(number, "npy")).write_bytes(scaled.tobytes())
    true_classes = [f"{name(number)} {number}" for number in range(1, COUNT + 1)]
    with tarfile.open(data.aux, "w:gz") as archive:
        _add(archive, "synset_words.txt", LABELS)
        _add(archive, "val.txt", true_classes)
    # Beside the arrays: CM would copy it there, from a place that it does not know.
    (data.preprocessed / "val_map.txt").write_text("\n".join(true_classes))
    return data


def _add(archive: tarfile.TarFile, path: str, lines: list[str]) -> None:
    content = "".join(f"{line}\n" for line in lines).encode()
    entry = tarfile.TarInfo(path)
    entry.size = len(content)
    archive.addfile(entry, io.BytesIO(content))
