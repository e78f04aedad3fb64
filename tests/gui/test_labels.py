"""Text of a meta is shown as it stands, and a label keeps its words."""

from __future__ import annotations

import re

import pytest

from cmx_resnet50.gui import labels


@pytest.mark.parametrize(
    "text",
    ["model-output", "batch_size", "offline: Open no socket: take it", "a (b), c. d!", "get,x,y"],
)
def test_plain_text_needs_no_marks(text: str) -> None:
    assert labels.escaped(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "![x](http://example.org/x.png)",
        "[x](http://example.org)",
        "<b>x</b>",
        "$x$",
        ":red[x]",
        ":smile:",
        "`x`",
        "*x*",
        "_x_",
        "a -- b",
        "# x",
        "- x",
        "1. x",
        "https://example.org",
        "~~x~~",
        "&amp;",
    ],
)
def test_marks_are_shown(text: str) -> None:
    escaped = labels.escaped(text)
    assert escaped != text
    assert re.sub(r"\\(.)", r"\1", escaped) == text


def test_a_flag_in_a_label_is_read_without_marks() -> None:
    spoken = labels.spoken("the same as --outdirname")
    assert "\\" not in spoken
    assert spoken.replace("\u2011", "-") == "the same as --outdirname"
