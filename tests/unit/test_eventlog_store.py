"""The tables of the event log: once each, in order, filtered, bounded."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from protobuf.wkt import Timestamp
from ulid import ULID

from ubmc.kit.database import Database
from ubmc.services.eventlog.query import condition
from ubmc.services.eventlog.record import Record
from ubmc.services.eventlog.service import Options
from ubmc.services.eventlog.store import Store
from ubmc.services.eventlog.stream import MAX_MESSAGES
from ubmc.v1alpha1.event_kind_pb import Severity
from ubmc.v1alpha1.event_pb import Event, EventFilter

ALL = condition(None)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    made = Database(tmp_path / "expendable.db")
    made.open()
    yield made
    made.close()


async def opened(database: Database, rows: int = 1000) -> Store:
    store = Store(database, rows)
    await store.open()
    return store


def record(number: int = 0, **fields: object) -> Record:
    made = Record(str(ULID()), number * 1_000_000, 1, "host.0", "Host.News", f"n{number}", b'{"what":"x"}', None)
    return replace(made, **fields)  # type: ignore[arg-type]


def messages(events: list[Event]) -> list[str]:
    return [event.message for event in events]


async def test_events_are_there_once_and_in_order(database: Database) -> None:
    store = await opened(database)
    records = [record(n) for n in range(6)]
    await store.append(records[:4])
    await store.append(records[2:])
    events = await store.newer(ALL, None, 100)
    assert messages(events) == [f"n{n}" for n in range(6)]
    assert await store.newest() == events[-1].id
    first = await store.get(events[0].id)
    assert first is not None
    assert (first.ulid, first.arguments, first.severity, first.cause) == (
        records[0].ulid,
        {"what": "x"},
        Severity.OK,
        None,
    )
    assert await store.get(99) is None
    assert await store.get(2**63 - 1) is None


async def test_epoch_stays_until_the_log_is_rebuilt(database: Database, tmp_path: Path) -> None:
    store = await opened(database)
    assert store.epoch
    assert (await opened(database)).epoch == store.epoch
    other = Database(tmp_path / "other.db")
    other.open()
    assert (await opened(other)).epoch != store.epoch
    other.close()


async def test_pages_both_ways(database: Database) -> None:
    store = await opened(database)
    await store.append([record(n) for n in range(5)])
    page = await store.newer(ALL, None, 2)
    assert messages(page) == ["n0", "n1"]
    assert messages(await store.newer(ALL, page[-1].id, 10)) == ["n2", "n3", "n4"]
    page = await store.older(ALL, None, 2)
    assert messages(page) == ["n4", "n3"]
    assert messages(await store.older(ALL, page[-1].id, 10)) == ["n2", "n1", "n0"]


async def test_the_oldest_go_when_it_is_full_and_ids_are_never_used_again(database: Database) -> None:
    store = await opened(database, rows=100)
    for number in range(250):
        await store.append([record(number)])
        assert len(await store.newer(ALL, None, 1000)) <= 100
    events = await store.newer(ALL, None, 1000)
    assert len(events) >= 95
    assert events[-1].message == "n249"
    assert [event.id for event in events] == list(range(events[0].id, 251))
    store = await opened(database, rows=50)
    await store.append([record(n) for n in range(200)])
    assert len(await store.newer(ALL, None, 1000)) <= 50


def test_what_the_bus_may_deliver_again_is_still_in_the_log() -> None:
    rows = Options().rows
    assert rows - rows // 20 > MAX_MESSAGES


FILTERS = [
    (EventFilter(), "abcdef"),
    (EventFilter(severity=Severity.WARNING), "bc"),
    (EventFilter(component="host.1"), "d"),
    (EventFilter(message_id="Host"), "abcd"),
    (EventFilter(message_id="Host.News"), "abd"),
    (EventFilter(message_id="Host.New"), ""),
    (EventFilter(message_id="Hos"), ""),
    (EventFilter(since=Timestamp(seconds=3)), "def"),
    (EventFilter(until=Timestamp(seconds=3)), "abc"),
    (EventFilter(since=Timestamp(seconds=1), until=Timestamp(seconds=5), message_id="Host", component="host.0"), "bc"),
    (EventFilter(component="' OR 1=1 --"), ""),
    (EventFilter(message_id="%"), ""),
]


@pytest.mark.parametrize(("wanted", "found"), FILTERS)
async def test_filters(database: Database, wanted: EventFilter, found: str) -> None:
    store = await opened(database)
    await store.append(
        [
            record(0, message="a"),
            record(1, message="b", severity=2),
            record(2, message="c", severity=3, message_id="Host.StateChanged"),
            record(3, message="d", component="host.1"),
            record(4, message="e", message_id="Hostile.News"),
            record(5, message="f", message_id="Chassis"),
        ]
    )
    assert "".join(messages(await store.newer(condition(wanted), None, 100))) == found
    assert "".join(messages(await store.older(condition(wanted), None, 100))) == found[::-1]
