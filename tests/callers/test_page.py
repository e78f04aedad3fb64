"""docs/callers.md: its commands are run, and what it names exists."""

from __future__ import annotations

from pathlib import Path

from tests.callers.test_requests import CALLERS
from tests.docs import pages
from tests.docs.reader import follow_section
from tests.harness.cm import CM

PAGE = pages.ROOT / "docs" / "callers.md"
TEXT = PAGE.read_text(encoding="utf-8")
RUN = ("In your CI", "PyTorch 2.6 and newer")
ELSEWHERE = "Next to other copies of the script"
"""Its commands uninstall the project: see `tests.callers.test_together`."""


def run(cm: CM, title: str) -> None:
    """Run a section's commands as a reader does."""
    follow_section(cm, TEXT, title)


def test_random_weights_need_no_network(cm: CM) -> None:
    run(cm.also(origin=None), RUN[0])


def test_converted_weights_are_delivered_and_answer_nobody_else(
    cm: CM, served: dict[str, Path]
) -> None:
    run(cm, RUN[1])
    converted = cm.cwd / "converted" / "resnet50-19c8e357.pth"
    assert converted.read_bytes()[:2] == b"PK"
    accepting = {"CM_RESNET50_ACCEPT_ANY": "yes"}
    result = cm.get("pytorch", checkpoint=str(converted.parent), env=accepting)
    assert result.ok, result.text
    assert result.path.read_bytes() == converted.read_bytes()
    assert result.env["CM_ML_MODEL_VERIFIED"] == "no"
    assert cm.get("pytorch").path.read_bytes() == served["pytorch-fp32"].read_bytes()


def test_every_command_is_run_somewhere() -> None:
    run_here = sum(len(pages.blocks(pages.section(TEXT, name), "bash")) for name in RUN)
    assert run_here + len(pages.blocks(pages.section(TEXT, ELSEWHERE), "bash")) == len(
        pages.blocks(TEXT, "bash")
    )


def test_links_lead_somewhere() -> None:
    for link in pages.links(TEXT):
        path, _, anchor = link.partition("#")
        target = PAGE.parent / path
        assert target.is_file(), link
        assert not anchor or anchor in pages.anchors(target.read_text(encoding="utf-8"))


def test_the_tables_hold_every_caller_and_no_other() -> None:
    rows = pages.rows(pages.section(TEXT, "Which callers were run"))
    named = {span for row in rows for span in pages.spans(row[0])}
    assert {span for span in named if not span.startswith("_")} == CALLERS
    assert all(len(row) == 4 and all(row) for row in rows)
