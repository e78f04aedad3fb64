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
        check_flags(read, OURS)


def test_a_key_of_a_program_may_be_of_any_type() -> None:
    given: dict[Any, str] = {5: "x", None: "y"}
    check_flags(given, OURS)
