"""Both pages and the licence: links lead somewhere, commands and names in them are real."""

from __future__ import annotations

import dataclasses
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from cmx_resnet50.catalog.table import Catalog, Request
from cmx_resnet50.catalog.variations import Variations, compose
from cmx_resnet50.cli.docs import PAGES as PRINTED
from cmx_resnet50.options import PREFIX, Options
from tests.docs import pages

META = json.loads((pages.ROOT / "_cm.json").read_text(encoding="utf-8"))
PACKAGED = pages.ROOT / "cmx_resnet50" / "repo" / "script" / META["alias"]
PAGES = [pages.README, pages.EXTRA, pages.REFERENCE]
DOCS = sorted(pages.DOCS.glob("*.md"))
PROGRAMS = {"cm", "cmr", "cmx-resnet50", "git", "make", "mkdir", "pip", "rm"}


def commands(page: Path) -> list[list[str]]:
    """Return the commands of a page's bash blocks, as a shell would take them apart."""
    found = []
    for block in pages.blocks(page.read_text(encoding="utf-8"), "bash"):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            if words:
                found.append(words)
    return found


def every_command() -> list[list[str]]:
    return [words for page in PAGES for words in commands(page)]


def code_of(page: Path) -> set[str]:
    """Return code spans and commands: what a reader may type."""
    spans = pages.spans(page.read_text(encoding="utf-8"))
    return spans | {" ".join(words) for words in commands(page)}


@pytest.mark.parametrize(
    "page",
    [
        *(pages.README, pages.EXTRA, pages.CONTRIBUTING, pages.SECURITY, *DOCS),
        *(PACKAGED / page.relative_to(pages.ROOT) for page in PAGES),
    ],
    ids=lambda page: str(page.relative_to(pages.ROOT)),
)
def test_links_lead_somewhere(page: Path) -> None:
    for target in pages.links(page.read_text(encoding="utf-8")):
        if "://" in target:
            assert target.startswith("https://")
            continue
        name, _, anchor = target.partition("#")
        # Figures are of a checkout, as the README says; the package has no benchmarks.
        folder = pages.ROOT if name.startswith("benchmarks/") else page.parent
        linked = folder / name if name else page
        assert linked.is_file(), target
        if anchor:
            assert anchor in pages.anchors(linked.read_text(encoding="utf-8")), target


def test_the_first_page_leads_to_all_others() -> None:
    start = pages.DOCS / "README.md"
    named = {start.parent / link for link in pages.links(start.read_text(encoding="utf-8"))}
    assert named >= {path for path in DOCS if path != start}
    order = [row[2].strip("`") for row in pages.rows(start.read_text(encoding="utf-8"))]
    shown = ["none", "choose", "airgapped", "networks", "clusters"]
    assert [name for name in order if name in shown] == shown
    assert set(PRINTED) == {"start", "notes", *order[1:]}


def test_the_package_carries_every_page() -> None:
    carried = {path.name: path for path in (PACKAGED / "docs").iterdir()}
    assert carried.keys() == {path.name for path in DOCS}
    for name, path in carried.items():
        assert path.read_text(encoding="utf-8") == (pages.DOCS / name).read_text(encoding="utf-8")
    stems = {path.stem for path in DOCS} - {"README"}
    assert set(PRINTED) == stems | {"start", "notes"}


def test_errors_point_to_pages_that_are_there() -> None:
    pointed = set()
    for path in (pages.ROOT / "cmx_resnet50").rglob("*.py"):
        pointed.update(re.findall(r"""\bsee\(["'](\w+)["']\)""", path.read_text(encoding="utf-8")))
    assert {"choose", "networks", "airgapped", "clusters", "notes"} <= pointed <= set(PRINTED)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_parse(page: Path) -> None:
    found = commands(page)
    assert found
    for words in found:
        program = next(word for word in words if not re.fullmatch(r"[A-Z_]+=.*", word))
        assert program in PROGRAMS, words


def test_make_targets_exist() -> None:
    targets = re.findall(
        r"^([\w-]+):", (pages.ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE
    )
    named = [words[1] for words in every_command() if words[0] == "make"]
    workflows = (pages.ROOT / ".github" / "workflows").glob("*.yml")
    for path in (pages.CONTRIBUTING, pages.ROOT / ".ci" / "run", *workflows):
        found = re.findall(r"(?:^|`|run: )make ([\w-]+)", path.read_text("utf-8"), re.MULTILINE)
        assert found, path
        named += found
    assert set(named) <= set(targets), set(named) - set(targets)


def test_requests_in_commands_mean_a_file() -> None:
    catalog = Catalog(META)
    seen = 0
    for words in every_command():
        tags = [tag for word in words for tag in re.split(r"[ ,=]", word) if tag[:1] == "_"]
        if tags and words[0] in ("cm", "cmr", "cmx-resnet50"):
            names = [tag[1:] for tag in tags]
            catalog.resolve(Request.from_env(compose(META, names), explicit=names))
            seen += 1
    assert seen


def test_subcommands_exist() -> None:
    names = {words[1] for words in every_command() if words[0] == "cmx-resnet50"}
    names = {name for name in names if not name.startswith("-")}
    assert names
    for name in names:
        done = subprocess.run(
            [sys.executable, "-m", "cmx_resnet50", name, "--help"],
            cwd=pages.ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_options_named_exist(page: Path) -> None:
    known = {PREFIX + field.name.upper() for field in dataclasses.fields(Options)}
    known |= {*META["env"], *META["default_env"], *META["input_mapping"].values()}
    for code in code_of(page):
        for key in re.findall(PREFIX + r"[A-Z_]+(?!\*)\b", code):
            assert key in known or key == "CM_RESNET50_ASKED_", (key, code)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_variations_named_exist(page: Path) -> None:
    variations = Variations(META)
    tools = {"wget", "curl", "gdown", "rclone", "cmutil"}  # variations of the downloader
    foreign = {"url", "package"}  # variations of others with a value
    for code in code_of(page):
        for name in re.findall(r"(?:^|[ ,=])_-?([A-Za-z0-9_.#-]+)", code):
            name = name.replace("batch_size.N", "batch_size.8")
            known = variations.find(name) or name in tools or name.partition(".")[0] in foreign
            assert known, (name, code)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_named_exist(page: Path) -> None:
    for code in pages.spans(page.read_text(encoding="utf-8")):
        if re.fullmatch(r"(cmx_resnet50|ensure|tests)/[\w/.-]+|[\w-]+\.py", code):
            assert (pages.ROOT / code).exists(), code


def test_every_verdict_names_both_sides() -> None:
    text = pages.EXTRA.read_text(encoding="utf-8")
    table = pages.rows(pages.section(text, "How it differs from the script it replaces"))
    assert len(table) >= 25
    assert all(len(row) == 2 and all(row) for row in table)


def test_how_to_add_a_file_names_every_field() -> None:
    shown = pages.section(pages.EXTRA.read_text(encoding="utf-8"), "How to add a file")
    used = {field for artifact in META["artifacts"].values() for field in artifact}
    assert used <= pages.spans(shown)


def test_licence_is_the_whole_apache_licence() -> None:
    text = (pages.ROOT / "LICENSE").read_text(encoding="utf-8")
    assert META["license"] == "Apache-2.0"
    assert "Version 2.0, January 2004" in text
    for title in ("1. Definitions", "3. Grant of Patent License", "9. Accepting Warranty"):
        assert title in text
    assert "END OF TERMS AND CONDITIONS" in text
