"""``--quiet`` prints paths and nothing else; ``--verbose`` logs each request, without secrets."""

from __future__ import annotations

import json
import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.harness.artifacts import ARTIFACTS, delivered
from tests.harness.cm import CM
from tests.harness.origin import Origin

TOOL = "cmx-resnet50"
LINE = re.compile(
    r"cmx-resnet50: (GET|HEAD) (\S+): (?:(\d{3}), ([\d,]+) bytes|(\w+)) in \d+\.\d\d s"
)


def test_get_prints_a_path_a_file(cm: CM, served: dict[str, Path]) -> None:
    # It is of another precision than requested, which is a warning otherwise.
    result = cm.command(TOOL, "get", "_tf,_int8", "-q")
    assert (result.code, result.err) == (0, "")
    assert Path(result.out.strip()).read_bytes() == served["tensorflow"].read_bytes()
    result = cm.command(TOOL, "get", "_ncnn", "--quiet", "--to", "models")
    folder = cm.cwd / "models"
    assert result.out == f"{folder}/resnet50_v1.bin\n{folder}/resnet50_v1.param\n"
    assert result.err == ""


def test_prefetch_and_bundle_print_paths(cm: CM, served: dict[str, Path]) -> None:
    result = cm.command(TOOL, "prefetch", "-q", "_pytorch", "_ncnn")
    assert (result.code, result.err) == (0, "")
    contents = [Path(line).read_bytes() for line in result.out.splitlines()]
    assert contents[0] == delivered(served["pytorch-fp32"])
    assert contents[1:] == [delivered(served[name]) for name in ("ncnn", "ncnn-param")]
    result = cm.command(TOOL, "bundle", "export", "-q", "out.tar")
    assert (result.out, result.err) == (f"{cm.cwd / 'out.tar'}\n", "")


def test_rewriters_print_their_path(cm: CM) -> None:
    model = cm.command(TOOL, "get", "_onnx", "-q").out.strip()
    made = cm.command(TOOL, "reshape", model, "out.onnx", "--batch", "2", "-q")
    assert (made.out, made.err) == (f"{cm.cwd / 'out.onnx'}\n", "")
    shown = cm.command(TOOL, "reshape", model, "out.onnx", "--batch", "2", "--json")
    size = (cm.cwd / "out.onnx").stat().st_size
    assert json.loads(shown.out) == {"path": f"{cm.cwd / 'out.onnx'}", "bytes": size, "batch": 2}


def test_quiet_prints_errors(cm: CM) -> None:
    result = cm.command(TOOL, "get", "_ncnn,_int8", "-q")
    assert (result.code, result.out) == (3, "")
    assert "No ResNet-50 file" in result.err
    result = cm.command(TOOL, "prefetch", "_ncnn,_int8", "-q")
    assert "No ResNet-50 file" in result.err
    assert cm.command(TOOL, "get", "-q", "-v").code == 2


@pytest.mark.parametrize("first_fails", [False, True])
def test_verbose_logs_each_request(
    cm: CM, origin: Origin, served: dict[str, Path], first_fails: bool
) -> None:
    artifact = ARTIFACTS["pytorch-fp32"]
    if first_fails:
        origin.forget(artifact.url)
    result = cm.command(TOOL, "get", "_pytorch", "-v", "--silent")
    assert result.ok, result.text
    lines = [match for match in map(LINE.fullmatch, result.err.splitlines()) if match]
    hosts = [urlsplit(request.url).netloc for request in origin.requests]
    assert len(lines) >= len(hosts) > 0
    assert {match[2] for match in lines} == set(hosts)
    assert ("404" in {match[3] for match in lines}) is first_fails
    received = sum(int(match[4].replace(",", "")) for match in lines if match[3] in ("200", "206"))
    assert received >= served["pytorch-fp32"].stat().st_size


def test_verbose_shows_no_secret(cm: CM, origin: Origin, served: dict[str, Path]) -> None:
    origin.serve("https://mirror.example/x/resnet50-19c8e357.pth", served["pytorch-fp32"])
    env = {"CM_RESNET50_MIRROR": "https://user:hush@mirror.example/x?token=hush"}
    result = cm.command(TOOL, "get", "_pytorch", "-v", env=env)
    assert result.ok, result.text
    assert "GET mirror.example: " in result.err
    assert "hush" not in result.text


def test_nothing_is_logged_unless_asked_for(cm: CM) -> None:
    result = cm.command(TOOL, "get", "_pytorch")
    assert "GET" not in result.err
