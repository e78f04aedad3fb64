"""The stage itself: a request of the old script runs to its end, on served files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from cmx_resnet50.digests import digest_file
from tests.conftest import FULL_SIZE, FullSize
from tests.harness.artifacts import ARTIFACTS, delivered
from tests.harness.build import Installation
from tests.harness.cm import CM
from tests.harness.origin import Origin

REQUESTS = {
    "onnx-opset-11": ("onnx",),
    "onnx-opset-8": ("onnx", "opset-8"),
    "onnx-from-tf": ("onnx", "from-tf", "fp32"),
    "tensorflow": ("tf",),
    "pytorch-fp32": ("pytorch",),
    "pytorch-int8": ("pytorch", "int8"),
    "tflite-argmax": ("tflite",),
    "tflite-no-argmax": ("tflite", "no-argmax"),
    "tflite-edgetpu": ("tflite", "int8", "no-argmax"),
    "ncnn-param": ("ncnn",),
}
"""What upstream delivers for a request; for ncnn its path ends as the ``.param``."""


@pytest.mark.callers
@pytest.mark.parametrize("name", REQUESTS)
def test_the_old_script_delivers_each_served_file(
    old_cm: CM, origin: Origin, served: dict[str, Path], name: str
) -> None:
    result = old_cm.get(*REQUESTS[name])
    assert result.ok, result.text
    assert result.path.read_bytes() == delivered(served[name])
    assert origin.bytes_sent(ARTIFACTS[name].url) == served[name].stat().st_size
    assert {record.status for record in origin.requests} == {200}


def test_an_installation_holds_its_own_package_and_no_tool_of_the_tests(
    ours: Installation, upstream: Installation
) -> None:
    assert (ours.script / "_cm.json").is_file()
    assert not (ours.script / "_cm.json").is_symlink()
    assert not (upstream.site_packages / "cmx_resnet50").exists()
    for installation in (ours, upstream):
        assert not (installation.site_packages / "pytest").exists()


def test_the_wheel_answers_in_front_of_the_old_script(cm: CM) -> None:
    answer = cm.access({"action": "find", "automation": "script", "tags": "get,ml-model,resnet50"})
    assert answer["return"] == 0, answer
    (found,) = answer["list"]
    assert Path(found) == cm.installation.script


def test_a_second_user_sees_nothing_of_the_first(
    new_cm: Callable[..., CM], upstream: Installation
) -> None:
    anna, otto = new_cm("anna", upstream), new_cm("ötto mit Leerzeichen", upstream, fresh=True)
    assert anna.get().ok
    assert otto.cache_entries("get,ml-model,resnet50") == []
    assert otto.get().path.is_relative_to(otto.repos)


def test_a_failure_gives_code_and_text(old_cm: CM) -> None:
    result = old_cm.get("pytorch", "uint8")
    assert not result.ok
    assert "please specify URL" in result.error
    assert result.env == {}


@pytest.mark.full
@pytest.mark.full
def test_full_size_files_are_of_full_size(full_size: FullSize, new_cm: Callable[..., CM]) -> None:
    for name in FULL_SIZE:
        assert full_size.served[name].stat().st_size > 100_000_000
    text = (full_size.ours.script / "_cm.json").read_text()
    for name, path in full_size.served.items():
        assert digest_file(path).md5 in text
        assert ARTIFACTS[name].md5 not in text
    tags = {"action": "find", "automation": "script", "tags": "get,ml-model,resnet50"}
    answer = new_cm("user", full_size.ours).access(tags)
    assert answer["list"] == [str(full_size.ours.script)]
