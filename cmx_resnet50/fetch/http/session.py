"""An HTTP session: requests, with the certificates that the system trusts and guarded redirects.

requests provides proxies (with `NO_PROXY`) and redirects that drop credentials for another host.
Added here: which certificates are trusted, where a redirect may not lead, and who is sent what
``.netrc`` has.
"""

from __future__ import annotations

import logging
from typing import Any
from urllib.parse import urljoin, urlsplit

import requests
from requests.adapters import HTTPAdapter

import cmx_resnet50
from cmx_resnet50.fetch.http import proxies, request_log, trust
from cmx_resnet50.fetch.http.connections import POOLS
from cmx_resnet50.fetch.http.credentials import Credentials
from cmx_resnet50.fetch.http.hosts import is_loopback
from cmx_resnet50.fetch.verdicts import SourceFailed
from cmx_resnet50.redaction import hide_debug_lines, host_of

MAX_REDIRECTS = 10
REDIRECT_BODY = 64 * 1024
"""Bytes of a redirect's own body that are read to keep the connection; a longer one is cut."""

hide_debug_lines("urllib3")


class Session(requests.Session):
    """A session for one thread.

    Parameters
    ----------
    named_by_user : bool
        Whether the user named the source: redirects from http to http are then allowed.
    ca_bundle : str, optional
        A bundle that is configured for this source; it takes precedence over all others.
    credentials : Credentials, optional
        The user names and passwords to send; by default none are sent.
    """

    def __init__(
        self,
        *,
        named_by_user: bool = False,
        ca_bundle: str | None = None,
        credentials: Credentials | None = None,
    ) -> None:
        super().__init__()
        self._credentials = credentials
        # Anything in its place keeps requests from reading .netrc itself.
        self.auth = credentials or (lambda request: request)
        self.max_redirects = MAX_REDIRECTS
        self.named_by_user = named_by_user
        self.headers.update(
            {
                "User-Agent": f"cmx-resnet50/{cmx_resnet50.__version__}",
                "Accept": "*/*",
                "Accept-Encoding": "identity",
            }
        )
        self.ca_bundle = ca_bundle
        self._has_tls = False
        self.mount("http://", _Adapter(ca_bundle, tls=False))

    def get_adapter(self, url: str) -> Any:
        """Return the adapter for `url`; the one for https is created when first needed."""
        if not self._has_tls and url.lower().startswith("https://"):
            self._has_tls = True
            self.mount("https://", _Adapter(self.ca_bundle, tls=True))
        return super().get_adapter(url)

    def rebuild_auth(
        self, prepared_request: requests.PreparedRequest, response: requests.Response
    ) -> None:
        """Take no credentials along to another host; that host may have its own."""
        before, now = str(response.request.url), str(prepared_request.url)
        if "Authorization" in prepared_request.headers and self.should_strip_auth(before, now):  # type: ignore[no-untyped-call]
            del prepared_request.headers["Authorization"]
        if "Authorization" not in prepared_request.headers and self._credentials is not None:
            self._credentials.add_behind_redirect(prepared_request)

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        """Return where `resp` redirects to, if it may; requests asks this for every answer.

        Raises
        ------
        SourceFailed
            If the redirect leaves https, does not lead to a web address, or leads to a plain
            http address that nobody named.
        """
        target = super().get_redirect_target(resp)
        if target is None:
            return None
        try:
            here, there = urlsplit(resp.url), urlsplit(urljoin(resp.url, target))
        except ValueError:
            raise SourceFailed(
                "refused: redirect to a malformed URL", status=resp.status_code
            ) from None
        if there.scheme not in ("http", "https"):
            raise SourceFailed(
                f"refused: redirect from {here.scheme} to {there.scheme}", status=resp.status_code
            )
        if there.scheme == "http" and not (
            here.scheme == "http" and (self.named_by_user or is_loopback(there.hostname))
        ):
            raise SourceFailed(
                f"refused: redirect from {here.scheme}://{host_of(resp.url)} to plain "
                f"http://{host_of(there.geturl())}",
                status=resp.status_code,
            )
        # requests would read a body of any length into memory.
        if len(resp.raw.read(REDIRECT_BODY, decode_content=False)) == REDIRECT_BODY:
            resp.close()
        return target


class _Adapter(HTTPAdapter):
    """Verifies origins and proxies with our context only; requests would add a bundle to it."""

    def __init__(self, ca_bundle: str | None, *, tls: bool) -> None:
        self._ca_bundle = ca_bundle
        self._context = trust.context(ca_bundle) if tls else None
        super().__init__()

    def init_poolmanager(
        self, connections: int, maxsize: int, block: bool = False, **keywords: Any
    ) -> None:
        super().init_poolmanager(connections, maxsize, block, **keywords, **self._tls())
        self.poolmanager.pool_classes_by_scheme = POOLS

    def proxy_manager_for(self, proxy: str, **keywords: Any) -> Any:
        if proxy.lower().startswith("https://"):
            self._context = self._context or trust.context(self._ca_bundle)
            keywords["proxy_ssl_context"] = self._context
        manager = super().proxy_manager_for(proxy, **keywords, **self._tls())
        if not proxy.lower().startswith("socks"):
            manager.pool_classes_by_scheme = POOLS
        return manager

    def _tls(self) -> dict[str, Any]:
        return {} if self._context is None else {"ssl_context": self._context}

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
        conn.cert_reqs = "CERT_REQUIRED"

    def send(self, request: requests.PreparedRequest, **keywords: Any) -> requests.Response:  # type: ignore[override]
        proxies.require_usable(str(request.url), keywords.get("proxies"))
        keywords["verify"] = True
        if not request_log.LOGGER.isEnabledFor(logging.DEBUG):
            return super().send(request, **keywords)
        log = request_log.RequestLog(request)
        try:
            response = super().send(request, **keywords)
        except Exception as error:
            log.failed(error)
            raise
        log.answered(response)
        return response
