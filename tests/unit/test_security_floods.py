"""Nobody who may do little rolls the audit trail over; what is only counted is told as a number."""

from __future__ import annotations

import sqlite3
from dataclasses import replace

import pytest

from ubmc.services.securitymgr import audit, floods
from ubmc.services.securitymgr.audit import Entry
from ubmc.services.securitymgr.floods import Floods

SECOND = 1_000_000
ATTACHED = Entry("0", 0, "rita", "192.0.2.9", "Console.Attached", "host.0", "ok", "t" * 32)
DENIED = replace(ATTACHED, action="ConsoleService.WriteConsole", outcome="denied")
DONE = replace(ATTACHED, action="UserService.UpdateUser", target="rita", outcome="ok")


def feed(counter: Floods, entry: Entry, count: int, *, every_us: int = 0, start_us: int = 0) -> int:
    """Give it so many; how many of them need a record of their own."""
    given = (replace(entry, event=f"{entry.action} {n}", time_us=start_us + n * every_us) for n in range(count))
    return sum(not counter.count(each) for each in given)


@pytest.mark.parametrize("entry", [ATTACHED, DENIED], ids=["attached", "denied"])
def test_what_one_account_repeats_is_told_for_itself_only_for_a_while(entry: Entry) -> None:
    counter = Floods()
    assert feed(counter, entry, 10_000) == floods.BURST
    assert feed(counter, replace(entry, user="bob"), 5) == 5
    (told,) = counter.entries()
    assert (told.user, told.source, told.action, told.outcome) == ("rita", "192.0.2.9", "Audit.Flood", "exhausted")
    assert told.target.startswith(f"{10_000 - floods.BURST} more within 0 s: {entry.action} ")
    counter.forget()
    assert (counter.counting, counter.entries()) == (False, [])


def test_a_day_of_it_is_a_small_part_of_the_trail() -> None:
    told = feed(Floods(), ATTACHED, 86_400, every_us=SECOND)
    folded = 86_400 / floods.FOLD_SECONDS
    assert told + folded <= audit.KEPT / 20


def test_who_comes_seldom_is_always_told() -> None:
    assert feed(Floods(), ATTACHED, 1000, every_us=int(floods.AGAIN_SECONDS * SECOND)) == 1000


def test_what_was_done_is_always_told_and_logins_are() -> None:
    counter = Floods()
    for entry in (
        DONE,
        replace(DONE, action="Session.Login", outcome="refused"),
        replace(DONE, action="Session.Ended"),
    ):
        assert feed(counter, entry, 1000) == 1000
    assert not counter.counting


def test_a_number_names_what_it_is_made_of() -> None:
    counter = Floods()
    feed(counter, ATTACHED, floods.BURST)
    feed(counter, ATTACHED, 3, every_us=2 * SECOND)
    for number in range(4):
        feed(counter, replace(DENIED, action=f"Service.Call{number}"), 2, start_us=10 * SECOND)
    (told,) = counter.entries()
    assert told.target == (
        "11 more within 10 s: Console.Attached 3, Service.Call0 denied 2, Service.Call1 denied 2, others"
    )


def test_the_number_of_accounts_is_bounded() -> None:
    counter = Floods()
    for number in range(1000):
        assert not counter.count(replace(ATTACHED, user=f"user{number}"))
    assert len(counter._left) == floods._MOST


def test_an_event_is_known_once_it_is_in_the_trail() -> None:
    connection = sqlite3.connect(":memory:")
    connection.executescript(audit.TABLES)
    assert not audit.knows(connection, "0")
    audit.append(connection, [ATTACHED], "cursor")
    assert audit.knows(connection, "0")
    connection.close()
