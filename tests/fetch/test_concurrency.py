"""How many connections a host gets, by what they bring."""

from __future__ import annotations

from collections.abc import Callable

from cmx_resnet50.fetch.http.concurrency import ConcurrencyController
from tests.fetch.conftest import Clock

SIZE = 100_000_000
STEP = 0.01


def levels(
    clock: Clock,
    rate: Callable[[int], float],
    host: ConcurrencyController | None = None,
    size: int = SIZE,
) -> list[int]:
    """Fetch where so many connections bring `rate` bytes a second in all; return their numbers."""
    host = host or ConcurrencyController(8)
    found, count = [host.connections], 0
    while count < size:
        clock.now += STEP
        count += int(STEP * rate(host.connections))
        host.observe(count, size - count)
        if host.connections != found[-1]:
            found.append(host.connections)
    return found


def test_slow_connections_get_help_up_to_the_limit(clock: Clock) -> None:
    assert levels(clock, lambda number: 500_000 * number) == [1, 4, 8]
    assert levels(clock, lambda number: 500_000 * number, ConcurrencyController(2)) == [1, 2]


def test_fast_enough_alone(clock: Clock) -> None:
    assert levels(clock, lambda number: 300_000_000) == [1]
    assert levels(clock, lambda number: 500_000, size=300_000) == [1]


def test_a_host_that_gives_no_more_gets_no_more(clock: Clock) -> None:
    """Where its line is full, more connections are tried now and then, and in vain."""
    found = levels(clock, lambda number: 40_000_000)
    assert found == [1, 4]


def test_a_host_that_asks_for_fewer_never_gets_more_again(clock: Clock) -> None:
    host = ConcurrencyController(8)
    assert levels(clock, lambda number: 500_000 * number, host, size=20_000_000)[-1] == 8
    host.back_off()
    assert host.connections == 4
    assert levels(clock, lambda number: 500_000 * number, host) == [4]
    for _ in range(5):
        host.back_off()
    assert host.connections == 1


def test_nothing_is_concluded_while_nothing_comes(clock: Clock) -> None:
    host = ConcurrencyController(8)
    for _ in range(100):
        clock.now += STEP
        assert not host.observe(0, SIZE)
    assert host.connections == 1
