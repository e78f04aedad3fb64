"""The wheel's metadata: what a package index shows, and under which licence."""

from __future__ import annotations

import json
import re
import zipfile
from email.message import Message
from email.parser import Parser
from pathlib import Path

import pytest
from packaging.licenses import canonicalize_license_expression

from tests.docs import pages
from tools.readme.index import description

META = json.loads((pages.ROOT / "_cm.json").read_text(encoding="utf-8"))
INDEX = pages.ROOT / "README-index.md"


@pytest.fixture(scope="module")
def metadata(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return Parser().parsestr(archive.read(name).decode("utf-8"))


def test_fresh() -> None:
    assert INDEX.read_text(encoding="utf-8") == description(META), "stale: run `make docs`"


def test_who_wrote_it_and_under_which_licence(metadata: Message) -> None:
    assert metadata["Author"]
    assert len(metadata["Keywords"].split(",")) > 3
    assert metadata["License-Expression"] == META["license"]
    assert metadata["License-File"] == "LICENSE"
    assert "License" not in metadata


def test_an_index_can_show_the_description(metadata: Message) -> None:
    text = metadata.get_payload()
    assert isinstance(text, str)
    assert metadata["Description-Content-Type"] == "text/markdown"
    assert text.strip() == INDEX.read_text(encoding="utf-8").strip()
    assert text.startswith("# ")
    assert "<!--" not in text
    assert not pages.blocks(text, "mermaid")
    assert all(target.startswith("https://") for target in pages.links(text))
    assert pages.blocks(text, "python") == pages.blocks(pages.README.read_text("utf-8"), "python")
    assert pages.blocks(text, "bash") == pages.blocks(pages.README.read_text("utf-8"), "bash")
    named = set(re.findall(r"`cmx-resnet50 docs (\w+)`", text))
    assert {"choose", "reference", "notes", "start"} <= named


def test_each_licence_is_an_spdx_expression_or_not_known() -> None:
    stated = [META["license"], *(artifact["license"] for artifact in META["artifacts"].values())]
    for licence in stated:
        assert licence is None or canonicalize_license_expression(licence) == licence


def test_nothing_names_a_package_of_ours_in_an_index() -> None:
    """Nothing is published there: commands install a clone or a wheel."""
    requirement = re.compile(r"\bcmx[-_]resnet50(\[\w+\])?\s*([~=!<>]=|@)")
    texts = [pages.ROOT / name for name in ("_cm.json", "Containerfile", "requirements.txt")]
    for path in (*texts, *(pages.ROOT / "mlc").rglob("*.json"), pages.ROOT / "customize.py"):
        assert not requirement.search(path.read_text(encoding="utf-8")), path
    texts += [*pages.ROOT.glob("*.md"), *pages.DOCS.glob("*.md")]
    texts += [*(pages.ROOT / "examples").glob("*.py"), *(pages.ROOT / "cmx_resnet50").rglob("*.py")]
    for path in texts:
        assert not re.search(
            r"(pip|pipx|uv|tool) install [^`\n]*\bcmx[-_]resnet50\b(?!-)",
            path.read_text(encoding="utf-8"),
        ), path
