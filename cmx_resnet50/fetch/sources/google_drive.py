"""A file on Google Drive, fetched over HTTP like any other once its address is known.

Drive answers a request for a large file with a page that asks for confirmation. The form in it has
the address of the file. Range requests, resume, retries and digests are those of HTTP.
"""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any
from urllib.parse import parse_qsl, urlencode, urljoin, urlsplit, urlunsplit

import requests
from requests.cookies import RequestsCookieJar

from cmx_resnet50.fetch.http.endpoint import Endpoint
from cmx_resnet50.fetch.http.response import read_beginning
from cmx_resnet50.fetch.http.session import Session
from cmx_resnet50.fetch.model import Source
from cmx_resnet50.fetch.verdicts import SourceFailed
from cmx_resnet50.redaction import host_of

PAGE_LIMIT = 128 * 1024
"""Bytes that are read of a page; those of Drive have a few thousand."""

_PAGE_CODES = frozenset({200, 206, 403, 429})
"""Answers whose page is read: the confirmation, and the quota."""
_FAMILY = re.compile(r"(?:[a-z0-9-]{1,63}\.){1,8}(?:google|googleusercontent)\.com(?::443)?")
"""Where the form of a page may lead: hosts of Google, spelt so that every reader finds the same."""
_QUOTA = ("too many users have viewed or downloaded", "quota exceeded")
QUOTA = (
    "Google Drive's quota for this file is used up: too many people downloaded it in the last 24 "
    "hours. Try again later, or open the URL in a browser where you are signed in"
)
SIGN_IN = "Google Drive requires a sign-in: the file is not shared with everybody who has the link"


class DriveEndpoint(Endpoint):
    """A source on Google Drive; links to its viewer are understood, too."""

    def __init__(self, source: Source) -> None:
        super().__init__(source)
        self._cookies = RequestsCookieJar()
        """Shared by all sessions: a page may give its address to one who has its cookie."""

    def address(self) -> str:
        """Return the address at which Drive answers with the file, or with its page."""
        parts = urlsplit(self.source.url)
        query = dict(parse_qsl(parts.query))
        match parts.path.strip("/").split("/"):
            case ["file", "d", name, *_]:
                pass
            case ["open"] if "id" in query:
                name = query["id"]
            case _:
                return self.source.url
        asked = {"id": name, "export": "download"}
        if "resourcekey" in query:
            asked["resourcekey"] = query["resourcekey"]
        return urlunsplit(("https", parts.netloc, "/uc", urlencode(asked), ""))

    def session(self) -> Session:
        """Return a session that goes on from Drive's page to the file."""
        session = super().session()
        session.cookies = self._cookies
        session.hooks["response"].append(_follow_form)
        return session


def _follow_form(response: requests.Response, **_: Any) -> None:
    """Make a page with a form a redirect to where that leads, so that requests follows it.

    Raises
    ------
    SourceFailed
        If the page is another one.
    """
    status = response.status_code
    if status not in _PAGE_CODES or not _is_page(response):
        return
    page = _Page(response.url)
    page.feed(read_beginning(response, PAGE_LIMIT).decode("utf-8", "replace"))
    address = page.address
    if address is None:
        response.close()
        raise SourceFailed(_problem(page, response), status=status)
    response.status_code = requests.codes.see_other
    response.headers["Location"] = address


def _is_page(response: requests.Response) -> bool:
    headers = response.headers
    attached = headers.get("Content-Disposition", "").lower().startswith("attachment")
    return not attached and headers.get("Content-Type", "").lower().startswith("text/html")


def _problem(page: _Page, response: requests.Response) -> str:
    text = page.text.lower()
    if any(words in text for words in _QUOTA):
        return QUOTA
    if host_of(response.url) == "accounts.google.com":
        return SIGN_IN
    status = f"HTTP {response.status_code}: " if response.status_code >= 400 else ""
    title = "".join(c for c in page.title.strip()[:80] if c.isprintable())
    return f"{status}a web page came in place of the file, titled {title!r}"


class _Page(HTMLParser):
    """What a page of Drive says: its title, its text, and where its form leads."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self._url = url
        self._tag = ""
        self._action: str | None = None
        self._fields: dict[str, str] = {}
        self.title = ""
        self.text = ""

    @property
    def address(self) -> str | None:
        """The address of the file, where there is a form that leads to it.

        Raises
        ------
        SourceFailed
            If the form leads elsewhere than to Google.
        """
        if self._action is None:
            return None
        try:
            parts = urlsplit(urljoin(self._url, self._action))
        except ValueError:
            raise SourceFailed("refused: the page leads to a malformed URL") from None
        if parts.scheme != "https" or not _FAMILY.fullmatch(parts.netloc.lower()):
            host = "".join(c if c.isprintable() else "?" for c in host_of(parts.geturl()))
            raise SourceFailed(f"refused: the page leads to {parts.scheme}://{host[:80]}")
        query = urlencode({**dict(parse_qsl(parts.query)), **self._fields})
        return urlunsplit((parts.scheme, parts.netloc, parts.path, query, ""))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._tag = tag
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            path = given.get("action", "").partition("#")[0].partition("?")[0]
            if path.endswith(("/download", "/uc")):
                self._action = given["action"]
        elif tag == "input" and self._action is not None and given.get("name"):
            self._fields[given["name"]] = given.get("value", "")

    def handle_data(self, data: str) -> None:
        if self._tag == "title":
            self.title += data
        if self._tag not in ("script", "style"):
            self.text += data
