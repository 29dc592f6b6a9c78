"""Lost events are those whose number never came."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from ulid import ULID

from ubmc.kit.database import Database
from ubmc.services.eventlog.gap import Position, begin
from ubmc.services.eventlog.record import lost
from ubmc.services.eventlog.store import Store


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    made = Database(tmp_path / "expendable.db")
    made.open()
    yield made
    made.close()


def missing(position: Position, numbers: Iterable[int]) -> list[int]:
    found = []
    for number in numbers:
        position, count = position.after(number)
        found.append(count)
    return found


@pytest.mark.parametrize(
    ("read", "numbers", "expected"),
    [
        (0, [1, 2, 3], [0, 0, 0]),
        (0, [16, 17], [15, 0]),
        (5, [6, 9, 10], [0, 2, 0]),
        (5, [4, 5, 6], [0, 0, 0]),  # what comes again is no gap, nor what follows it
        (5, [8, 6, 9], [2, 0, 0]),
    ],
)
def test_a_missing_number_is_a_lost_event(read: int, numbers: list[int], expected: list[int]) -> None:
    assert missing(Position("a", read), numbers) == expected


@pytest.mark.parametrize(
    ("known", "newest", "acknowledged", "expected"),
    [
        (Position("a", 7), 9, 3, 7),
        (None, 9, 3, 3),  # a log that was rebuilt: what the consumer acknowledged was in the old one
        (Position("b", 7), 9, 0, 0),  # a stream that was made anew
        (Position("a", 7), 5, 3, 5),  # the stream lost its end in a crash and gives those numbers again
    ],
)
def test_where_counting_begins(known: Position | None, newest: int, acknowledged: int, expected: int) -> None:
    assert begin(known, "a", newest, acknowledged) == Position("a", expected)


async def test_position_is_stored_with_the_events(database: Database) -> None:
    store = Store(database, 100, 1_000_000)
    await store.open()
    before = store.position
    assert before is None
    position = Position("2026-01-31T12:00:00.123456789Z", 17)
    await store.append([lost(3, str(ULID()), 1_000_000)], position)
    await store.append([], Position(position.stream, 18))
    await store.append([lost(1, str(ULID()), 1_000_000)])
    again = Store(database, 100, 1_000_000)
    await again.open()
    assert again.position == store.position == Position(position.stream, 18)
    event = await again.get(1)
    assert event is not None
    assert (event.message, event.message_id) == ("events were lost: 3", "EventLog.EventsLost")
    assert event.arguments == {"count": "3"}
