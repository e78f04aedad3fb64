"""docs/compare.md: each cell is one of the last run of the benchmark, none is from memory."""

from __future__ import annotations

import json

from benchmarks.report import cells_table
from tests.docs import pages

TEXT = (pages.DOCS / "compare.md").read_text(encoding="utf-8")
RESULT = json.loads(
    max(pages.ROOT.glob("benchmarks/results/*/compare.json")).read_text(encoding="utf-8")
)


def test_the_table_is_that_of_the_results() -> None:
    assert cells_table(RESULT["cells"]) in TEXT


def test_what_was_not_run_has_its_reason() -> None:
    assert " ".join(RESULT["notes"]) in " ".join(TEXT.split())


def test_each_column_names_its_command() -> None:
    named = [row[0].strip("`") for row in pages.rows(TEXT) if len(row) == 2]
    assert named == list(next(iter(RESULT["cells"].values())))
