"""What was typed over serial over LAN: what is sent when, and what is never sent twice or credited to another."""

from __future__ import annotations

from ubmc.protocols.console import Break, Input
from ubmc.services.ipmisrv.sol_typed import AHEAD, BREAKS, LIMIT, Typed


def sent(typed: Typed) -> list[Input | Break]:
    found = []
    while (frame := typed.next()) is not None:
        found.append(frame)
    return found


def test_characters_and_breaks_go_in_their_order() -> None:
    typed = Typed()
    assert typed.add(b"abc") == 3
    typed.add_break()
    assert sent(typed) == [Input(b"abc"), Break()]
    typed.add(b"d")
    typed.add_break()
    assert sent(typed) == [Input(b"d"), Break()]
    assert typed.done(4, 0) == 0
    assert typed.end(exact=True) == 0
    assert sent(typed) == []


def test_what_may_be_on_its_way_and_what_may_wait_are_bounded() -> None:
    typed = Typed()
    assert typed.add(bytes(LIMIT + 1)) == LIMIT
    assert sent(typed) == [Input(bytes(AHEAD))]
    assert typed.done(1000, 0) == 0
    assert sent(typed) == [Input(bytes(1000))]
    assert typed.add(bytes(2000)) == 1000
    other = Typed()
    for _ in range(BREAKS + 5):
        other.add_break()
    assert sent(other) == [Break()] * BREAKS


def test_what_was_dropped_is_not_credited_to_what_came_after() -> None:
    """Two were on their way when somebody took the right to write away, and are said to be dropped only later."""
    typed = Typed()
    typed.add(b"lost1")
    assert sent(typed) == [Input(b"lost1")]
    assert typed.forget() == 0  # all is on its way
    typed.add(b"GOOD!")
    assert sent(typed) == [Input(b"GOOD!")]
    assert typed.done(5, 5) == 0
    assert typed.give_up() == 5
    assert typed.done(10, 5) == 0
    assert typed.end(exact=True) == 0
    assert sent(typed) == []  # nothing of it is typed a second time


def test_only_what_surely_did_not_arrive_is_sent_again() -> None:
    typed = Typed()
    typed.add(b"abcdef")
    sent(typed)
    assert typed.done(6, 6) == 0
    assert typed.failed
    assert typed.end(exact=True) == 0
    typed.begin()
    assert sent(typed) == [Input(b"abcdef")]
    assert typed.end(exact=False) == 6  # it crashed: nobody knows
    typed.begin()
    assert sent(typed) == []


def test_of_a_report_about_both_nothing_is_sent_again() -> None:
    """Which of them arrived it does not say."""
    typed = Typed()
    typed.add(b"abcdef")
    sent(typed)
    assert typed.done(6, 2) == 2
    assert not typed.failed
    assert typed.end(exact=True) == 0
    assert sent(typed) == []


def test_what_was_dropped_before_is_lost_once_the_line_works() -> None:
    typed = Typed()
    typed.add(b"abc")
    sent(typed)
    assert typed.done(3, 3) == 0
    typed.add(b"d")
    sent(typed)
    assert typed.done(4, 3) == 3
    assert typed.give_up() == 0


def test_what_is_not_on_its_way_can_be_forgotten() -> None:
    typed = Typed()
    typed.add(bytes(AHEAD))
    sent(typed)
    typed.add(b"more")
    typed.add_break()
    assert typed.forget() == 4
    assert typed.done(AHEAD, 0) == 0
    assert sent(typed) == []
