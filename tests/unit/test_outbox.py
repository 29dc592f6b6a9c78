"""News on their way to the event log, on virtual time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from nats.aio.msg import Msg

from ubmc.kit.bus import Bus
from ubmc.kit.errors import Exhausted, TimedOut, UbmcError, Unavailable
from ubmc.kit.keys import BusKey
from ubmc.kit.link import Link
from ubmc.kit.metrics import Metrics
from ubmc.kit.outbox import CAPACITY, LARGEST, Outbox
from ubmc.kit.schema import load
from ubmc.kit.testing import run_virtual
from ubmc.v1alpha1.event_pb import EventEnvelope
from ubmc.v1alpha1.host_pb import HostNews


class Stream:
    """Where events are stored; it can be away."""

    def __init__(self) -> None:
        self.stored: list[str] = []
        self.away = False
        self.failure: UbmcError | None = None
        self.tries = 0
        self.hold: asyncio.Event | None = None

    async def store(self, _subject: str, _data: bytes, ulid: str) -> None:
        self.tries += 1
        if self.hold is not None:
            await self.hold.wait()
        if self.away:
            raise TimedOut("no answer")
        if self.failure is not None:
            raise self.failure
        self.stored.append(ulid)


def virtual(test: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    def run() -> None:
        run_virtual(test())

    run.__name__ = test.__name__
    return run


def outbox() -> tuple[Stream, Outbox, Metrics, asyncio.Task[None]]:
    stream, metrics = Stream(), Metrics()
    made = Outbox(stream.store, metrics)
    return stream, made, metrics, asyncio.create_task(made.run())


async def end(task: asyncio.Task[None]) -> None:
    assert not task.done()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def lost(metrics: Metrics) -> float:
    return metrics.registry.get_sample_value("ubmc_events_lost_total") or 0.0


@virtual
async def test_in_order_and_the_future_says_when() -> None:
    stream, made, _metrics, task = outbox()
    futures = [made.put("s", b"x", str(count)) for count in range(5)]
    assert not futures[0].done()
    await asyncio.gather(*futures)
    assert stream.stored == ["0", "1", "2", "3", "4"]
    await end(task)


@virtual
async def test_nothing_is_lost_nor_overtakes_while_the_stream_is_away() -> None:
    stream, made, metrics, task = outbox()
    stream.away = True
    futures = [made.put("s", b"x", str(count)) for count in range(50)]
    await asyncio.sleep(60)
    assert 100 < stream.tries < 400, "it tries five times a second, and only the first"
    assert not any(future.done() for future in futures)
    stream.away = False
    await asyncio.gather(*futures)
    assert stream.stored == [str(count) for count in range(50)]
    assert lost(metrics) == 0
    await end(task)


def test_too_many_are_bounded_counted_and_said_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="ubmc.events")

    async def main() -> None:
        stream, made, metrics, task = outbox()
        stream.hold = asyncio.Event()
        stream.away = True
        futures = [made.put("s", b"x", "first")]
        await asyncio.sleep(1)  # it is under way when it is dropped
        futures += [made.put("s", b"x", str(count)) for count in range(CAPACITY + 9)]
        assert lost(metrics) == 10
        assert sum(future.cancelled() for future in futures) == 10
        stream.away = False
        stream.hold.set()
        await asyncio.gather(*futures, return_exceptions=True)
        assert stream.stored == ["first", *(str(count) for count in range(9, CAPACITY + 9))]
        await asyncio.sleep(1)
        await end(task)

    run_virtual(main())
    assert [entry.message for entry in caplog.records if "lost" in entry.message] == [
        "events are lost: the bus has been away for too long"
    ]
    assert caplog.messages[-1] == "the event log takes events again"


@virtual
async def test_one_that_is_too_large_holds_up_nobody() -> None:
    stream, made, metrics, task = outbox()
    large = made.put("s", b"x" * (LARGEST + 1), "large")
    small = made.put("s", b"x" * LARGEST, "small")
    assert large.cancelled()
    await small
    assert (stream.stored, lost(metrics)) == (["small"], 1)
    await end(task)


def test_draining_waits_but_not_for_ever(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        stream, made, _metrics, task = outbox()
        await made.drain(5)
        assert loop.time() == 0
        stream.away = True
        future = made.put("s", b"x", "1")
        await made.drain(5)
        assert loop.time() == pytest.approx(5)
        assert not future.done()
        stream.away = False
        await made.drain(5)
        assert future.done()
        await end(task)

    run_virtual(main())
    assert "events were not stored before the end" in caplog.text


@virtual
async def test_a_future_that_nobody_wants_any_more_changes_nothing() -> None:
    stream, made, _metrics, task = outbox()
    made.put("s", b"x", "1").cancel()
    await made.put("s", b"x", "2")
    assert stream.stored == ["1", "2"]
    await end(task)


@pytest.mark.parametrize("error", [Unavailable("the bus is away"), TimedOut("no answer"), Exhausted("too many calls")])
def test_first_failure_of_any_kind_and_the_recovery_are_said_once(
    caplog: pytest.LogCaptureFixture, error: UbmcError
) -> None:
    caplog.set_level(logging.INFO, logger="ubmc.events")

    async def main() -> None:
        stream, made, _metrics, task = outbox()
        for round_number in range(2):
            stream.failure = error
            futures = [made.put("s", b"x", f"{round_number}{count}") for count in range(5)]
            await asyncio.sleep(10)
            stream.failure = None
            await asyncio.gather(*futures)
        await end(task)

    run_virtual(main())
    assert caplog.messages == ["the event log does not take events", "the event log takes events again"] * 2
    assert [vars(entry).get("reason") for entry in caplog.records[::2]] == [error.message] * 2


def test_a_bus_that_comes_a_moment_later_is_no_trouble(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="ubmc.events")

    async def main() -> None:
        stream, made, _metrics, task = outbox()
        for count in range(3):
            stream.away = True
            future = made.put("s", b"x", str(count))
            await asyncio.sleep(4)
            assert not future.done()
            stream.away = False
            await future
        await end(task)

    run_virtual(main())
    assert caplog.messages == []


class Answering(Link):
    """A connection on which JetStream gives these answers, one after another."""

    def __init__(self, bus: Bus, answers: list[bytes]) -> None:
        super().__init__("safety", BusKey(), bus.metrics)
        self._bus = bus
        self.answers = answers

    async def publish(self, subject: str, data: bytes, reply: str = "", headers: dict[str, str] | None = None) -> None:
        """Answer at once, as the server's message would."""
        assert (subject, headers) == (NEWS, {"Nats-Msg-Id": self._ulid(data)})
        await self._bus._arrived(Msg(self._client, subject=reply, data=self.answers.pop(0)))

    def _ulid(self, data: bytes) -> str:
        return EventEnvelope.from_binary(data).ulid


NEWS = "event.host.host-0.host_news"
NO_ANSWERS = (
    b"", b"no json", b"\xff", b"[]", b"null", b"7", b"{}", b'{"seq":"x"}', b'{"error":7}', b'{"error":{"code":503}}',
)  # fmt: skip


def test_no_answer_of_the_stream_ends_the_events(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)

    async def main() -> None:
        bus = Bus("safety", load(), BusKey(), Metrics())
        link = bus.link = Answering(bus, [*NO_ANSWERS * 3, b'{"stream":"EVENTS","seq":1}'])
        task = asyncio.create_task(bus._outbox.run())
        await asyncio.wait_for(bus.tell("host.0", HostNews(name="host.0", what="x")), 10)
        assert link.answers == []
        await end(task)

    run_virtual(main())
    assert caplog.messages == ["the event log does not take events", "the event log takes events again"]
    assert "cannot be read" in vars(caplog.records[0])["reason"]


def test_a_part_of_the_bus_that_dies_is_seen(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        bus = Bus("safety", load(), BusKey(), Metrics())

        async def bug() -> None:
            raise KeyError("bug")

        bus._spawn(bug())
        await asyncio.sleep(1)

    run_virtual(main())
    assert caplog.messages == ["a part of the bus ended by a bug"]
