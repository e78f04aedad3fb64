"""How a failure ends the command: one exit code a kind, one JSON object, the right usage."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.harness import faults
from tests.harness.artifacts import ARTIFACTS
from tests.harness.cm import CM, Result
from tests.harness.origin import Origin

TOOL = "cmx-resnet50"
PYTORCH = ARTIFACTS["pytorch-fp32"]


def error_of(result: Result) -> dict[str, object]:
    """Return the one object on stdout; its message must be on stderr too."""
    content = json.loads(result.out)
    assert content.keys() == {"error"}
    error = content["error"]
    assert error.keys() == {"kind", "exit_code", "message", "what_to_do"}
    assert error["exit_code"] == result.code
    assert error["message"] in result.err
    assert "Traceback" not in result.err
    return dict(error)


@pytest.mark.parametrize(
    ("arguments", "code", "kind", "todo"),
    [
        (["get", "_onnx", "--nothing"], 2, "usage", "cmx-resnet50 get --help"),
        (["bundle", "export"], 2, "usage", "cmx-resnet50 bundle export --help"),
        (["nothing"], 2, "usage", "cmx-resnet50 --help"),
        (["get", "_ncnn,_int8"], 3, "request", "cmx-resnet50 get _ncnn,_fp32"),
        (["get", "_pytorch", "--offline"], 4, "network", "cmx-resnet50 docs airgapped"),
        (["get", "--checkpoint", "/etc/passwd"], 5, "digest", "cmx-resnet50 docs notes"),
        (["bundle", "import", "nothing.tar"], 1, "failed", None),
        (["inspect", "--check"], 2, "usage", "cmx-resnet50 inspect --help"),
    ],
)
def test_one_object_names_kind_message_and_what_to_do(
    cm: CM, arguments: list[str], code: int, kind: str, todo: str | None
) -> None:
    result = cm.command(TOOL, *arguments, "--json")
    error = error_of(result)
    assert (result.code, error["kind"]) == (code, kind)
    commands = error["what_to_do"]
    assert isinstance(commands, list)
    assert todo in commands if todo else not commands
    plain = cm.command(TOOL, *arguments)
    assert (plain.code, plain.out) == (code, "")


def test_a_source_that_fails_is_of_the_network(cm: CM, origin: Origin) -> None:
    for url in PYTORCH.urls:
        origin.forget(url)
    for arguments in (["get", "_pytorch"], ["prefetch", "_pytorch"]):
        assert cm.command(TOOL, *arguments, "--silent").code == 4
    # What a bundle lacks fails for the same reason, and two reasons have no code of their own.
    bundle = cm.command(TOOL, "bundle", "export", "out.tar", "_pytorch", "--json")
    assert error_of(bundle)["kind"] == "network"
    assert cm.command(TOOL, "prefetch", "_pytorch", "_ncnn,_int8", "--silent").code == 1


def test_a_folder_that_cannot_be_written_is_of_the_disk(cm: CM) -> None:
    (cm.cwd / "file").write_text("x")
    assert cm.command(TOOL, "docs", "--output", "no/such/x").code == 6
    for target in ("file/x.tar", "file/folder"):
        result = cm.command(TOOL, "bundle", "export", target, "_dummy-weights", "--json")
        assert error_of(result)["kind"] == "disk", target


def test_other_bytes_are_of_the_digest(
    cm: CM, origin: Origin, served: dict[str, Path], tmp_path: Path
) -> None:
    content = bytearray(served["pytorch-fp32"].read_bytes())
    content[-1] ^= 1
    other = tmp_path / "other.pth"
    other.write_bytes(content)
    for url in PYTORCH.urls:
        origin.serve(url, other)
    result = cm.command(TOOL, "get", "_pytorch", "--json", "--silent")
    assert error_of(result)["kind"] == "digest"
    assert result.code == 5


def test_interrupted_it_is_130_in_json_too(cm: CM, origin: Origin) -> None:
    origin.fail(PYTORCH.url, faults.Trickle(40_000))
    with cm.start("get", "_pytorch", "--json", program=TOOL) as running:
        origin.wait(lambda: origin.bytes_sent(PYTORCH.url) > 20_000)
        running.interrupt()
        result = running.wait()
    assert result.code == 130
    assert error_of(result)["kind"] == "interrupted"


@pytest.mark.parametrize(
    ("arguments", "usage"),
    [
        ("get --of", "get"),
        ("get --to", "get"),
        ("prefetch", "prefetch"),
        ("prefetch --all _onnx", "prefetch"),
        ("bundle export x _onnx --all", "bundle export"),
        ("bundle import x y", "bundle import"),
        ("store init", "store init"),
        ("store", "store"),
        ("publish _onnx --to ftp://x", "publish"),
        ("reshape a b --batch 0", "reshape"),
        ("docs nothing", "docs"),
    ],
)
def test_a_usage_error_shows_the_usage_of_its_subcommand(
    cm: CM, arguments: str, usage: str
) -> None:
    result = cm.command(TOOL, *arguments.split())
    assert result.code == 2
    assert result.err.startswith(f"usage: {TOOL} {usage} ")
    *_, error, help_line = result.err.splitlines()
    assert re.match(rf"{TOOL} {usage}: ", error)
    assert help_line == f"Details: run `{TOOL} {usage} --help`."
