"""Connections that slow down on a far host: replaced where that helps, and only there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from cmx_resnet50.digests import Expected
from cmx_resnet50.fetch.http.slow_connections import LEAST, ConnectionStats, SlowConnectionReplacer
from tests.fetch.conftest import QUICK, Clock, get
from tests.harness.faults import Status, Trickle
from tests.harness.file_server import FileServer
from tests.harness.reply import Reply, Request

SIZE = 12_800_000
CONNECTIONS = 4
STEP = 0.02


def opened(clock: Clock, rate: Callable[[int, float], float], latency: float = 0.05) -> int:
    """Return how many connections a fetch opens whose connections have `rate(number, age)`."""
    lines = [ConnectionStats(clock.now) for _ in range(CONNECTIONS)]
    numbers = {line: number for number, line in enumerate(lines)}
    renewal, count = SlowConnectionReplacer(), 0
    while count < SIZE:
        clock.now += STEP
        for index, line in enumerate(lines):
            came = int(STEP * rate(numbers[line], clock.now - line.opened))
            line.count += came
            count += came
            if line.slowed:
                lines[index] = line = ConnectionStats(clock.now)
                numbers[line] = len(numbers)
        renewal.observe(lines, latency, count, (SIZE - count) // CONNECTIONS)
    return len(numbers)


def declining(number: int, age: float) -> float:
    return 1_200_000 if age < 1.0 else 150_000


def test_connections_that_decline_are_replaced(clock: Clock) -> None:
    assert opened(clock, declining) >= 2 * CONNECTIONS


def test_a_host_nearby_is_left_alone(clock: Clock) -> None:
    assert opened(clock, declining, latency=0.01) == CONNECTIONS


def test_an_even_rate_is_left_alone(clock: Clock) -> None:
    assert opened(clock, lambda number, age: 900_000) == CONNECTIONS


def test_a_full_line_is_tried_once_at_most(clock: Clock) -> None:
    """What one connection loses another gains, in turns: nothing is to be had there."""

    def swing(number: int, age: float) -> float:
        return 1_600_000 if (number + int(clock.now / 0.8)) % 2 else 200_000

    assert opened(clock, swing) <= 3 * CONNECTIONS


def test_replacing_ends_where_it_does_not_help(clock: Clock) -> None:
    """The host itself became slow: new connections are as slow."""
    began = clock.now
    assert opened(clock, lambda number, age: 1_200_000 if clock.now - began < 1.6 else 350_000) <= (
        3 * CONNECTIONS
    )


class Ready(SlowConnectionReplacer):
    """Finds that a connection slowed down as soon as it may."""

    def observe(
        self, lines: list[ConnectionStats], latency: float, count: int, remaining: int
    ) -> None:
        for line in lines:
            line.slowed = line.count >= LEAST and not self._stopped


OPTIONS = replace(QUICK, connections=CONNECTIONS)
CONTENT = bytes(range(256)) * 25_000


def test_what_a_replaced_connection_brought_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cmx_resnet50.fetch.http.shared_state.SlowConnectionReplacer", Ready)
    partial = tmp_path / "object.part"
    with FileServer(CONTENT, always=Trickle(2_000_000)) as server:
        download = get([server.url], partial, Expected(), options=OPTIONS)
    assert partial.read_bytes() == CONTENT
    assert len({request.connection for request in server.requests}) > CONNECTIONS
    assert download.transferred < 1.1 * len(CONTENT)


def test_a_host_that_counts_requests_is_spared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cmx_resnet50.fetch.http.shared_state.SlowConnectionReplacer", Ready)
    refused: list[Request] = []

    def answer(request: Request) -> Reply:
        if request.connection <= CONNECTIONS:
            return server.reply(request, Trickle(2_000_000))
        refused.append(request)
        return server.reply(request, *[Status(429, 0)] * (len(refused) == 1))

    partial = tmp_path / "object.part"
    with FileServer(CONTENT, always=answer) as server:
        get([server.url], partial, Expected(), options=OPTIONS)
    assert partial.read_bytes() == CONTENT
    # Those that were broken off at one moment come back; none is after that.
    assert len({request.connection for request in server.requests}) <= 2 * CONNECTIONS
