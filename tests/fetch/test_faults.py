"""Each fault of a server: what the user gets, what is said, what the next run does."""

from __future__ import annotations

import gzip
import itertools
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from cmx_resnet50.digests import Expected
from cmx_resnet50.fetch import FetchError, FetchOptions, Source
from tests.fetch import server as faults
from tests.fetch.conftest import CONTENT, KNOWN, QUICK, SIZE, Watched, assert_whole, get
from tests.fetch.server import Answer, Exchange, Server, serve

PASSES = {
    "503 once": [faults.status("503 Busy")],
    "429 with Retry-After": [faults.status("429 Slow down", Retry_After="0")],
    "429 without": [faults.status("429 Slow down")],
    "408": [faults.status("408 Request Timeout")],
    "425": [faults.status("425 Too Early")],
    "502": [faults.status("502 Bad Gateway")],
    "504": [faults.status("504 Gateway Timeout")],
    "522 of a CDN": [faults.status("522 Timed Out")],
    "500 twice": [faults.status("500 Sorry")] * 2,
    "reset at the headers": [faults.reset_at_once],
    "reset in the body": [faults.cut(1_000_000, reset=True)],
    "short body": [faults.cut(1_000_000)],
    "cut again and again": [faults.cut(400_000)] * 7,
    "silent once": [faults.silent],
    "stalls once": [faults.stall(700_000)],
    "ranges ignored": [faults.no_ranges],
    "ranges ignored, cut": [faults.cut(900_000, ranges=False)] * 2,
    "ranges refused": [faults.status("416 No")],
    "ranges unknown": [faults.status("501 No")],
    "chunked": [faults.chunked()],
    "chunked, cut": [faults.chunked(until=900_000, terminated=False)],
}


@pytest.mark.parametrize("plan", PASSES.values(), ids=PASSES.keys())
def test_a_fault_that_passes_is_not_the_users_business(
    plan: list[Answer], server: Server, partial: Path
) -> None:
    server.plan = list(plan)
    progress = Watched()
    assert_whole(get([server.url], partial, progress=progress), partial)
    assert not server.plan
    assert progress.count == SIZE
    assert progress.ended


def test_bytes_that_came_before_a_cut_are_not_fetched_again(server: Server, partial: Path) -> None:
    server.plan = [faults.cut(1_000_000), faults.cut(1_000_000)]
    assert get([server.url], partial).transferred == SIZE == server.sent
    assert server.ranges[1].startswith("bytes=1000000-")


def other_bytes(exchange: Exchange) -> None:
    exchange.good(content=bytes(SIZE))


def one_bit(exchange: Exchange) -> None:
    spoilt = bytearray(CONTENT)
    spoilt[SIZE // 2] ^= 4
    exchange.good(content=bytes(spoilt))


def page(exchange: Exchange) -> None:
    body = b"<!DOCTYPE html><html><body>Please log in"
    exchange.head("200 OK", Content_Type="text/html; charset=utf-8", Content_Length=len(body))
    exchange.send(body)


def message(exchange: Exchange) -> None:
    body = b'{"error": "quota"}'
    exchange.head("200 OK", Content_Type="application/json", Content_Length=len(body))
    exchange.send(body)


def empty(exchange: Exchange) -> None:
    exchange.head("200 OK", Content_Length=0)


def too_long(exchange: Exchange) -> None:
    exchange.good(ranges=False, Content_Length=SIZE + 1000)
    exchange.close()


def wrong_range(exchange: Exchange) -> None:
    if exchange.asked is None:
        return exchange.head("403 No")
    body, headers, line = exchange.part()
    headers["Content_Range"] = f"bytes 7-{len(body) + 6}/{SIZE}"
    exchange.head(line, **headers)
    return exchange.send(body)


FAILS = {
    "404": (faults.status("404 Not Found"), "HTTP 404", 1),
    "403": (faults.status("403 Forbidden"), "HTTP 403", 1),
    "410": (faults.status("410 Gone"), "HTTP 410", 1),
    "500 always": (faults.status("500 Sorry"), "HTTP 500", 3),
    "429 for an hour": (faults.status("429 No", Retry_After="3600"), "asks to wait 3600 s", 1),
    "reset always": (faults.reset_at_once, "connection", 3),
    "silent": (faults.silent, "sent nothing", 3),
    "other bytes": (other_bytes, "wrong bytes", None),
    "one bit": (one_bit, "wrong bytes", None),
    "page": (page, "a web page came in place", 1),
    "message": (message, "a JSON message came", 1),
    "empty": (empty, "empty", 1),
    "Content-Length too long": (too_long, "bytes", 1),
    "chunked, ends early": (faults.chunked(until=500_000), "wrong bytes", 1),
    "wrong Content-Range": (wrong_range, "HTTP 403", 2),
    "redirect loop": (faults.redirect("/again"), "more than 10 redirects", 11),
    "redirect to file": (faults.redirect("file:///etc/hostname"), "redirect from http to file", 1),
    "redirect to ftp": (faults.redirect("ftp://localhost/f"), "redirect from http to ftp", 1),
    "redirect to plain http": (faults.redirect("http://files.example/f"), "plain http", 1),
}


@pytest.mark.parametrize(("fault", "said", "requests"), FAILS.values(), ids=FAILS.keys())
def test_a_fault_that_stays_is_told_and_leaves_nothing_wrong(
    fault: Answer, said: str, requests: int | None, server: Server, partial: Path
) -> None:
    server.always = fault
    with pytest.raises(FetchError) as caught:
        get([server.url], partial)
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
    server.always = faults.good
    assert_whole(get([server.url], partial), partial)


@pytest.mark.parametrize("fault", [fault for fault, _, _ in FAILS.values()], ids=FAILS.keys())
def test_the_next_source_steps_in(
    fault: Answer, server: Server, second: Server, partial: Path
) -> None:
    server.always = fault
    progress = Watched()
    download = get([server.url, second.url], partial, progress=progress)
    assert_whole(download, partial)
    assert download.url == second.url
    assert any(server.url in note for note in progress.notes)


def test_wrong_bytes_are_told_with_both_digests(server: Server, partial: Path) -> None:
    server.always = one_bit
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
    with serve(CONTENT) as gone:
        url = gone.url
    with pytest.raises(FetchError) as caught:
        get([url, url.replace("model", "other")], partial)
    first, last = caught.value.attempts
    assert "refused" in first.reason
    assert "its host was unreachable before" in last.reason
    assert first.retries == QUICK.retries


def test_a_host_that_answers_is_asked_for_the_other_name(server: Server, partial: Path) -> None:
    server.plan = [faults.status("404 Not Found")]
    other = server.url.replace("model", "other")
    assert get([server.url, other], partial).url == other


def test_an_unknown_host_name_is_tried_again_and_told(partial: Path) -> None:
    with pytest.raises(
        FetchError, match=r"name of no-such-host\.invalid cannot be resolved"
    ) as caught:
        get(["https://no-such-host.invalid/f"], partial)
    assert caught.value.attempts[0].retries == QUICK.retries


@pytest.mark.parametrize("declared", [KNOWN, Expected()], ids=["known", "unknown"])
def test_a_body_encoded_unasked_is_decoded(
    declared: Expected, server: Server, partial: Path
) -> None:
    packed = gzip.compress(CONTENT, 1)

    def answer(exchange: Exchange) -> None:
        assert exchange.headers["accept-encoding"] == "identity"
        exchange.good(content=packed, ranges=False, Content_Encoding="gzip")

    server.always = answer
    assert_whole(get([server.url], partial, declared), partial)


def test_a_gz_file_that_is_labelled_as_encoded_stays_as_it_is(partial: Path) -> None:
    with serve(CONTENT) as server:
        server.always = lambda exchange: exchange.good(Content_Encoding="gzip")
        assert_whole(get([server.url], partial), partial)


def test_an_encoding_that_nobody_knows_is_refused(server: Server, partial: Path) -> None:
    server.always = lambda e: e.good(content=b"x" * SIZE, ranges=False, Content_Encoding="br")
    with pytest.raises(FetchError, match="encoding 'br', which was not requested"):
        get([server.url], partial)


def test_no_length_and_no_chunks(server: Server, partial: Path) -> None:
    def answer(exchange: Exchange) -> None:
        exchange.head("200 OK", Content_Type="application/octet-stream", Connection="close")
        exchange.send(CONTENT)
        exchange.close()

    server.always = answer
    assert_whole(get([server.url], partial), partial)
    partial.unlink()
    assert_whole(get([server.url], partial, Expected()), partial)


def test_more_than_the_file_has_is_not_taken(server: Server, partial: Path) -> None:
    def endless(exchange: Exchange) -> None:
        exchange.head("200 OK", Content_Type="application/octet-stream", Connection="close")
        for _ in range(1000):
            exchange.send(CONTENT)

    server.always = endless
    with pytest.raises(FetchError, match="more bytes came"):
        get([server.url], partial)
    assert partial.stat().st_size <= SIZE + (1 << 20)


def test_a_trickle_is_left_for_another_source(
    server: Server, second: Server, partial: Path
) -> None:
    server.always = faults.trickle
    options = replace(QUICK, stall_seconds=0.5)
    progress = Watched()
    began = time.monotonic()
    download = get([server.url, second.url], partial, options=options, progress=progress)
    assert_whole(download, partial)
    assert download.url == second.url
    assert "stalled" in progress.notes[0]
    assert time.monotonic() - began < 5


def test_a_trickle_alone_is_tried_again_then_told(server: Server, partial: Path) -> None:
    server.always = faults.trickle
    with pytest.raises(FetchError, match="stalled: "):
        get([server.url], partial, options=replace(QUICK, stall_seconds=0.3))
    assert len(server.requests) >= QUICK.retries


def test_the_budget_ends_a_long_row_of_retries(server: Server, partial: Path) -> None:
    server.always = faults.status("503 Busy", Retry_After="1")
    began = time.monotonic()
    progress = Watched()
    options = replace(QUICK, retries=99, retry_budget=1.5)
    with pytest.raises(FetchError, match="retry budget used up"):
        get([server.url], partial, options=options, progress=progress)
    assert "HTTP 503 Busy, which asks to wait 1 s; retrying in 1 s" in progress.notes[0]
    assert 0.9 < time.monotonic() - began < 5


def test_the_budget_is_one_for_all_sources(server: Server, second: Server, partial: Path) -> None:
    server.always = second.always = faults.status("503 Busy", Retry_After="1")
    options = replace(QUICK, retries=99, retry_budget=1.5)
    with pytest.raises(FetchError, match="retry budget used up"):
        get([server.url, second.url], partial, options=options)
    assert (len(server.requests), len(second.requests)) == (2, 1)


def pauses(server: Server, partial: Path, options: FetchOptions) -> list[float]:
    """The seconds between the requests of one fetch that fails."""
    times = []

    def busy(exchange: Exchange) -> None:
        times.append(time.monotonic())
        faults.status("500 Sorry")(exchange)

    server.always = busy
    with pytest.raises(FetchError, match="HTTP 500"):
        get([server.url], partial, options=options)
    return [after - before for before, after in itertools.pairwise(times)]


def test_pauses_double(server: Server, partial: Path) -> None:
    found = pauses(server, partial, replace(QUICK, retries=4, backoff=0.1))
    assert len(found) == 4
    for number, pause in enumerate(found):
        # Half of it may be taken away, so that many clients do not come back together.
        assert pause >= 0.05 * 2**number
    assert found[0] < 0.05 * 2**3


def test_clients_that_failed_together_do_not_come_back_together(tmp_path: Path) -> None:
    options = replace(QUICK, retries=1, backoff=0.8)

    def once(number: int) -> float:
        with serve(CONTENT) as own:
            (pause,) = pauses(own, tmp_path / str(number), options)
            return pause

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(once, range(8)))
    # Each may be up to twice as early as another, and a busy machine makes none earlier.
    assert min(found) < 0.75
    assert max(found) - min(found) > 0.03


def test_a_weak_etag_is_compared_and_not_sent(server: Server, partial: Path) -> None:
    """If-Range takes strong ones only: a server would send the whole file for a weak one."""
    server.etag = 'W/"one"'
    server.plan = [faults.cut(1_000_000)]
    assert_whole(get([server.url], partial), partial)
    assert server.sent == SIZE
    assert not any("if-range" in exchange.headers for exchange in server.requests)
    partial.unlink()

    def changes(exchange: Exchange) -> None:
        faults.cut(1_000_000)(exchange)
        server.etag = 'W/"two"'

    server.plan = [changes]
    progress = Watched()
    assert_whole(get([server.url], partial, progress=progress), partial)
    assert "changed while it was fetched" in progress.notes[0]


def test_a_part_that_contradicts_itself_is_not_taken(server: Server, partial: Path) -> None:
    def odd(exchange: Exchange) -> None:
        body, headers, line = exchange.part()
        more = 10 if exchange.asked else 0
        exchange.head(line, **{**headers, "Content_Length": len(body) + more})
        exchange.send(body + bytes(more))

    server.always = odd
    progress = Watched()
    assert_whole(get([server.url], partial, progress=progress), partial)
    assert "Content-Range has 3000017 bytes, Content-Length 3000027" in progress.notes[0]


def test_a_part_of_a_longer_file_is_not_taken(server: Server, partial: Path) -> None:
    """Its ETag is the same, and its size is not."""
    server.plan = [faults.cut(1_000_000), lambda e: e.good(Content_Range=after(e, SIZE + 5))]
    progress = Watched()
    declared = Expected(KNOWN.md5)
    get([server.url], partial, declared, progress=progress)
    assert partial.read_bytes() == CONTENT
    assert f"the file there has {SIZE + 5:,} bytes, not {SIZE:,}" in progress.notes[0]


def after(exchange: Exchange, total: int) -> str:
    assert exchange.asked is not None
    start, end = exchange.asked
    return f"bytes {start}-{end - 1}/{total}"


def test_a_remote_that_changes_midway_starts_again(server: Server, partial: Path) -> None:
    new = bytes(reversed(CONTENT))

    def changes(exchange: Exchange) -> None:
        faults.cut(1_000_000)(exchange)
        server.content, server.etag = new, '"new"'

    server.plan = [changes]
    get([server.url], partial, Expected())
    assert partial.read_bytes() == new


def test_an_etag_that_differs_with_each_request_still_works(server: Server, partial: Path) -> None:
    def fickle(exchange: Exchange) -> None:
        server.etag = f'"{len(server.requests)}"'
        faults.cut(1_000_000)(exchange) if len(server.requests) < 3 else exchange.good()

    server.always = fickle
    assert_whole(get([server.url], partial), partial)


def test_an_unverifiable_file_must_have_its_length(server: Server, partial: Path) -> None:
    server.always = too_long
    with pytest.raises(FetchError):
        get([server.url], partial, Expected())
    server.always = faults.good
    assert_whole(get([server.url], partial, Expected()), partial)


def test_a_source_that_is_no_url_is_told(partial: Path) -> None:
    wrong = ["not a url", "https://", "ftp://h/f", "http://[::1", "https://h:port/f", "http:///f"]
    with pytest.raises(FetchError) as caught:
        get(wrong, partial)
    assert len(caught.value.attempts) == len(wrong)


def test_plain_http_is_only_for_loopback_and_named_sources(partial: Path, server: Server) -> None:
    with pytest.raises(FetchError, match="refused: plain http"):
        get(["http://files.invalid/f"], partial)
    with pytest.raises(FetchError, match="cannot be resolved"):
        get([Source("http://files.invalid/f", named_by_user=True)], partial)
    assert_whole(get([server.url.replace("127.0.0.1", "localhost")], partial), partial)
