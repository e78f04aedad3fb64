"""What goes into a fetch and what comes out of it: sources, options, attempts, the result."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from cmx_resnet50.digests import Digests
from cmx_resnet50.redaction import redact

if TYPE_CHECKING:
    from cmx_resnet50.fetch.http.session import Session


@dataclass(frozen=True)
class Source:
    """One place that is said to have the bytes.

    `url` is ``http://``, ``https://`` or ``file://``. Plain ``http://`` is allowed for
    loopback hosts, and for what the user named explicitly (`named_by_user`). Only the user
    can name ``s3://`` and what else fsspec knows.
    """

    url: str
    named_by_user: bool = False

    @property
    def printable(self) -> str:
        """The URL without its secrets."""
        return redact(self.url)

    @property
    def is_file(self) -> bool:
        """Whether the source is a file of this machine."""
        return self.url[:5].lower() == "file:"

    @property
    def is_web(self) -> bool:
        """Whether the source is asked by HTTP at its own URL."""
        return self.url.partition("://")[0].lower() in ("http", "https")

    @property
    def is_s3(self) -> bool:
        """Whether the source is an object of an S3 store."""
        return self.url[:5].lower() == "s3://"

    def address(self) -> str:
        """Return the web address to ask now; it may be a secret, and another each time."""
        return self.url

    def session(self) -> Session:
        """Return a session of one thread, in which that address can be asked."""
        from cmx_resnet50.fetch.http.session import Session

        return Session(named_by_user=self.named_by_user)


@dataclass(frozen=True)
class FetchOptions:
    """How a fetch behaves; times in seconds, rates in bytes a second."""

    connections: int = 8
    """Upper bound of connections to one source; more than one only while they help."""
    connect_timeout: float = 10.0
    read_timeout: float = 30.0
    """How long a connection may say nothing at all."""
    retry_budget: float = 300.0
    """Time that all retries of one file may lose together, waiting included."""
    retries: int = 5
    """Retries of one source that bring no new bytes, one after the other."""
    backoff: float = 0.5
    """First pause before a retry; it doubles with each failure in a row, up to 30 s."""
    stall_rate: int = 10 * 1024
    """A source that is slower than this over `stall_seconds` counts as stalled; 0 for never."""
    stall_seconds: float = 30.0
    offline: bool = False
    """Open no socket at all; files of this machine are still read."""


@dataclass(frozen=True)
class Download:
    """A verified file: where it lies, what it is, which source gave it.

    `url` holds no secrets, so that it may be printed and recorded. `transferred` counts the
    bytes that came over the wire in this run, `resumed` those that an earlier run had left.
    """

    path: Path
    digests: Digests
    url: str
    transferred: int
    resumed: int


@dataclass(frozen=True)
class Attempt:
    """What one source did: enough for a user to see why it was left."""

    url: str
    """The URL, without its secrets."""
    reason: str
    status: int | None = None
    transferred: int = 0
    """Bytes that came over the wire."""
    seconds: float = 0.0
    expected: str | None = None
    """The digest that was expected, where the bytes were wrong."""
    actual: str | None = None
    retries: int = 0
    tls_issuer: str | None = None
    """Who issued the certificate that was not trusted."""


class Progress(Protocol):
    """What a fetch tells of itself; `cmx_resnet50.progress` has the one for users."""

    def start(self, name: str, total: int | None, source: str, resumed: int) -> None:
        """Begin, or begin anew from another source or from nothing; sizes in bytes."""

    def advance(self, count: int) -> None:
        """Take `count` more bytes as done."""

    def note(self, text: str) -> None:
        """Say a line that a user should see."""

    def done(self) -> None:
        """End; it is safe to call it twice."""
