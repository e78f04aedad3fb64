"""A git clone of this repository, told to an engine: it works, or names the command that helps."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.harness import build
from tests.harness.build import Installation
from tests.harness.cm import CM
from tests.harness.mlc import MLC

ROOT = Path(__file__).resolve().parents[2]
TAGS = "get,ml-model,resnet50,_dummy-weights"
SAID = "cmx-resnet50 is not installed; run: {python} -m pip install {clone}"
ENSURE = "ensure-ml-model-resnet50"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Return a git repository of this tree."""
    folder = tmp_path / "source"
    build.copy_tree(ROOT, folder)
    commit = ("-c", "user.name=tests", "-c", "user.email=tests@example.org", "commit", "-qm", "all")
    for line in (("init", "-q"), ("add", "-A"), commit):
        subprocess.run(["git", "-C", str(folder), *line], check=True)
    return folder


@pytest.mark.parametrize(
    "command",
    [
        ("cm", "run", "script", f"--tags={TAGS}", "--quiet"),
        ("cm", "run", "script", f"--tags={ENSURE}", "--quiet"),
        ("cmr", "cm gui", "--no_browser=yes", "--quiet"),
    ],
    ids=["model", "ensure", "gui"],
)
def test_cm_import_without_the_package(
    new_cm: Callable[..., CM], upstream: Installation, source: Path, command: tuple[str, ...]
) -> None:
    user = new_cm("user", upstream)
    assert user.run("import", "repo", cwd=source).ok
    # CM puts packages first that it finds by itself; then the old script answers.
    listed = user.repos / "repos.json"
    old = str(upstream.site_packages / "cmx4mlops")
    listed.write_text(json.dumps([*json.loads(listed.read_text()), old]))
    assert user.reindex().ok
    done = user.command(*command)
    assert not done.ok
    assert SAID.format(python=upstream.python, clone=source) in done.err, done.text
    assert "Traceback" not in done.text


@pytest.mark.parametrize("tags", [TAGS, ENSURE], ids=["model", "ensure"])
def test_mlc_pull_without_the_package(
    tmp_path: Path, upstream: Installation, source: Path, tags: str
) -> None:
    user = MLC(upstream, tmp_path / "home", tmp_path / "MLC")
    pulled = user.command("mlc", "pull", "repo", source.as_uri())
    assert pulled.ok, pulled.text
    done = user.command("mlcr", tags)
    assert not done.ok
    # MLC would ask an index for a package of the name of a module that it cannot import.
    said = SAID.format(python=upstream.python, clone=user.repos / "source")
    assert said in done.err and "Installing missing packages" not in done.text, done.text
    assert "Traceback" not in done.text


def test_the_folder_of_another_python(
    tmp_path: Path, upstream: Installation, ours: Installation
) -> None:
    """One home, two environments: the package is in the one that registered it."""
    user = MLC(ours, tmp_path / "home", tmp_path / "MLC")
    assert user.command("cmx-resnet50", "mlc", "add").ok
    done = MLC(upstream, tmp_path / "home", user.repos).command("mlcr", TAGS)
    assert not done.ok
    assert f"installed for another Python, in {ours.site_packages}, and not for" in done.err
    assert f"{upstream.python} -m pip install ." in done.err
    assert "Traceback" not in done.text and "Installing missing packages" not in done.text


@pytest.mark.parametrize("command", ["pull", "add"])
def test_mlc_pull_with_the_package(mlc: MLC, source: Path, command: str) -> None:
    """The clone takes the place of the package's folder, and gives it back."""
    where = source.as_uri() if command == "pull" else "."
    pulled = mlc.command("mlc", command, "repo", where, cwd=source)
    assert pulled.ok, pulled.text
    clone = mlc.repos / "source" if command == "pull" else source
    found = mlc.command("mlc", "find", "script", f"--tags={TAGS}")
    assert str(clone) in found.text
    assert mlc.get("dummy-weights").ok
    assert mlc.command("cmx-resnet50", "mlc", "add").ok
    found = mlc.command("mlc", "find", "script", f"--tags={TAGS}")
    assert str(clone) not in found.text and "cmx_resnet50" in found.text


@pytest.mark.full
def test_cm_pull_installs_the_package(tmp_path: Path, source: Path, wheel: Path) -> None:
    """With pip's own settings for a machine without a network: all that it needs is there."""
    builds = ("hatchling", "hatch-vcs")
    made = build.install(tmp_path / "env", wheel, (*build.TOOLS, *builds))
    offline = {"PIP_NO_INDEX": "1", "PIP_NO_DEPS": "1", "PIP_NO_BUILD_ISOLATION": "0"}
    user = CM(made, tmp_path / "home", tmp_path / "CM", variables=offline)
    removed = user.command("python", "-m", "pip", "uninstall", "--yes", "cmx-resnet50")
    assert removed.ok, removed.text
    pulled = user.run("pull", "repo", f"--url={source.as_uri()}")
    assert pulled.ok, pulled.text
    assert user.reindex().ok
    result = user.get("dummy-weights")
    assert result.ok, result.text
    assert result.env["CM_ML_MODEL_WEIGHTS"] == "dummy"
