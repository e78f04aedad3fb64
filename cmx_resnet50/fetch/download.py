"""The order of a fetch: what is there already, then one source after another, until verified."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from cmx_resnet50 import gunzip
from cmx_resnet50.digests import Digests, Expected, digest_file
from cmx_resnet50.fetch import errors
from cmx_resnet50.fetch.errors import Final, Restart
from cmx_resnet50.fetch.filesystem import FilesystemTransfer
from cmx_resnet50.fetch.http import error_pages
from cmx_resnet50.fetch.http.response import Validator
from cmx_resnet50.fetch.http.session import is_loopback
from cmx_resnet50.fetch.http.transfer import Transfer
from cmx_resnet50.fetch.model import Attempt, Download, FetchOptions, Progress, Source
from cmx_resnet50.fetch.partial_file.file import Part
from cmx_resnet50.fetch.partial_file.journal import VERSION, Header
from cmx_resnet50.fetch.retry import Budget, Patience
from cmx_resnet50.fetch.sources import file
from cmx_resnet50.redaction import host_of
from cmx_resnet50.remote import extras

PLAIN_LIMIT = 4 << 30
"""Bytes that a gzip-encoded answer may unpack to, where the size of the file is not known."""

RESTARTS = 3
"""Times that one source may begin from nothing."""


class Run:
    """One call of `cmx_resnet50.fetch.fetch`; its parameters are explained there."""

    def __init__(
        self,
        sources: Sequence[Source],
        expected: Expected,
        partial: Path,
        *,
        name: str,
        options: FetchOptions,
        progress: Progress,
        place_hint: str,
    ) -> None:
        self._sources = list(dict.fromkeys(sources))
        self._expected = expected
        self._path = partial
        self._name = name
        self._options = options
        self._progress = progress
        self._hint = place_hint
        self._part = Part(partial, name)
        self._budget = Budget(options.retry_budget)
        self._recalled: Header | None = None
        self._attempts: list[Attempt] = []
        self._silent_hosts: set[str] = set()
        self._transferred = self._resumed = 0

    def __call__(self) -> Download:
        """Fetch, and leave the verified file at its path."""
        if not self._options.offline:
            for source in self._sources:
                if source.named_by_user:
                    extras.require(source.url)
        try:
            done = self._left_behind()
            if done is not None:
                return done
            for index, source in enumerate(self._sources):
                done = self._ask(source, last=index == len(self._sources) - 1)
                if done is not None:
                    return done
        finally:
            self._part.close()
            self._progress.done()
        fail = errors.offline if self._options.offline else errors.all_failed
        raise fail(self._name, self._expected, self._sources, self._attempts, self._hint)

    def _left_behind(self) -> Download | None:
        """Return the file if an earlier run had brought all of it; else take up what it left."""
        part, expected = self._part, self._expected
        header = part.recall(expected)
        if header is None:
            part.journal.drop()
            if not (expected.verifiable and self._path.is_file()):
                return None
            if expected.size not in (None, self._path.stat().st_size):
                return None
            digests = digest_file(self._path)
            if expected.mismatch(digests) is not None:
                return None
            return Download(self._path, digests, "", 0, digests.size)
        self._recalled = header
        self._resumed = part.coverage.count
        if not expected.verifiable or part.coverage.count < header.size:
            return None
        part.open(header, header.size)
        digests = part.digests()
        if expected.mismatch(digests) is None:
            return self._finished(digests, header.source)
        self._forget()
        return None

    def _ask(self, source: Source, *, last: bool) -> Download | None:
        """Let one source try; None when it failed, and the attempt is recorded."""
        began = time.monotonic()
        transfer: Transfer | FilesystemTransfer | None = None
        patience = Patience(
            self._options, self._budget, alone=last, count=self._part.coverage.count
        )
        came = 0
        try:
            self._admit(source)
            plain = False
            for turn in range(RESTARTS + 1):
                foreign = self._prepare(source)
                try:
                    if source.is_file:
                        file.copy(source, self._part, self._expected, self._progress)
                    else:
                        transfer = self._transfer(source, patience, plain=plain)
                        try:
                            transfer.run(self._progress, self._name)
                        finally:
                            came += transfer.transferred
                            self._transferred += transfer.transferred
                    return self._finished(self._verified(transfer, foreign), source.printable)
                except Restart as error:
                    if turn == RESTARTS:
                        raise Final(error.reason, status=error.status) from None
                    self._progress.note(
                        f"{self._name}: {error.reason}; {source.printable} is asked from nothing."
                    )
                    plain = error.plain or turn > 0
                    self._forget()
        except Final as error:
            if transfer is not None and not transfer.reached:
                self._silent_hosts.add(host_of(source.url))
            status = error.status or (transfer.status if transfer is not None else None)
            attempt = Attempt(
                source.printable,
                error.reason,
                status,
                came,
                time.monotonic() - began,
                error.expected,
                error.actual,
                patience.retries,
                error.tls_issuer,
            )
            self._attempts.append(attempt)
            if not last:
                self._progress.note(f"{self._name}: {source.printable}: {error.reason}.")
        return None

    def _admit(self, source: Source) -> None:
        """Refuse a source that may not be asked."""
        try:
            parts = urlsplit(source.url)
            host, _ = parts.hostname, parts.port
        except ValueError:
            raise Final("the URL cannot be read") from None
        if parts.scheme == "file":
            return
        store = source.named_by_user and not source.is_web
        if not (source.is_web or (store and (source.is_s3 or extras.knows(parts.scheme)))):
            raise Final(f"refused: {parts.scheme or 'no'} scheme; https is asked for")
        if self._options.offline:
            raise Final("not asked: no socket may be opened")
        if store:
            if host_of(source.url) in self._silent_hosts:
                raise Final("not asked: its host failed before")
            return
        if not host:
            raise Final("the URL names no host")
        if parts.scheme == "http" and not (source.named_by_user or is_loopback(host)):
            raise Final("refused: plain http, which anybody on the way can alter")
        if host_of(source.url) in self._silent_hosts:
            raise Final("not asked: its host failed before")

    def _prepare(self, source: Source) -> bool:
        """Forget bytes that `source` may not continue; say whether others are kept."""
        if not self._part.coverage.count:
            return False
        if not self._expected.verifiable and self._validator(source) is None:
            self._forget()
            return False
        return True

    def _validator(self, source: Source) -> Validator | None:
        """Return the version of `source`'s file that the kept bytes are of, if that is known."""
        header = self._recalled
        if header is None or header.key != _key(source) or header.validator == Validator():
            return None
        return header.validator

    def _transfer(
        self, source: Source, patience: Patience, *, plain: bool
    ) -> Transfer | FilesystemTransfer:
        md5, sha256 = self._expected.md5, self._expected.sha256
        header = Header(VERSION, md5, sha256, 0, _key(source), source.printable)
        if source.is_s3:
            from cmx_resnet50.fetch.sources.s3 import SignedSource

            source = SignedSource.of(source, self._options)
        elif not source.is_web:
            return FilesystemTransfer(
                source,
                self._part,
                header,
                self._expected,
                self._options,
                patience,
                recalled=self._validator(source),
            )
        return Transfer(
            source,
            self._part,
            header,
            self._expected,
            self._options,
            patience,
            recalled=self._validator(source),
            plain=plain,
        )

    def _verified(self, transfer: Transfer | FilesystemTransfer | None, foreign: bool) -> Digests:
        """Return the digests of the file that is there, if they are the right ones."""
        digests = self._part.digests()
        problem = self._expected.mismatch(digests)
        if transfer is not None and transfer.encoded:
            digests, problem = self._decoded(transfer, digests, problem)
        if problem is None:
            return digests
        kept = foreign and transfer is not None and transfer.transferred < digests.size
        page = self._page(transfer)
        self._forget()
        if kept:
            raise Restart("bytes kept from before and the new ones do not make the right file")
        if page is not None:
            raise Final(page)
        if digests.size != (self._expected.size or digests.size):
            raise Final(f"wrong bytes: {problem}")
        kind = "sha256" if self._expected.sha256 is not None else "md5"
        raise Final(
            "wrong bytes: the file is another, or was altered",
            expected=f"{kind} {getattr(self._expected, kind)}",
            actual=f"{kind} {getattr(digests, kind)} ({digests.size:,} bytes)",
        )

    def _page(self, transfer: Transfer | FilesystemTransfer | None) -> str | None:
        with open(self._path, "rb") as file:
            head = file.read(error_pages.LENGTH)
        return error_pages.page_instead(head, transfer.content_type if transfer is not None else "")

    def _decoded(
        self, transfer: Transfer | FilesystemTransfer, digests: Digests, problem: str | None
    ) -> tuple[Digests, str | None]:
        """Undo a content-encoding that nobody asked for, where the bytes are not right with it.

        Some servers label a file that is a .gz anyway; its bytes are right as they came.
        """
        named_gz = urlsplit(transfer.url).path.endswith(".gz")
        if problem is None and (self._expected.verifiable or named_gz):
            return digests, None
        if transfer.encoded not in ("gzip", "x-gzip"):
            raise Final(f"the body came in the encoding {transfer.encoded[:40]!r}, unasked")
        plain = self._path.with_name(self._path.name + ".plain")
        try:
            digests = gunzip.gunzip(self._path, plain, limit=self._expected.size or PLAIN_LIMIT)
        except gunzip.UnpackError as error:
            raise Final(f"the body came gzip-encoded, unasked, and is not sound: {error}") from None
        self._part.close()
        plain.replace(self._path)
        return digests, self._expected.mismatch(digests)

    def _forget(self) -> None:
        self._part.clear()
        self._recalled = None
        self._resumed = 0

    def _finished(self, digests: Digests, url: str) -> Download:
        self._part.close()
        self._part.journal.drop()
        return Download(self._path, digests, url, self._transferred, self._resumed)


def _key(source: Source) -> str:
    return hashlib.sha256(source.url.encode()).hexdigest()
