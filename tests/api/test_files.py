"""`inspect`, `reshape`, `convert`: files by themselves, and nothing of the user's is lost."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cmx_resnet50 import (
    ConversionError,
    FormatError,
    ReshapeError,
    Resnet50Error,
    convert,
    inspect,
    reshape,
)
from tests.api.conftest import World


def test_inspect_says_what_is_in_a_file(world: World, user: Path) -> None:
    facts = inspect(str(world.served["tensorflow"]))
    assert (facts.format, facts.layout, facts.classes) == ("tensorflow", "NHWC", 1001)
    (user / "page.onnx").write_text("<!DOCTYPE html><html>")
    with pytest.raises(FormatError, match="HTML"):
        inspect("page.onnx")
    with pytest.raises(FileNotFoundError):
        inspect("absent.onnx")


def batch4(source: Path, out: str) -> Path:
    return reshape(source, out, batch=4)


@pytest.mark.parametrize("make", [batch4, convert])
@pytest.mark.parametrize("there", ["text", "model"])
def test_what_is_not_ours_is_refused_before_the_work(
    world: World, user: Path, make: Callable[[Path, str], Path], there: str
) -> None:
    """Before the source is read, even: it is not there."""
    content = b"mine" if there == "text" else world.served["onnx-opset-11"].read_bytes()
    (user / "out").write_bytes(content)
    with pytest.raises(Resnet50Error, match=r"out exists already, .* --force"):
        make(Path("absent"), "out")
    assert (user / "out").read_bytes() == content


@pytest.mark.parametrize(
    ("make", "name", "error"),
    [(batch4, "onnx-opset-11", ReshapeError), (convert, "pytorch-fp32", ConversionError)],
)
def test_a_file_is_written_once_and_nothing_is_replaced(
    world: World,
    user: Path,
    make: Callable[[Path, str], Path],
    name: str,
    error: type[Resnet50Error],
) -> None:
    source = world.served[name]
    made = make(source, "out")
    assert made == Path("out")
    content = made.read_bytes()
    assert make(source, "out").read_bytes() == content
    made.write_bytes(b"mine")
    for out, text in (("out", "other content"), ("no/such/out", "not a folder")):
        with pytest.raises(Resnet50Error, match=text):
            make(source, out)
    with pytest.raises(error):
        make(world.served["tflite-edgetpu"], "other")
    assert made.read_bytes() == b"mine"
    assert [path.name for path in user.iterdir()] == ["out"]


def test_what_is_made_says_so(world: World) -> None:
    facts: dict[str, Any] = {
        "onnx-from-tf": (batch4, lambda found: found.inputs[0].shape, (4, 224, 224, 3)),
        "tensorflow": (batch4, lambda found: found.inputs[0].shape, (4, 224, 224, 3)),
        "pytorch-fp32": (convert, lambda found: found.version["container"], "zip"),
    }
    for name, (make, fact, expected) in facts.items():
        assert fact(inspect(make(world.served[name], name))) == expected
