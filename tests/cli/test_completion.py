"""``--print-completion``: what the shells themselves complete with the printed script."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest

from cmx_resnet50.cli.parser import SHELLS
from tests.harness.cm import CM

TOOL = "cmx-resnet50"
COMPLETED = {
    "ge": {"get"},
    "get _onnx,_op": {"_onnx,_opset-8", "_onnx,_opset-11"},
    "prefetch _pytorch _te": {"_tensorflow"},
    "get --of": {"--offline"},
    "bundle ex": {"export"},
    "docs net": {"networks"},
}
BASH = """
source ./script
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
"$(complete -p cmx-resnet50 | sed 's/.*-F \\([^ ]*\\).*/\\1/')"
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.fixture
def printed(cm: CM, tmp_path: Path) -> Callable[[str], Path]:
    """Return the function that prints the script of a shell into a folder of its own."""
    spec = find_spec("shtab")
    if spec is None or spec.origin is None:
        pytest.skip("shtab is not installed here")
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules" / "shtab").symlink_to(Path(spec.origin).parent)

    def print_script(shell: str) -> Path:
        env = {"PYTHONPATH": str(tmp_path / "modules")}
        result = cm.command(TOOL, "--print-completion", shell, env=env)
        assert result.ok, result.text
        assert result.err == ""
        (tmp_path / "script").write_text(result.out, encoding="utf-8")
        return tmp_path

    return print_script


def run(folder: Path, *command: str) -> list[str]:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    return done.stdout.splitlines()


def test_bash(printed: Callable[[str], Path]) -> None:
    folder = printed("bash")
    for typed, expected in COMPLETED.items():
        assert set(run(folder, "bash", "-c", BASH, TOOL, TOOL, *typed.split())) == expected, typed


@pytest.mark.skipif(shutil.which("fish") is None, reason="fish is not installed here")
def test_fish(printed: Callable[[str], Path]) -> None:
    folder = printed("fish")
    for typed, expected in COMPLETED.items():
        lines = run(folder, "fish", "-c", f"source ./script; complete -C '{TOOL} {typed}'")
        assert {line.partition("\t")[0] for line in lines} == expected, typed


def test_zsh(printed: Callable[[str], Path]) -> None:
    folder = printed("zsh")
    script = (folder / "script").read_text(encoding="utf-8")
    assert script.startswith(f"#compdef {TOOL}\n")
    # zsh itself splits at commas, and leaves out what was chosen.
    assert ":_values -s , variation " in script
    if shutil.which("zsh") is not None:
        assert run(folder, "zsh", "-n", "script") == []


@pytest.mark.parametrize("shell", SHELLS)
def test_without_shtab_it_is_named(cm: CM, shell: str) -> None:
    result = cm.command(TOOL, "--print-completion", shell)
    assert result.code == 1
    assert "pip install shtab" in result.err
    assert cm.command(TOOL, "--print-completion", "csh").code == 2
