"""docs/mlc.md: its figures are those of the newest results of the benchmarks."""

from __future__ import annotations

from benchmarks.report import section_of
from tests.docs import pages

NAMES = ("mlc", "mlc-cold")


def test_the_figures_are_those_of_the_results() -> None:
    section = section_of(pages.ROOT / "benchmarks" / "results", NAMES)
    assert section and (pages.DOCS / "mlc.md").read_text(encoding="utf-8").endswith(section)
