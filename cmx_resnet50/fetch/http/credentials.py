"""Who is sent a user name and a password: the host whose URL or ``.netrc`` entry has them.

requests would send those of a ``default`` entry to every host. A host that refuses what the file
has for it is asked again without: the entry may be stale, and the file is public. A host that only
a redirect names is sent what the file has for it where it is verified, so not over plain http:
whoever answers there can name any host.
"""

from __future__ import annotations

import netrc
import os
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.auth import AuthBase, HTTPBasicAuth
from requests.utils import get_auth_from_url

from cmx_resnet50.fetch.http.hosts import is_loopback

REFUSED_CODES = frozenset({400, 401, 403})
"""Answers of hosts that reject credentials; object stores answer 400."""


class Credentials(AuthBase):
    """The user names and passwords for one source; any number of threads may use it."""

    def __init__(self) -> None:
        self._refused: set[str] = set()

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Add what the URL or the file has for the host of `request`."""
        user, password = get_auth_from_url(str(request.url))
        if user or password:
            HTTPBasicAuth(user, password)(request)
        else:
            self._add_from_netrc(request)
        return request

    def add_behind_redirect(self, request: requests.PreparedRequest) -> None:
        """Add what the file has for the host of `request`, to which another answer led."""
        parts = urlsplit(str(request.url))
        if parts.scheme == "https" or is_loopback(parts.hostname):
            self._add_from_netrc(request)

    def _add_from_netrc(self, request: requests.PreparedRequest) -> None:
        """Add what the file has for exactly the host of `request`."""
        host = _host(request)
        entry = None if host in self._refused else netrc_entry(host)
        if entry is not None:
            request.register_hook(  # type: ignore[no-untyped-call]
                "response", self._repeat_without
            )
            HTTPBasicAuth(*entry)(request)

    def _repeat_without(self, response: requests.Response, **options: Any) -> requests.Response:
        request, host = response.request, _host(response.request)
        if response.status_code not in REFUSED_CODES or "Authorization" not in request.headers:
            return response
        self._refused.add(host)
        response.close()
        again = request.copy()
        del again.headers["Authorization"]
        # The adapter, which requests calls a connection.
        fresh: requests.Response = response.connection.send(again, **options)
        fresh.request = again
        return fresh


def netrc_entry(host: str) -> tuple[str, str] | None:
    """Return user name and password of the entry that names `host`; never those of ``default``."""
    named = os.environ.get("NETRC")
    for path in [named] if named else ["~/.netrc", "~/_netrc"]:
        try:
            found = netrc.netrc(Path(path).expanduser()).hosts
        except (OSError, RuntimeError, netrc.NetrcParseError):
            continue
        for machine, (login, account, password) in found.items():
            if machine.lower() == host and machine != "default":
                return login or account or "", password or ""
        return None
    return None


def _host(request: requests.PreparedRequest) -> str:
    return (urlsplit(str(request.url)).hostname or "").lower()
