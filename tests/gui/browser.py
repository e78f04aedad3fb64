"""The page as somebody sees it who sits before the browser."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page, Route

FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-proxy-server",
    "--host-resolver-rules=MAP *.example 127.0.0.1",
)
_ELSEWHERE = re.compile(r"(?<=//)[a-z.]+\.example(?=:)")
_LABELS = "all => all.map(one => one.closest('label').innerText.split('\\n')[0].trim())"
_DRAWN = 7
"""So many lines of a list are in the page at least; more come when it is scrolled."""
PATIENCE = 60_000
"""Milliseconds that anything may take on a busy machine."""


class Shown:
    """One window with the page; `asked` holds every address that the page asked for.

    `interrupt` presses ctrl-C where the page is served from, and returns the exit code.
    """

    def __init__(self, page: Page, url: str, interrupt: Callable[[], int] | None = None) -> None:
        self.page = page
        self.url = url
        self.interrupt = interrupt or (lambda: -1)
        self.asked: list[str] = []
        page.set_default_timeout(PATIENCE)
        page.on("request", lambda request: self.asked.append(request.url))
        page.on("websocket", lambda socket: self.asked.append(socket.url))
        # Chromium drops what it is loading, also from loopback, when an interface comes or goes,
        # as those of containers and namespaces do. Playwright's own client does not.
        page.route("**/static/**", _fulfil)
        page.goto(url)
        page.get_by_test_id("stApp").wait_for()

    @property
    def main(self) -> Locator:
        """The page without the browser's and Streamlit's own controls."""
        return self.page.get_by_role("main")

    def has_field(self, label: str, placeholder: str) -> None:
        """Assert that there is one field of this name, and what is shown in it while empty."""
        fields = self.main.get_by_role("textbox", name=label, exact=True)
        assert [field.get_attribute("placeholder") for field in fields.all()] == [placeholder]

    def has(self, label: str, default: str, choices: list[str]) -> None:
        """Assert that a choice has this name and these labels, with `default` chosen."""
        lists = self.main.get_by_role("combobox", name=label, exact=True)
        if lists.count():
            assert lists.input_value() == default
            options = self.page.get_by_role("option")
            for _ in range(PATIENCE // 1000):
                # A list closes again when the page moves, as it does while it is drawn.
                lists.press("ArrowDown")
                self.page.wait_for_timeout(1000)
                if options.nth(_DRAWN - 1).is_visible():
                    break
            shown = [*options.all_inner_texts()[:_DRAWN], *choices[_DRAWN:]]
            lists.fill(choices[-1])
            options.get_by_text(choices[-1], exact=True).wait_for()
            lists.press("Escape")
        else:
            radios = self.main.get_by_role("radiogroup", name=label, exact=True)
            shown = radios.get_by_role("radio").evaluate_all(_LABELS)
            chosen = radios.get_by_role("radio", checked=True)
            assert chosen.evaluate_all(_LABELS) == [default], label
        assert shown == choices, label

    def heading(self, text: str) -> Locator:
        """Return a heading."""
        return self.page.get_by_role("heading", name=text, exact=True)

    def choose(self, group: str, name: str) -> None:
        """Choose one of a group."""
        radios = self.page.get_by_role("radiogroup", name=group)
        # Streamlit hides the radio itself behind its label.
        radios.get_by_text(name, exact=True).click()

    def switch(self, name: str) -> None:
        """Turn a switch."""
        self.page.get_by_text(name, exact=True).first.click()

    def type(self, label: str, text: str) -> None:
        """Type into the field whose label begins with `label`, and leave it."""
        field = self.page.get_by_role("textbox", name=label).first
        field.fill(text)
        field.press("Enter")

    def command(self, form: str = "cm") -> str:
        """Return the command in one of the four forms."""
        self.page.get_by_role("tab", name=form, exact=True).click()
        return self.panel.get_by_test_id("stCode").inner_text().replace("\xa0", " ").strip()

    @property
    def panel(self) -> Locator:
        """The form of the command that is in sight."""
        return self.page.get_by_role("tabpanel").filter(visible=True)

    def wait_for_command(self, part: str, form: str = "cm") -> str:
        """Wait until the command holds `part`, and return it."""
        self.panel.get_by_text(part).wait_for()
        return self.command(form)

    def text(self) -> str:
        """Return all that is to be read."""
        return self.page.get_by_test_id("stMain").inner_text()

    def see(self, text: str) -> Locator:
        """Wait until `text` is there."""
        shown = self.page.get_by_test_id("stMain").get_by_text(text)
        found = shown.filter(visible=True).first
        found.wait_for()
        return found

    @property
    def run_button(self) -> Locator:
        """The button that runs the command."""
        return self.page.get_by_role("button", name="Run", exact=True)

    def can_run(self, can: bool) -> None:
        """Wait until the command can be run, or cannot."""
        self.run_button.and_(self.page.locator(":enabled" if can else ":disabled")).wait_for()

    def run(self) -> None:
        """Run the command and wait for its end."""
        self.run_button.click()
        self.see("Done in")

    def exported(self, key: str) -> str:
        """Return the value that is shown under an exported key."""
        name = self.main.get_by_text(key, exact=True)
        value = name.locator("xpath=following::*[@data-testid='stCode'][1]")
        return value.inner_text().strip()

    def overflow(self) -> int:
        """Return how many pixels the page, or code on it, is wider than the place it has."""
        return int(
            self.page.evaluate(
                "Math.max(...[document.documentElement, "
                "...document.querySelectorAll('[data-testid=stMain], [data-testid=stCode] pre')]"
                ".map(place => place.scrollWidth - place.clientWidth))"
            )
        )


def _fulfil(route: Route) -> None:
    # Playwright's own client does not know the browser's names.
    route.fulfill(response=route.fetch(url=_ELSEWHERE.sub("127.0.0.1", route.request.url)))
