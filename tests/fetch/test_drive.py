"""A file on Google Drive: behind a page, and fetched like any other from there on."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from cmx_resnet50.fetch import FetchError
from cmx_resnet50.fetch.sources import google_drive
from tests.fetch.conftest import CONTENT, SIZE, assert_whole, get
from tests.harness.authority import Authority
from tests.harness.drive import confirmation, direct, quota
from tests.harness.faults import Endless, Html, Redirect, Reset, Short, Status
from tests.harness.file_server import Answer, FileServer
from tests.harness.reply import Reply, Request

URL = "https://drive.google.com/uc?id=1aB"
FILE = direct("1aB")


class Drive(FileServer):
    """The page first, which sets a cookie; `plan` is for who brings that to the file."""

    page: Answer = staticmethod(lambda request: confirmation("1aB"))

    def _next(self, request: Request) -> Reply:
        if request.url == FILE and "download_warning=abc" in request.headers.get("cookie", ""):
            return super()._next(request)
        return self.page(request) if callable(self.page) else self.reply(request, *self.page)

    @property
    def pages(self) -> int:
        """How often something else than the file was asked."""
        return sum(request.url != FILE for request in self.requests)


@pytest.fixture
def drive(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Drive]:
    authority = Authority(tmp_path_factory.mktemp("authority"))
    with Drive(CONTENT, authority=authority) as running:
        monkeypatch.setenv("HTTPS_PROXY", running.proxy)
        monkeypatch.setenv("SSL_CERT_FILE", str(authority.bundle))
        yield running


def test_a_cut_connection_continues_at_the_file_itself(drive: Drive, partial: Path) -> None:
    drive.plan = [Short(1_000_000), Status(503, 0), Reset(500_000)]
    download = get([URL], partial)
    assert_whole(download, partial)
    assert download.transferred == SIZE
    assert drive.pages == 1


def test_a_later_run_continues(drive: Drive, partial: Path) -> None:
    drive.plan = [Short(1_000_000), *[Status(500)] * 3]
    with pytest.raises(FetchError, match="HTTP 500"):
        get([URL], partial)
    download = get([URL], partial)
    assert_whole(download, partial)
    assert (download.resumed, download.transferred) == (1_000_000, SIZE - 1_000_000)
    assert download.url == URL


def test_drive_itself_may_be_busy(drive: Drive, partial: Path) -> None:
    drive.page = (Status(503, 0),)
    with pytest.raises(FetchError, match=r"HTTP 503.*2 retries"):
        get([URL], partial)
    assert drive.pages == 3


def test_an_address_that_expires_is_looked_up_again(drive: Drive, partial: Path) -> None:
    drive.plan = [Short(1_000_000), Status(403)]
    assert_whole(get([URL], partial), partial)
    assert drive.pages == 2


@pytest.mark.parametrize("right", [True, False])
def test_a_body_without_an_end(drive: Drive, partial: Path, right: bool) -> None:
    drive.always = Endless()
    if right:
        assert_whole(get([URL], partial), partial)
    else:
        drive.content = CONTENT[::-1]
        with pytest.raises(FetchError, match=r"wrong bytes|expected at most"):
            get([URL], partial)
    assert sum(request.sent for request in drive.requests) < 30 * SIZE


@pytest.mark.parametrize(
    "link",
    [
        "https://drive.google.com/file/d/1aB/view?usp=sharing",
        "https://drive.google.com/open?id=1aB&resourcekey=0-x",
        "https://drive.usercontent.google.com/download?id=1aB",
    ],
)
def test_links_that_people_share(drive: Drive, partial: Path, link: str) -> None:
    assert_whole(get([link], partial), partial)
    assert all("id=1aB" in request.url for request in drive.requests)


def test_small_files_have_no_page(drive: Drive, partial: Path) -> None:
    drive.page = ()
    assert_whole(get([URL], partial), partial)
    assert {request.url for request in drive.requests} == {URL}


def sign_in(request: Request) -> Reply:
    """Redirect to a page with a form, of which only the host says what it is."""
    drive = "drive.google.com" in request.url
    fault = Redirect("https://accounts.google.com/v3/signin") if drive else Html("Sign in")
    return fault.change(request, confirmation("1aB"))


PAGES: dict[str, tuple[Answer, str]] = {
    "quota": (lambda request: quota(), google_drive.QUOTA),
    "quota, forbidden": (lambda request: quota(403), google_drive.QUOTA),
    "not shared": (sign_in, google_drive.SIGN_IN),
    "another page": ((Html("Sorry"),), "a web page came in place of the file, titled '200'"),
    "forbidden": ((Status(403),), "HTTP 403: a web page came"),
    "gone": ((Status(404),), "HTTP 404"),
    "endless": ((Html("Sorry"), Endless(b"x" * 4096)), "titled '200'"),
    "elsewhere": (
        lambda request: confirmation("1aB", "https://google.com.example.org/download"),
        "refused: the page leads to https://google.com.example.org",
    ),
    "to plain http": (
        lambda request: confirmation("1aB", "http://drive.usercontent.google.com/download"),
        "refused: the page leads to http://",
    ),
    **{
        f"to {host!a}": (
            lambda request, host=host: confirmation("1aB", f"https://{host}/download"),
            "refused: the page leads to ",
        )
        for host in (
            "[",
            "evil.example\\.google.com",
            "evil.example&#0;.google.com",
            "evil.example .google.com",
            "evil.example%2f.google.com",
            "drive.google.com@evil.example",
            "me:pw@drive.google.com",
            "drive.google.com:x",
            "a..google.com",
            f"{'a' * 64}.google.com",
            "\N{IDEOGRAPHIC FULL STOP}google.com",
        )
    },
    "in a circle": (
        lambda request: dataclasses.replace(
            confirmation("1aB"), headers={"Content-Type": "text/html"}
        ),
        "more than 10 redirects",
    ),
}


@pytest.mark.parametrize(("page", "said"), PAGES.values(), ids=PAGES)
def test_another_page_is_named_at_once(
    drive: Drive, partial: Path, page: Answer, said: str
) -> None:
    drive.page = page
    with pytest.raises(FetchError, match=re.escape(said)) as caught:
        get([URL], partial)
    assert drive.pages <= 11
    assert "drive.usercontent.google.com/download?id=1aB&export=download&confirm=t" in str(
        caught.value
    )
    assert not any(partial.parent.iterdir())
