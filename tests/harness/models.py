"""Small files of the true formats, one for each artifact; the same bytes on every machine.

Where the project can write the graph with random weights, it does so here, narrow; the two
that it cannot write are made by `torchscript` and `edgetpu`.
"""

from __future__ import annotations

import gzip
from pathlib import Path

from cmx_resnet50 import dummy
from tests.harness.artifacts import ARTIFACTS
from tests.harness.edgetpu import edgetpu
from tests.harness.origin import Origin
from tests.harness.torchscript import torchscript

WIDTH = 2
"""Channels of the first convolution: files of 50 to 400 KB."""
TRUE_WIDTH = 64
"""The same of the true network: files of about 102 MB."""
_SEED = 50
"""Not that of the product's own files with random weights."""


def write_all(folder: Path) -> dict[str, Path]:
    """Write a small file for every artifact into `folder`; return their paths by name."""
    written = paths(folder)
    for name, path in written.items():
        path.parent.mkdir(parents=True)
        write(name, path)
    return written


def write(name: str, path: Path, width: int = WIDTH) -> None:
    """Write a file for one artifact, as it is served: tflite-argmax is packed.

    `width` is without effect on pytorch-int8 and tflite-edgetpu, which are always small.
    """
    match name:
        case "pytorch-int8":
            path.write_bytes(torchscript(path.stem))
        case "tflite-edgetpu":
            path.write_bytes(edgetpu())
        case "tflite-argmax":
            dummy.write(name, path, seed=_SEED, width=width)
            path.write_bytes(gzip.compress(path.read_bytes(), 1, mtime=0))
        case _:
            dummy.write(name, path, seed=_SEED, width=width)


def paths(folder: Path) -> dict[str, Path]:
    """Return where `write_all` put each file, by artifact name."""
    return {name: folder / name / artifact.file for name, artifact in ARTIFACTS.items()}


def publish(origin: Origin, served: dict[str, Path]) -> None:
    """Let `origin` answer for each file at all public addresses of its artifact.

    Google Drive names a file in Content-Disposition, and the old script's gdown needs it to.
    """
    for name, path in served.items():
        headers = {"Content-Disposition": f'attachment; filename="{path.name}"'}
        drive = name == "onnx-from-tf"
        for url in ARTIFACTS[name].urls:
            origin.serve(url, path, headers=headers if drive else None)
