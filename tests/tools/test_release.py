"""`tools.release`: every file that names the version names the last release."""

from __future__ import annotations

import re

import pytest

from tests.docs import pages
from tools import release

CHANGES = (pages.ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_all_places_name_one_version() -> None:
    assert len({version for _, version in release.named()}) == 1, release.named()


def test_every_place_in_a_file_names_it() -> None:
    (version,) = {version for _, version in release.named()}
    page = (pages.DOCS / "containers.md").read_text(encoding="utf-8")
    assert {*re.findall(r"/cmx-resnet50-([\d.]+):", page)} == {version}


def test_the_tag_of_that_version_passes_and_no_other(capsys: pytest.CaptureFixture[str]) -> None:
    (version,) = {version for _, version in release.named()}
    assert release.main([f"v{version}"]) == 0
    assert capsys.readouterr().err == ""
    assert release.main(["v99.0.0"]) == 1
    assert f"CHANGELOG.md names {version}; the tag is v99.0.0" in capsys.readouterr().err


def test_the_changelog_is_kept_in_order() -> None:
    """What is not released yet stands on top, and each release has its date."""
    headings = re.findall(r"^## (.+)$", CHANGES, re.MULTILINE)
    assert headings[0] == "[Unreleased]"
    assert all(re.fullmatch(r"\[\d+\.\d+\.\d+\] - \d{4}-\d\d-\d\d", text) for text in headings[1:])
    dates = [text[-10:] for text in headings[1:]]
    assert dates == sorted(dates, reverse=True)
