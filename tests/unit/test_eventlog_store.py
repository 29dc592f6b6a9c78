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
from ubmc.services.eventlog.store import GONE, MIGRATIONS, OWNER, ROW_BYTES, Store
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


async def opened(database: Database, rows: int = 1000, size: int = 1_000_000) -> Store:
    store = Store(database, rows, size)
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


async def counted(database: Database) -> tuple[int, int]:
    """Events and bytes as they are, not as they are said to be."""
    return await database.run(
        lambda connection: connection.execute(
            "SELECT count(*), coalesce(sum(bytes), 0) FROM eventlog_events"
        ).fetchone()
    )


async def test_the_oldest_go_when_there_are_too_many_bytes(database: Database) -> None:
    store = await opened(database, size=20_000)
    state = await store.state()
    for number in range(100):
        await store.append([record(number, message="x" * 1000)])
        state = await store.state()
        assert state.bytes <= 20_000
        assert (state.count, state.bytes) == await counted(database)
        assert state.count + state.dropped == number + 1
    assert state.count >= 16
    assert (state.oldest_id, state.newest_id) == (101 - state.count, 100)
    assert (state.max_count, state.max_bytes, state.cleared) == (1000, 20_000, 0)
    await store.append([record(200, message="y" * 1000), record(201, message="z" * 50_000)])
    assert messages(await store.newer(ALL, None, 100)) == ["z" * 50_000]  # the newest one always stays
    assert (await store.state()).dropped == 101


async def test_counts_survive_a_restart(database: Database) -> None:
    store = await opened(database, rows=40)
    await store.append([record(n) for n in range(50)])
    await store.clear(20, lambda count: record(message=f"cleared {count}"))
    before = await store.state()
    assert (before.dropped, before.cleared) == (12, 8)
    assert await (await opened(database, rows=40)).state() == before


async def test_clear_takes_all_and_says_so_and_ids_go_on(database: Database) -> None:
    store = await opened(database)
    await store.append([record(n) for n in range(5)])
    assert await store.clear(0, lambda count: record(message=f"cleared {count}")) == 5
    (event,) = await store.newer(ALL, None, 100)
    assert (event.id, event.message) == (6, "cleared 5")
    assert (await store.state()).cleared == 5
    assert await store.clear(2**62, lambda count: record(message=f"cleared {count}")) == 1
    assert await store.newest() == 7
    assert (await store.state()).count == 1


async def test_clear_leaves_what_came_after(database: Database) -> None:
    store = await opened(database)
    await store.append([record(n) for n in range(5)])
    assert await store.clear(3, lambda count: record(message=f"cleared {count}")) == 3
    assert messages(await store.newer(ALL, None, 100)) == ["n3", "n4", "cleared 3"]
    assert (await store.state()).oldest_id == 4


async def test_a_clear_that_cannot_be_logged_is_none(database: Database) -> None:
    store = await opened(database)
    await store.append([record(n) for n in range(5)])

    def fail(count: int) -> Record:
        raise ValueError(count)

    with pytest.raises(ValueError, match="5"):
        await store.clear(0, fail)
    state = await store.state()
    assert (state.count, state.cleared) == (5, 0)
    assert (state.count, state.bytes) == await counted(database)


async def test_what_left_the_log_does_not_come_back(database: Database) -> None:
    store = await opened(database, rows=20)
    records = [record(n) for n in range(30)]
    await store.append(records)
    await store.clear(0, lambda count: record(message="cleared"))
    before = await store.state()
    await store.append(records)  # as a bus that lost what it knew would deliver them
    assert await store.state() == before
    assert messages(await store.newer(ALL, None, 100)) == ["cleared"]


async def test_what_left_is_remembered_for_as_long_as_the_bus_may_deliver_it(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert GONE >= MAX_MESSAGES
    monkeypatch.setattr("ubmc.services.eventlog.store.GONE", 10)
    store = await opened(database, rows=20)
    for number in range(200):
        await store.append([record(number)])
    gone = await database.run(lambda connection: connection.execute("SELECT count(*) FROM eventlog_gone").fetchone())
    assert gone == (10,)


async def test_a_log_of_the_first_version_is_taken_over(database: Database) -> None:
    await database.migrate(OWNER, MIGRATIONS[:1])
    await database.run(
        lambda connection: connection.execute(
            "INSERT INTO eventlog_events (ulid, time_us, severity, component, message_id, message, arguments, cause)"
            " VALUES ('u', 0, 1, 'host.0', 'Host.News', '\u00e4', x'7b7d', NULL)"
        ).close()
    )
    store = await opened(database)
    state = await store.state()
    assert (state.count, state.bytes, state.oldest_id) == (1, ROW_BYTES + 6 + 9 + 2 + 2, 1)
    await store.append([record(1, message="\u00e4", arguments=b"{}")])
    assert (await store.state()).bytes == 2 * state.bytes


FILTERS = [
    (EventFilter(), "abcdef"),
    (EventFilter(severity=Severity.WARNING), "bc"),
    (EventFilter(component="host.1"), "d"),
    (EventFilter(component="host"), "abcdef"),
    (EventFilter(component="hos"), ""),
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
