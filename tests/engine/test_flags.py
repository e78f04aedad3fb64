"""Misspelt flags, which the engines ignore."""

from __future__ import annotations

import json
import re
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from cmx_resnet50.engines.input_check import check_flags
from cmx_resnet50.options import OptionError
from tests.harness.cm import CM
from tests.harness.mlc import MLC
from tests.harness.origin import Origin

ROOT = Path(__file__).resolve().parents[2]
OURS = json.loads((ROOT / "_cm.json").read_text(encoding="utf-8"))["input_description"]
MISSPELT = {
    "ofline": "offline",
    "outdirnam": "outdirname",
    "out-dir-name": "outdirname",
    "checkpiont": "checkpoint",
    "model-path": "model_path",
    "STRICT": "strict",
    "forc": "force",
    "outdir": "outdirname",
    "out-dir": "outdirname",
    "output_folder": "outdirname",
    "destination": "outdirname",
}


@pytest.mark.parametrize(("flag", "right"), MISSPELT.items())
def test_the_right_one_is_named(flag: str, right: str) -> None:
    with pytest.raises(OptionError, match=rf"--{flag}\. Did you mean --{right}\?"):
        check_flags({"tags": "", flag: "yes"}, OURS)


@pytest.mark.under_mlc()
def test_nothing_is_fetched(engine: CM, origin: Origin) -> None:
    result = engine.run("run", "script", "--tags=get,ml-model,resnet50,_onnx", "--ofline")
    assert result.code == 1, result.text
    assert "Unknown flag --ofline. Did you mean --offline?" in result.err
    assert isinstance(engine, MLC) or "Traceback" not in result.text
    assert not origin.requests


@pytest.mark.parametrize(
    ("flag", "right"),
    {
        "to": "FOLDER",
        "outdirname": "FOLDER",
        "download_path": "FOLDER",
        "checkpoint": "FILE",
        "model_path": "FILE",
        "url_file": "FILE",
    }.items(),
)
def test_a_path_needs_a_value(flag: str, right: str) -> None:
    with pytest.raises(OptionError, match=f"--{flag} has no value. Write --{flag}={right}"):
        check_flags({flag: True}, OURS)
    check_flags({flag: "True", "offline": True, "silent": True, "s": True}, OURS)


@pytest.mark.under_mlc()
@pytest.mark.parametrize("flag", ["to", "outdirname"])
def test_no_folder_named_true_is_made(engine: CM, tmp_path: Path, flag: str) -> None:
    request = ("run", "script", "--tags=get,ml-model,resnet50,_onnx,_dummy-weights")
    for flags in ([f"--{flag}"], [], [f"--{flag}"]):  # cold, then a hit
        result = engine.run(*request, *flags, cwd=tmp_path)
        assert result.code == bool(flags), result.text
        # MLC itself ends with a TypeError for --outdirname, before it calls a script.
        if flag == "to" or not isinstance(engine, MLC):
            said = f"--{flag} has no value. Write --{flag}=FOLDER" in result.err
            assert said is bool(flags), result.text
    assert not (tmp_path / "True").exists()


@pytest.mark.parametrize("package", ["cmx4mlops", "mlcflow"])
def test_no_flag_of_an_engine_is_refused(package: str) -> None:
    files = metadata.files(package)
    if not files:
        pytest.skip(f"{package} is not installed")
    modules = [file for file in files if re.search(r"automation/script/\w+\.py$", str(file))]
    assert modules
    for module in modules:
        text = module.locate().read_text(encoding="utf-8")  # type: ignore[attr-defined]
        read = set(re.findall(r"""\bi(?:\.get\(|\.pop\(|\[)\s*['"]([\w-]+)['"]""", text))
        check_flags(dict.fromkeys(read, "x"), OURS)


def test_a_key_of_a_program_may_be_of_any_type() -> None:
    given: dict[Any, str] = {5: "x", None: "y"}
    check_flags(given, OURS)


@pytest.mark.parametrize("flag", ["out", "output", "output_dir", "path", "folder"])
def test_what_an_engine_or_a_caller_reads_is_accepted(flag: str) -> None:
    check_flags({flag: "json"}, OURS)
