"""Where and how a source is asked by HTTP; kinds of URL that HTTP can serve override it."""

from __future__ import annotations

from cmx_resnet50.fetch.http.credentials import Credentials
from cmx_resnet50.fetch.http.session import Session
from cmx_resnet50.fetch.model import Source


class Endpoint:
    """A source that is asked at its own URL."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self._credentials = Credentials()

    def address(self) -> str:
        """Return the web address to ask now; it may be a secret, and another each time."""
        return self.source.url

    def session(self) -> Session:
        """Return a new session for one thread, in which that address can be asked."""
        return Session(named_by_user=self.source.named_by_user, credentials=self._credentials)
