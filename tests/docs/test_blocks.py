"""Every command in the pages at the top and in docs/ is run by a test, or here stands where.

A block counts as run when a test module that is named here for its page asks for the heading that
it stands under, or takes all blocks of the page. So a new block, and a heading that is renamed,
fail until somebody runs them.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.docs import pages

SHELLS = {"bash", "sh", "shell", "console"}

RUN_BY = {
    "README.md": ["docs/test_commands.py"],
    "README-extra.md": ["docs/test_commands.py"],
    "docs/README.md": ["docs/test_commands.py"],
    "docs/choose.md": ["docs/test_commands.py"],
    "docs/reference.md": ["docs/test_commands.py"],
    "docs/preprocessing.md": ["api/test_preprocessing.py"],
    "docs/python.md": ["examples/test_from_python.py"],
    "docs/networks.md": ["docs/test_networks.py"],
    "docs/airgapped.md": ["mirror/test_airgapped.py"],
    "docs/clusters.md": ["site/test_page.py", "mirror/test_page.py"],
    "docs/containers.md": ["container/test_cm_docker.py", "container/test_containerfile.py"],
    "docs/mlc.md": ["mlc/test_page.py"],
    "docs/callers.md": ["callers/test_page.py", "callers/test_together.py"],
    "docs/compare.md": [],
    "docs/design.md": [],
    "CONTRIBUTING.md": [],
    "SECURITY.md": [],
}
"""Test modules that ask for the blocks of a page by heading."""

WHOLE = {"docs/races.md": "races/test_page.py", "docs/gui.md": "gui/test_docs.py"}
"""Test modules that take all blocks of a page, whatever they stand under."""

CI = "run by .ci/run: inside a test they would run themselves"
ELSEWHERE = {
    ("README.md", "Try a clone"): CI,
    ("docs/design.md", "Where tests are"): CI,
    ("CONTRIBUTING.md", "Set up"): CI,
    ("docs/reference.md", "GUI"): "docs/gui.md",
    ("docs/reference.md", "Docker"): "docs/containers.md",
}
"""Blocks that a test here compares with where they are run: a page with tests of its own, or CI."""

WITH_BLANKS = {
    ("docs/callers.md", "A dataset of your own for the callers"): "callers/conftest.py",
}
"""Blocks of no language, with names that a reader fills in, and what runs the like of them."""


def every_page() -> list[str]:
    top = [pages.README, pages.EXTRA, pages.CONTRIBUTING, pages.SECURITY]
    found = [*top, *pages.DOCS.rglob("*.md")]
    return sorted(path.relative_to(pages.ROOT).as_posix() for path in found)


def commands(page: str) -> list[pages.Block]:
    text = (pages.ROOT / page).read_text(encoding="utf-8")
    return [block for block in pages.all_blocks(text) if block.language in SHELLS]


def texts(module: Path) -> set[str]:
    """Return the text constants of a module that holds tests."""
    tree = ast.parse(module.read_text(encoding="utf-8"))
    functions = [node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    assert any(name.startswith("test_") for name in functions), module
    constants = (node.value for node in ast.walk(tree) if isinstance(node, ast.Constant))
    return {value for value in constants if isinstance(value, str)}


def test_every_page_is_known() -> None:
    assert {*RUN_BY, *WHOLE} == set(every_page())


@pytest.mark.parametrize("page", every_page())
def test_every_block_is_run(page: str) -> None:
    folder = pages.ROOT / "tests"
    if page in WHOLE:
        assert Path(page).name in texts(folder / WHOLE[page])
        return
    asked = set().union(*(texts(folder / module) for module in RUN_BY[page]))
    for block in commands(page):
        assert block.language == "bash", f"tests look for bash: {block}"
        if (page, block.heading) not in ELSEWHERE:
            assert block.heading in asked, f"nobody runs what {page} says under {block.heading!r}"


def test_no_commands_hide_in_blocks_of_another_language() -> None:
    known = {"python", "json", "ini", "mermaid"}
    hidden = set()
    for page in every_page():
        for block in pages.all_blocks((pages.ROOT / page).read_text(encoding="utf-8")):
            if block.language == "":
                hidden.add((page, block.heading))
            else:
                assert block.language in SHELLS | known, page
    assert hidden <= WITH_BLANKS.keys()
    for module in WITH_BLANKS.values():
        assert (pages.ROOT / "tests" / module).is_file()


@pytest.mark.parametrize(("page", "heading"), ELSEWHERE)
def test_what_is_run_elsewhere_is_the_same_there(page: str, heading: str) -> None:
    where = ELSEWHERE[page, heading]
    blocks = pages.under(pages.ROOT / page, heading)
    if where == CI:
        first = blocks[-1]
        steps = (pages.ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
        # Which runs the same tests, and measures what they reach.
        steps += ["make test"] if "make coverage" in steps else []
        assert set(first.splitlines()) <= set(steps)
        return
    assert where in WHOLE or RUN_BY[where]
    assert {*blocks} <= {block.body for block in commands(where)}
