"""docs/python.md: its programs run, and its tables name what there is."""

from __future__ import annotations

import builtins
import dataclasses
import inspect
import re
from typing import Any

import pytest

import cmx_resnet50
from cmx_resnet50.api import Settings
from cmx_resnet50.catalog.table import Catalog
from cmx_resnet50.options import PREFIX
from tests.docs import pages

PAGE = pages.DOCS / "python.md"
TEXT = PAGE.read_text(encoding="utf-8")
PROGRAMS = pages.blocks(TEXT, "python")


@pytest.mark.usefixtures("filled", "internet")
@pytest.mark.parametrize("number", range(len(PROGRAMS)))
def test_programs_run_and_print(number: int, capsys: pytest.CaptureFixture[str]) -> None:
    exec(compile(PROGRAMS[number], f"{PAGE.name} {number}", "exec"), {})
    assert bool(capsys.readouterr().out) == ("print(" in PROGRAMS[number])


def cells(title: str) -> list[list[str]]:
    return pages.rows(pages.section(TEXT, title))


def test_every_function_has_a_row() -> None:
    named = {re.match(r"`(\w+)\(", row[0])[1] for row in cells("Functions")}  # type: ignore[index]
    functions = [getattr(cmx_resnet50, name) for name in cmx_resnet50.__all__]
    assert named == {each.__name__ for each in functions if inspect.isfunction(each)}


@pytest.mark.parametrize(
    ("title", "described", "computed"),
    [
        ("What a model is", cmx_resnet50.Model, ()),
        ("What is published", cmx_resnet50.KnownModel, ()),
        ("What a file contains", cmx_resnet50.ModelFacts, ("complete", "opset")),
    ],
)
def test_every_field_has_a_row(title: str, described: Any, computed: tuple[str, ...]) -> None:
    named = [name for row in cells(title) for name in pages.spans(row[0])]
    fields = [field.name for field in dataclasses.fields(described)]
    assert sorted(named) == sorted([*fields, *computed])


def test_the_page_says_which_block_needs_a_network() -> None:
    (needing,) = (b for b in PROGRAMS if re.search(r"get\(", b) and not needs_none(b))
    assert needing in pages.section(TEXT, "Progress and log")
    assert "only the block in [Progress and log]" in TEXT


def needs_none(program: str) -> bool:
    return re.search("dummy|offline=True", program) is not None


def test_every_keyword_of_a_request_has_a_row() -> None:
    rows = cells("Requests")
    named = {row[0].strip("`").partition("=")[0] for row in rows}
    parameters = inspect.signature(cmx_resnet50.get).parameters
    others = {"request", "to", "checkpoint", "progress", "settings"}
    assert named == parameters.keys() - others
    known = Catalog.load().variations
    for row in rows:
        for tag in pages.spans(row[1]):
            assert known.find(tag.removeprefix("_")), tag


def test_every_setting_has_a_row() -> None:
    rows = cells("Settings")
    named = {span.partition("=")[0] for row in rows for span in pages.spans(row[0])}
    assert named == Settings.__annotations__.keys()
    for row in rows:
        for name in re.findall(PREFIX + r"([A-Z_]+)", row[1]):
            assert row[0].startswith(f"`{name.lower()}=")


def test_every_error_has_a_row() -> None:
    named = {name for row in cells("Errors") for name in pages.spans(row[0])}
    errors = {name for name in cmx_resnet50.__all__ if name.endswith("Error")}
    assert named == errors - {"Resnet50Error"}
    for name in pages.spans(TEXT):
        if name.endswith(("Error", "Warning")):
            assert name in cmx_resnet50.__all__ or hasattr(builtins, name), name
