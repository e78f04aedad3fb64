"""Bodies that do not end where the server said: a file whose digest is right is right."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from cmx_resnet50.digests import Expected
from cmx_resnet50.fetch import FetchError
from tests.fetch.conftest import CONTENT, KNOWN, QUICK, SIZE, assert_whole, get
from tests.harness import faults
from tests.harness.faults import IgnoreRanges, LongLength
from tests.harness.file_server import Answer, FileServer
from tests.harness.reply import Reply, Request, Resource

EXPECTED = {
    "exact": KNOWN,
    "about": Expected(KNOWN.md5, limit=SIZE * 5 // 4),
    "digest": Expected(sha256=KNOWN.sha256),
}
PATIENT = replace(QUICK, read_timeout=60.0)
TRAILERS = b"X-Trailer: and another one\r\n" * 2000


def chunks(body: memoryview) -> memoryview:
    """`body` in chunked coding, up to the last chunk, behind which trailers may come."""
    return memoryview(b"%x\r\n%b\r\n0\r\n" % (len(body), body))


def endless_trailers(ranges: bool) -> Answer:
    def answer(request: Request) -> Reply:
        good = server_reply(request, ranges)
        headers = {**good.headers, "Transfer-Encoding": "chunked"}
        return replace(
            good, headers=headers, body=chunks(good.body), framing="close", endless=TRAILERS
        )

    return answer


def server_reply(request: Request, ranges: bool) -> Reply:
    resource = Resource(CONTENT, etag='"one"', last_modified=None)
    return faults.reply(request, resource, *([] if ranges else [IgnoreRanges()]))


def kept_open(request: Request) -> Reply:
    """All of the file under a length that is too large, and then silence."""
    return Reply(200, {}, memoryview(CONTENT), length=SIZE + 500, ending="stall", stop=SIZE)


ENDINGS: dict[str, Answer] = {
    "a length too large": LongLength(1000),
    "a length too large, no ranges": (IgnoreRanges(), LongLength(1000)),
    "a length too large, kept open": kept_open,
    "endless trailers": endless_trailers(ranges=False),
    "endless trailers of a range": endless_trailers(ranges=True),
}


@pytest.mark.parametrize("expected", EXPECTED.values(), ids=EXPECTED)
@pytest.mark.parametrize("ending", ENDINGS.values(), ids=ENDINGS)
def test_bytes_that_are_right_are_enough(
    ending: Answer, expected: Expected, server: FileServer, partial: Path
) -> None:
    server.always = ending
    download = get([server.url], partial, expected, options=PATIENT)
    assert_whole(download, partial)
    # One request may have been for a range that contradicts itself.
    assert len(server.requests) <= 2
    assert download.transferred <= SIZE + 1000


@pytest.mark.parametrize("ending", ["a length too large, no ranges", "a length too large"])
def test_without_a_digest_the_length_counts(ending: str, server: FileServer, partial: Path) -> None:
    server.always = ENDINGS[ending]
    with pytest.raises(FetchError, match="closed early"):
        get([server.url], partial, Expected())


def test_other_bytes_are_not_enough(server: FileServer, partial: Path) -> None:
    server.content = bytes(SIZE)
    for ending in ("a length too large, no ranges", "a length too large"):
        server.always = ENDINGS[ending]
        with pytest.raises(FetchError):
            get([server.url], partial, EXPECTED["digest"])
