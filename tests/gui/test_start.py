"""``cmr "cm gui"`` in the real engine, without a browser: what it refuses, and what it installs."""

from __future__ import annotations

import json
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.harness import build
from tests.harness.cm import CM

FILES = ("_cm.json", "customize.py", "page.py")
_MAIN = """
import json, os, sys
with open(os.environ["SAID"], "w") as file:
    json.dump(sys.argv[1:], file)
"""


def test_the_wheel_holds_the_files_themselves(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        for name in FILES:
            packed = archive.getinfo(f"cmx_resnet50/repo/script/gui/{name}")
            assert archive.read(packed) == (ROOT / "gui" / name).read_bytes()
            assert (packed.external_attr >> 28) in (0, 0o10)  # a regular file


def test_a_script_that_tags_do_not_name_is_told_at_once(cm: CM) -> None:
    many = cm.cmr("cm gui", "--script=detect,cpu os", "--quiet")
    assert many.code != 0
    assert "No script matches the tags detect,cpu,os. Nearest:" in many.err
    assert "--script=detect-os,detect,os,info   (detect-os)" in many.err
    several = cm.cmr("cm gui", "--script=get,ml-model", "--quiet")
    assert several.code != 0
    assert "scripts match the tags get,ml-model; add tags to select one:" in several.err


@pytest.mark.parametrize(
    "flag", ["--title=$(touch canary)", "--script=`touch canary`", '--prefix=x"; touch canary; "']
)
def test_a_hostile_input_does_nothing(cm: CM, flag: str) -> None:
    result = cm.cmr("cm gui", flag, "--quiet")
    assert result.code != 0
    assert "which a shell would act on" in result.err
    assert not list(cm.home.rglob("canary"))


@pytest.fixture
def stranger(tmp_path: Path, wheel: Path, new_cm: Callable[..., CM]) -> CM:
    """Return a user without Streamlit, whose pip finds one that only says how it was called."""
    made = build.install(tmp_path / "stranger", wheel)
    index = tmp_path / "index"
    index.mkdir()
    _streamlit(index, "1.67.0")
    cm = new_cm("stranger", made, fresh=True)
    variables = {
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(index),
        "SAID": str(tmp_path / "said.json"),
    }
    return cm.also(variables=variables)


def _streamlit(folder: Path, version: str) -> None:
    info = f"streamlit-{version}.dist-info"
    files = {
        "streamlit/__init__.py": f"__version__ = {version!r}\n",
        "streamlit/__main__.py": _MAIN,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: streamlit\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    with zipfile.ZipFile(folder / f"streamlit-{version}-py3-none-any.whl", "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
        record = "".join(f"{name},,\n" for name in (*files, f"{info}/RECORD"))
        archive.writestr(f"{info}/RECORD", record)


@pytest.mark.gui
def test_streamlit_comes_through_cm(stranger: CM, tmp_path: Path) -> None:
    """Into the Python that holds this package, and is started there as a list of arguments."""
    flags = ("--script=get,ml-model,resnet50", "--port=8599", "--title=It's & mine", "--quiet")
    result = stranger.cmr("cm gui", *flags)
    assert result.ok, result.text
    assert "Successfully installed streamlit-1.67.0" in result.text
    said = json.loads((tmp_path / "said.json").read_text())
    page = stranger.installation.site_packages / "cmx_resnet50/repo/script/gui/page.py"
    assert said[:2] == ["run", str(page)]
    assert "--server.address=127.0.0.1" in said
    settings = json.loads(said[-1])
    assert (settings["title"], settings["port"]) == ("It's & mine", 8599)

    (tmp_path / "said.json").unlink()
    again = stranger.cmr("cm gui", *flags)
    assert again.ok, again.text
    assert "pip install" not in again.text
    assert json.loads((tmp_path / "said.json").read_text()) == said


@pytest.mark.gui
def test_a_streamlit_that_is_too_old_is_named(stranger: CM, tmp_path: Path) -> None:
    old = tmp_path / "old"
    old.mkdir()
    _streamlit(old, "1.10.0")
    (tmp_path / "index/streamlit-1.67.0-py3-none-any.whl").unlink()
    pip = [stranger.installation.python, "-m", "pip", "--isolated", "install", "--quiet"]
    done = subprocess.run([*pip, "--no-index", *old.iterdir()], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    result = stranger.cmr("cm gui", "--script=get,ml-model,resnet50", "--quiet")
    assert result.code != 0
    assert not (tmp_path / "said.json").exists()
