"""Who may not log in for a while: counting, doubling, bounds."""

from __future__ import annotations

import pytest

from ubmc.kit.addresses import address_key
from ubmc.services.usermgr.lockout import Limits, Lockouts

LIMITS = Limits(failures=3, window_seconds=60, first_seconds=100, most_seconds=300)


def fail(locks: Lockouts, times: int, at: float, key: str = "olga") -> float:
    return [locks.fail(key, at, LIMITS) for _ in range(times)][-1]


def test_enough_failures_lock_for_a_time() -> None:
    locks = Lockouts()
    assert fail(locks, 2, 0.0) == 0
    assert locks.left("olga", 0.0) == 0
    assert fail(locks, 1, 10.0) == 100
    assert locks.left("olga", 10.0) == 100
    assert locks.left("other", 10.0) == 0
    assert locks.over(109.0) == []
    assert locks.over(110.0) == ["olga"]
    assert locks.over(110.0) == []
    assert locks.left("olga", 110.0) == 0


def test_old_failures_do_not_count() -> None:
    locks = Lockouts()
    fail(locks, 2, 0.0)
    assert fail(locks, 1, 61.0) == 0
    assert fail(locks, 2, 62.0) == 100


def test_what_is_tried_during_a_lock_does_not_lengthen_it() -> None:
    locks = Lockouts()
    fail(locks, 3, 0.0)
    assert fail(locks, 50, 50.0) == 0
    assert locks.left("olga", 50.0) == 50


def test_each_lock_in_a_row_is_twice_as_long_up_to_the_most() -> None:
    locks = Lockouts()
    at, lasted = 0.0, []
    for _ in range(4):
        lasted.append(fail(locks, 3, at))
        at += lasted[-1]
        locks.over(at)
    assert lasted == [100, 200, 300, 300]
    assert fail(locks, 3, at + 301) == 100


def test_a_success_forgets() -> None:
    locks = Lockouts()
    fail(locks, 2, 0.0)
    assert not locks.clear("olga")
    assert fail(locks, 2, 1.0) == 0
    fail(locks, 1, 2.0)
    assert locks.clear("olga")
    assert locks.left("olga", 2.0) == 0


def test_zero_means_never() -> None:
    locks = Lockouts()
    never = Limits(0, 60, 100, 300)
    assert {locks.fail("olga", 0.0, never) for _ in range(100)} == {0.0}


def test_the_table_is_bounded_and_keeps_the_locks() -> None:
    locks = Lockouts()
    fail(locks, 3, 0.0)
    for n in range(5000):
        locks.fail(f"user{n}", 1.0, LIMITS)
    assert locks.left("olga", 1.0) > 0
    assert len(locks._records) <= 1024


@pytest.mark.parametrize(
    ("source", "key"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::9", "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
        ("nonsense", ""),
    ],
)
def test_addresses_are_counted_by_who_can_have_them(source: str, key: str) -> None:
    assert address_key(source, unknown="") == key
