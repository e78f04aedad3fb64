"""docs/clusters.md, "An object store": its commands are run, with its own profile."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.docs import pages
from tests.docs.reader import follow_section
from tests.harness.cm import CM
from tests.mirror.conftest import BUCKET, Place

PAGE = pages.ROOT / "docs" / "clusters.md"


def run(cm: CM, title: str, text: str) -> None:
    """Run the commands under a heading in one shell; packages are there already."""
    follow_section(cm, text, title, "pip() { :; }")


def test_the_page_is_run(place: Place, node: Callable[..., CM], served: dict[str, Path]) -> None:
    text = pages.section(PAGE.read_text(encoding="utf-8"), "An object store")
    (profile,) = pages.blocks(text, "ini")
    given = place.environment
    for written, real in (
        ("http://s3.site.example:8333", given["AWS_ENDPOINT_URL"]),
        ("= KEY", f"= {given['AWS_ACCESS_KEY_ID']}"),
        ("= SECRET", f"= {given['AWS_SECRET_ACCESS_KEY']}"),
    ):
        assert written in profile
        profile = profile.replace(written, real)
    publisher, user = node("publisher", online=True), node("user")
    for cm in (publisher, user):
        (cm.home / ".aws").mkdir()
        (cm.home / ".aws" / "config").write_text(profile)
    assert f"s3://{BUCKET}/" in text
    run(publisher, "Fill it", text)
    run(user, "Read it", text)
    found = (user.cwd / "models" / "resnet50-19c8e357.pth").read_bytes()
    assert found == served["pytorch-fp32"].read_bytes()
    ran = sum(
        len(pages.blocks(pages.section(text, name), "bash")) for name in ("Fill it", "Read it")
    )
    assert ran == len(pages.blocks(text, "bash"))
