"""Connections that slow down on a far host: replaced where that helps, and only there."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from cmx_resnet50.digests import Expected, digest_file
from tests.fetch import server as faults
from tests.fetch.conftest import QUICK, get
from tests.fetch.server import Exchange, serve

CONTENT = bytes(range(256)) * 50_000
OPTIONS = replace(QUICK, connections=4, read_timeout=3.0)
ROUND_TRIP = 0.05
STEP = 0.02


class Far:
    """Answers late, and each connection at `rate(its number, its age)` bytes a second."""

    def __init__(self, rate: Callable[[int, float], float]) -> None:
        self.rate = rate
        self.opened: dict[socket.socket, tuple[int, float]] = {}
        self.lock = threading.Lock()

    def __call__(self, exchange: Exchange) -> None:
        with self.lock:
            fresh = (len(self.opened), time.monotonic())
            number, opened = self.opened.setdefault(exchange.connection, fresh)
        time.sleep(ROUND_TRIP)
        body, headers, line = exchange.part()
        exchange.head(line, **headers)
        position, before = 0, time.monotonic()
        while position < len(body):
            time.sleep(STEP)
            now = time.monotonic()
            size = max(1, int((now - before) * self.rate(number, now - opened)))
            exchange.send(body[position : position + size])
            position, before = position + size, now


def connections(far: Far, tmp_path: Path) -> int:
    """Fetch `CONTENT` from `far`; return how many connections that took."""
    partial = tmp_path / "object.part"
    source = tmp_path / "source"
    source.write_bytes(CONTENT)
    whole = digest_file(source)
    with serve(CONTENT, always=far) as server:
        download = get([server.url], partial, Expected(whole.md5), options=OPTIONS)
    assert partial.read_bytes() == CONTENT
    assert download.digests == whole
    assert download.transferred < 1.1 * len(CONTENT)
    return len(far.opened)


def test_connections_that_decline_are_replaced(tmp_path: Path) -> None:
    far = Far(lambda number, age: 1_200_000 if age < 1.0 else 150_000)
    assert connections(far, tmp_path) >= 2 * OPTIONS.connections


def test_an_even_rate_is_left_alone(tmp_path: Path) -> None:
    assert connections(Far(lambda number, age: 900_000), tmp_path) == OPTIONS.connections


def test_a_full_line_is_tried_once_at_most(tmp_path: Path) -> None:
    """What one connection loses another gains, in turns: nothing is to be had there."""

    def swing(number: int, age: float) -> float:
        return 1_600_000 if (number + int(time.monotonic() / 0.8)) % 2 else 200_000

    assert connections(Far(swing), tmp_path) <= 3 * OPTIONS.connections


def test_replacing_ends_where_it_does_not_help(tmp_path: Path) -> None:
    """The host itself became slow: new connections are as slow."""
    began = time.monotonic()

    def decline(number: int, age: float) -> float:
        return 1_200_000 if time.monotonic() - began < 1.6 else 350_000

    assert connections(Far(decline), tmp_path) <= 3 * OPTIONS.connections


def test_a_host_that_counts_requests_is_spared(tmp_path: Path) -> None:
    slow = Far(lambda number, age: 1_200_000 if age < 1.0 else 400_000)
    crowded = faults.status("429 Too Many Requests", Retry_After="0")
    refused: list[Exchange] = []

    def answer(exchange: Exchange) -> None:
        if len(slow.opened) == OPTIONS.connections and exchange.connection not in slow.opened:
            refused.append(exchange)
            if len(refused) == 1:
                return crowded(exchange)
        return slow(exchange)

    partial = tmp_path / "object.part"
    with serve(CONTENT, always=answer) as server:
        get([server.url], partial, Expected(), options=OPTIONS)
    assert partial.read_bytes() == CONTENT
    # Those that were broken off at one moment come back; none is after that.
    assert len(refused) <= OPTIONS.connections
    assert len(slow.opened) <= 2 * OPTIONS.connections
