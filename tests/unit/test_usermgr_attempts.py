"""Which failed logins are told: those of people one by one, those of a flood as a number, and none not at all."""

from __future__ import annotations

import pytest

from ubmc.services.usermgr.attempts import AGAIN_SECONDS, BURST, BURST_IN_ALL, FOLD_SECONDS, Attempts, Flood


def test_a_flood_from_one_address_is_told_in_part_and_counted_in_full() -> None:
    attempts = Attempts()
    told = sum(attempts.tell("", "192.0.2.1", 0.01 * turn) for turn in range(1000))
    assert told == BURST
    due = attempts.due()
    assert due is not None
    assert due == pytest.approx(0.2 + FOLD_SECONDS)
    assert attempts.folded(due) == Flood(980, "192.0.2.1", FOLD_SECONDS)
    assert attempts.due() is None
    assert attempts.folded(due) is None


def test_after_a_while_one_is_told_again() -> None:
    attempts = Attempts()
    for _ in range(BURST + 5):
        attempts.tell("", "192.0.2.1", 0.0)
    assert not attempts.tell("", "192.0.2.1", AGAIN_SECONDS - 1.0)
    assert attempts.tell("", "192.0.2.1", AGAIN_SECONDS + 1.0)
    assert not attempts.tell("", "192.0.2.1", AGAIN_SECONDS + 1.0)
    assert attempts.tell("", "192.0.2.2", 0.0)


def test_many_addresses_tell_no_more_than_all_may() -> None:
    attempts = Attempts()
    told = sum(attempts.tell("", f"2001:db8:{turn:x}::/64", 0.0) for turn in range(2000))
    assert told == BURST_IN_ALL
    flood = attempts.folded(1.0)
    assert flood is not None
    assert flood.attempts == 2000 - told
    assert flood.source == ""  # those of which nobody keeps count are the most


def test_nobody_hides_attempts_at_an_account_in_a_flood() -> None:
    attempts = Attempts()
    for turn in range(2000):
        attempts.tell("", f"192.0.{turn % 256}.1", 0.0)
    assert [attempts.tell("admin", "192.0.2.1", 0.0) for _ in range(BURST + 1)] == [True] * BURST + [False]
