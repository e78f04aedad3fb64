"""What our readers say of a delivered file, and what the runtime itself reports for it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from cmx_resnet50.formats import read_facts
from tests.harness.cm import Result
from tests.runtime import running

pytestmark = pytest.mark.runtime

Dummy = Callable[..., Result]


@pytest.mark.parametrize("names", [(), ("opset-8",), ("from-tf",), ("batch_size.4",)])
def test_onnx_runtime(dummy: Dummy, names: tuple[str, ...]) -> None:
    path = dummy("onnx", *names).path
    loaded = running.session(path)
    facts = read_facts(path)
    types = {"float32": "tensor(float)", "int64": "tensor(int64)"}
    for ours, theirs in (
        (facts.inputs, loaded.get_inputs()),
        (facts.outputs, loaded.get_outputs()),
    ):
        assert [(one.name, list(one.shape), types[one.dtype]) for one in ours] == [
            (one.name, one.shape, one.type) for one in theirs
        ]
    described = loaded.get_modelmeta()
    assert facts.producer == described.producer_name
    assert facts.metadata == described.custom_metadata_map


@pytest.mark.parametrize("names", [(), ("fix-input-shape", "batch_size.2")])
def test_tensorflow(dummy: Dummy, names: tuple[str, ...]) -> None:
    running.tensorflow()
    path = dummy("tf", *names).path
    facts = read_facts(path)
    with running.imported(path) as graph:
        operations = graph.get_operations()
        entries = [one.outputs[0] for one in operations if one.type == "Placeholder"]
        ends = [
            one.outputs[0]
            for one in operations
            if one.type != "Const" and not any(end.consumers() for end in one.outputs)
        ]
    assert [(one.name, list(one.shape), one.dtype) for one in facts.inputs] == [
        (one.op.name, one.shape.as_list(), one.dtype.name) for one in entries
    ]
    # A frozen graph stores no shapes but of its inputs and constants.
    assert sorted((one.name, one.dtype) for one in facts.outputs) == sorted(
        (one.op.name, one.dtype.name) for one in ends
    )
    (scores,) = (one for one in ends if one.dtype.is_floating)
    assert facts.classes == scores.shape.as_list()[-1]


@pytest.mark.parametrize("names", [(), ("no-argmax",)])
def test_litert(dummy: Dummy, names: tuple[str, ...]) -> None:
    path = dummy("tflite", *names).path
    loaded = running.interpreter(path)
    facts = read_facts(path)
    for ours, theirs in (
        (facts.inputs, loaded.get_input_details()),
        (facts.outputs, loaded.get_output_details()),
    ):
        assert [(one.name, one.shape, np.dtype(one.dtype)) for one in ours] == [
            (one["name"], tuple(one["shape"]), np.dtype(one["dtype"])) for one in theirs
        ]


def test_torch(dummy: Dummy) -> None:
    torch = pytest.importorskip("torch", reason="reads state_dicts: torch==2.13.0")
    path = dummy("pytorch").path
    tensors = torch.load(path, weights_only=False)
    facts = read_facts(path)
    assert facts.version == {"container": "tar"}
    assert facts.parameter_count == sum(one.numel() for one in tensors.values())
    assert facts.parameter_bytes == sum(one.nbytes for one in tensors.values())
    assert facts.classes == len(tensors["fc.bias"])


def test_ncnn(dummy: Dummy) -> None:
    result = dummy("ncnn")
    net = running.ncnn_net(result.path, Path(result.env["CM_ML_MODEL_PARAM_FILE_WITH_PATH"]))
    facts = read_facts(result.path)
    assert [one.name for one in facts.inputs] == list(net.input_names())
    assert [one.name for one in facts.outputs] == list(net.output_names())
    (entry,) = facts.inputs
    images = np.zeros((1, *entry.shape), np.float32)
    found = running.ncnn(result.path, Path(result.env["CM_ML_MODEL_PARAM_FILE_WITH_PATH"]), images)
    assert found.shape[1:] == facts.outputs[0].shape == (facts.classes,)
