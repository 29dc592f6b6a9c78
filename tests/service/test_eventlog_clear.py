"""Clearing the event log: all or nothing, and never without a word."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest
from tests.harness.bus import BusWorld
from tests.service.eventlog_house import PROCESSES, process, read, world

from ubmc.kit.errors import Denied, NotFound
from ubmc.v1alpha1.event_pb import (
    ClearEventsRequest,
    DeleteEventRequest,
    Event,
    GetEventLogRequest,
    ListEventsRequest,
)
from ubmc.v1alpha1.event_rpc import EventService
from ubmc.v1alpha1.host_pb import HostNews


async def test_clear_takes_all_tells_who_and_watchers_go_on(tmp_path: Path) -> None:
    async with world(tmp_path) as made:
        await asyncio.gather(*(made.tell(f"n{n}") for n in range(5)))
        await made.until(lambda events: len(events) == 5)
        watching = made.watch()
        await read(watching, 1)
        answer = await made.clear()
        assert answer.cleared == 5
        (update,) = await read(watching, 1)
        event = update.event
        assert event is not None
        assert (event.id, event.message_id, event.component) == (6, "EventLog.Cleared", "bmc.0")
        assert event.message == "5 events were taken out of the log"
        assert event.cause is not None
        assert (event.cause.kind, event.cause.user) == ("user", "admin")
        assert len(event.cause.trace_id) == 32
        (update,) = await read(watching, 1)  # the audit trail
        assert update.event is not None
        assert update.event.arguments["method"] == "EventService.ClearEvents"
        await made.tell("after")
        (update,) = await read(watching, 1)
        assert update.event is not None
        assert update.event.id == 8
        await watching.aclose()
        assert [event.id for event in await made.everything()] == [6, 7, 8]
        watching = made.watch(f"{update.cursor.partition(':')[0]}:3")  # somebody who had seen the first three
        assert [update.event.id for update in await read(watching, 4) if update.event] == [6, 7, 8]
        await watching.aclose()


async def test_one_event_is_taken_out_and_that_is_told(tmp_path: Path) -> None:
    async with world(tmp_path) as made:
        for number in range(3):
            await made.tell(f"n{number}")
        await made.until(lambda events: len(events) == 3)
        before = await made.state()
        assert before.newest_time is not None
        assert before.cleared_time is None
        await made.door.forward(EventService.DeleteEvent, DeleteEventRequest(id=2), made.bus.call("admin"))
        events = await made.until(lambda events: any(event.message_id == "Audit.Call" for event in events))
        assert [event.id for event in events] == [1, 3, 4, 5]
        assert events[2].message == "event 2 (Host.News) was taken out of the log"
        assert events[2].cause is not None
        assert events[2].cause.user == "admin"
        after = await made.state()
        assert (after.count, after.cleared, after.dropped) == (4, 1, 0)
        assert after.cleared_time is not None
        with pytest.raises(NotFound, match="no event 2"):
            await made.door.forward(EventService.DeleteEvent, DeleteEventRequest(id=2), made.bus.call("admin"))
        with pytest.raises(Denied):
            call = made.bus.call("olga", "Operator")
            await made.door.forward(EventService.DeleteEvent, DeleteEventRequest(id=1), call)


async def test_an_event_that_was_taken_out_does_not_come_back_with_another_start(tmp_path: Path) -> None:
    path = tmp_path / "expendable.db"
    async with BusWorld(*PROCESSES) as bus:
        teller, door = await bus.place("safety"), await bus.place("websrv")

        async def kinds(enough: int) -> list[str]:
            async with asyncio.timeout(20):
                while True:
                    page = await door.forward(EventService.ListEvents, ListEventsRequest(), bus.call("admin"))
                    if len(page.events) >= enough:
                        return [event.message_id for event in page.events]
                    await asyncio.sleep(0.02)

        async with process(bus, path):
            await teller.tell("host.0", HostNews(name="host.0", what="one"))
            assert await kinds(1) == ["Host.News"]
            await door.forward(EventService.DeleteEvent, DeleteEventRequest(id=1), bus.call("admin"))
            assert "Host.News" not in await kinds(2)  # the word that it was taken out, and the audit trail
        async with process(bus, path):
            await teller.tell("host.0", HostNews(name="host.0", what="two"))
            assert (await kinds(3)).count("Host.News") == 1


async def test_clear_up_to_an_id_leaves_the_rest(tmp_path: Path) -> None:
    async with world(tmp_path) as made:
        for number in range(5):
            await made.tell(f"n{number}")
        await made.until(lambda events: len(events) == 5)
        assert (await made.clear(3)).cleared == 3
        events = await made.until(lambda events: len(events) == 4)
        assert [event.id for event in events] == [4, 5, 6, 7]
        state = await made.state()
        assert (state.count, state.cleared, state.dropped, state.oldest_id, state.newest_id) == (4, 3, 0, 4, 7)
        assert 0 < state.bytes < state.max_bytes


async def test_only_who_configures_the_manager_may_clear(tmp_path: Path) -> None:
    async with world(tmp_path) as made:
        await made.tell("n0")
        await made.until(lambda events: len(events) == 1)
        for role in ("ReadOnly", "Operator"):
            with pytest.raises(Denied, match="this needs the privilege"):
                await made.door.forward(EventService.ClearEvents, ClearEventsRequest(), made.bus.call("olga", role))
        events = await made.everything()
        assert events[0].message_id == "Host.News"


async def test_killed_while_clearing_leaves_all_or_nothing(tmp_path: Path) -> None:
    path = tmp_path / "expendable.db"
    chance = random.Random(11)
    async with BusWorld(*PROCESSES) as bus:
        teller, door = await bus.place("safety"), await bus.place("websrv")
        told: list[asyncio.Future[None]] = []
        for _ in range(5):
            async with process(bus, path):
                for _ in range(40):
                    told.append(teller.tell("host.0", HostNews(name="host.0", what=f"n{len(told)}")))
                await asyncio.wait(told[-40:])
                call = bus.call("admin", seconds=0.5)
                clearing = asyncio.create_task(door.forward(EventService.ClearEvents, ClearEventsRequest(), call))
                await asyncio.sleep(chance.random() * 0.02)
            await asyncio.gather(clearing, return_exceptions=True)
        async with process(bus, path):
            request = ListEventsRequest(page_size=1000)
            events: list[Event] = []
            async with asyncio.timeout(20):
                while not events or not any(event.arguments.get("what") == "last" for event in events):
                    if not events:
                        await teller.tell("host.0", HostNews(name="host.0", what="last"))
                    reader = bus.call("olga", "ReadOnly")
                    events = (await door.forward(EventService.ListEvents, request, reader)).events
                    await asyncio.sleep(0.02)
            answer = await door.forward(EventService.GetEventLog, GetEventLogRequest(), bus.call("olga", "ReadOnly"))
    state = answer.log
    assert state is not None
    assert state.count == len(events)
    news = [event.arguments["what"] for event in events if event.message_id == "Host.News"]
    numbers = [int(text[1:]) for text in news if text != "last"]
    assert numbers == list(range(200 - len(numbers), 200))  # in order, none twice, none that was cleared is back
    clears = [event for event in events if event.message_id == "EventLog.Cleared"]
    if state.cleared:
        assert clears, "events were taken out without a word"
    assert state.cleared + state.count == events[-1].id  # each id was used once, and went only by a clear
