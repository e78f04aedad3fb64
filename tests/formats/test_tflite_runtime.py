"""The reader of TensorFlow Lite files against what LiteRT reports for the same file."""

from __future__ import annotations

from pathlib import Path

import pytest

from cmx_resnet50 import dummy
from cmx_resnet50.formats import read_facts
from tests.harness.edgetpu import edgetpu

litert = pytest.importorskip(
    "ai_edge_litert.interpreter", reason="compares with LiteRT; needs ai-edge-litert"
)

pytestmark = pytest.mark.runtime


@pytest.mark.parametrize("kind", ["tflite-argmax", "tflite-no-argmax", "edgetpu"])
def test_ends_are_those_that_the_runtime_reports(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "model.tflite"
    if kind == "edgetpu":
        path.write_bytes(edgetpu())
    else:
        dummy.write(kind, path, width=2)
    runtime = litert.Interpreter(model_path=str(path))
    facts = read_facts(path)
    for ours, theirs in (
        (facts.inputs, runtime.get_input_details()),
        (facts.outputs, runtime.get_output_details()),
    ):
        assert [(one.name, one.shape, one.dtype) for one in ours] == [
            (one["name"], tuple(one["shape"]), one["dtype"].__name__) for one in theirs
        ]
