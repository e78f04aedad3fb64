"""The kinds of URL that a file can come from.

A new kind of source is one module of this package, which defines an `Endpoint`, and one row of
`KINDS`. A row imports its module when the first such URL is asked.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, urlsplit

from cmx_resnet50.errors import Resnet50Error
from cmx_resnet50.fetch.http.hosts import is_loopback
from cmx_resnet50.fetch.model import Source
from cmx_resnet50.fetch.verdicts import Skipped, SourceFailed
from cmx_resnet50.remote import extras
from cmx_resnet50.user_urls import SUPPORTED, plain, problem_of

if TYPE_CHECKING:
    from cmx_resnet50.fetch.http.endpoint import Endpoint
    from cmx_resnet50.fetch.model import FetchOptions
    from cmx_resnet50.fetch.transfer import Transfer, TransferTask


@dataclass(frozen=True)
class Kind:
    """How URLs of some schemes are admitted and fetched."""

    schemes: tuple[str, ...]
    endpoint: Callable[[Source, FetchOptions], Endpoint] | None
    """Makes what HTTP asks for one source; None for a file of this machine."""
    hosts: tuple[str, ...] = ()
    """The hosts whose URLs are of this kind; none for all that no other row names."""
    user_only: bool = False
    """Whether only a URL that the user named is admitted."""
    check: Callable[[Source, SplitResult], None] = lambda source, parts: None
    """Raises `SourceFailed` for a URL that is not admitted."""

    @property
    def local(self) -> bool:
        """Whether no socket is opened, so that offline mode allows it."""
        return self.endpoint is None

    def transfer(self, task: TransferTask) -> Transfer:
        """Return the transfer of one source."""
        if self.endpoint is None:
            from cmx_resnet50.fetch.sources.file import FileTransfer

            return FileTransfer(task)
        from cmx_resnet50.fetch.http.transfer import HttpTransfer

        return HttpTransfer(task, self.endpoint(task.source, task.options))


class UnusableUrl(Resnet50Error):
    """Nothing can be fetched from a URL of the user's; the text says why."""


def require(source: Source) -> None:
    """Check that a URL of the user's can be fetched at all on this machine.

    Raises
    ------
    MissingPackage
        If a package is not installed; the text has the command that installs it.
    UnusableUrl
        If there is no such kind of source, or it is not a URL.
    """
    if not source.named_by_user:
        return
    problem = problem_of(plain(source.url))
    if problem is not None:
        raise UnusableUrl(f"{source.printable}: {problem}")
    extras.require(source.url)


def is_local(source: Source) -> bool:
    """Whether no socket is opened for `source`."""
    kind = _kind(source.url.partition("://")[0].lower())
    return kind is not None and kind.local


def admit(source: Source, *, offline: bool) -> Kind:
    """Return the kind of `source`, if it may be asked.

    Raises
    ------
    SourceFailed
        If it may not, with the reason.
    """
    try:
        parts = urlsplit(source.url)
        # Reading the port is what raises for one that is not a number.
        _ = parts.hostname, parts.port
    except ValueError:
        raise SourceFailed("the URL is malformed") from None
    kind = _kind(parts.scheme, parts.hostname or "")
    if kind is None or (kind.user_only and not source.named_by_user):
        accepted = f"supported are {SUPPORTED}"
        if not source.named_by_user:
            accepted = "only https is accepted"
        raise SourceFailed(f"refused: {parts.scheme or 'no'} scheme; {accepted}")
    if offline and not kind.local:
        raise Skipped("skipped (offline)")
    kind.check(source, parts)
    return kind


def _kind(scheme: str, host: str = "") -> Kind | None:
    rows = (kind for kind in KINDS if scheme in kind.schemes)
    return next((kind for kind in rows if not kind.hosts or host in kind.hosts), None)


def _web(source: Source, options: FetchOptions) -> Endpoint:
    from cmx_resnet50.fetch.http.endpoint import Endpoint

    return Endpoint(source)


def _drive(source: Source, options: FetchOptions) -> Endpoint:
    from cmx_resnet50.fetch.sources.google_drive import DriveEndpoint

    return DriveEndpoint(source)


def _s3(source: Source, options: FetchOptions) -> Endpoint:
    from cmx_resnet50.fetch.sources.s3 import S3Endpoint

    return S3Endpoint(source, options)


def _check_web(source: Source, parts: SplitResult) -> None:
    if not parts.hostname:
        raise SourceFailed("the URL names no host")
    if parts.scheme == "http" and not (source.named_by_user or is_loopback(parts.hostname)):
        raise SourceFailed("refused: plain http, which anybody on the way can alter")


DRIVE_HOSTS = ("drive.google.com", "drive.usercontent.google.com", "docs.google.com")

KINDS = (
    Kind(("file",), None),
    Kind(("https",), _drive, hosts=DRIVE_HOSTS),
    Kind(("https", "http"), _web, check=_check_web),
    Kind(("s3",), _s3, user_only=True),
)
