"""News on their way to the event log, on virtual time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from ubmc.kit.errors import TimedOut, Unavailable
from ubmc.kit.metrics import Metrics
from ubmc.kit.outbox import CAPACITY, LARGEST, Outbox
from ubmc.kit.testing import run_virtual


class Stream:
    """Where events are stored; it can be away."""

    def __init__(self) -> None:
        self.stored: list[str] = []
        self.away = False
        self.tries = 0
        self.hold: asyncio.Event | None = None

    async def store(self, _subject: str, _data: bytes, ulid: str) -> None:
        self.tries += 1
        if self.hold is not None:
            await self.hold.wait()
        if self.away:
            raise TimedOut("no answer")
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


@virtual
async def test_unavailable_is_quiet_since_the_link_has_said_it() -> None:
    _stream, _made, metrics, task = outbox()
    await end(task)

    async def away(*_: object) -> None:
        raise Unavailable("the bus is away")

    made = Outbox(away, metrics)
    task = asyncio.create_task(made.run())
    made.put("s", b"x", "1")
    await asyncio.sleep(10)
    await end(task)
