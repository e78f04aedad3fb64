"""The base of every kind of transfer: one source's attempt to complete one file."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from cmx_resnet50.digests import Expected
from cmx_resnet50.fetch.http.validator import Validator
from cmx_resnet50.fetch.model import FetchOptions, Source
from cmx_resnet50.fetch.partial_file.file import PartialFile
from cmx_resnet50.fetch.partial_file.journal import Header
from cmx_resnet50.fetch.retry import RetryPolicy
from cmx_resnet50.progress import Progress

GZIP = ("gzip", "x-gzip")
"""The encodings that are undone although nobody asked for them."""

SIZE_LIMIT = 4 << 30
"""Bytes that a file has at most about which nothing is known."""


@dataclass(frozen=True)
class TransferTask:
    """What a transfer has to do, and with what.

    Parameters
    ----------
    source : Source
        Where the bytes come from.
    partial : PartialFile
        Where they go; what it holds already is not fetched again.
    header : Header
        What the journal records about the file; the transfer fills in size and validator.
    expected : Expected
        What is known about the file.
    options : FetchOptions
    retry : RetryPolicy
        When a failed request is repeated, and when the source is given up.
    validator : Validator, optional
        The version of the remote file that `partial` holds bytes of, if they are this source's.
    plain : bool
        Whether to ask for the whole file, without ranges.
    """

    source: Source
    partial: PartialFile
    header: Header
    expected: Expected
    options: FetchOptions
    retry: RetryPolicy
    validator: Validator | None
    plain: bool

    def limit(self, *, encoded: bool = False) -> int:
        """Return the bytes that a source may send at most; one that sends more has another file.

        Parameters
        ----------
        encoded : bool
            Whether the bytes have a content-encoding, which can make them a little longer.
        """
        most = SIZE_LIMIT if self.expected.most is None else self.expected.most
        return most + most // 8 + 65536 if encoded else most


def encoded_unasked(encoding: str) -> str:
    """Return the reason why a source is given up that encodes the body."""
    return f"the body has the encoding {encoding[:40]!r}, which was not requested"


def too_large(size: int, limit: int) -> str:
    """Return the reason why a source with a file of `size` bytes is given up."""
    return f"the file there has {size:,} bytes, more than the {limit:,} expected at most"


class Transfer(ABC):
    """One source's attempt at a file; its attributes describe how far it came."""

    def __init__(self, task: TransferTask) -> None:
        self.task = task
        self.transferred = 0
        """Bytes received over the network."""
        self.reached = False
        """Whether the host answered at all."""
        self.status: int | None = None
        """The HTTP status of the last answer."""
        self.encoded = ""
        """The content-encoding of the bytes, where the source applied one without being asked."""
        self.content_type = ""
        self.proxy: str | None = None
        """The proxy that the failed request went through, and what names that."""
        self.started_over = False
        """Whether bytes that were kept from before were discarded."""

    @abstractmethod
    def run(self, progress: Progress) -> None:
        """Complete the file.

        Raises
        ------
        SourceFailed, RestartDownload
            If the source is of no use, or has to give the file from byte 0.
        SpaceError, FetchError
            If the file cannot be written.
        """
