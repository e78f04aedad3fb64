"""Several connections: the right bytes, more only while they help, fewer where asked for."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmx_resnet50.digests import Expected
from cmx_resnet50.fetch import FetchError
from cmx_resnet50.fetch.http.concurrency import ConcurrencyController
from cmx_resnet50.fetch.http.range_queue import ByteRange, RangeQueue
from cmx_resnet50.fetch.partial_file.ranges import RangeSet
from tests.fetch.conftest import CONTENT, QUICK, SIZE, assert_whole, get
from tests.harness.faults import IgnoreRanges, Other, Redirect, Short, Status, Trickle
from tests.harness.file_server import FileServer
from tests.harness.reply import Reply, Request


class Eager(ConcurrencyController):
    """Takes all connections that are allowed at once, however fast the first one is."""

    def __init__(self, limit: int) -> None:
        super().__init__(limit)
        self.connections = limit


@pytest.fixture
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cmx_resnet50.fetch.http.shared_state.ConcurrencyController", Eager)


SLOW = Trickle(500_000)


def test_a_slow_connection_gets_help(server: FileServer, partial: Path) -> None:
    server.always = SLOW
    download = get([server.url], partial)
    assert_whole(download, partial)
    assert 1 < server.most_active <= QUICK.connections
    assert download.transferred < 1.1 * SIZE


def test_no_more_connections_than_allowed(server: FileServer, partial: Path, eager: None) -> None:
    server.always = SLOW
    assert_whole(get([server.url], partial, options=replace(QUICK, connections=2)), partial)
    assert server.most_active == 2


def test_a_connection_is_used_again(partial: Path, eager: None) -> None:
    with FileServer(CONTENT * 8) as server:
        get([server.url], partial, Expected())
    assert partial.read_bytes() == server.content
    used = {request.connection for request in server.requests}
    assert len(used) <= QUICK.connections < len(server.requests)


def test_one_connection_where_it_is_fast_enough(server: FileServer, partial: Path) -> None:
    assert_whole(get([server.url], partial), partial)
    assert len({request.connection for request in server.requests}) == 1


def test_one_connection_where_there_are_no_ranges(
    server: FileServer, partial: Path, eager: None
) -> None:
    server.always = IgnoreRanges(), Trickle(5_000_000)
    assert_whole(get([server.url], partial), partial)
    assert len(server.requests) == 1


@pytest.mark.parametrize("refusal", [Status(429), Status(503), Status(429, 0), Status(503, 0)])
def test_a_crowded_host_gets_fewer(
    server: FileServer, partial: Path, refusal: Status, eager: None
) -> None:
    def answer(request: Request) -> Reply:
        return server.reply(request, refusal if server.active > 2 else Trickle(2_000_000))

    server.always = answer
    options = replace(QUICK, backoff=0.1, retries=5)
    assert_whole(get([server.url], partial, options=options), partial)
    assert len(server.requests) < 30


def test_pieces_that_break_are_fetched_by_others(
    server: FileServer, partial: Path, eager: None
) -> None:
    def answer(request: Request) -> Reply:
        return server.reply(request, Short(20_000) if len(server.requests) % 3 == 2 else SLOW)

    server.always = answer
    download = get([server.url], partial)
    assert_whole(download, partial)
    assert download.transferred < 1.1 * SIZE


def test_a_server_that_stops_to_do_ranges_midway(
    server: FileServer, partial: Path, eager: None
) -> None:
    server.plan = [SLOW, SLOW]
    server.always = IgnoreRanges()
    assert_whole(get([server.url], partial), partial)


def test_a_piece_of_another_version_is_not_taken(
    server: FileServer, partial: Path, eager: None
) -> None:
    def answer(request: Request) -> Reply:
        request.headers.pop("if-range", None)
        other = Other(bytes(SIZE), '"other"')
        return server.reply(request, other if len(server.requests) == 3 else SLOW)

    server.always = answer
    assert_whole(get([server.url], partial), partial)


def test_a_signed_address_that_expires_is_asked_for_again(
    server: FileServer, partial: Path
) -> None:
    def answer(request: Request) -> Reply:
        number = len(server.requests)
        if request.path == "/model.onnx":
            return server.reply(request, Redirect(f"/signed?{number}"))
        if request.path == "/signed?1":
            return server.reply(request, Short(500_000) if number == 2 else Status(403))
        return server.reply(request)

    server.always = answer
    download = get([server.url], partial)
    assert_whole(download, partial)
    assert download.url == server.url
    assert [request.path for request in server.requests] == [
        "/model.onnx",
        "/signed?1",
        "/signed?1",
        "/model.onnx",
        "/signed?4",
    ]


def test_a_source_that_only_forbids_is_not_asked_for_ever(
    server: FileServer, partial: Path
) -> None:
    server.plan = [Redirect("/signed")]
    server.always = Status(403)
    with pytest.raises(FetchError, match="HTTP 403"):
        get([server.url], partial)
    assert len(server.requests) == 2


SPANS = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), max_size=12)


@given(SPANS)
def test_coverage_is_the_set_of_its_bytes(spans: list[tuple[int, int]]) -> None:
    coverage = RangeSet(spans)
    there = {position for start, end in spans for position in range(start, end)}
    ranges = list(coverage)
    assert {p for start, end in ranges for p in range(start, end)} == there
    assert coverage.count == len(there)
    assert all(a < b for a, b in ranges)
    assert all(first[1] < then[0] for first, then in itertools.pairwise(ranges))
    missing = {p for start, end in coverage.gaps(50) for p in range(start, end)}
    assert missing == set(range(50)) - there
    assert set(range(coverage.prefix)) <= there
    assert coverage.prefix not in there
    assert list(coverage.clipped(20)) == list(RangeSet((s, min(e, 20)) for s, e in ranges))


@given(
    missing=SPANS,
    steps=st.lists(st.tuples(st.sampled_from("tshgfp"), st.integers(0, 1 << 22)), max_size=40),
)
def test_pieces_hand_out_each_byte_once(
    missing: list[tuple[int, int]], steps: list[tuple[str, int]]
) -> None:
    scale = 1 << 20
    gaps = [(start * scale, end * scale) for start, end in RangeSet(missing)]
    pieces = RangeQueue(gaps)
    total, fetched = sum(end - start for start, end in gaps), RangeSet()

    def work(span: ByteRange, count: int) -> None:
        end = min(span.position + count, span.end)
        before = fetched.count
        fetched.add(span.position, end)
        assert fetched.count - before == end - span.position, "fetched twice"
        span.position = end

    for step, amount in steps:
        if step == "t":
            pieces.take(1 + amount % 8, amount % 1000)
        elif step == "p" and not pieces.active:
            pieces.probe()
        elif step == "s":
            pieces.split(amount)
        elif step == "h":
            pieces.share()
        elif pieces.active:
            span = pieces.active[amount % len(pieces.active)]
            work(span, amount)
            if step == "g":
                pieces.give_back(span)
        assert pieces.remaining == total - fetched.count
    while not pieces.finished:
        span = pieces.active[0] if pieces.active else pieces.take(4, 0)
        assert span is not None
        work(span, SIZE)
        if span.position == span.end:
            pieces.give_back(span)
    assert fetched.count == total
