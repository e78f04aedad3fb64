"""Which proxy a URL goes through, what names it, and whether that can be used.

The rules are those of requests, which also decides what `NO_PROXY` leaves out.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from requests.utils import get_environ_proxies, select_proxy, should_bypass_proxies

from cmx_resnet50.fetch.verdicts import SourceFailed
from cmx_resnet50.redaction import host_of
from cmx_resnet50.user_urls import PORTS, has_wrong_port

SYSTEM = "the system's settings"
SCHEMES = frozenset({"http", "https", "socks4", "socks4a", "socks5", "socks5h"})


@dataclass(frozen=True)
class Proxy:
    """A proxy, and what names it: a variable of the environment, or the system's settings."""

    url: str
    named_by: str

    @property
    def address(self) -> str:
        """Host and port, without user name and password."""
        return host_of(self.url if "://" in self.url else f"http://{self.url}")

    @property
    def problem(self) -> str | None:
        """What is wrong with the value, which is not shown: it may hold a password."""
        text = self.url if "://" in self.url else f"http://{self.url}"
        try:
            parts = urlsplit(text)
            readable = bool(parts.hostname) and (parts.port is None or parts.port > 0)
        except ValueError:
            readable = False
        # A "/", "?" or "#" in a password ends the part of the URL in which the password is.
        rest = f"{parts.path}{parts.query}{parts.fragment}" if readable else ""
        if has_wrong_port(text):
            return f"{self.named_by} names a proxy whose port is not {PORTS}"
        if not readable or "@" in rest or "#" in text or any(c.isspace() for c in text):
            return (
                f"{self.named_by} cannot be read as the URL of a proxy, http://HOST:PORT. It may "
                "have no blanks, and in a password @ is written %40, : %3A, / %2F, # %23, ? %3F"
            )
        if parts.scheme.lower() not in SCHEMES:
            return (
                f"{self.named_by} names a proxy of a kind that is not supported. Supported are "
                "http://, https://, socks5:// and socks5h://"
            )
        return None

    @property
    def has_credentials(self) -> bool:
        """Whether a user name, and mostly a password, is sent to it."""
        return "@" in self.url

    def correction(self, *, password: bool = False) -> str:
        """Return the command that sets another proxy, or this one with a `password`."""
        variable = "HTTPS_PROXY" if self.named_by == SYSTEM else self.named_by
        where = f"USER:PASSWORD@{self.address}" if password else "HOST:PORT"
        return f"export {variable}=http://{where}"

    @property
    def asks_for_password(self) -> str:
        """The reason why a request failed to which the proxy answered 407."""
        if self.has_credentials:
            return (
                f"{self} rejects the user name or the password; in a password @ is written %40, "
                ": %3A, / %2F, % %25"
            )
        return f"{self} asks for a password; write it as http://USER:PASSWORD@{self.address}"

    def __str__(self) -> str:
        return f"the proxy {self.address} ({self.named_by})"


def proxy_of(url: str) -> Proxy | None:
    """Return the proxy through which requests asks `url`, if it uses one."""
    return _selected(url, get_environ_proxies(url))


def only_for_http(url: str) -> str | None:
    """Return the variable whose proxy is not used for `url` only because that is https."""
    if proxy_of(url) is not None or not url.lower().startswith("https://"):
        return None
    set_ones = [name for name in ("HTTP_PROXY", "http_proxy") if os.environ.get(name)]
    return set_ones[0] if set_ones and not should_bypass_proxies(url, no_proxy=None) else None


def proxy_password(url: str) -> str:
    """Return the reason for an answer 407 to a request for `url`."""
    proxy = proxy_of(url)
    return "a proxy asks for a password" if proxy is None else proxy.asks_for_password


def require_usable(url: str, proxies: Mapping[str, str] | None) -> None:
    """Check what names the proxy of `url`.

    Raises
    ------
    SourceFailed
        If it cannot be read as the URL of a proxy. Its value is not shown: it may hold a password.
    """
    proxy = _selected(url, proxies)
    problem = None if proxy is None else proxy.problem
    if problem is not None:
        raise SourceFailed(problem)


def _selected(url: str, proxies: Mapping[str, str] | None) -> Proxy | None:
    found = select_proxy(url, dict(proxies or {}))
    return None if not found else Proxy(found, _named_by(found, urlsplit(url).scheme))


def _named_by(value: str, scheme: str) -> str:
    for name in (f"{scheme}_proxy", "all_proxy"):
        for variable in (name, name.upper()):
            if os.environ.get(variable) == value:
                return variable
    return SYSTEM
