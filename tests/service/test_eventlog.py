"""The event log on a real nats-server: whatever dies, nothing acknowledged is lost or doubled; it lists and watches."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from pathlib import Path

import pytest
from tests.harness.bus import BusWorld
from tests.service.eventlog_house import NEWS, PROCESSES, process, read, texts, world
from ulid import ULID

from ubmc.kit.errors import Denied, Invalid, NotFound, Unavailable
from ubmc.services.eventlog import stream
from ubmc.services.eventlog.service import EventLog, Options
from ubmc.services.ipc import permissions
from ubmc.v1alpha1.event_kind_pb import Severity
from ubmc.v1alpha1.event_pb import (
    EventEnvelope,
    EventFilter,
    GetEventRequest,
    ListEventsRequest,
    ListEventsResponse,
)
from ubmc.v1alpha1.event_rpc import EventService
from ubmc.v1alpha1.host_pb import HostNews, HostState, HostStateChange


def test_names_are_those_that_the_bus_permits() -> None:
    assert (stream.STREAM, stream.CONSUMER) == (permissions.EVENTS_STREAM, permissions.EVENTS_CONSUMER)


async def test_told_event_is_listed_read_and_watched(tmp_path: Path) -> None:
    async with world(tmp_path) as made:
        watching = made.watch()
        (first,) = await read(watching, 1)
        assert first.event is None
        change = HostStateChange(name="host.0", previous=HostState.OFF, current=HostState.POWERING_ON)
        began = time.monotonic()
        await made.teller.tell("host.0", change, severity=Severity.WARNING)
        (update,) = await read(watching, 1)
        assert time.monotonic() - began < 2
        event = update.event
        assert event is not None
        assert event.message == "host.0 went from off to powering on"
        assert (event.severity, event.component, event.message_id) == (Severity.WARNING, "host.0", "Host.StateChanged")
        assert event.arguments["current"] == "HOST_STATE_POWERING_ON"
        assert event.time is not None
        assert abs(event.time.seconds - time.time()) < 60
        assert (await made.page()).events == [event]
        call = made.bus.call("olga", "ReadOnly")
        assert (await made.door.forward(EventService.GetEvent, GetEventRequest(id=event.id), call)).event == event
        async with asyncio.timeout(30):
            while (await stream.ensure(made.managers))["num_ack_pending"]:
                await asyncio.sleep(0.02)
        with pytest.raises(NotFound, match="no event 77"):
            await made.door.forward(EventService.GetEvent, GetEventRequest(id=77), call)
        await watching.aclose()


async def test_nothing_acknowledged_is_lost_or_doubled_when_server_and_log_die(tmp_path: Path) -> None:
    async with world(tmp_path) as made:
        acknowledged: list[str] = []

        async def publish() -> None:
            for number in range(240):
                await made.tell(f"n{number}")
                acknowledged.append(f"n{number}")

        publishing = asyncio.create_task(publish())
        for mark in (40, 80, 120, 160):
            async with asyncio.timeout(20):
                while len(acknowledged) < mark:
                    await asyncio.sleep(0.002)
            made.kill_server()
            if mark in (80, 160):
                await made.drop_log()
            made.bus.server.start()
            if mark in (80, 160):
                await made.start_log()
        async with asyncio.timeout(30):
            await publishing
        events = await made.until(lambda events: len(events) >= 240)
        assert acknowledged == [f"n{number}" for number in range(240)]
        assert texts(events) == acknowledged
        assert len({event.ulid for event in events}) == 240


async def test_killed_process_loses_and_doubles_nothing(tmp_path: Path) -> None:
    path = tmp_path / "expendable.db"
    chance = random.Random(7)
    async with BusWorld(*PROCESSES) as bus:
        teller = await bus.place("safety")
        door = await bus.place("websrv")
        told: list[asyncio.Future[None]] = []
        for _ in range(4):
            async with process(bus, path):
                for _ in range(60):
                    told.append(teller.tell("host.0", HostNews(name="host.0", what=f"n{len(told)}")))
                await asyncio.wait(told[-chance.randint(1, 60) :], return_when=asyncio.FIRST_COMPLETED)
                await asyncio.sleep(chance.random() * 0.05)
        async with process(bus, path), asyncio.timeout(30):
            await asyncio.gather(*told)
            page = ListEventsResponse()
            while len(page.events) < len(told):
                request = ListEventsRequest(page_size=1000)
                page = await door.forward(EventService.ListEvents, request, bus.call("olga", "ReadOnly"))
                await asyncio.sleep(0.02)
        assert texts(page.events) == [f"n{number}" for number in range(len(told))]


async def test_what_was_received_but_not_stored_is_not_overtaken(tmp_path: Path) -> None:
    async with world(tmp_path) as made:
        await made.drop_log()
        async with stream.Inbox(made.managers) as dying:
            await dying.begin()
            await asyncio.gather(*(made.tell(f"n{number}") for number in range(5)))
            received = 0
            async with asyncio.timeout(30):
                while received < 5:
                    received += len(await dying.next())
        await asyncio.gather(*(made.tell(f"n{number}") for number in range(5, 10)))
        await made.start_log()
        events = await made.until(lambda events: len(events) >= 10)
        assert texts(events) == [f"n{number}" for number in range(10)]


async def test_stored_but_not_acknowledged_is_not_doubled(tmp_path: Path) -> None:
    async with world(tmp_path, log=False) as made:
        await made.start_log()
        await made.tell("n0")
        await made.until(lambda events: len(events) == 1)
        await made.drop_log()
        ulid = str(ULID())
        for _ in range(2):  # as a consumer whose state was lost would deliver it
            envelope = EventEnvelope(
                ulid=ulid, component="host.0", type="ubmc.v1alpha1.HostNews", body=HostNews(what="n1").to_binary()
            )
            await made.teller.link.publish(NEWS, envelope.to_binary())
        await made.start_log()
        await made.tell("n2")
        assert texts(await made.until(lambda events: len(events) >= 3)) == ["n0", "n1", "n2"]


async def test_events_told_while_nobody_listens_are_kept(tmp_path: Path) -> None:
    async with world(tmp_path) as made:
        await made.drop_log()
        await asyncio.gather(*(made.tell(f"n{number}") for number in range(100)))
        await made.start_log()
        assert texts(await made.until(lambda events: len(events) >= 100)) == [f"n{n}" for n in range(100)]


async def test_lost_stream_is_made_again(tmp_path: Path) -> None:
    async with world(tmp_path) as made:
        await made.tell("n0")
        await made.until(lambda events: len(events) == 1)
        made.kill_server()
        for file in sorted((made.bus.state / "jetstream").rglob("*"), reverse=True):
            file.rmdir() if file.is_dir() else file.unlink()
        made.bus.server.start()
        async with asyncio.timeout(20):
            await made.tell("n1")
        assert texts(await made.until(lambda events: len(events) >= 2)) == ["n0", "n1"]


async def test_large_events_pass_and_are_bounded(tmp_path: Path) -> None:
    async with world(tmp_path) as made:
        huge = "\x1b]0;" + "x" * 100_000
        await asyncio.gather(*(made.tell(f"{number} {huge}") for number in range(20)))
        events = await made.until(lambda events: len(events) == 20)
        for number, event in enumerate(events):
            assert event.message.startswith(f"host.0: {number} \ufffd]0;xxx")
            assert event.message.isprintable()
            assert len(event.to_binary()) < 4096


async def test_page_is_cut_to_what_an_answer_may_carry(tmp_path: Path) -> None:
    async with world(tmp_path) as made:
        for _ in range(3):
            await asyncio.gather(*(made.tell(f"{number}" + "ä" * 2000) for number in range(50)))
        await made.until(lambda events: len(events) == 150)
        page = await made.page(ListEventsRequest(page_size=1000))
        assert 0 < len(page.events) < 150
        assert page.next_page_token
        assert len({event.id for event in await made.everything()}) == 150


async def test_what_is_no_event_is_dropped_said_once_and_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with world(tmp_path) as made:
        for data in (b"\xff\xff\xff", b"", EventEnvelope(ulid="x").to_binary()):
            await made.teller.link.publish(NEWS, data)
        await made.tell("good")
        assert texts(await made.until(bool)) == ["good"]
        assert "ubmc_eventlog_malformed_total 3.0" in made.managers.metrics.text()
        assert caplog.text.count("is no event and was dropped") == 1


async def test_unknown_kind_is_kept(tmp_path: Path) -> None:
    async with world(tmp_path) as made:
        envelope = EventEnvelope(ulid=str(ULID()), component="host.0", type="ubmc.v9.Later", body=b"\x0a\x01x")
        await made.teller.link.publish(NEWS, envelope.to_binary())
        (event,) = await made.until(bool)
        assert (event.message_id, event.arguments) == ("Unknown", {"type": "ubmc.v9.Later"})


async def test_lists_page_and_filter(tmp_path: Path) -> None:
    async with world(tmp_path) as made:
        await asyncio.gather(*(made.tell(f"n{n}", f"host.{n % 2}") for n in range(7)))
        await made.until(lambda events: len(events) == 7)
        request = ListEventsRequest(page_size=2, filter=EventFilter(component="host.0"), newest_first=True)
        page = await made.page(request)
        assert texts(page.events) == ["n6", "n4"]
        request.page_token = page.next_page_token
        page = await made.page(request)
        assert texts(page.events) == ["n2", "n0"]
        assert page.next_page_token == ""
        request.newest_first = False
        with pytest.raises(Invalid, match="another query"):
            await made.page(request)


async def test_watch_resumes_behind_its_cursor(tmp_path: Path) -> None:
    async with world(tmp_path) as made:
        watching = made.watch()
        await read(watching, 1)
        await asyncio.gather(*(made.tell(f"n{n}") for n in range(3)))
        seen = await read(watching, 2)
        await watching.aclose()
        await made.drop_log()
        await made.start_log()
        watching = made.watch(seen[-1].cursor)
        resumed = await read(watching, 2)
        assert resumed[0].event is None
        assert resumed[0].cursor == seen[-1].cursor
        assert resumed[1].event is not None
        assert resumed[1].event.arguments["what"] == "n2"
        await watching.aclose()
        watching = made.watch("another-log:2")
        updates = await read(watching, 4)
        assert [update.event.arguments["what"] for update in updates if update.event] == ["n0", "n1", "n2"]
        await watching.aclose()
        with pytest.raises(Invalid, match="cursor"):
            await anext(made.watch("nonsense"))


async def test_watch_filters_and_goes_on_behind_what_it_did_not_want(tmp_path: Path) -> None:
    async with world(tmp_path) as made:
        watching = made.watch(wanted=EventFilter(component="host.1"))
        await read(watching, 1)
        for number in range(5):
            await made.tell(f"n{number}", f"host.{number % 2}")
        updates = await read(watching, 2)
        assert [update.event.arguments["what"] for update in updates if update.event] == ["n1", "n3"]
        await watching.aclose()


async def test_slow_watcher_misses_nothing_and_holds_up_nobody(tmp_path: Path) -> None:
    async with world(tmp_path) as made:
        slow, quick = made.watch(), made.watch()
        await read(slow, 1)
        await read(quick, 1)
        for start in range(0, 300, 100):
            await asyncio.gather(*(made.tell(f"n{start + n}") for n in range(100)))
        told = [f"n{n}" for n in range(300)]
        for watching in (quick, slow):
            assert [update.event.arguments["what"] for update in await read(watching, 300) if update.event] == told
            await watching.aclose()


async def test_log_is_bounded(tmp_path: Path) -> None:
    async with world(tmp_path, Options(rows=40)) as made:
        for start in range(0, 100, 20):
            await asyncio.gather(*(made.tell(f"n{start + n}") for n in range(20)))
        events = await made.until(lambda events: bool(events) and texts(events)[-1] == "n99")
        assert 30 <= len(events) <= 40
        assert texts(events) == [f"n{n}" for n in range(100 - len(events), 100)]


async def test_events_that_the_bus_had_to_drop_are_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(stream.STREAM_CONFIG, "max_msgs", 10)
    async with world(tmp_path) as made:
        await made.tell("first")
        await made.until(lambda events: len(events) == 1)
        await made.drop_log()
        for number in range(25):
            await made.tell(f"n{number}")
        await made.start_log()
        events = await made.until(lambda events: len(events) >= 12)
        lost = events.pop(1)
        assert texts(events) == ["first", *(f"n{number}" for number in range(15, 25))]
        assert (lost.message, lost.message_id) == ("events were lost: 15", "EventLog.EventsLost")
        assert (lost.severity, lost.component, lost.arguments) == (Severity.CRITICAL, "bmc.0", {"count": "15"})
        assert made.managers.metrics.registry.get_sample_value("ubmc_events_lost_total") == 15
        await made.drop_log()
        await made.start_log()  # and it is told once
        await made.tell("last")
        events = await made.until(lambda events: len(events) >= 13)
        assert [event.message_id for event in events].count("EventLog.EventsLost") == 1
    assert caplog.text.count("events were lost: the bus had no room") == 1


async def test_stream_of_another_shape_is_updated_at_the_start_and_nothing_counts_as_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world(tmp_path, log=False) as made:
        with monkeypatch.context() as older:
            older.setitem(stream.STREAM_CONFIG, "discard", "new")
            older.setitem(stream.STREAM_CONFIG, "max_msgs", 20)
            await stream.ensure(made.managers)
            await asyncio.gather(*(made.tell(f"n{number}") for number in range(15)))
        await made.start_log()
        await asyncio.gather(*(made.tell(f"n{number}") for number in range(15, 30)))
        assert texts(await made.until(lambda events: len(events) >= 30)) == [f"n{n}" for n in range(30)]


async def test_log_rebuilt_over_a_stream_that_was_read_tells_no_loss(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(stream.STREAM_CONFIG, "max_msgs", 10)
    async with world(tmp_path) as made:
        for number in range(25):
            await made.tell(f"n{number}")
        await made.until(lambda events: len(events) == 25)
        async with asyncio.timeout(30):
            while (await stream.ensure(made.managers))["num_ack_pending"]:
                await asyncio.sleep(0.02)
        await made.drop_log()
        await made.database.run(lambda connection: connection.execute("DELETE FROM eventlog_meta").close())
        await made.start_log()
        await made.tell("n25")
        assert texts(await made.until(lambda events: len(events) == 26)) == [f"n{n}" for n in range(26)]


async def test_jetstream_that_stays_away_fails_the_service_until_it_is_back(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO, logger="ubmc.eventlog")
    async with world(tmp_path, Options(away_seconds=0.5), log=False) as made:
        log = EventLog(made.database, made.bus.schema, made.options)
        running = await made.bus.run(made.managers, log)
        with monkeypatch.context() as refused:
            refused.setitem(stream.STREAM_CONFIG, "max_bytes", 2**40)  # the server has no such room
            made.kill_server()
            await asyncio.sleep(1)  # that the bus is away is nothing to fail for
            assert not running.done()
            made.bus.server.start()
            with pytest.raises(Unavailable, match="no event is logged"):
                await asyncio.wait_for(running, 20)
            with pytest.raises(Unavailable, match="make space"):  # as the process does: the same service again
                await made.bus.run(made.managers, log)
        await made.bus.run(made.managers, log)
        await made.tell("back")
        assert texts(await made.until(bool)) == ["back"]
    said = [entry.message for entry in caplog.records if entry.levelno == logging.ERROR]
    assert len(said) == 1
    assert "JetStream" in said[0]
    assert caplog.messages[-1] == "the event stream is there"


async def test_only_who_may_log_in_may_read(tmp_path: Path) -> None:
    async with world(tmp_path) as made:
        call = made.bus.call("olga", "ReadOnly")
        with pytest.raises(Denied):
            await made.door.forward(EventService.ListEvents, ListEventsRequest(), type(call)(call.deadline, call.trace))
