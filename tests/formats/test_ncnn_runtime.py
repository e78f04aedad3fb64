"""The reader of ncnn's pairs against how many bytes ncnn itself takes from the weights."""

from __future__ import annotations

from pathlib import Path

import pytest

from cmx_resnet50.formats import read_facts
from tests.formats.test_ncnn import (
    FP16,
    FP32,
    GRAPH,
    INT8,
    LAYERS,
    LENIENT,
    TABLE,
    layer_file,
    length_of,
    pair,
    weights,
)

ncnn = pytest.importorskip("ncnn", reason="compares with ncnn; needs the package ncnn")

pytestmark = pytest.mark.runtime


@pytest.mark.parametrize(
    ("tag", "each", "ahead"), [(FP32, 4, 0), (FP16, 2, 0), (INT8, 1, 0), (TABLE, 1, 1024)]
)
def test_the_runtime_needs_every_byte(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], tag: int, each: int, ahead: int
) -> None:
    held = weights(tag, each, ahead)
    graph = GRAPH
    if tag == INT8:
        graph = graph.replace("6=54", "6=54 8=102").replace("2=133", "2=133 8=2")
        end = 4 + 56 + 8
        held = held[:end] + bytes(4 * 4) + held[end:] + bytes(4 * 8)
    for left, loads in ((held, True), (held[:-4], False)):
        param = pair(tmp_path, graph, left)
        net = ncnn.Net()
        assert net.load_param(str(param)) == 0
        net.load_model(str(param.with_suffix(".bin")))
        # It says so of every read that fails, but does not return all of these failures.
        assert ("failed" not in capfd.readouterr().err) is loads
    facts = read_facts(pair(tmp_path, graph, held))
    assert list(net.input_names()) == [one.name for one in facts.inputs]
    assert list(net.output_names()) == [one.name for one in facts.outputs]


@pytest.mark.parametrize("name", LENIENT)
def test_the_runtime_reads_these_graphs(tmp_path: Path, name: str) -> None:
    param = pair(tmp_path, LENIENT[name][0])
    net = ncnn.Net()
    assert net.load_param(str(param)) == 0
    assert net.load_model(str(param.with_suffix(".bin"))) == 0


@pytest.mark.parametrize(
    ("kind", "values", "runs"), [case for case in LAYERS if case[2]], ids=lambda value: str(value)
)
def test_the_runtime_needs_the_weights_of_each_layer(
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    kind: str,
    values: str,
    runs: list[tuple[int, bool]],
) -> None:
    for short in (0, 4):
        param = layer_file(tmp_path, kind, values, length_of(runs) - short)
        net = ncnn.Net()
        assert net.load_param(str(param)) == 0
        net.load_model(str(param.with_suffix(".bin")))
        assert ("failed" in capfd.readouterr().err) is bool(short)
