"""Commands of the pages at the top, and of the first pages in docs/: run as a user would.

Those that cannot be run inside a test run are compared with where they are run: see
`tests.docs.test_blocks`.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.docs import pages
from tests.docs.reader import follow
from tests.harness import artifacts, build
from tests.harness.artifacts import delivered
from tests.harness.cm import CM
from tests.harness.origin import Origin

FROM_HERE = {"PIP_NO_INDEX": "1", "PIP_NO_BUILD_ISOLATION": "no"}
"""What pip would take from an index is in the environment; it reads "no" as "no isolation"."""


@pytest.fixture
def newcomer(tmp_path: Path, wheel: Path, origin: Origin) -> CM:
    """Return a user in a fresh clone whose environment has all but this project."""
    made = build.install(tmp_path / "environment", wheel, only_needed=True)
    build.write_metas_as_json(made)
    build.link(made, "hatchling", "hatch-vcs")
    user = CM(made, tmp_path / "home", tmp_path / "CM", origin)
    user.cwd.rmdir()
    build.copy_tree(pages.ROOT, user.cwd)
    shutil.rmtree(user.cwd / "tests")
    return user


def test_installation(newcomer: CM, served: dict[str, Path]) -> None:
    """``pip install .`` for real; the files that are then served are small ones."""
    block, shell = pages.under(pages.README, "get-ml-model-resnet50")
    install, run = block.splitlines()
    follow(newcomer, [install], env=FROM_HERE)
    artifacts.patch(newcomer.installation, served)
    assert "ResNet-50: " in follow(newcomer, [run])
    follow(newcomer, [shell])
    assert (newcomer.cwd / "models" / "resnet50_v1.onnx").is_file()
    follow(newcomer, pages.under(pages.README, "Install"), env=FROM_HERE)
    (upgrade,) = pages.under(pages.README, "Upgrade")
    pull, *rest = upgrade.splitlines()
    assert pull == "git pull"
    assert follow(newcomer, rest, env=FROM_HERE).endswith("\nsound\n")
    store = newcomer.repos / "resnet50-store"
    assert store.is_dir()
    follow(newcomer, pages.under(pages.README, "Uninstall"))
    assert not store.exists()
    assert not (newcomer.installation.prefix / "bin" / "cmx-resnet50").exists()


def test_help(cm: CM) -> None:
    said = follow(cm, pages.under(pages.REFERENCE, "Help"), typed="\n")
    assert "usage: cmx-resnet50 " in said


def test_command_line(cm: CM, served: dict[str, Path]) -> None:
    first, second = pages.under(pages.REFERENCE, "Command line")
    said = follow(cm, [first])
    assert said.count("\nResNet-50: ") == 3
    model = cm.cwd / "opset-8" / "resnet50_v1.onnx"
    assert model.read_bytes() == served["onnx-opset-8"].read_bytes()
    model.unlink()
    follow(cm, [second])
    assert model.read_bytes() == served["onnx-opset-8"].read_bytes()


def test_python(cm: CM, served: dict[str, Path]) -> None:
    texts = (page.read_text(encoding="utf-8") for page in (pages.README, pages.REFERENCE))
    programs = [program for text in texts for program in pages.blocks(text, "python")]
    assert len(programs) == 2
    for program in programs:
        done = cm.command("python", "-c", program)
        assert done.ok, done.text
        path = Path(done.out.splitlines()[-1].split()[0])
        assert path.read_bytes() == served["onnx-opset-11"].read_bytes()


def test_a_file_that_you_have_already(cm: CM, served: dict[str, Path]) -> None:
    given = cm.home / "given"
    given.mkdir()
    shutil.copy(served["onnx-opset-11"], given / "resnet50_v1.onnx")
    said = follow(
        cm.also(origin=None),
        pages.under(pages.EXTRA, "A file that you have already"),
        replaced={"/mnt/models": str(given)},
    )
    assert ", local)" in said


def test_without_cm(cm: CM) -> None:
    said = follow(cm, pages.under(pages.EXTRA, "Without CM"))
    assert "opset       8" in said


def test_a_first_try_needs_no_network(cm: CM) -> None:
    follow(cm.also(origin=None), pages.under(pages.DOCS / "README.md", "All pages"))
    assert (cm.cwd / "random" / "resnet50_v1.onnx").is_file()


def test_choosing(cm: CM, served: dict[str, Path]) -> None:
    page = pages.DOCS / "choose.md"
    said = follow(cm, pages.under(page, "Choose a file"))
    assert "input       input_tensor float32 [?, 224, 224, 3]" in said
    said = follow(cm, pages.under(page, "int8 and uint8"))
    assert "That is an error in strict mode" in said
    assert said.endswith("no such file\n")
    said = follow(cm, pages.under(page, "Batch"))
    assert "[4, 224, 224, 3]" in said
    offline = cm.also(origin=None)
    follow(offline, pages.under(page, "Random weights, for a first try"))
    made = cm.cwd / "random" / "resnet50-19c8e357.pth"
    assert made.read_bytes() != delivered(served["pytorch-fp32"])
