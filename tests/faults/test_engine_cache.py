"""What the old script has fetched is taken from the cache of the engine, if it is right."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.faults.support import assert_good
from tests.harness.artifacts import ARTIFACTS
from tests.harness.build import Installation
from tests.harness.cm import CM
from tests.harness.mlc import MLC
from tests.harness.origin import Origin

NAME = "onnx-opset-11"


def entry(user: CM) -> Path:
    """Return a new entry of the engine's cache, as another script has it."""
    below = "local/cache" if isinstance(user, MLC) else "repos/local/cache"
    folder = user.repos / below / "download-file_0123456789abcdef"
    folder.mkdir(parents=True)
    return folder


@pytest.mark.parametrize("name", [NAME, "tflite-argmax"])
def test_what_the_old_script_fetched_is_not_fetched_again(
    cm: CM, origin: Origin, served: dict[str, Path], upstream: Installation, name: str
) -> None:
    request = ("tflite",) if name == "tflite-argmax" else ("onnx",)
    old = cm.also(installation=upstream)
    assert old.run("reindex", "repo").ok
    before = old.get(*request)
    assert before.ok, before.text
    assert cm.run("reindex", "repo").ok
    origin.clear_log()
    result = cm.get(*request)
    assert_good(cm, result, served, name)
    assert not origin.requests
    assert "taken from " in result.err
    assert result.path != before.path
    # What was taken is the store's own: the old entry may go.
    shutil.rmtree(before.path.parent)
    assert_good(cm, cm.get(*request), served, name)
    assert not origin.requests


@pytest.mark.parametrize("found", ["right", "damaged", "link", "another name"])
def test_only_the_very_file_is_taken(
    engine: CM, origin: Origin, served: dict[str, Path], found: str
) -> None:
    content = bytearray(served[NAME].read_bytes())
    path = entry(engine) / ARTIFACTS[NAME].file
    if found == "damaged":
        content[len(content) // 2] ^= 1
    if found == "link":
        elsewhere = engine.home / "file"
        elsewhere.write_bytes(content)
        path.symlink_to(elsewhere)
    else:
        path = path if found != "another name" else path.with_name("model.onnx")
        path.write_bytes(content)
    result = engine.get("onnx")
    assert result.ok, result.text
    assert result.path.read_bytes() == served[NAME].read_bytes()
    assert (not origin.bytes_sent()) == (found == "right")
    assert (f"taken from {path}, not fetched" in result.err) == (found == "right")
    assert path.read_bytes() == bytes(content)


def test_a_file_of_google_drive_needs_no_tool_then(
    engine: CM, origin: Origin, served: dict[str, Path]
) -> None:
    name = "onnx-from-tf"
    shutil.copyfile(served[name], entry(engine) / ARTIFACTS[name].file)
    result = engine.get("onnx", "from-tf")
    assert result.ok, result.text
    assert result.path.read_bytes() == served[name].read_bytes()
    assert not origin.requests
