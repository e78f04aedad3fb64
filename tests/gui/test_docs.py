"""``docs/gui.md``: its commands start pages, its pictures are there, its table is the meta's."""

from __future__ import annotations

import json
import shlex
import struct
from collections.abc import Callable

import pytest

from cmx_resnet50.gui.server import Settings
from tests.docs import pages
from tests.gui.browser import Shown

PAGE = pages.ROOT / "docs" / "gui.md"
TEXT = PAGE.read_text(encoding="utf-8")
META = json.loads((pages.ROOT / "gui" / "_cm.json").read_text(encoding="utf-8"))
COMMANDS = [
    shlex.split(line) for block in pages.blocks(TEXT, "bash") for line in block.splitlines()
]
STARTS = [words[2:] for words in COMMANDS if words[:2] == ["cmr", "cm gui"]]


def test_pictures_are_there_and_small() -> None:
    linked = [target for target in pages.links(TEXT) if target.endswith(".png")]
    folder = PAGE.parent / "pictures"
    assert {PAGE.parent / target for target in linked} == set(folder.glob("gui-*.png"))
    for target in linked:
        content = (PAGE.parent / target).read_bytes()
        assert content[:8] == b"\x89PNG\r\n\x1a\n"
        assert len(content) < 200_000
        width, _ = struct.unpack(">II", content[16:24])
        assert 300 < width <= 1280


def test_every_input_is_in_the_table() -> None:
    named = {row[0].strip("`-") for row in pages.rows(pages.section(TEXT, "Inputs"))}
    assert named == set(META["input_mapping"])


def test_commands_say_what_the_page_understands() -> None:
    assert len(STARTS) >= 5
    for words in COMMANDS:
        assert words[:2] in (["cmr", "cm gui"], ["pip", "install"])
    for arguments in STARTS:
        given = dict(word.removeprefix("--").split("=", 1) for word in arguments if "=" in word)
        given |= {word.removeprefix("--"): "True" for word in arguments if "=" not in word}
        Settings.read({META["input_mapping"][name]: value for name, value in given.items()})


@pytest.mark.gui
@pytest.mark.parametrize("arguments", STARTS, ids=" ".join)
def test_commands_start_a_page(open_page: Callable[..., Shown], arguments: list[str]) -> None:
    fixed = ("--script", "--port", "--no_browser")  # open_page gives its own port
    script = next((word[9:] for word in arguments if word.startswith("--script=")), "")
    extra = [word for word in arguments if not word.startswith(fixed)]
    page = open_page(*extra, script=script)
    assert page.page.get_by_role("heading", level=1).inner_text()
    assert page.run_button.count() == 0 or "--no_run" not in arguments
