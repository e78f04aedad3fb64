"""Several connections: the right bytes, more only while they help, fewer where asked for."""

from __future__ import annotations

import itertools
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmx_resnet50.digests import Expected
from cmx_resnet50.fetch import FetchError
from cmx_resnet50.fetch.http.range_queue import ByteRange, RangeQueue
from cmx_resnet50.fetch.partial_file.ranges import RangeSet
from tests.fetch import server as faults
from tests.fetch.conftest import CONTENT, QUICK, SIZE, assert_whole, get
from tests.fetch.server import Exchange, Server, serve


class Paced:
    """Answers at so many bytes a second and connection, and counts the connections."""

    def __init__(self, rate: int) -> None:
        self.rate = rate
        self.now = self.most = 0
        self.lock = threading.Lock()

    def __call__(self, exchange: Exchange) -> None:
        with self.lock:
            self.now += 1
            self.most = max(self.most, self.now)
        try:
            body, headers, line = exchange.part()
            exchange.head(line, **headers)
            began = time.monotonic()
            for position in range(0, len(body), 10_000):
                time.sleep(max(0.0, began + position / self.rate - time.monotonic()))
                exchange.send(body[position : position + 10_000])
        finally:
            with self.lock:
                self.now -= 1


def test_a_slow_connection_gets_help(server: Server, partial: Path) -> None:
    server.always = paced = Paced(500_000)
    began = time.monotonic()
    download = get([server.url], partial)
    assert_whole(download, partial)
    assert paced.most == QUICK.connections
    assert time.monotonic() - began < 0.5 * SIZE / paced.rate
    assert download.transferred < 1.1 * SIZE


def test_no_more_connections_than_allowed(server: Server, partial: Path) -> None:
    server.always = paced = Paced(500_000)
    assert_whole(get([server.url], partial, options=replace(QUICK, connections=2)), partial)
    assert paced.most == 2


def test_a_connection_is_used_again(partial: Path) -> None:
    with serve(CONTENT * 8, always=Paced(2_000_000)) as server:
        get([server.url], partial, Expected())
    assert partial.read_bytes() == server.content
    used = {id(exchange.connection) for exchange in server.requests}
    assert len(used) <= QUICK.connections < len(server.requests)


def test_one_connection_where_it_is_fast_enough(server: Server, partial: Path) -> None:
    assert_whole(get([server.url], partial), partial)
    assert len({id(exchange.connection) for exchange in server.requests}) == 1


def test_one_connection_where_there_are_no_ranges(server: Server, partial: Path) -> None:
    paced = Paced(5_000_000)

    def answer(exchange: Exchange) -> None:
        exchange.headers.pop("range", None)
        paced(exchange)

    server.always = answer
    assert_whole(get([server.url], partial), partial)
    assert len(server.requests) == 1


@pytest.mark.parametrize("line", ["429 Slow down", "503 Busy"])
@pytest.mark.parametrize("headers", [{}, {"Retry_After": "0"}], ids=["", "retry-after"])
def test_a_crowded_host_gets_fewer(
    server: Server, partial: Path, line: str, headers: dict[str, str]
) -> None:
    paced = Paced(1_000_000)

    def answer(exchange: Exchange) -> None:
        if paced.now >= 2:
            return faults.status(line, **headers)(exchange)
        return paced(exchange)

    server.always = answer
    options = replace(QUICK, backoff=0.1, retries=5)
    assert_whole(get([server.url], partial, options=options), partial)
    assert paced.most == 2
    assert len(server.requests) < 30


def test_pieces_that_break_are_fetched_by_others(server: Server, partial: Path) -> None:
    paced = Paced(500_000)

    def answer(exchange: Exchange) -> None:
        if len(server.requests) % 3 == 2:
            return faults.cut(20_000)(exchange)
        return paced(exchange)

    server.always = answer
    download = get([server.url], partial)
    assert_whole(download, partial)
    assert download.transferred < 1.1 * SIZE


def test_a_server_that_stops_to_do_ranges_midway(server: Server, partial: Path) -> None:
    paced = Paced(500_000)
    server.always = lambda e: paced(e) if len(server.requests) < 3 else e.good(ranges=False)
    assert_whole(get([server.url], partial), partial)


def test_a_piece_of_another_version_is_not_taken(server: Server, partial: Path) -> None:
    paced = Paced(500_000)

    def answer(exchange: Exchange) -> None:
        exchange.headers.pop("if-range", None)
        if len(server.requests) == 3:
            return exchange.good(content=bytes(SIZE), ETag='"other"')
        return paced(exchange)

    server.always = answer
    assert_whole(get([server.url], partial), partial)


def test_a_signed_address_that_expires_is_asked_for_again(server: Server, partial: Path) -> None:
    def answer(exchange: Exchange) -> None:
        number = len(server.requests)
        if exchange.path == "/model.onnx":
            faults.redirect(f"/signed?{number}")(exchange)
        elif exchange.path == "/signed?1":
            faults.cut(500_000)(exchange) if number == 2 else exchange.head(
                "403 Expired", Content_Length=0
            )
        else:
            exchange.good()

    server.always = answer
    download = get([server.url], partial)
    assert_whole(download, partial)
    assert download.url == server.url
    assert [exchange.path for exchange in server.requests] == [
        "/model.onnx",
        "/signed?1",
        "/signed?1",
        "/model.onnx",
        "/signed?4",
    ]


def test_a_source_that_only_forbids_is_not_asked_for_ever(server: Server, partial: Path) -> None:
    def answer(exchange: Exchange) -> None:
        if exchange.path == "/model.onnx":
            return faults.redirect("/signed")(exchange)
        return exchange.head("403 Expired", Content_Length=0)

    server.always = answer
    with pytest.raises(FetchError, match="403 Expired"):
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
