"""Ours beside other copies of the old script: ours answers; then it goes."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.docs import pages
from tests.harness import artifacts, build
from tests.harness.artifacts import delivered
from tests.harness.cm import CM
from tests.harness.origin import Origin

OLD = "script/get-ml-model-resnet50"
NAME = "mlcommons@cm4mlops"
PULLED = f"alias: {NAME}\nuid: 9e97bb72b0474657\ngit: true\n"
"""What says that a folder is the repository under which the old script was published."""
NO_INDEX = {"CM_INDEX": "off"}
QUESTION = "Make your selection or press Enter for 0"
INDEX = [
    pytest.param({}, id="index"),
    # Slow: the engine then looks through every script for every dependency.
    pytest.param(NO_INDEX, id="no-index", marks=pytest.mark.callers),
]
FRESH = ("onnx",)
REFUSED_BY_US = ("pytorch", "uint8")
REFUSAL = "No ResNet-50 file exists for _pytorch,_uint8"
"""An answer of ours that takes no time."""


def pulled(cm: CM, *parts: str) -> Path:
    """Run ``cm pull repo`` on a git repository that holds `parts` of the old one."""
    shipped = cm.installation.site_packages / "cmx4mlops" / "repo"
    source = cm.home / "published"
    for part in parts:
        shutil.copytree(shipped / part, source / part)
    (source / "cmr.yaml").write_text(PULLED)
    git = ["git", "-c", "user.name=nobody", "-c", "user.email=nobody@example.org"]
    for line in (["init", "--quiet"], ["add", "."], ["commit", "--quiet", "-m", "published"]):
        subprocess.run([*git, *line], cwd=source, check=True)
    done = cm.run("pull", "repo", NAME, f"--url=file://{source}", "--quiet")
    assert done.ok, done.text
    repo = cm.repos / "repos" / NAME
    assert (repo / ".git").is_dir(), done.text
    return repo


def found(cm: CM, env: dict[str, str]) -> list[Path]:
    """Return what CM finds under our tags, the one that it runs first."""
    listed = cm.run("find", "script", "--tags=get,ml-model,resnet50", env=env)
    assert listed.ok, listed.text
    return [Path(line) for line in listed.out.split()]


def answers(cm: CM, env: dict[str, str]) -> None:
    """Fail unless ours runs, with nobody there to answer a question (stdin is empty).

    With an index CM sees one script. Without, it sees each copy, and asks whom to run unless
    told to be quiet.
    """
    result = cm.get(*FRESH, quiet=env == NO_INDEX, env=env)
    assert result.ok, result.text
    assert result.env["CM_ML_MODEL_VERIFIED"] == "yes"


def test_beside_the_copy_that_pip_brings(cm: CM) -> None:
    assert (cm.installation.site_packages / "cmx4mlops" / "repo" / OLD).is_dir()
    assert found(cm, {}) == [cm.installation.script]
    answers(cm, {})


@pytest.mark.callers
def test_the_same_without_an_index(cm: CM) -> None:
    old = cm.installation.site_packages / "cmx4mlops" / "repo" / OLD
    assert found(cm, NO_INDEX) == [cm.installation.script, old]
    assert REFUSAL in cm.get(*REFUSED_BY_US, env=NO_INDEX).err


@pytest.mark.parametrize("env", INDEX)
def test_beside_a_pulled_copy(cm: CM, env: dict[str, str]) -> None:
    pulled(cm, OLD)
    assert found(cm, env)[0] == cm.installation.script
    answers(cm, env)


@pytest.mark.callers
def test_enter_is_all_that_is_asked_without_an_index(cm: CM) -> None:
    done = subprocess.run(
        [str(cm.installation.bin / "cm"), *cm.request(*REFUSED_BY_US)],
        env=cm.environment(NO_INDEX),
        cwd=cm.cwd,
        input="\n",
        capture_output=True,
        text=True,
        check=False,
    )
    assert QUESTION in done.stdout
    assert f"Selected 0: {cm.installation.script}" in done.stderr
    assert REFUSAL in done.stderr


@pytest.mark.callers
def test_nobody_there_to_ask_without_an_index(cm: CM, old_cm: CM) -> None:
    # The engine reads an answer before it loads anything of ours, and would of any two copies.
    pulled(old_cm, OLD)
    for each in (cm, old_cm):
        asked = each.get(*FRESH, quiet=False, env=NO_INDEX)
        assert asked.code == 1
        assert QUESTION in asked.out
        assert asked.err.endswith("EOFError: EOF when reading a line\n")


@pytest.mark.callers
def test_what_avoids_the_question(cm: CM) -> None:
    only_ours = cm.get("onnx", "dummy-weights", quiet=False, env={"CM_INDEX": "no"})
    assert only_ours.ok, only_ours.text
    assert only_ours.env["CM_ML_MODEL_WEIGHTS"] == "dummy"
    page = (pages.ROOT / "docs" / "callers.md").read_text(encoding="utf-8")
    said, *_ = pages.blocks(pages.section(page, "Next to other copies of the script"), "bash")
    name, _, value = said.strip().removeprefix("export ").partition("=")
    said_once = {"CM_INDEX": "no", name: value}
    refused = cm.get(*REFUSED_BY_US, quiet=False, env=said_once)
    assert REFUSAL in refused.err
    assert QUESTION not in only_ours.out + refused.out


@pytest.mark.callers
def test_beside_the_whole_pulled_repository(cm: CM, old_cm: CM) -> None:
    pulled(cm, "script", "automation")
    assert found(cm, {}) == [cm.installation.script]
    answers(cm, {})
    # Two copies of CM's own automations, and no index: the engine gives up with or without us.
    pulled(old_cm, "automation")
    for each in (cm, old_cm):
        refused = each.get(*FRESH, env=NO_INDEX)
        assert refused.code == 2
        assert "several automations were found" in refused.err


@pytest.mark.callers
def test_installed_after_an_index_was_made(
    new_cm: Callable[..., CM], upstream: build.Installation, ours: build.Installation
) -> None:
    old = new_cm("bob", upstream)
    assert old.get(*FRESH).ok
    new = old.also(installation=ours)
    stale = new.get(*FRESH)
    assert stale.ok, stale.text
    assert "CM_ML_MODEL_VERIFIED" not in stale.env
    refused = new.get("dummy-weights")
    assert refused.code == 16
    assert "variation tags ['dummy-weights'] are not matching" in refused.err
    assert new.run("reindex", "repo").ok
    answers(new, {})


@pytest.mark.callers
def test_uninstalled(
    new_cm: Callable[..., CM],
    wheel: Path,
    served: dict[str, Path],
    origin: Origin,
    tmp_path: Path,
) -> None:
    made = build.install(tmp_path / "env", wheel)
    old = build.Installation(made.prefix, "cmx4mlops")
    artifacts.patch(made, served)
    artifacts.patch(old, served)
    cm = new_cm("anna", made, fresh=True)
    mine = tmp_path / "mine.onnx"
    mine.write_bytes(served["onnx-from-tf"].read_bytes())
    for request, options in (
        (("pytorch",), {}),
        (("onnx", "dummy-weights"), {}),
        (("onnx",), {"checkpoint": str(mine), "env": {"CM_RESNET50_ACCEPT_ANY": "yes"}}),
    ):
        result = cm.get(*request, **options)  # type: ignore[arg-type]
        assert result.ok, result.text
    pip = [
        str(made.python),
        "-m",
        "pip",
        "--isolated",
        "uninstall",
        "--quiet",
        "--yes",
        "cmx-resnet50",
    ]
    subprocess.run(pip, check=True)
    assert not (made.site_packages / "cmx_resnet50").exists()

    cm = cm.also(installation=old)
    for name, artifact in (("onnx", "onnx-opset-11"), ("pytorch", "pytorch-fp32")):
        result = cm.get(name)
        assert result.ok, result.text
        assert result.path.read_bytes() == delivered(served[artifact])
    assert found(cm, {}) == [old.script]
    # The whole of what we left behind goes with the command that the page names.
    assert cm.run("rm", "cache", "--tags=ml-model,resnet50", "-f").ok
    assert not cm.cache_entries("ml-model,resnet50")
    sent = origin.bytes_sent()
    assert cm.get("onnx").path.read_bytes() == delivered(served["onnx-opset-11"])
    assert origin.bytes_sent() > sent
