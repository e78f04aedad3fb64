"""Every documented way to call the script, and how it behaves on a terminal and without one."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.harness import faults
from tests.harness.artifacts import ARTIFACTS, delivered
from tests.harness.build import Installation
from tests.harness.cm import CM
from tests.harness.origin import Origin

UID = "56203e4e998b4bc0"
FORMS = {
    "tags": ("cm", "run", "script", "--tags=get,ml-model,resnet50,_pytorch"),
    "alias": ("cm", "run", "script", "get-ml-model-resnet50", "--tags=_pytorch"),
    "uid": ("cm", "run", "script", UID, "--tags=_pytorch"),
    "cmr": ("cmr", "get raw ml-model resnet50 ml-model-resnet50 image-classification _pytorch"),
    "cmr quiet": ("cmr", "get ml-model resnet50 _pytorch", "--quiet"),
    "json": ("cm", "run", "script", "--tags=get,ml-model,resnet50,_pytorch", "-j"),
}


@pytest.mark.parametrize("form", FORMS)
def test_form(cm: CM, served: dict[str, Path], form: str) -> None:
    program, *arguments = FORMS[form]
    for _ in range(2):
        result = cm.command(program, *arguments)
        assert result.ok, result.text
        assert result.path.read_bytes() == delivered(served["pytorch-fp32"])


def test_python(cm: CM, served: dict[str, Path]) -> None:
    answer = cm.access(
        {
            "action": "run",
            "automation": "script",
            "tags": "get,ml-model,resnet50,_pytorch",
            "out": "con",
        }
    )
    assert answer["return"] == 0
    path = Path(answer["new_env"]["CM_ML_MODEL_FILE_WITH_PATH"])
    assert path.read_bytes() == delivered(served["pytorch-fp32"])


def test_json_output_holds_the_exported_keys(cm: CM) -> None:
    result = cm.run("run", "script", "--tags=get,ml-model,resnet50", "-j")
    text = result.err[result.err.index("{") :]
    printed, _ = json.JSONDecoder().raw_decode(text.replace("INFO:root:", ""))
    assert printed["new_env"]["CM_ML_MODEL_FILE"] == "resnet50_v1.onnx"


@pytest.mark.parametrize("form", [("cm", "--out=json"), ("cmx", "-j"), ("cmx", "-json")])
def test_nothing_but_json_is_on_stdout_where_json_is_asked(cm: CM, form: tuple[str, str]) -> None:
    program, flag = form
    for origin in ("fetched", "store"):
        result = cm.command(program, "run", "script", "--tags=get,ml-model,resnet50", flag)
        assert json.loads(result.out)["new_env"]["CM_ML_MODEL_FILE"] == "resnet50_v1.onnx"
        assert f"{origin})" in result.err


@pytest.mark.parametrize("form", [("cm", "-j"), ("cm", "--json"), ("cmx", "--json")])
def test_nothing_is_on_stdout_where_the_engine_logs_its_json(cm: CM, form: tuple[str, str]) -> None:
    program, flag = form
    for _ in range(2):
        result = cm.command(program, "run", "script", "--tags=get,ml-model,resnet50", flag)
        assert result.ok and not result.out.strip(), result.text


def test_help_lists_variations_and_inputs(cm: CM) -> None:
    result = cm.run("run", "script", "--tags=get,ml-model,resnet50", "--help", tty=False)
    for text in ("_dummy-weights", "_huggingface_default", "--to", "--outdirname"):
        assert text in result.out


@pytest.mark.parametrize("flag", ["--silent", "--silent=1", "--silent=on"])
@pytest.mark.under_mlc("silent=1")
def test_silent_prints_nothing_of_ours(engine: CM, flag: str) -> None:
    for _ in range(2):
        result = engine.run("run", "script", "--tags=get,ml-model,resnet50", flag)
        assert result.ok, result.text
        assert result.out.strip() == ""
        assert "%" not in result.err


def test_silent_in_one_letter(cm: CM) -> None:
    for flag, shown in (("-s", False), ("-s=off", True)):
        result = cm.run("run", "script", "--tags=get,ml-model,resnet50", flag)
        assert result.ok, result.text
        assert bool(result.out.strip()) == shown


@pytest.mark.parametrize("flag", ["--silent=no", "--silent=0"])
@pytest.mark.under_mlc("silent=no")
def test_a_no_to_silent_is_not_silent(engine: CM, flag: str) -> None:
    for origin in ("fetched", "store"):
        result = engine.run("run", "script", "--tags=get,ml-model,resnet50", flag)
        assert result.ok, result.text
        assert result.out.strip().endswith(f"{origin})")


@pytest.mark.under_mlc()
def test_what_is_neither_yes_nor_no_is_refused_cold_and_on_a_hit(engine: CM) -> None:
    for _ in range(2):
        result = engine.run("run", "script", "--tags=get,ml-model,resnet50", "--silent=maybe")
        assert not result.ok
        assert "--silent=maybe: must be yes or no" in result.err
        assert engine.get("onnx").ok


def test_stdout_has_one_line_with_file_bytes_digest_and_source(engine: CM) -> None:
    lines = []
    for _ in range(2):
        result = engine.get("onnx")
        (line,) = (text for text in result.out.splitlines() if text.startswith("ResNet-50: "))
        assert result.env["CM_ML_MODEL_FILE_WITH_PATH"] in line
        assert result.env["CM_ML_MODEL_SHA256"] in line
        lines.append(line)
    assert lines[0].endswith("fetched)")
    assert lines[1].endswith("store)")


@pytest.mark.under_mlc()
def test_terminal_shows_a_bar(engine: CM, origin: Origin) -> None:
    origin.fail(ARTIFACTS["onnx-opset-11"].url, faults.Trickle(200_000))
    result = engine.get("onnx", tty=True)
    assert result.ok, result.text
    assert re.search(r"resnet50_v1.onnx: +[0-9]+%\|", result.out), result.text


def test_entry_can_be_found_as_documented(engine: CM) -> None:
    for name in ("onnx", "pytorch", "ncnn"):
        assert engine.get(name).ok
    assert len(engine.cache_entries("download,file,ml-model,resnet50,_onnx")) == 1
    assert len(engine.cache_entries("get,ml-model,resnet50,_pytorch")) == 1
    assert len(engine.cache_entries("download,file,ml-model-params,params,ncnn,model-params")) == 1
    assert engine.remove_entries().ok
    assert not engine.cache_entries("ml-model,resnet50")
    result = engine.get("onnx")
    assert result.ok, result.text
    assert result.out.strip().endswith("store)")


def test_dependencies_are_printed_and_faked(cm: CM, origin: Origin) -> None:
    """Without our hooks, the engine knows of no delivery: it would call its downloader."""
    url = ARTIFACTS["onnx-opset-11"].url
    faked = cm.get("onnx", fake_run=True, fake_deps=True, print_deps=True)
    assert faked.ok, faked.text
    assert faked.saved["new_state"]["print_deps"] == [
        f"cm run script --tags=download-and-extract,_url.{url}"
    ]
    assert not origin.requests
    run = cm.get("onnx", fake_deps=True, print_deps=True)
    assert run.ok, run.text
    assert run.saved["new_state"]["print_deps"] == []
    assert cm.get("onnx").path == run.path


@pytest.mark.parametrize("script", ["download,file", "download-and-extract", "dae,file"])
def test_entry_answers_no_other_script(
    cm: CM, origin: Origin, served: dict[str, Path], script: str
) -> None:
    """It has tags of the downloader, by which a command finds it; and not all of them."""
    assert cm.get("onnx").ok
    known, other = ARTIFACTS["onnx-opset-11"].url, "https://files.example.com/other.bin"
    origin.serve(other, served["tensorflow"])
    for url in (known, other):
        origin.clear_log()
        line = f"--tags={script},_url.{url}"
        result = cm.run("run", "script", line, "--force_cache", "--quiet")
        assert result.ok, result.text
        assert [request.url for request in origin.requests] == [url]


@pytest.mark.parametrize("name", ["with a space", "Gerät-日本"])
@pytest.mark.under_mlc("with a space")
def test_any_path_as_cm_repos(
    new_engine: Callable[..., CM], ours: Installation, name: str, served: dict[str, Path]
) -> None:
    engine = new_engine(name, fresh=True)
    for names in (("onnx",), ("ncnn",), ("tflite",), ("onnx",)):
        result = engine.get(*names)
        assert result.ok, result.text
        assert name in str(result.path)


def test_skip_cache_leaves_the_users_folder_alone(engine: CM, served: dict[str, Path]) -> None:
    for _ in range(2):
        result = engine.get("pytorch", skip_cache=True)
        assert result.ok, result.text
        assert result.path.read_bytes() == delivered(served["pytorch-fp32"])
        # MLC leaves its log where it runs.
        assert [p.name for p in engine.cwd.iterdir() if p.name != ".mlc-log.txt"] == []
