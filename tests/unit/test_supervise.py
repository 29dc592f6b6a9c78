"""When what failed is started again."""

from __future__ import annotations

import random

import pytest

from ubmc.kit.supervise import CALM_SECONDS, Backoff


def delays(count: int, *, lived: float = 0.0) -> list[float]:
    backoff = Backoff(_random=random.Random(1))
    now, seen = 1000.0, []
    for _ in range(count):
        backoff.started(now)
        now += lived
        seen.append(backoff.failed(now))
        now += seen[-1]
    return seen


def test_it_waits_twice_as_long_each_time_within_the_jitter() -> None:
    for nominal, delay in zip((0.5, 1, 2, 4, 8, 16, 30, 30, 30), delays(9), strict=True):
        assert 0.8 * nominal <= delay <= 1.2 * nominal


def test_not_all_come_at_once() -> None:
    assert len({Backoff().failed(0.0) for _ in range(20)}) > 10


def test_it_never_gives_up_nor_overflows() -> None:
    assert max(delays(2000)) <= 36


def test_degraded_after_five_in_a_row_and_calm_again_after_a_minute() -> None:
    backoff = Backoff()
    for count in range(1, 8):
        backoff.started(0.0)
        backoff.failed(1.0)
        assert backoff.degraded == (count >= 5)
    backoff.started(100.0)
    assert backoff.failed(100.0 + CALM_SECONDS) <= 0.6
    assert not backoff.degraded
    assert (backoff.failures, backoff.restarts) == (1, 8)


@pytest.mark.parametrize("lived", [0.0, CALM_SECONDS - 1])
def test_one_that_never_lives_long_is_not_calm(lived: float) -> None:
    assert delays(5, lived=lived)[-1] > 6
