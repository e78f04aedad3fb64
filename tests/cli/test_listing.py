"""``list``: a line a file that fits the terminal, every request, and all facts of one file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.harness.artifacts import ARTIFACTS
from tests.harness.cm import CM

TOOL = "cmx-resnet50"
COLUMNS = ["REQUEST", "FORMAT", "PRECISION", "SIZE", "TOP-1", "STORE"]


def listed(cm: CM, *arguments: str) -> Any:
    result = cm.command(TOOL, "list", *arguments, "--json")
    assert result.ok, result.text
    return json.loads(result.out)


def test_it_marks_what_the_store_has(cm: CM, served: dict[str, Path]) -> None:
    rows = listed(cm)
    # One row a file; numbers are numbers.
    assert sorted(row["artifact"] for row in rows) == sorted(ARTIFACTS.keys() - {"ncnn-param"})
    assert not any(row["store"] for row in rows)
    for row in rows:
        assert isinstance(row["top1"], float | None)
        assert isinstance(row["bytes"], int | None)
    assert cm.command(TOOL, "prefetch", "_onnx,_opset-8", "_ncnn").ok
    valid = {row["artifact"] for row in listed(cm) if row["store"] == "valid"}
    assert valid == {"onnx-opset-8", "ncnn"}
    (path,) = (
        path
        for path in (cm.repos / "resnet50-store").glob("objects/*/*/data")
        if path.stat().st_size == served["ncnn"].stat().st_size
    )
    path.chmod(0o644)
    path.write_bytes(bytes(path.stat().st_size))
    head, *lines = cm.command(TOOL, "list").out.splitlines()
    assert head.split() == [*COLUMNS, "USED"]
    (line,) = (line for line in lines if line.startswith("_ncnn,_fp32 "))
    words = line.split()
    assert words[:3] == ["_ncnn,_fp32", "ncnn", "fp32"]
    assert words[-3:] == ["76.140", "damaged", "-"]


def test_random_weights_that_the_store_has(cm: CM) -> None:
    before = listed(cm, "--all")
    assert cm.command(TOOL, "prefetch", "_ncnn,_dummy-weights", "--silent").ok
    # Every request that the file answers has a line, as with the published one.
    new = [row for row in listed(cm, "--all") if row not in before]
    assert len(new) == sum(row["artifact"] == "ncnn" for row in before)
    (row,) = (row for row in listed(cm) if row["weights"] == "dummy")
    assert row["request"] == "_ncnn,_fp32,_dummy-weights"
    assert (row["artifact"], row["store"], row["top1"]) == ("ncnn", "valid", None)
    got = json.loads(cm.command(TOOL, "get", row["request"], "--json").out)
    assert (got["sha256"], got["size"]) == (row["sha256"], row["bytes"])
    assert cm.command(TOOL, "list").out.count("_dummy-weights") == 1


@pytest.mark.parametrize("arguments", [(), ("--all",)])
def test_it_fits_the_terminal(cm: CM, arguments: tuple[str, ...]) -> None:
    assert cm.command(TOOL, "prefetch", "_ncnn,_no-argmax,_dummy-weights", "--silent").ok
    count = len(listed(cm, *arguments))
    for width in (200, 80, 60, 40):
        result = cm.command(TOOL, "list", *arguments, env={"COLUMNS": str(width)})
        lines = result.out.splitlines()
        longest = max(len(line.split()[0]) for line in lines)
        assert max(map(len, lines)) <= max(width, longest + len("  damaged"))
        assert len(lines) - 1 == count
        assert "STORE" in lines[0].split()
        assert width < 200 or "USED" in lines[0].split()


@pytest.mark.parametrize("request_text", ["_tf,_int8", "PyTorch int8", "_ncnn,_dummy-weights"])
def test_all_facts_of_one(cm: CM, request_text: str) -> None:
    facts = listed(cm, *request_text.split())
    known = {row["artifact"]: row for row in listed(cm)}[facts["artifact"]]
    same = known.keys() - {"request", "requests", "weights", "store", "used", "top1"}
    if facts["weights"] == "pretrained":
        assert {key: facts[key] for key in same} == {key: known[key] for key in same}
    shown = cm.command(TOOL, "list", *request_text.split())
    assert shown.ok
    for key in ("file", "artifact", "format", "sha256", "md5", "url"):
        assert f"{facts[key] or '-'}" in shown.out
    for other in facts["requests"]:
        assert other in shown.out
    assert list(facts["variations"]) == facts["request"].split(",")
    for meaning in facts["variations"].values():
        assert meaning in shown.out
    for tensor in facts["inputs"] + facts["outputs"]:
        assert f" [{', '.join(map(str, tensor['shape']))}]\n" in shown.out
    assert ("is fp32, and is called that" in shown.err) is bool(facts["deviations"])
    assert cm.command(TOOL, "list", "_onnx", "--all").code == 2
    assert cm.command(TOOL, "list", "_ncnn,_int8").code == 3
