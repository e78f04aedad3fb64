"""A user whose environment holds Streamlit, the page that this user starts, and a browser.

All of it is asked for by tests with the mark ``gui`` only. What is missing on a machine stands in
the reason for the skip.
"""

from __future__ import annotations

import importlib.util
import re
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from filelock import FileLock

from tests.conftest import Stage
from tests.gui import chromium
from tests.gui.browser import FLAGS, Shown
from tests.harness import artifacts, build
from tests.harness.cm import CM
from tests.harness.origin import Origin
from tests.harness.waiting import until

if TYPE_CHECKING:
    from playwright.sync_api import Browser

Open = Callable[..., Shown]


@pytest.fixture(scope="session")
def with_streamlit(_shared: Path, wheel: Path, served: dict[str, Path]) -> build.Installation:
    """Return the wheel in an environment that sees Streamlit too. Not to be altered."""
    if importlib.util.find_spec("streamlit") is None:
        pytest.skip('Streamlit is missing: pip install ".[gui]"')

    def make(folder: Path) -> None:
        made = build.install(folder / "user", wheel)
        artifacts.patch(made, served)
        build.link_everything(made)
        done = CM(made, folder / "home", folder / "CM").run("reindex", "repo")
        assert done.ok, done.text

    folder = Stage.once(_shared, "streamlit", make).folder
    return build.Installation(folder / "user", "cmx_resnet50")


@pytest.fixture
def user(with_streamlit: build.Installation, origin: Origin, tmp_path: Path) -> CM:
    """Return a user of it with an empty cache."""
    template = with_streamlit.prefix.with_name("CM")
    return CM(with_streamlit, tmp_path / "home", tmp_path / "CM", origin, template)


@pytest.fixture(scope="session")
def browser(_shared: Path) -> Iterator[Browser]:
    """Return a headless Chromium of Debian's package."""
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="Playwright is missing: pip install playwright"
    )
    try:
        with FileLock(_shared / "chromium.lock"):
            program = chromium.program()
    except chromium.Unavailable as reason:
        pytest.skip(f"the page in a browser: {reason}")
    with playwright.sync_playwright() as running:
        opened = running.chromium.launch(executable_path=program, args=list(FLAGS))
        yield opened
        opened.close()


@pytest.fixture
def open_page(browser: Browser, user: CM) -> Iterator[Open]:
    """Return a function that starts ``cmr "cm gui"`` and opens the page in a new window."""
    with ExitStack() as stack:

        def start(
            *inputs: str,
            script: str = "get,ml-model,resnet50",
            size: tuple[int, int] = (1280, 900),
            env: Mapping[str, str] | None = None,
        ) -> Shown:
            port = free_port()
            arguments = ["cm gui", f"--port={port}", "--no_browser=yes", "--quiet", *inputs]
            arguments += [f"--script={script}"] if script else []
            server = stack.enter_context(user.start(*arguments, program="cmr", env=env))
            alive, said = lambda: server.process.poll() is None, lambda: server.out + server.err
            url = wait_for_url(port, alive, said)
            context = browser.new_context(viewport={"width": size[0], "height": size[1]})
            stack.callback(context.close)

            def interrupt() -> int:
                server.interrupt()
                return server.wait().code

            page = context.new_page()
            # What is still on its way when a test ends shall not disturb the next.
            stack.callback(page.unroute_all, behavior="ignoreErrors")
            return Shown(page, url, interrupt)

        yield start


def free_port() -> int:
    """Return a port that nobody listens at."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
    return port


def wait_for_url(port: int, alive: Callable[[], bool], said: Callable[[], str]) -> str:
    """Wait until the page at `port` answers, and return its URL as it is printed."""
    url = re.compile(rf"^http://127\.0\.0\.1:{port}/\?token=\S+$", re.MULTILINE)

    def printed() -> bool:
        assert alive(), said()
        return url.search(said()) is not None

    until(printed, said)
    return url.findall(said())[0]


def processes_with(text: str) -> list[str]:
    """Return the command lines of running processes that hold `text`."""
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # It may have ended since.
            found.append(file.read_bytes().replace(b"\0", b" ").decode(errors="replace").strip())
    return [line for line in found if text in line]
