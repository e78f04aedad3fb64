"""An HTTP session: requests, with the certificates that the system trusts and guarded redirects.

requests provides proxies (with `NO_PROXY`), ``.netrc`` and redirects that drop credentials for
another host. Added here: which certificates are trusted, and where a redirect may not lead.
"""

from __future__ import annotations

import os
import ssl
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

import requests
from requests.adapters import HTTPAdapter

import cmx_resnet50
from cmx_resnet50.fetch.http import issuer
from cmx_resnet50.fetch.http.hosts import is_loopback
from cmx_resnet50.fetch.verdicts import SourceFailed
from cmx_resnet50.redaction import host_of

MAX_REDIRECTS = 10
REDIRECT_BODY = 64 * 1024
"""Bytes of a redirect's own body that are read to keep the connection; a longer one is cut."""

CA_VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")


class Session(requests.Session):
    """A session for one thread.

    Parameters
    ----------
    named_by_user : bool
        Whether the user named the source: redirects from http to http are then allowed.
    looking : bool
        Whether to look at the certificate only, see `issuer.looking_context`.
    ca_bundle : str, optional
        A bundle that is configured for this source; it takes precedence over all others.
    """

    def __init__(
        self,
        *,
        named_by_user: bool = False,
        looking: bool = False,
        ca_bundle: str | None = None,
    ) -> None:
        super().__init__()
        self.max_redirects = MAX_REDIRECTS
        self.named_by_user = named_by_user
        self._looking = looking
        self._ca_bundle = ca_bundle
        self._has_tls = False
        self.headers.update(
            {
                "User-Agent": f"cmx-resnet50/{cmx_resnet50.__version__}",
                "Accept": "*/*",
                "Accept-Encoding": "identity",
            }
        )

    def get_adapter(self, url: str) -> Any:
        """Return the adapter for `url`; the one for https is created when first needed."""
        if not self._has_tls and url.lower().startswith("https://"):
            self._has_tls = True
            self.mount("https://", self._adapter())
        return super().get_adapter(url)

    def _adapter(self) -> _Trusting:
        return _Looking() if self._looking else _Trusting(self._ca_bundle)

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
        here, there = urlsplit(resp.url), urlsplit(urljoin(resp.url, target))
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


class _Trusting(HTTPAdapter):
    """Verifies with our context only; requests would add its own bundle to it."""

    def __init__(self, ca_bundle: str | None = None) -> None:
        self._ca_bundle = ca_bundle
        super().__init__()

    def init_poolmanager(self, *args: Any, **keywords: Any) -> None:
        self._context = trust(self._ca_bundle)
        super().init_poolmanager(*args, ssl_context=self._context, **keywords)

    def proxy_manager_for(self, proxy: str, **keywords: Any) -> Any:
        return super().proxy_manager_for(proxy, ssl_context=self._context, **keywords)

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
        conn.cert_reqs = "CERT_REQUIRED"

    def send(self, *args: Any, **keywords: Any) -> requests.Response:
        keywords["verify"] = True
        return super().send(*args, **keywords)


class _Looking(_Trusting):
    """Connects to whoever is there, to see the certificate."""

    def init_poolmanager(self, *args: Any, **keywords: Any) -> None:
        self._context = issuer.looking_context()
        HTTPAdapter.init_poolmanager(self, *args, ssl_context=self._context, **keywords)

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
        conn.cert_reqs = "CERT_NONE"
        conn.assert_hostname = False

    def send(self, *args: Any, **keywords: Any) -> requests.Response:
        keywords["verify"] = False
        return HTTPAdapter.send(self, *args, **keywords)


def trust(ca_bundle: str | None = None) -> ssl.SSLContext:
    """Return a context that trusts `ca_bundle`, else what the environment names, else the system.

    Raises
    ------
    SourceFailed
        If the environment names a bundle that cannot be read.
    """
    bundles = {variable: os.environ.get(variable) for variable in CA_VARIABLES}
    if ca_bundle:
        bundles = {"AWS_CA_BUNDLE or ca_bundle in ~/.aws/config": ca_bundle}
    for variable, named in bundles.items():
        if not named:
            continue
        try:
            if Path(named).is_dir():
                return ssl.create_default_context(capath=named)
            return ssl.create_default_context(cafile=named)
        except (OSError, ssl.SSLError) as error:
            raise SourceFailed(
                f"the CA bundle {named}, which {variable} names, cannot be read: {error}"
            ) from None
    import truststore

    return truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def issuer_at(url: str, timeout: float) -> str | None:
    """Return who issued the certificate that `url`'s host shows, or None if it cannot be seen."""
    with Session(looking=True) as session:
        try:
            session.get(url, timeout=timeout, stream=True).close()
        except issuer.Seen as seen:
            return issuer.issuer_of(seen.der)
        except (SourceFailed, OSError, ValueError):
            return None
    return None
