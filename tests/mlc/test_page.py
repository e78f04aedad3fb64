"""docs/mlc.md: every command in it is run, and its table of differences by the tests beside."""

from __future__ import annotations

import re
from pathlib import Path

from tests.docs import pages
from tests.harness.build import Installation
from tests.harness.mlc import MLC
from tests.harness.origin import Origin

PAGE = pages.ROOT / "docs" / "mlc.md"


def test_set_up(tmp_path: Path, ours: Installation, origin: Origin) -> None:
    """A new user: nothing is there, not even a home of MLC."""
    install, add = pages.under(PAGE, "Set up")[0].splitlines()
    assert install == "pip install '.[mlc]'"
    new = MLC(ours, tmp_path / "home", tmp_path / "home/MLC/repos")
    for _ in range(2):
        done = new.command(*add.split())
        assert done.ok, done.text
        assert "is answered by" in done.out and str(ours.prefix) in done.out


def test_run(mlc: MLC) -> None:
    (block,) = pages.under(PAGE, "Run")
    for line in block.splitlines():
        program, *arguments = line.split()
        done = mlc.command(program, *arguments)
        assert done.ok, done.text
    assert (mlc.cwd / "models" / "resnet50-19c8e357.pth").is_file()


def test_set_up_with_the_command_of_mlc(tmp_path: Path, ours: Installation, origin: Origin) -> None:
    (line,) = re.findall(r'`python -c "(.+)"`', PAGE.read_text(encoding="utf-8"))
    new = MLC(ours, tmp_path / "home", tmp_path / "MLC", origin)
    folder = new.command("python", "-c", line).out.strip()
    assert new.command("mlc", "add", "repo", folder).ok
    assert new.get("dummy-weights", "ncnn").ok
    done = new.command("cmx-resnet50", "mlc", "add")
    assert done.ok and "registered already" in done.out


def test_a_folder_that_was_brought_there(
    mlc: MLC, origin: Origin, served: dict[str, Path], tmp_path: Path
) -> None:
    (tmp_path / "resnet50-19c8e357.pth").write_bytes(served["pytorch-fp32"].read_bytes())
    mirror = {"MLC_RESNET50_MIRROR": tmp_path.as_uri()}
    done = mlc.command("mlcr", "get,ml-model,resnet50,_pytorch", env=mirror)
    assert done.ok, done.text
    assert not origin.requests


def test_uninstall(mlc: MLC) -> None:
    """But for pip's line: the environment is that of all tests."""
    assert mlc.get("dummy-weights", "ncnn").ok and mlc.get("pytorch").ok
    (block,) = pages.under(PAGE, "Upgrade and uninstall")
    entries, remove, pip, store = block.splitlines()
    for line in (entries, remove):
        done = mlc.command(*line.split())
        assert done.ok, done.text
    assert pip == "pip uninstall --yes cmx-resnet50"
    assert not list(mlc.cache.glob("*resnet50*"))
    found = mlc.command("mlc", "find", "script", "--tags=get,ml-model,resnet50")
    assert "cmx_resnet50" not in found.text
    assert (mlc.repos / "resnet50-store").is_dir()
    assert mlc.command("/bin/sh", "-c", store).ok
    assert not (mlc.repos / "resnet50-store").exists()


def test_python(mlc: MLC) -> None:
    (code,) = pages.blocks(PAGE.read_text(encoding="utf-8"), "python")
    done = mlc.command("python", "-c", code)
    assert done.ok, done.text
    assert Path(done.out.strip().splitlines()[-1]).is_file()
