"""The kinds of URL that a file can come from.

A new kind of source is one module of this package, which defines a `Transfer`, and one row of
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
from cmx_resnet50.fetch.verdicts import SourceFailed
from cmx_resnet50.remote import extras

if TYPE_CHECKING:
    from cmx_resnet50.fetch.transfer import Transfer, TransferTask


@dataclass(frozen=True)
class Kind:
    """How URLs of some schemes are admitted and fetched."""

    schemes: tuple[str, ...]
    transfer: Callable[[TransferTask], Transfer]
    """Makes the transfer of one source."""
    local: bool = False
    """Whether no socket is opened, so that offline mode allows it."""
    user_only: bool = False
    """Whether only a URL that the user named is admitted."""
    check: Callable[[Source, SplitResult], None] = lambda source, parts: None
    """Raises `SourceFailed` for a URL that is not admitted."""


class UnknownScheme(Resnet50Error):
    """A URL of the user's is of a kind that is not fetched; the text names those that are."""


def require(source: Source) -> None:
    """Check that a URL of the user's can be fetched at all on this machine.

    Raises
    ------
    MissingPackage
        If a package is not installed; the text has the command that installs it.
    UnknownScheme
        If there is no such kind of source.
    """
    scheme, colon, _ = source.url.partition("://")
    if not source.named_by_user or not colon:
        return
    if _kind(scheme.lower()) is None:
        raise UnknownScheme(
            f"{source.printable}: {scheme}:// is not supported. Supported are https://, http://, "
            "s3:// and file://. Most other stores can be reached over https: name that address."
        )
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
    kind = _kind(parts.scheme)
    if kind is None or (kind.user_only and not source.named_by_user):
        raise SourceFailed(f"refused: {parts.scheme or 'no'} scheme; only https is accepted")
    if offline and not kind.local:
        raise SourceFailed("skipped (offline)")
    kind.check(source, parts)
    return kind


def _kind(scheme: str) -> Kind | None:
    return next((kind for kind in KINDS if scheme in kind.schemes), None)


def _file(task: TransferTask) -> Transfer:
    from cmx_resnet50.fetch.sources.file import FileTransfer

    return FileTransfer(task)


def _web(task: TransferTask) -> Transfer:
    from cmx_resnet50.fetch.http.endpoint import Endpoint
    from cmx_resnet50.fetch.http.transfer import HttpTransfer

    return HttpTransfer(task, Endpoint(task.source))


def _s3(task: TransferTask) -> Transfer:
    from cmx_resnet50.fetch.http.transfer import HttpTransfer
    from cmx_resnet50.fetch.sources.s3 import S3Endpoint

    return HttpTransfer(task, S3Endpoint(task.source, task.options))


def _check_web(source: Source, parts: SplitResult) -> None:
    if not parts.hostname:
        raise SourceFailed("the URL names no host")
    if parts.scheme == "http" and not (source.named_by_user or is_loopback(parts.hostname)):
        raise SourceFailed("refused: plain http, which anybody on the way can alter")


KINDS = (
    Kind(("file",), _file, local=True),
    Kind(("https", "http"), _web, check=_check_web),
    Kind(("s3",), _s3, user_only=True),
)
