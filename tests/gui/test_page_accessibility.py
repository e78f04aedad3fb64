"""The page on a phone, by keyboard alone, and as axe judges it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.gui.browser import Shown

pytestmark = pytest.mark.gui
Open = Callable[..., Shown]
PATH = "CM_ML_MODEL_FILE_WITH_PATH"


def test_a_phone_needs_no_sideways_scrolling(open_page: Open) -> None:
    page = open_page(script="get,ml-model,resnet50,_pytorch", size=(360, 780))
    page.run_button.wait_for()
    assert page.overflow() <= 0
    page.page.get_by_text("What each variation sets").click()
    page.see("CM_PACKAGE_URL=")
    assert page.overflow() <= 0
    for name in ("cmr", "Python", "docker", "cm"):
        page.command(name)
        assert page.overflow() <= 0
    page.run()
    page.exported(PATH)
    page.page.get_by_text("Log", exact=True).click()
    assert page.overflow() <= 0


def test_a_phone_shows_the_result_before_the_form(open_page: Open) -> None:
    """What a choice means, and the button that runs it, without scrolling."""
    page = open_page(script="get,ml-model,resnet50,_pytorch", size=(390, 844))
    page.see("pytorch-fp32")
    form_top = page.heading("Variations").bounding_box()
    assert form_top is not None
    for seen in (page.see("pytorch-fp32"), page.run_button):
        box = seen.bounding_box()
        assert box is not None
        assert 0 <= box["y"] <= 844 - box["height"]
        assert box["y"] < form_top["y"]


@pytest.mark.parametrize("size", [(1280, 900), (390, 844)], ids=str)
def test_axe_finds_nothing(open_page: Open, size: tuple[int, int]) -> None:
    axe = pytest.importorskip(
        "axe_playwright_python.sync_playwright", reason="needs axe-playwright-python"
    )
    page = open_page(size=size)
    page.see("onnx-opset-11")
    page.run_button.wait_for()
    for _ in range(2):
        found = axe.Axe().run(page.page).response["violations"]
        assert not found, [(one["id"], [node["html"] for node in one["nodes"]]) for one in found]
        page.choose("framework", "ncnn")
        page.page.get_by_role("radio", name="uint8").locator("xpath=ancestor::label").click()
        page.see("No ResNet-50 file exists")


def test_the_keyboard_is_enough(open_page: Open) -> None:
    page = open_page()
    page.run_button.wait_for()
    keyboard = page.page.keyboard
    focused = "document.activeElement.closest('[role=radiogroup]')?.getAttribute('aria-label')"
    for _ in range(30):
        if page.page.evaluate(focused) == "framework":
            break
        keyboard.press("Tab")
    else:
        pytest.fail("no key leads to the frameworks")
    for key, name in (("Right", "pytorch"), ("Right", "tensorflow"), ("Left", "pytorch")):
        keyboard.press(f"Arrow{key}")
        page.panel.get_by_text(f"_{name}").wait_for()
    for _ in range(60):
        if page.page.evaluate("document.activeElement.innerText") == "Run":
            break
        keyboard.press("Tab")
    keyboard.press("Enter")
    page.see("Done in")
    assert page.exported(PATH).endswith("resnet50-19c8e357.pth")
