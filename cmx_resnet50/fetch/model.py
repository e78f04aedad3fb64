"""What goes into a fetch and what comes out of it: sources, options, attempts, the result."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cmx_resnet50.digests import Digests
from cmx_resnet50.redaction import redact


@dataclass(frozen=True)
class Source:
    """One URL that is expected to have the bytes; `sources.KINDS` lists the supported kinds.

    Plain ``http://`` is allowed for loopback hosts, and for a URL that the user named
    (`named_by_user`). Only the user can name ``s3://``.
    """

    url: str
    named_by_user: bool = False
    of_mirror: bool = False
    """Whether it is the copy of a site's mirror, and not where the file is published."""

    @property
    def printable(self) -> str:
        """The URL without its secrets."""
        return redact(self.url)


@dataclass(frozen=True)
class FetchOptions:
    """How a fetch behaves; times in seconds, rates in bytes per second."""

    connections: int = 8
    """Upper bound of connections to one source; more than one only while they help."""
    connect_timeout: float = 10.0
    read_timeout: float = 30.0
    """How long a connection may send nothing at all."""
    retry_budget: float = 300.0
    """Time that all retries of one file may cost together, waiting included."""
    retries: int = 5
    """Consecutive retries of one source that bring no new bytes."""
    backoff: float = 0.5
    """First pause before a retry; it doubles with each failure in a row, up to 30 s."""
    stall_rate: int = 10 * 1024
    """A source that is slower than this over `stall_seconds` counts as stalled; 0 for never."""
    stall_seconds: float = 30.0
    offline: bool = False
    """Open no socket at all; files of this machine are still read."""


@dataclass(frozen=True)
class Download:
    """A verified file: its path, its digests, and the source that it came from.

    `url` holds no secrets, so that it may be printed and recorded. `transferred` counts the
    bytes that this run received over the network, `resumed` those left by an earlier run.
    """

    path: Path
    digests: Digests
    url: str
    transferred: int
    resumed: int


@dataclass(frozen=True)
class Attempt:
    """What one source did: enough for a user to see why it was given up."""

    url: str
    """The URL, without its secrets."""
    reason: str
    status: int | None = None
    transferred: int = 0
    """Bytes received over the network."""
    seconds: float = 0.0
    expected: str | None = None
    """The digest that was expected, where the bytes were wrong."""
    actual: str | None = None
    retries: int = 0
    tls_issuer: str | None = None
    """Who issued the certificate that was not trusted."""
    proxy: str | None = None
    """The proxy that it was asked through, and what names that."""
