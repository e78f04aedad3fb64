"""Takes the pictures of ``docs/gui.md`` from a page that is served; runs ``_dummy-weights`` there.

Use, with the URL that the first command prints, token included::

    cmr "cm gui" --script="get,ml-model,resnet50" --no_browser=yes
    python -m tests.gui.pictures URL docs/pictures
"""

from __future__ import annotations

import sys
from pathlib import Path

from tests.gui import chromium
from tests.gui.browser import FLAGS, Shown


def main(url: str, folder: Path) -> None:
    """Write the pictures of the page at `url` into `folder`."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as running:
        browser = running.chromium.launch(executable_path=chromium.program(), args=list(FLAGS))

        def shown(width: int, height: int) -> Shown:
            page = Shown(browser.new_page(viewport={"width": width, "height": height}), url)
            page.run_button.wait_for()
            return page

        page = shown(1180, 840)
        page.choose("framework", "pytorch")
        page.see("pytorch-fp32")
        page.choose("precision", "int8")
        page.see("pytorch-int8")
        _take(page, folder / "gui-choice.png")

        page.choose("precision", "uint8")
        page.see("No ResNet-50 file exists")
        _take(page, folder / "gui-refused.png", height=560)

        page.page.get_by_role("button", name="_pytorch,_fp32", exact=True).click()
        page.see("pytorch-fp32")
        page.switch("dummy-weights")
        page.see("The weights are random")
        page.run()
        page.page.set_viewport_size({"width": 1180, "height": 1200})
        _take(page, folder / "gui-run.png", height=1200)

        page = shown(390, 1200)
        page.choose("framework", "tflite")
        page.see("tflite-argmax")
        _take(page, folder / "gui-phone.png")
        browser.close()


def _take(page: Shown, path: Path, height: int | None = None) -> None:
    page.page.mouse.move(0, 0)
    page.page.evaluate("document.activeElement.blur()")
    page.page.get_by_test_id("stMain").evaluate("main => main.scrollTo(0, 0)")
    page.page.wait_for_timeout(1000)
    size = page.page.viewport_size
    assert size is not None
    clip = {"x": 0, "y": 0, "width": size["width"], "height": height or size["height"]}
    page.page.screenshot(path=path, clip=clip)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
