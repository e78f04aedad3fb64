"""How one request or one source ended. These exceptions never leave the package `fetch`."""

from __future__ import annotations


class AttemptError(Exception):
    """The base: `reason` is a sentence for users and holds no secret."""

    def __init__(self, reason: str, *, status: int | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.status = status


class TransientError(AttemptError):
    """A request failed in a way that a retry may fix, perhaps after `wait` seconds."""

    def __init__(
        self, reason: str, *, status: int | None = None, wait: float | None = None
    ) -> None:
        super().__init__(reason, status=status)
        self.wait = wait


class NetworkDown(TransientError):
    """No name server answers, or there is no route: probably this machine has no network."""


class NoAnswer(NetworkDown):
    """No name server answered in time: the system asked more than once already."""


class UnknownName(TransientError):
    """A name server says that there is no such name, as a company's may for all outside."""


class ProxyDown(TransientError):
    """The proxy cannot be reached, and so no source that is asked through it."""


class RateLimited(TransientError):
    """The host asks for fewer requests (429, 503)."""


class SourceFailed(AttemptError):
    """The source cannot give this file; the next one is asked.

    `discard` is whether the bytes from it are useless, `cause` the failure that was repeated too
    often.
    """

    def __init__(
        self,
        reason: str,
        *,
        status: int | None = None,
        expected: str | None = None,
        actual: str | None = None,
        tls_issuer: str | None = None,
        discard: bool = False,
        cause: TransientError | None = None,
    ) -> None:
        super().__init__(reason, status=status)
        self.discard = discard
        self.cause = cause
        self.expected = expected
        self.actual = actual
        self.tls_issuer = tls_issuer


class Skipped(SourceFailed):
    """The source was not asked: nothing was learned that the error does not list anyway."""


class RestartDownload(AttemptError):
    """The bytes on disk cannot be continued from this source: it has to start from byte 0.

    `plain` asks for the next request to be sent without a Range header, because the server
    answers ranges wrongly.
    """

    def __init__(self, reason: str, *, status: int | None = None, plain: bool = False) -> None:
        super().__init__(reason, status=status)
        self.plain = plain
