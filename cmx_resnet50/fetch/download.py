"""The order of a fetch: what is there already, then one source after another, until verified."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from cmx_resnet50 import gunzip
from cmx_resnet50.digests import COLLISION, Digests, Expected, digest_file
from cmx_resnet50.fetch import errors, sources
from cmx_resnet50.fetch.errors import SpaceError
from cmx_resnet50.fetch.http import error_pages
from cmx_resnet50.fetch.http.validator import Validator
from cmx_resnet50.fetch.model import Attempt, Download, FetchOptions, Source
from cmx_resnet50.fetch.partial_file.file import PartialFile
from cmx_resnet50.fetch.partial_file.journal import VERSION, Header
from cmx_resnet50.fetch.retry import RetryBudget, RetryPolicy
from cmx_resnet50.fetch.transfer import GZIP, Transfer, TransferTask, encoded_unasked
from cmx_resnet50.fetch.verdicts import (
    NetworkDown,
    ProxyDown,
    RestartDownload,
    Skipped,
    SourceFailed,
)
from cmx_resnet50.progress import Progress
from cmx_resnet50.redaction import host_of

PLAIN_LIMIT = 4 << 30
"""Bytes that a gzip-encoded answer may unpack to, where the size of the file is not known."""

RESTARTS = 3
"""Times that one source may start again from byte 0."""


CUT_OFF = 2
"""Hosts that fail for lack of a name server or a route until the network as a whole is to blame."""


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
        self._partial = PartialFile(partial, name)
        self._budget = RetryBudget(options.retry_budget)
        self._previous: Header | None = None
        self._attempts: list[Attempt] = []
        self._unreachable_hosts: set[str] = set()
        self._unreachable_proxies: set[str] = set()
        self._unresolved_hosts: set[str] = set()
        self._space_error: SpaceError | None = None
        self._transferred = self._resumed = 0

    def __call__(self) -> Download:
        """Fetch, and leave the verified file at its path."""
        if not self._options.offline:
            for source in self._sources:
                sources.require(source)
        done = None
        try:
            done = self._continue_previous_run()
            for index, source in enumerate(self._sources):
                if done is None and not self._is_out_of_reach(source):
                    done = self._ask(source, last=index == len(self._sources) - 1)
        finally:
            self._partial.close()
            if done is None:
                self._partial.remove_useless()
            self._progress.done()
        if done is not None:
            return done
        if self._space_error is not None:
            raise self._space_error
        facts = (self._name, self._expected, self._sources, self._attempts, self._hint)
        if self._options.offline:
            raise errors.offline(*facts)
        raise errors.all_failed(*facts, cut_off=self._is_cut_off)

    def _continue_previous_run(self) -> Download | None:
        """Return the file if an earlier run completed it; else load what that run left."""
        partial, expected = self._partial, self._expected
        header = partial.load(expected)
        if header is None:
            partial.journal.drop()
            if not (expected.verifiable and self._path.is_file()):
                return None
            if expected.size not in (None, self._path.stat().st_size):
                return None
            digests = digest_file(self._path)
            if expected.mismatch(digests) is not None:
                return None
            return Download(self._path, digests, "", 0, digests.size)
        self._previous = header
        self._resumed = partial.ranges.count
        if not expected.verifiable or partial.ranges.count < header.size:
            return None
        partial.open(header, header.size, reserve=False)
        digests = partial.digests()
        if expected.mismatch(digests) is None:
            return self._finished(digests, header.source)
        self._discard()
        return None

    @property
    def _is_cut_off(self) -> bool:
        """Whether this machine has no network: two hosts failed for that reason, or the only one.

        One alone may have name servers of its own that are down.
        """
        return len(self._unresolved_hosts) >= CUT_OFF

    def _is_out_of_reach(self, source: Source) -> bool:
        """Whether `source` is not worth asking, as this machine has no network."""
        return self._is_cut_off and not sources.is_local(source)

    def _ask(self, source: Source, *, last: bool) -> Download | None:
        """Try one source; return None when it failed and the attempt was recorded."""
        began = time.monotonic()
        retry = RetryPolicy(
            self._options, self._budget, alone=last, count=self._partial.ranges.count
        )
        transfers: list[Transfer] = []
        try:
            return self._try(source, retry, transfers)
        except (SourceFailed, SpaceError) as error:
            failure = self._source_failure(error)
        if failure.discard:
            self._discard()
        status, proxy = failure.status, None
        if transfers:
            status, proxy = status or transfers[-1].status, transfers[-1].proxy
            if isinstance(failure.cause, ProxyDown) and proxy is not None:
                self._unreachable_proxies.add(proxy)
            if not transfers[-1].reached:
                self._unreachable_hosts.add(host_of(source.url))
            if isinstance(failure.cause, NetworkDown):
                self._unresolved_hosts.add(host_of(source.url))
        attempt = Attempt(
            source.printable,
            failure.reason,
            status,
            sum(transfer.transferred for transfer in transfers),
            time.monotonic() - began,
            failure.expected,
            failure.actual,
            retry.retries,
            failure.tls_issuer,
            proxy,
        )
        self._attempts.append(attempt)
        if not last and not isinstance(failure, Skipped):
            self._progress.note(f"{self._name}: {source.printable}: {failure.reason}.")
        return None

    def _try(self, source: Source, retry: RetryPolicy, transfers: list[Transfer]) -> Download:
        """Fetch from `source`, again from byte 0 where it asks for that; list its `transfers`."""
        kind = sources.admit(source, offline=self._options.offline)
        if not kind.local and host_of(source.url) in self._unreachable_hosts:
            raise Skipped("skipped: its host was unreachable before")
        if not kind.local and self._unreachable_proxies:
            from cmx_resnet50.fetch.http.proxies import proxy_of

            proxy = proxy_of(source.url)
            if proxy is not None and str(proxy) in self._unreachable_proxies:
                raise Skipped(f"skipped: {proxy} was unreachable before")
        plain, restarts = False, 0
        while True:
            foreign = self._keep_or_discard(source)
            try:
                transfer = kind.transfer(self._task(source, retry, plain=plain))
                transfers.append(transfer)
                try:
                    transfer.run(self._progress)
                finally:
                    self._transferred += transfer.transferred
                return self._finished(self._verified(transfer, foreign), source.printable)
            except RestartDownload as error:
                if restarts == RESTARTS:
                    raise SourceFailed(error.reason, status=error.status) from None
                self._progress.note(
                    f"{self._name}: {error.reason}; restarting {source.printable} from byte 0."
                )
                plain = error.plain or restarts > 0
                restarts += 1
                self._discard()

    def _source_failure(self, failure: SourceFailed | SpaceError) -> SourceFailed:
        """Return why the source is given up; raise that the disk is too small for the file.

        Where the size of the file is unknown, a source may also send too much: then the other
        sources are asked first.
        """
        if isinstance(failure, SourceFailed):
            return failure
        if self._expected.most is not None:
            raise failure
        self._space_error = failure
        return SourceFailed(str(failure).rstrip("."), discard=True)

    def _keep_or_discard(self, source: Source) -> bool:
        """Discard bytes that `source` may not continue; return whether others are kept."""
        if not self._partial.ranges.count:
            return False
        if not self._expected.verifiable and self._validator(source) is None:
            self._discard()
            return False
        return True

    def _validator(self, source: Source) -> Validator | None:
        """Return the version of `source`'s file that the kept bytes are of, if that is known."""
        header = self._previous
        if header is None or header.key != _key(source) or header.validator == Validator():
            return None
        return header.validator

    def _task(self, source: Source, retry: RetryPolicy, *, plain: bool) -> TransferTask:
        md5, sha256 = self._expected.md5, self._expected.sha256
        return TransferTask(
            source,
            self._partial,
            Header(VERSION, md5, sha256, 0, _key(source), source.printable),
            self._expected,
            self._options,
            retry,
            validator=self._validator(source),
            plain=plain,
        )

    def _verified(self, transfer: Transfer, foreign: bool) -> Digests:
        """Return the digests of the complete file, if they are the right ones."""
        digests = self._partial.digests()
        problem = self._expected.mismatch(digests)
        if transfer.encoded:
            digests, problem = self._decoded(transfer, digests, problem)
        if problem is None:
            return digests
        page = self._error_page(transfer)
        self._discard()
        if foreign and not transfer.started_over:
            raise RestartDownload("the bytes kept from before do not belong to this file")
        if page is not None:
            raise SourceFailed(page)
        if digests.size != (self._expected.size or digests.size):
            raise SourceFailed(f"wrong bytes: {problem}")
        kind = "sha256" if self._expected.sha256 is not None else "md5"
        collision = self._expected.collides(digests)
        raise SourceFailed(
            f"wrong bytes: {COLLISION if collision else 'another file, or an altered one'}",
            expected=f"{kind} {getattr(self._expected, kind)}",
            actual=f"{kind} {getattr(digests, kind)} ({digests.size:,} bytes)",
        )

    def _error_page(self, transfer: Transfer) -> str | None:
        with open(self._path, "rb") as file:
            head = file.read(error_pages.LENGTH)
        return error_pages.detect_error_page(head, transfer.content_type)

    def _decoded(
        self, transfer: Transfer, digests: Digests, problem: str | None
    ) -> tuple[Digests, str | None]:
        """Undo a content-encoding that was not requested, where the bytes are wrong with it.

        Some servers label a file that is a .gz anyway; its bytes are right as they came.
        """
        named_gz = urlsplit(transfer.task.source.url).path.endswith(".gz")
        if problem is None and (self._expected.verifiable or named_gz):
            return digests, None
        if transfer.encoded not in GZIP:
            raise SourceFailed(encoded_unasked(transfer.encoded))
        plain = self._path.with_name(self._path.name + ".plain")
        try:
            digests = gunzip.gunzip(self._path, plain, limit=self._expected.most or PLAIN_LIMIT)
        except gunzip.UnpackError as error:
            raise SourceFailed(
                f"the body is gzip-encoded, which was not requested, and damaged: {error}"
            ) from None
        self._partial.close()
        plain.replace(self._path)
        return digests, self._expected.mismatch(digests)

    def _discard(self) -> None:
        self._partial.clear()
        self._previous = None
        self._resumed = 0

    def _finished(self, digests: Digests, url: str) -> Download:
        self._partial.close()
        self._partial.journal.drop()
        return Download(self._path, digests, url, self._transferred, self._resumed)


def _key(source: Source) -> str:
    return hashlib.sha256(source.url.encode()).hexdigest()
