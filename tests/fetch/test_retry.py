"""When a source is asked again, how long that may take in all, and when it is given up."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cmx_resnet50.fetch import FetchOptions
from cmx_resnet50.fetch.http.concurrency import ConcurrencyController
from cmx_resnet50.fetch.retry import LONGEST_PAUSE, RetryBudget, RetryPolicy
from cmx_resnet50.fetch.verdicts import RateLimited, SourceFailed, TransientError
from tests.fetch.conftest import Clock

OPTIONS = FetchOptions(retries=9, backoff=1.0, stall_rate=1000, stall_seconds=10.0)
BROKE = TransientError("broke")


def policy(
    options: FetchOptions = OPTIONS, budget: RetryBudget | None = None, *, alone: bool = True
) -> RetryPolicy:
    return RetryPolicy(options, budget or RetryBudget(options.retry_budget), alone=alone, count=0)


def fail(
    tried: RetryPolicy, error: TransientError, count: int = 0, *, others: bool = False
) -> SourceFailed | None:
    """Let a request fail when there are `count` bytes of the file."""
    return tried.failed(error, count, ConcurrencyController(8), others=others)


def pauses(
    clock: Clock, tried: RetryPolicy, trouble: TransientError, limit: int = 99
) -> list[float]:
    """Return the pauses before each retry, where every one fails at once, until the end."""
    found: list[float] = []
    while len(found) < limit and fail(tried, trouble) is None:
        found.append(tried.until - clock.now)
        clock.now = tried.until
    return found


def test_pauses_double_up_to_a_bound(clock: Clock) -> None:
    found = pauses(clock, policy(), BROKE)
    assert len(found) == OPTIONS.retries
    for number, pause in enumerate(found):
        # Half of it may be taken away, so that many clients do not come back together.
        most = min(2.0**number, LONGEST_PAUSE)
        assert most / 2 <= pause <= most


def test_clients_that_failed_together_do_not_come_back_together(clock: Clock) -> None:
    found = {pauses(clock, policy(), BROKE, 1)[0] for _ in range(8)}
    assert len(found) > 1


def test_no_request_before_the_host_wants_one(clock: Clock) -> None:
    busy = RateLimited("busy", wait=7.0)
    assert pauses(clock, policy(), busy, 1) == [7.0]
    assert pauses(clock, policy(), RateLimited("busy", wait=100.0), 1) == [100.0]
    # Another source is better than such a wait.
    given_up = fail(policy(alone=False), RateLimited("busy", wait=100.0))
    assert isinstance(given_up, SourceFailed)


def test_bytes_that_come_make_up_for_failures(clock: Clock) -> None:
    tried = policy(replace(OPTIONS, retries=1))
    for count in range(1, 20):
        assert fail(tried, BROKE, count) is None
        clock.now = tried.until
    assert fail(tried, BROKE, 19) is not None


def test_a_pause_is_charged_once(clock: Clock) -> None:
    """And what a failed request took by itself, once as well."""
    budget = RetryBudget(1000.0)
    tried = policy(budget=budget)
    spent = 0.0
    for _ in range(4):
        clock.now += 5.0
        assert fail(tried, BROKE) is None
        spent += 5.0 + (tried.until - clock.now)
        clock.now = tried.until
    assert budget.left == pytest.approx(1000.0 - spent)


def test_failures_at_one_moment_are_one(clock: Clock) -> None:
    tried = policy(replace(OPTIONS, retries=1))
    assert fail(tried, BROKE, others=True) is None
    assert fail(tried, BROKE, others=True) is None
    assert tried.retries == 1


def test_the_budget_ends_a_long_row_of_retries(clock: Clock) -> None:
    """Waits and lost time count alike, and for all sources of the file together."""
    budget, options = RetryBudget(10.0), replace(OPTIONS, retries=99)
    first = policy(options, budget)
    busy = RateLimited("busy", wait=3.0)
    assert 3.0 < sum(pauses(clock, first, busy)) < 10.0
    final = fail(policy(options, budget), busy)
    assert final is not None
    assert "retry budget used up" in final.reason
    late = policy(options, RetryBudget(10.0))
    clock.now += 9.0
    assert fail(late, busy) is not None


def test_a_slow_source_is_left_for_another_and_else_asked_again(clock: Clock) -> None:
    only, one_of_two = policy(replace(OPTIONS, retries=1)), policy(alone=False)
    count = 0
    for _ in range(30):
        clock.now += 1.0
        count += 2000
        assert not only.stalled(count)
        assert not one_of_two.stalled(count)
    clock.now += 10.0
    with pytest.raises(SourceFailed, match="stalled: 100 bytes/s over 10 s"):
        one_of_two.stalled(count + 1000)
    assert only.stalled(count + 1000)
    clock.now += 10.0
    with pytest.raises(SourceFailed, match="stalled"):
        only.stalled(count + 1000)


def test_a_pause_is_no_stall(clock: Clock) -> None:
    tried = policy(alone=False)
    fail(tried, RateLimited("busy", wait=25.0))
    for _ in range(24):
        clock.now += 1.0
        assert not tried.stalled(0)
