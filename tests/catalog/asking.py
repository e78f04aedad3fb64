"""Requests by the thousand, and what the catalog says to them; shared by the tests here."""

from __future__ import annotations

import json
from functools import cache
from itertools import product

from cmx_resnet50.catalog.table import SCRIPT, Catalog, Request, RequestError, Resolution
from tests.catalog import documented as known
from tests.catalog.engine import compose
from tests.catalog.oracle import Ask, verdict

META = json.loads((SCRIPT / "_cm.json").read_text(encoding="utf-8"))
CATALOG = Catalog(META)
FRAMEWORKS = (None, "onnx", "onnxruntime", "pytorch", "tensorflow", "tf", "tflite", "ncnn", "-")
PRECISIONS = (None, "fp32", "int8", "uint8", "-")
OUTPUTS = (None, "argmax", "no-argmax", "-")
OPSETS = (None, "8", "11", "-")
NO_YES = (False, True)
BATCHES = (None, "1", "8")


def request_for(tags: list[str]) -> Request:
    run = compose(META, tags)
    return Request.from_env(run.env, explicit=run.explicit)


@cache
def outcome(request: Request, *, strict: bool = False) -> Resolution | RequestError:
    try:
        return CATALOG.resolve(request, strict=strict)
    except RequestError as refusal:
        return refusal


def is_file(resolution: Resolution, file: known.File) -> bool:
    artifact = resolution.artifact
    return (artifact.url, artifact.file, artifact.format) == (file.url, file.file, file.format)


@cache
def asks(framework: str | None) -> list[Ask]:
    """Every combination that begins with `framework`."""
    return [
        Ask(framework, *rest)
        for rest in product(PRECISIONS, OUTPUTS, OPSETS, NO_YES, NO_YES, NO_YES, BATCHES)
    ]


@cache
def exact() -> dict[str, list[Ask]]:
    """Every request that the contract answers to the letter, by framework, without aliases."""
    found: dict[str, list[Ask]] = {}
    for framework, precision, output, opset, from_tf, huggingface in product(
        ("onnx", "pytorch", "tensorflow", "tflite", "ncnn"),
        ("fp32", "int8", "uint8"),
        ("argmax", "no-argmax"),
        (None, "8"),
        NO_YES,
        NO_YES,
    ):
        ask = Ask(framework, precision, output, opset, from_tf, huggingface)
        said = verdict(ask)
        if said.file is not None and not said.warns:
            found.setdefault(framework, []).append(ask)
    return found
