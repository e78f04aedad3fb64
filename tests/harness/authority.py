"""A certificate authority for tests: leaf certificates for any host, good ones and bad ones."""

from __future__ import annotations

import datetime
import ssl
import threading
from pathlib import Path
from typing import Literal

import trustme

Flavour = Literal["good", "other-ca", "expired", "wrong-name"]


class Authority:
    """A CA of our own. Its public half lies in `bundle`, for ``REQUESTS_CA_BUNDLE``.

    Making one costs some milliseconds, a leaf one more; leaves are kept, so one authority
    serves a whole session.
    """

    def __init__(self, folder: Path) -> None:
        self._trusted = trustme.CA(organization_name="CA of the tests")
        self._other = trustme.CA(organization_name="CA that nobody trusts")
        self._contexts: dict[tuple[str, Flavour], ssl.SSLContext] = {}
        self._lock = threading.Lock()
        self.bundle = folder / "ca.pem"
        self._trusted.cert_pem.write_to_path(str(self.bundle))

    def context(self, host: str, flavour: Flavour = "good") -> ssl.SSLContext:
        """Return a server's TLS context whose leaf is for `host`, or is bad as `flavour` says."""
        with self._lock:
            known = self._contexts.get((host, flavour))
            if known is None:
                known = self._contexts[host, flavour] = self._make(host, flavour)
            return known

    def _make(self, host: str, flavour: Flavour) -> ssl.SSLContext:
        authority = self._other if flavour == "other-ca" else self._trusted
        yesterday = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(days=1)
        leaf = authority.issue_cert(
            "wrong.example" if flavour == "wrong-name" else host,
            not_after=yesterday if flavour == "expired" else None,
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        leaf.configure_cert(context)
        return context
