"""Each fault of a server: what the user gets, what is said, what the next run does."""

from __future__ import annotations

import socket
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cmx_resnet50.digests import Expected
from cmx_resnet50.fetch import FetchError, FetchOptions, Source
from tests.fetch.conftest import (
    CONTENT,
    GOOD,
    KNOWN,
    QUICK,
    SILENT,
    SIZE,
    Watched,
    assert_whole,
    get,
)
from tests.harness.faults import (
    Behaviour,
    Chunked,
    Empty,
    Endless,
    Flip,
    Gzipped,
    Headers,
    Html,
    IgnoreRanges,
    Json,
    LongLength,
    NoLength,
    Other,
    Redirect,
    Reset,
    Short,
    Stall,
    Status,
    Trickle,
    WrongRange,
)
from tests.harness.file_server import Answer, FileServer
from tests.harness.reply import Reply, Request, page

PASSES = {
    "503 once": [Status(503)],
    "429 with Retry-After": [Status(429, 0)],
    "429 without": [Status(429)],
    "408": [Status(408)],
    "425": [Status(425)],
    "502": [Status(502)],
    "504": [Status(504)],
    "522 of a CDN": [Status(522)],
    "500 twice": [Status(500)] * 2,
    "reset at the headers": [Reset()],
    "reset in the body": [Reset(1_000_000)],
    "short body": [Short(1_000_000)],
    "cut again and again": [Short(400_000)] * 7,
    "silent once": [Stall()],
    "stalls once": [Stall(700_000)],
    "ranges ignored": [IgnoreRanges()],
    "ranges ignored, cut": [(IgnoreRanges(), Short(900_000))] * 2,
    "ranges refused": [Status(416)],
    "ranges unknown": [Status(501)],
    "chunked": [(IgnoreRanges(), Chunked())],
    "chunked, cut": [(IgnoreRanges(), Chunked(900_000, terminated=False))],
}


def options(*answers: Answer) -> FetchOptions:
    return SILENT if any(isinstance(answer, Stall) for answer in answers) else QUICK


@pytest.mark.parametrize("plan", PASSES.values(), ids=PASSES.keys())
def test_a_fault_that_passes_is_not_the_users_business(
    plan: list[Answer], server: FileServer, partial: Path
) -> None:
    server.plan = list(plan)
    progress = Watched()
    assert_whole(get([server.url], partial, options=options(*plan), progress=progress), partial)
    assert not server.plan
    assert progress.count == SIZE
    assert progress.ended


def test_bytes_that_came_before_a_cut_are_not_fetched_again(
    server: FileServer, partial: Path
) -> None:
    server.plan = [Short(1_000_000), Short(1_000_000)]
    assert get([server.url], partial).transferred == SIZE == server.bytes_sent()
    assert server.ranges[1].startswith("bytes=1000000-")


OTHER = Other(bytes(SIZE), '"one"')
ONE_BIT = Flip(SIZE // 2, 2)
TOO_LONG = (IgnoreRanges(), LongLength(1000))


class NotWhole(Behaviour):
    """403 to every request without a range."""

    def change(self, request: Request, reply: Reply) -> Reply:
        return reply if request.range else page(403)


FAILS = {
    "404": (Status(404), "HTTP 404", 1),
    "403": (Status(403), "HTTP 403", 1),
    "410": (Status(410), "HTTP 410", 1),
    "500 always": (Status(500), "HTTP 500", 3),
    "429 for an hour": (Status(429, 3600), "asks to wait 3600 s", 1),
    "reset always": (Reset(), "connection", 3),
    "silent": (Stall(), "sent nothing", 3),
    "other bytes": (OTHER, "wrong bytes", None),
    "one bit": (ONE_BIT, "wrong bytes", None),
    "page": (Html(), "a web page came in place", 1),
    "message": (Json(), "a JSON message came", 1),
    "empty": (Empty(), "empty", 1),
    "Content-Length far too long": ((IgnoreRanges(), LongLength(1 << 20)), "bytes", 1),
    "chunked, ends early": ((IgnoreRanges(), Chunked(500_000)), "wrong bytes", 1),
    "wrong Content-Range": ((WrongRange(7), NotWhole()), "HTTP 403", 2),
    "redirect loop": (Redirect("/again"), "more than 10 redirects", 11),
    "redirect to file": (Redirect("file:///etc/hostname"), "redirect from http to file", 1),
    "redirect to ftp": (Redirect("ftp://localhost/f"), "redirect from http to ftp", 1),
    "redirect to plain http": (Redirect("http://files.example/f"), "plain http", 1),
}


@pytest.mark.parametrize(("fault", "said", "requests"), FAILS.values(), ids=FAILS.keys())
def test_a_fault_that_stays_is_told_and_leaves_nothing_wrong(
    fault: Answer, said: str, requests: int | None, server: FileServer, partial: Path
) -> None:
    server.always = fault
    with pytest.raises(FetchError) as caught:
        get([server.url], partial, options=options(fault))
    text = str(caught.value)
    assert said in text
    assert server.url in text
    curl, place, page = text.splitlines()[-3:]
    assert curl == f"  curl -fL -C - -o model.onnx {server.url}"
    assert place.endswith("the folder of models")
    assert page == "Details: run `cmx-resnet50 docs networks`."
    assert len(caught.value.attempts) == 1
    if requests is not None:
        assert len(server.requests) == requests
    server.always = GOOD
    assert_whole(get([server.url], partial), partial)


@pytest.mark.parametrize("fault", [fault for fault, _, _ in FAILS.values()], ids=FAILS.keys())
def test_the_next_source_steps_in(
    fault: Answer, server: FileServer, second: FileServer, partial: Path
) -> None:
    server.always = fault
    progress = Watched()
    download = get([server.url, second.url], partial, options=options(fault), progress=progress)
    assert_whole(download, partial)
    assert download.url == second.url
    assert any(server.url in note for note in progress.notes)


def test_wrong_bytes_are_told_with_both_digests(server: FileServer, partial: Path) -> None:
    server.always = ONE_BIT
    with pytest.raises(FetchError) as caught:
        get([server.url], partial)
    attempt = caught.value.attempts[0]
    assert attempt.expected == f"sha256 {KNOWN.sha256}"
    assert attempt.actual is not None
    assert attempt.actual != attempt.expected
    assert attempt.expected in str(caught.value)
    assert attempt.actual in str(caught.value)
    assert attempt.transferred == SIZE
    assert not list(partial.parent.glob("*.journal"))


def test_a_failed_host_is_not_asked_under_another_name(partial: Path) -> None:
    with FileServer(CONTENT) as gone:
        url = gone.url
    with pytest.raises(FetchError) as caught:
        get([url, url.replace("model", "other")], partial)
    first, last = caught.value.attempts
    assert "refused" in first.reason
    assert "its host was unreachable before" in last.reason
    assert first.retries == QUICK.retries


def test_a_host_that_answers_is_asked_for_the_other_name(server: FileServer, partial: Path) -> None:
    server.plan = [Status(404)]
    other = server.url.replace("model", "other")
    assert get([server.url, other], partial).url == other


def test_names_that_are_not_known_cost_one_retry_and_end_nothing(
    server: FileServer, partial: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A company's name server may know no name outside, but that of a later source."""
    resolve = socket.getaddrinfo

    def unknown(host: str, *arguments: Any, **options: Any) -> Any:
        if host.endswith(".invalid"):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return resolve(host, *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    urls = [f"https://{name}.invalid/f" for name in "abcd"]
    with pytest.raises(FetchError, match=r"name of d\.invalid cannot be resolved") as caught:
        get(urls, partial)
    assert [attempt.retries for attempt in caught.value.attempts] == [1, 0, 0, 0]
    assert_whole(get([*urls, server.url], partial), partial)


@pytest.mark.parametrize("declared", [KNOWN, Expected()], ids=["known", "unknown"])
def test_a_body_encoded_unasked_is_decoded(
    declared: Expected, server: FileServer, partial: Path
) -> None:
    server.always = Gzipped()
    assert_whole(get([server.url], partial, declared), partial)
    assert {request.headers["accept-encoding"] for request in server.requests} == {"identity"}


def test_a_gz_file_that_is_labelled_as_encoded_stays_as_it_is(
    server: FileServer, partial: Path
) -> None:
    server.always = Headers({"Content-Encoding": "gzip"})
    assert_whole(get([server.url], partial), partial)


def test_an_encoding_that_nobody_knows_is_refused(server: FileServer, partial: Path) -> None:
    server.always = (OTHER, IgnoreRanges(), Headers({"Content-Encoding": "br"}))
    with pytest.raises(FetchError, match="encoding 'br', which was not requested"):
        get([server.url], partial)


def test_no_length_and_no_chunks(server: FileServer, partial: Path) -> None:
    server.always = (IgnoreRanges(), NoLength())
    assert_whole(get([server.url], partial), partial)
    partial.unlink()
    assert_whole(get([server.url], partial, Expected()), partial)


def test_more_than_the_file_has_is_not_taken(server: FileServer, partial: Path) -> None:
    server.always = (IgnoreRanges(), Endless())
    with pytest.raises(FetchError, match="it sends more than the 3,000,017 bytes expected"):
        get([server.url], partial)
    assert not list(partial.parent.iterdir())


def test_a_trickle_is_left_for_another_source(
    server: FileServer, second: FileServer, partial: Path
) -> None:
    server.always = Trickle(1000)
    slow = replace(QUICK, stall_seconds=0.5)
    progress = Watched()
    download = get([server.url, second.url], partial, options=slow, progress=progress)
    assert_whole(download, partial)
    assert download.url == second.url
    assert "stalled" in progress.notes[0]


def test_a_trickle_alone_is_tried_again_then_told(server: FileServer, partial: Path) -> None:
    server.always = Trickle(1000)
    with pytest.raises(FetchError, match="stalled: "):
        get([server.url], partial, options=replace(QUICK, stall_seconds=0.3))
    assert len(server.requests) >= QUICK.retries


def test_the_budget_is_one_for_all_sources(
    server: FileServer, second: FileServer, partial: Path
) -> None:
    server.always = second.always = Status(503, 2)
    short = replace(QUICK, retries=99, retry_budget=3.9)
    progress = Watched()
    with pytest.raises(FetchError, match="retry budget used up"):
        get([server.url, second.url], partial, options=short, progress=progress)
    assert "503 Service Unavailable, which asks to wait 2 s; retrying in 2 s" in progress.notes[0]
    assert (len(server.requests), len(second.requests)) == (2, 1)


def test_a_weak_etag_is_compared_and_not_sent(server: FileServer, partial: Path) -> None:
    """If-Range takes strong ones only: a server would send the whole file for a weak one."""
    server.etag = 'W/"one"'
    server.plan = [Short(1_000_000)]
    assert_whole(get([server.url], partial), partial)
    assert server.bytes_sent() == SIZE
    assert not any("if-range" in request.headers for request in server.requests)
    partial.unlink()

    def changes(request: Request) -> Reply:
        reply = server.reply(request, Short(1_000_000))
        server.etag = 'W/"two"'
        return reply

    server.plan = [changes]
    progress = Watched()
    assert_whole(get([server.url], partial, progress=progress), partial)
    assert "changed while it was fetched" in progress.notes[0]


def test_a_part_that_contradicts_itself_is_not_taken(server: FileServer, partial: Path) -> None:
    def odd(request: Request) -> Reply:
        reply = server.reply(request)
        if request.range:
            reply.body = memoryview(bytes(reply.body) + bytes(10))
        return reply

    server.always = odd
    progress = Watched()
    assert_whole(get([server.url], partial, progress=progress), partial)
    assert "Content-Range has 3000017 bytes, Content-Length 3000027" in progress.notes[0]


def test_a_part_of_a_longer_file_is_not_taken(server: FileServer, partial: Path) -> None:
    """Its ETag is the same, and its size is not."""

    def longer(request: Request) -> Reply:
        reply = server.reply(request)
        said = reply.headers["Content-Range"].replace(str(SIZE), str(SIZE + 5))
        return replace(reply, headers={**reply.headers, "Content-Range": said})

    server.plan = [Short(1_000_000), longer]
    progress = Watched()
    declared = Expected(KNOWN.md5)
    get([server.url], partial, declared, progress=progress)
    assert partial.read_bytes() == CONTENT
    assert f"the file there has {SIZE + 5:,} bytes, not {SIZE:,}" in progress.notes[0]


def test_a_remote_that_changes_midway_starts_again(server: FileServer, partial: Path) -> None:
    new = bytes(reversed(CONTENT))

    def changes(request: Request) -> Reply:
        reply = server.reply(request, Short(1_000_000))
        server.content, server.etag = new, '"new"'
        return reply

    server.plan = [changes]
    get([server.url], partial, Expected())
    assert partial.read_bytes() == new


def test_an_etag_that_differs_with_each_request_still_works(
    server: FileServer, partial: Path
) -> None:
    def fickle(request: Request) -> Reply:
        server.etag = f'"{len(server.requests)}"'
        return server.reply(request, *[Short(1_000_000)] * (len(server.requests) < 3))

    server.always = fickle
    assert_whole(get([server.url], partial), partial)


def test_an_unverifiable_file_must_have_its_length(server: FileServer, partial: Path) -> None:
    server.always = TOO_LONG
    with pytest.raises(FetchError):
        get([server.url], partial, Expected())
    server.always = GOOD
    assert_whole(get([server.url], partial, Expected()), partial)


def test_a_source_that_is_no_url_is_told(partial: Path) -> None:
    wrong = ["not a url", "https://", "ftp://h/f", "http://[::1", "https://h:port/f", "http:///f"]
    with pytest.raises(FetchError) as caught:
        get(wrong, partial)
    assert len(caught.value.attempts) == len(wrong)


def test_plain_http_is_only_for_loopback_and_named_sources(
    partial: Path, server: FileServer
) -> None:
    with pytest.raises(FetchError, match="refused: plain http"):
        get(["http://files.invalid/f"], partial)
    with pytest.raises(FetchError, match="cannot be resolved"):
        get([Source("http://files.invalid/f", named_by_user=True)], partial)
    assert_whole(get([server.url.replace("127.0.0.1", "localhost")], partial), partial)
