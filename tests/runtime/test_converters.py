"""Files that the usual converters make, as the published ones were made, not ours."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from cmx_resnet50 import dummy
from cmx_resnet50.formats import read_facts
from cmx_resnet50.formats.facts import FormatError
from cmx_resnet50.rewrite import reshape

pytestmark = pytest.mark.runtime

_PNNX = """
import sys
import pnnx, torch
class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv2d(3, 8, 3, 2, 1)
        self.norm = torch.nn.BatchNorm2d(8)
        self.act = torch.nn.ReLU()
        self.pool = torch.nn.AdaptiveAvgPool2d(1)
        self.fc = torch.nn.Linear(8, 1000)
    def forward(self, x):
        return self.fc(torch.flatten(self.pool(self.act(self.norm(self.conv(x)))), 1))
pnnx.export(Net().eval(), "net.pt", torch.rand(1, 3, 224, 224), fp16=sys.argv[1] == "fp16")
"""


@pytest.mark.parametrize("opset", [8, 11])
def test_a_file_of_tf2onnx_is_read_and_takes_a_batch(tmp_path: Path, opset: int) -> None:
    pytest.importorskip("tensorflow", reason="tf2onnx reads graphs with TensorFlow")
    pytest.importorskip("tf2onnx", reason="makes ONNX files from frozen graphs")
    runtime = pytest.importorskip("onnxruntime", reason="runs ONNX files")
    graph, path, shaped = tmp_path / "m.pb", tmp_path / "m.onnx", tmp_path / "m4.onnx"
    dummy.write("tensorflow", graph, width=2)
    names = ["--inputs", "input_tensor:0", "--outputs", "ArgMax:0,softmax_tensor:0"]
    line = [sys.executable, "-m", "tf2onnx.convert", "--graphdef", str(graph), *names]
    line += ["--inputs-as-nchw", "input_tensor:0", "--opset", str(opset), "--output", str(path)]
    subprocess.run(line, check=True, capture_output=True)
    facts = read_facts(path, "onnx")
    assert facts.version["opset"] == opset
    assert (facts.producer or "").startswith("tf2onnx")
    assert [tensor.name for tensor in facts.inputs] == ["input_tensor:0"]
    assert [tensor.name for tensor in facts.outputs] == ["ArgMax:0", "softmax_tensor:0"]
    assert (facts.layout, facts.classes, facts.precision) == ("NCHW", 1001, "fp32")
    reshape(path, shaped, batch=4)
    images = np.random.default_rng(0).normal(0, 60, (4, 3, 224, 224)).astype(np.float32)
    sessions = [
        runtime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
        for file in (path, shaped)
    ]
    before, after = (session.run(None, {"input_tensor:0": images}) for session in sessions)
    np.testing.assert_array_equal(before[0], after[0])
    np.testing.assert_allclose(before[1], after[1], atol=1e-6)
    assert sessions[1].get_inputs()[0].shape == [4, 3, 224, 224]


@pytest.mark.parametrize("precision", ["fp16", "fp32"])
def test_a_pair_of_pnnx_is_read(tmp_path: Path, precision: str) -> None:
    pytest.importorskip("pnnx", reason="makes ncnn files from PyTorch modules")
    line = [sys.executable, "-c", _PNNX, precision]
    subprocess.run(line, check=True, capture_output=True, cwd=tmp_path)
    # pnnx names the pair NAME.ncnn.param and NAME.ncnn.bin.
    facts = read_facts(tmp_path / "net.ncnn.param", "ncnn")
    assert [tensor.name for tensor in facts.inputs] == ["in0"]
    assert [tensor.name for tensor in facts.outputs] == ["out0"]
    assert (facts.classes, facts.precision) == (1000, precision)
    data = tmp_path / "net.ncnn.bin"
    data.write_bytes(data.read_bytes()[:-4])
    with pytest.raises(FormatError, match=r"net\.ncnn"):
        read_facts(tmp_path / "net.ncnn.param", "ncnn")
