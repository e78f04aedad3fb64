"""How the page starts and who gets it, in a real browser."""

from __future__ import annotations

import http.client
import importlib.util
import os
import re
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

import pytest

from tests.gui.browser import Shown
from tests.gui.conftest import processes_with
from tests.harness.cm import CM
from tests.harness.waiting import HANGS

pytestmark = pytest.mark.gui
Open = Callable[..., Shown]


def test_no_run_shows_and_runs_nothing(open_page: Open) -> None:
    page = open_page("--no_run=yes", "--title=Only to look at")
    page.heading("Only to look at").wait_for()
    page.see("Running is disabled")
    assert page.run_button.count() == 0
    assert page.command() == "cm run script --tags=get,ml-model,resnet50 --quiet"


def test_a_browser_opens_by_itself(open_page: Open, user: CM) -> None:
    programs = user.home / "programs"
    programs.mkdir()
    (programs / "xdg-open").write_text(f'#!/bin/sh\necho "$1" >> {programs}/opened\n')
    (programs / "xdg-open").chmod(0o755)
    path = {"PATH": f"{programs}{os.pathsep}{user.environment()['PATH']}"}
    page = open_page("--no_browser=no", script="detect,os", env=path)
    page.heading("detect-os").wait_for()
    # A file that only this user can read: what a program is given, everybody can.
    opened = Path(url2pathname(urlsplit((programs / "opened").read_text().strip()).path))
    assert f'"0;url={page.url}"' in opened.read_text()
    assert opened.parent.stat().st_mode & 0o077 == 0
    assert not processes_with(page.url.partition("=")[2])
    page.page.unroute_all(behavior="ignoreErrors")
    assert page.interrupt() == 0
    assert not opened.parent.exists()
    (programs / "opened").unlink()
    open_page(script="detect,os", env=path).heading("detect-os").wait_for()
    assert not (programs / "opened").exists()


def test_a_prefix_runs_the_command(open_page: Open, user: CM) -> None:
    seen = user.home / "seen"
    page = open_page(f"--prefix=env CM_SEEN={seen} nice -n 3", script="detect,os")
    page.run_button.click()
    page.see("Done in")
    page.page.get_by_text(re.compile(r"^Exported variables \(\d+\)$")).click()
    page.see("CM_HOST_OS_TYPE=linux")
    assert page.command() == "cm run script --tags=detect,os --quiet"


def test_streamlit_need_not_be_in_site_packages(open_page: Open, tmp_path: Path) -> None:
    """As with ``pip install --target``: there Streamlit is in its development mode by default."""
    found = importlib.util.find_spec("streamlit")
    assert found is not None and found.origin is not None
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "streamlit").symlink_to(Path(found.origin).parent)
    page = open_page(script="detect,os", env={"PYTHONPATH": str(tmp_path / "elsewhere")})
    page.heading("detect-os").wait_for()


def test_a_stranger_gets_no_connection(open_page: Open) -> None:
    page = open_page()
    port = urlsplit(page.url).port
    assert port is not None

    def connect(host: str, origin: str) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=HANGS)
        headers = {
            "Host": host,
            "Origin": origin,
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
        }
        connection.request("GET", "/_stcore/stream", headers=headers)
        return connection.getresponse().status

    own = f"127.0.0.1:{port}"
    assert connect(own, f"http://{own}") == 101
    assert connect(own, "http://elsewhere.example") == 403
    assert connect(f"elsewhere.example:{port}", f"http://elsewhere.example:{port}") == 403


@pytest.mark.parametrize("query", ["", "?token=", "?token=wrong"])
def test_without_the_token_there_is_no_page(open_page: Open, query: str) -> None:
    page = open_page()
    page.run_button.wait_for()
    page.see(f"Listening on {urlsplit(page.url).netloc}, this machine only.")
    stranger = Shown(page.page.context.new_page(), page.url.partition("?")[0] + query)
    stranger.see("The token is missing or wrong.")
    assert "resnet50" not in stranger.text()
    assert stranger.page.get_by_role("button").count() == 0
    stranger.page.unroute_all(behavior="ignoreErrors")


def test_an_open_page_answers_as_no_other_host(open_page: Open) -> None:
    """A web site whose name was made to lead here, even if it knew the token."""
    page = open_page("--address=0.0.0.0", "--no_run")
    page.see("reachable from other machines")
    elsewhere = page.url.replace("127.0.0.1", "elsewhere.example")
    stranger = Shown(page.page.context.new_page(), elsewhere)
    stranger.see("This page does not answer as elsewhere.example.")
    assert "resnet50" not in stranger.text()


def test_only_this_machine_can_connect(open_page: Open) -> None:
    port = urlsplit(open_page().url).port
    listening = {
        line.split()[1]
        for name in ("tcp", "tcp6")
        for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]
        if line.split()[3] == "0A" and line.split()[1].endswith(f":{port:04X}")
    }
    assert listening == {f"0100007F:{port:04X}"}
