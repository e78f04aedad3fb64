"""docs/airgapped.md: every command in it is run, by the users whom it speaks to."""

from __future__ import annotations

from collections.abc import Callable

from tests.docs import pages
from tests.docs.reader import follow_section
from tests.harness.cm import CM

PAGE = pages.ROOT / "docs" / "airgapped.md"
BUNDLES = ("resnet50.tar", "some.tar", "all.tar")


def run(cm: CM, title: str) -> None:
    """Run all commands of a section, in one shell as a reader would."""
    follow_section(cm, PAGE.read_text(encoding="utf-8"), title)


def test_prepare_here_run_there(cm: CM, new_cm: Callable[..., CM]) -> None:
    run(cm, "Here: fetch and pack")
    assert all((cm.cwd / name).is_file() for name in BUNDLES)
    there = new_cm("there").also(origin=None)
    (cm.cwd / BUNDLES[0]).rename(there.cwd / BUNDLES[0])
    run(there, "There: unpack and run")
    assert (there.cwd / "models" / "resnet50-19c8e357.pth").is_file()
    run(there, "Afterwards")


def test_mirror_and_shared_store(cm: CM) -> None:
    run(cm, "For a whole site: a mirror")
    run(cm, "One store for many")


def test_every_block_of_the_page_is_run() -> None:
    text = PAGE.read_text(encoding="utf-8")
    sections = ("Here: fetch and pack", "There: unpack and run", "Afterwards")
    sections += ("For a whole site: a mirror", "One store for many")
    run_here = sum(len(pages.blocks(pages.section(text, name), "bash")) for name in sections)
    assert run_here == len(pages.blocks(text, "bash"))
