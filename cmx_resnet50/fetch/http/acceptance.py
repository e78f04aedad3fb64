"""Compares an answer with what is known about the file, before a byte of it is written."""

from __future__ import annotations

from dataclasses import replace

import requests

from cmx_resnet50.fetch.http import error_pages
from cmx_resnet50.fetch.http.range_queue import ByteRange
from cmx_resnet50.fetch.http.response import Answer
from cmx_resnet50.fetch.http.shared_state import SharedState
from cmx_resnet50.fetch.partial_file.file import ENDLESS
from cmx_resnet50.fetch.transfer import GZIP, encoded_unasked, too_large
from cmx_resnet50.fetch.verdicts import RestartDownload, SourceFailed

LENGTH_SLACK = 64 * 1024
"""Bytes by which a server may overstate the size of a file whose size and digest are known."""


def accept(
    state: SharedState,
    answer: Answer,
    response: requests.Response,
    part: ByteRange,
    data: memoryview,
) -> None:
    """Take `answer` for `part` of the file; the first one prepares the file.

    The caller holds the condition.

    Parameters
    ----------
    state : SharedState
    answer : Answer
        What `response` says of itself.
    response : requests.Response
    part : ByteRange
        What was requested.
    data : memoryview
        The first bytes of the body.

    Raises
    ------
    SourceFailed
        If it is not the file.
    RestartDownload
        If it is another version of the file than the one that is being fetched.
    """
    status, partial, total = state.transfer.status, state.partial, answer.total
    if answer.start == 0:
        page = error_pages.detect_error_page(bytes(data[: error_pages.LENGTH]), answer.content_type)
        if page is not None:
            raise SourceFailed(page, status=status)
    if total == 0:
        raise SourceFailed("the answer is empty", status=status)
    if not (answer.encoded in ("", *GZIP) or state.task.expected.verifiable):
        raise SourceFailed(encoded_unasked(answer.encoded), status=status)
    size = state.task.expected.size
    if _overstates(state, answer):
        answer = replace(answer, total=size)
        total = size
    if None not in (size, total) and size != total and not answer.encoded:
        raise SourceFailed(f"the file there has {total:,} bytes, not {size:,}", status=status)
    limit = state.task.limit(encoded=bool(answer.encoded))
    if total is not None and total > limit:
        raise SourceFailed(too_large(total, limit), status=status)
    if answer.partial:
        if partial.total not in (None, total):
            raise RestartDownload(f"the file there has {total:,} bytes, not {partial.total:,}")
        if state.validator is not None and state.validator.differs(answer.validator):
            raise RestartDownload("the remote file changed while it was fetched")
        state.ranged = True
    elif state.ranged:
        raise RestartDownload(
            "the remote file changed, or the server no longer honours Range requests"
        )
    else:
        # The body begins at byte 0, whatever was requested.
        if partial.ranges.count:
            partial.clear()
            state.transfer.started_over = True
        state.opened = False
        state.queue.assign_all(part, ENDLESS if total is None else total)
    if not state.opened or partial.total is None:
        _open(state, answer, response)


def _overstates(state: SharedState, answer: Answer) -> bool:
    """Whether the size that the server announces is a little too large; the digest decides."""
    size, total = state.task.expected.size, answer.total
    if size is None or total is None or answer.encoded or not state.task.expected.verifiable:
        return False
    return size < total <= size + LENGTH_SLACK


def _open(state: SharedState, answer: Answer, response: requests.Response) -> None:
    task, partial, transfer = state.task, state.partial, state.transfer
    state.opened = True
    state.resumed = partial.ranges.count
    state.validator = answer.validator
    transfer.encoded, transfer.content_type = answer.encoded, answer.content_type
    if answer.label:
        label = "".join(c for c in answer.label[:40] if c.isprintable())
        state.remark = f"the content-encoding {label!r} is not one; the bytes are taken as sent"
    if response.url != task.source.url:
        state.resolved = (response.url, response.request.headers.get("Authorization"))
    header = None
    if answer.total is not None and not answer.encoded:
        header = replace(
            task.header,
            size=answer.total,
            etag=answer.validator.etag,
            modified=answer.validator.modified,
        )
    if answer.partial and partial.total is None:
        # Only now is it known where the file ends.
        state.queue.truncate(answer.total or 0)
    partial.open(header, answer.total, reserve=task.expected.most is not None)
    # The calling thread waits for this to show progress, and to count connections.
    partial.changed.notify_all()
