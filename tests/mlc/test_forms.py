"""Every way to reach the script through MLC: the real commands, and its API."""

from __future__ import annotations

import hashlib
import shlex
from pathlib import Path

import pytest

from cmx_resnet50.gui.command import Command
from tests.harness.artifacts import delivered
from tests.harness.mlc import MLC
from tests.harness.origin import Origin

TAGS = "get,ml-model,resnet50,_pytorch"
FORMS = {
    "mlcr": ("mlcr", TAGS),
    "mlcr in another order": ("mlcr", "_pytorch,resnet50,ml-model,get"),
    "mlc run script": ("mlc", "run", "script", f"--tags={TAGS}"),
    "mlcr json": ("mlcr", TAGS, "-j"),
    "uid": ("mlcr", "56203e4e998b4bc0", "--tags=_pytorch"),
}


@pytest.mark.parametrize("form", FORMS)
def test_form(mlc: MLC, served: dict[str, Path], origin: Origin, form: str) -> None:
    program, *arguments = FORMS[form]
    wanted = hashlib.sha256(delivered(served["pytorch-fp32"])).hexdigest()
    for source in ("fetched", "store"):
        result = mlc.command(program, *arguments)
        assert result.ok, result.text
        shown = result.err if "-j" in arguments else result.out
        assert (wanted in shown and shown.rstrip().endswith(f"{source})")) or "-j" in arguments
    assert len(list(mlc.repos.glob("local/cache/get-ml-model-resnet50_*"))) == 1


def test_access(mlc: MLC, served: dict[str, Path]) -> None:
    for _ in range(2):
        result = mlc.get("pytorch")
        assert result.ok, result.text
        assert result.path.read_bytes() == delivered(served["pytorch-fp32"])
        assert result.env["CM_ML_MODEL_VERIFIED"] == "yes"


def test_a_refusal_is_one_text_without_guesses(mlc: MLC, origin: Origin) -> None:
    result = mlc.command("mlcr", "get,ml-model,resnet50,_ncnn,_int8")
    assert result.code == 1
    assert "_ncnn,_int8" in result.err and "_ncnn,_fp32" in result.err
    assert "Traceback" not in result.text and "network" not in result.text.lower()
    assert not origin.requests


@pytest.mark.parametrize(
    "argument",
    [
        "--ad.model-downloader.env.FOO=$(touch pwned)",
        "--adr.model-downloader.env.MLC_DOWNLOAD_CHECKSUM_FILE='; touch pwned #",
        "--state.script_prefix=touch pwned",
        '--env.FOO=\\"; touch pwned #',
        "--env.MLC_SSL_CA_FILE=;touch pwned",
        '--const.MLC_ML_MODEL_INPUT_SHAPES=\\"; touch pwned #',
        "--const.MLC_ML_A=\\<<<MLC_ML_B>>>",
    ],
)
def test_whatever_a_run_is_given_is_checked(mlc: MLC, argument: str) -> None:
    result = mlc.command("mlcr", TAGS, argument)
    assert result.code == 1, result.text
    assert "would act on" in result.text or "would run" in result.text, result.text
    assert not list(mlc.home.rglob("pwned")) and not list(mlc.repos.rglob("pwned"))


@pytest.mark.parametrize("where", ["env", "const"])
def test_an_option_of_cm_in_a_run_is_answered_with_that_of_mlc(
    mlc: MLC, origin: Origin, where: str
) -> None:
    """Messages name options as CM does; in the environment, both names are read."""
    wanted = ("mlcr", TAGS, f"--{where}.CM_RESNET50_OFFLINE=yes")
    for attempt in ("cold", "hit"):
        result = mlc.command(*wanted)
        assert result.code == 1, (attempt, result.text)
        assert "In --env and --const it is MLC_RESNET50_OFFLINE" in result.err, result.text
        if attempt == "cold":
            assert not origin.requests
            offline = mlc.command("mlcr", TAGS, env={"CM_RESNET50_OFFLINE": "yes"})
            assert offline.code == 1 and "offline mode is on" in offline.err
            assert mlc.command("mlcr", TAGS).ok


def test_nothing_is_asked_of_the_internet_without_a_file_to_fetch(mlc: MLC, origin: Origin) -> None:
    result = mlc.command("mlcr", "get,ml-model,resnet50,_pytorch,_dummy-weights")
    assert result.ok, result.text
    assert not origin.connects


def test_the_command_that_the_page_offers(mlc: MLC, served: dict[str, Path]) -> None:
    inputs = {"outdirname": "my models", "env.CM_RESNET50_STRICT": "yes"}
    tags = ("get", "ml-model", "resnet50")
    offered = Command(tags, "", ("pytorch", "fp32"), inputs).mlcr
    result = mlc.command(*shlex.split(offered))
    assert result.ok, result.text
    placed = mlc.cwd / "my models" / "resnet50-19c8e357.pth"
    assert placed.read_bytes() == delivered(served["pytorch-fp32"])
    assert "Unknown option" in mlc.command(*shlex.split(offered.replace("STRICT", "STRCT"))).err
