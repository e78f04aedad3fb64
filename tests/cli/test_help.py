"""``--help`` of each subcommand, and ``docs``: what a newcomer is told, and where more stands."""

from __future__ import annotations

import re

import pytest

from cmx_resnet50.cli.docs import PAGES
from cmx_resnet50.cli.failure import DOCUMENTED
from tests.docs.pages import ROOT
from tests.harness.cm import CM

TOOL = "cmx-resnet50"
COMMANDS = ("list", "get", "prefetch", "bundle", "bundle export", "bundle import", "publish")
COMMANDS += ("verify", "prune", "store", "store init", "inspect", "reshape", "convert", "docs")


@pytest.mark.parametrize("name", COMMANDS)
def test_help(cm: CM, name: str) -> None:
    result = cm.command(TOOL, *name.split(), "--help", env={"COLUMNS": "80"})
    assert result.ok, result.text
    assert result.out.startswith(f"usage: {TOOL} {name} ")
    assert f"  {TOOL} {name}" in result.out.partition("Examples:")[2]
    assert result.err == ""
    assert max(map(len, result.out.splitlines())) <= 80
    assert f"\n{DOCUMENTED}\n" in result.out
    # Nothing is listed without a word on what it is.
    listed = re.findall(r"^  (\S.*?)(?:  +(.*))?\n( {4,})?", _arguments(result.out), re.MULTILINE)
    assert listed
    assert all(about or further for _, about, further in listed), result.out


def _arguments(shown: str) -> str:
    return "".join(re.findall(r"^(?:positional arguments|options):\n((?:  .*\n)+)", shown, re.M))


def test_help_names_every_command(cm: CM) -> None:
    shown = cm.command(TOOL, "--help").out
    for name in COMMANDS:
        if " " not in name:
            assert f"\n    {name} " in shown, name
    for name in ("_onnx,_opset-8", "CM_RESNET50_STORE", "130"):
        assert name in shown


def test_help_names_a_page(cm: CM) -> None:
    for name in ("", *COMMANDS):
        shown = cm.command(TOOL, *name.split(), "--help").out
        page = shown.rpartition("\nDetails: cmx-resnet50 docs ")[2].strip()
        assert page in PAGES, name


def test_docs_prints_each_page(cm: CM) -> None:
    listed = cm.command(TOOL, "docs", "--help").out
    for name in PAGES:
        printed = cm.command(TOOL, "docs", name)
        assert printed.ok, printed.text
        assert "\n# " in f"\n{printed.out}"
        assert re.search(rf"\b{name}\b", listed)
    choose = (ROOT / "docs" / "choose.md").read_text(encoding="utf-8")
    table = choose.partition("Look, and take one:")[0]
    assert cm.command(TOOL, "docs", "choose").out.startswith(table)
    unknown = cm.command(TOOL, "docs", "no-such-page")
    assert unknown.code == 2
    assert "networks" in unknown.err


def test_docs_prints_the_readme(cm: CM) -> None:
    printed = cm.command(TOOL, "docs").out
    assert printed.startswith("# get-ml-model-resnet50")
    assert cm.command(TOOL, "docs", "--output", "README.md").ok
    assert (cm.cwd / "README.md").read_text(encoding="utf-8") == printed
    assert cm.command(TOOL, "docs", "--output", "README.md").ok


def test_docs_replaces_another_file_only_if_forced(cm: CM) -> None:
    mine = cm.cwd / "mine.txt"
    mine.write_text("mine")
    refused = cm.command(TOOL, "docs", "python", "--output", "mine.txt")
    assert refused.code == 1
    assert "--force" in refused.err
    assert mine.read_text() == "mine"
    assert cm.command(TOOL, "docs", "python", "--output", "mine.txt", "--force").ok
    assert mine.read_text(encoding="utf-8") == cm.command(TOOL, "docs", "python").out
