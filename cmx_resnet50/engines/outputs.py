"""The exported keys of a delivered file: facts of the artifact, not what the tags promise.

Names are without an engine's prefix.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from cmx_resnet50.catalog.request import Artifact, Resolution
from cmx_resnet50.engines.dialect import META, MODEL

FILE_WITH_PATH = MODEL + "FILE_WITH_PATH"
ORIGINAL = MODEL + "STARTING_FILE_PATH"
"""The file before its batch was fixed."""
SHA256 = MODEL + "SHA256"
SIZE = MODEL + "SIZE"
SOMETIMES = (ORIGINAL, MODEL + "REQUESTED_PRECISION", MODEL + "PARAM_FILE_WITH_PATH")
"""Keys that only some files have: emptied where an earlier model in one caller left them."""


def locations(
    artifact: Artifact, folder: Path, companions: tuple[Artifact, ...] = ()
) -> dict[str, str]:
    """Return the keys that say where the model is, when `folder` holds it."""
    keys = {
        FILE_WITH_PATH: str(folder / artifact.file),
        MODEL + "FILE": artifact.file,
        MODEL + "PATH": str(folder),
    }
    for companion in companions:
        if companion.companion_key is not None:
            keys[companion.companion_key.removeprefix(META)] = str(folder / companion.file)
    return keys


def facts(
    resolution: Resolution, *, md5: str, sha256: str, size: int, verified: bool, url: str
) -> dict[str, str]:
    """Return the keys that say what the model is.

    Parameters
    ----------
    resolution : Resolution
        What was asked for and which artifact it means.
    md5, sha256, size
        Digests and bytes of the delivered file.
    verified : bool
        Whether a digest known beforehand was compared.
    url : str
        The primary source, or the user's own URL, or the dummy's name.
    """
    artifact, request = resolution.artifact, resolution.request
    dummy = request.weights == "dummy"
    keys = {
        "MD5": md5,
        "SHA256": sha256,
        "SIZE": str(size),
        "VERIFIED": "yes" if verified else "no",
        "WEIGHTS": request.weights,
        "ACCURACY": "" if dummy or artifact.top1 is None else artifact.top1,
    }
    precision = resolution.file_precision
    if precision != "none":
        for name in ("PRECISION", "INPUT_DATA_TYPES", "WEIGHT_DATA_TYPES"):
            keys[name] = precision
    if request.precision not in (precision, "none"):
        keys["REQUESTED_PRECISION"] = request.precision
    if artifact.format == "onnx":
        keys["ONNX_OPSET"] = "" if artifact.opset is None else str(artifact.opset)
    if not artifact.known:
        keys.update(_tensors(artifact))
    exported = {MODEL + name: value for name, value in keys.items()}
    exported.update(
        {
            name.removeprefix(META): value.replace("<<<url>>>", url)
            for name, value in artifact.exports.items()
        }
    )
    return exported


def forget(env: Mapping[str, str], exported: Mapping[str, str]) -> dict[str, str]:
    """Return empty values for keys that an earlier model left in `env` and this one lacks."""
    return {name: "" for name in SOMETIMES if name in env and name not in exported}


def _tensors(artifact: Artifact) -> dict[str, str]:
    """Return the keys on input and output of a file of unknown origin, as it says itself."""
    keys = {} if artifact.layout is None else {"DATA_LAYOUT": artifact.layout}
    if artifact.inputs and artifact.inputs[0]["name"]:
        name, shape = artifact.inputs[0]["name"], artifact.inputs[0]["shape"]
        keys["INPUT_LAYERS"] = keys["INPUT_LAYER_NAME"] = name
        if shape and all(isinstance(size, int) for size in shape[1:]):
            sizes = ", ".join(str(size) for size in shape[1:])
            keys["INPUT_SHAPES"] = f'\\"{name}\\": (BATCH_SIZE, {sizes})'
    scores = [put for put in artifact.outputs or () if str(put["dtype"]).startswith("float")]
    if scores and scores[0]["name"]:
        keys["OUTPUT_LAYERS"] = keys["OUTPUT_LAYER_NAME"] = scores[0]["name"]
    return keys
