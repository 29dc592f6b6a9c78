"""Several watches as one stream: what is told of each topic, in which order, and where it resumes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Coroutine
from typing import Any

import pytest
from protobuf import Message

from ubmc.kit.errors import Denied, Exhausted, Invalid, NotFound, Unauthenticated, Unavailable
from ubmc.kit.testing import run_virtual
from ubmc.rpc import ServerStream
from ubmc.services.websrv.live import AHEAD, LONGEST_RETRY_SECONDS, SILENCE_SECONDS, LiveStream
from ubmc.v1alpha1.event_pb import Event, WatchEventsResponse
from ubmc.v1alpha1.host_pb import Host, WatchHostsResponse
from ubmc.v1alpha1.led_pb import Led, WatchLedsResponse
from ubmc.v1alpha1.live_pb import LiveState, LiveTopic, LiveTopicState, WatchLiveRequest, WatchLiveResponse

HOSTS, LEDS, EVENTS = LiveTopic.HOSTS, LiveTopic.LEDS, LiveTopic.EVENTS
Script = list[Message[Any] | float | Exception]
"""What one stream does: tells something, waits so many seconds, or fails; behind the last it is silent."""


class Services:
    """Watch calls that follow a script each time that they are opened."""

    def __init__(self, **scripts: list[Script]) -> None:
        self.scripts = scripts
        self.opened: list[tuple[str, str]] = []
        """Method and cursor."""
        self.times: list[float] = []
        self.told = 0
        self.open = 0

    async def watch(self, token: ServerStream[Any, Any], request: Any) -> AsyncGenerator[Message[Any], None]:
        self.opened.append((token.method, request.cursor))
        self.times.append(asyncio.get_running_loop().time())
        scripts = self.scripts[token.method]
        script = scripts.pop(0) if len(scripts) > 1 else scripts[0]
        self.open += 1
        try:
            for step in script:
                if isinstance(step, Exception):
                    raise step
                if isinstance(step, float):
                    await asyncio.sleep(step)
                    continue
                self.told += 1
                yield step
            await asyncio.Event().wait()
        finally:
            self.open -= 1


def host(number: int, *, snapshot: bool = False, complete: bool = True) -> WatchHostsResponse:
    return WatchHostsResponse(
        host=Host(name=f"host.{number}"), cursor=f"e:{number}", snapshot=snapshot, complete=complete
    )


def shown(message: WatchLiveResponse) -> str:
    """In one word."""
    update = message.update
    assert update is not None
    match update.value:
        case LiveTopicState() as state:
            return f"{state.topic.name} {state.state.name}"
        case WatchHostsResponse(host=Host() as told):
            return told.name
        case WatchLedsResponse(led=Led() as led):
            return led.name
        case WatchEventsResponse() as event:
            return f"event {event.event.id}" if event.event is not None else "event log"
        case other:
            raise AssertionError(other)


async def read(live: LiveStream, count: int) -> list[WatchLiveResponse]:
    async with contextlib.aclosing(live.run()) as told:
        return [await anext(told) for _ in range(count)]


def virtual(test: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    def running() -> None:
        run_virtual(test())

    running.__name__ = test.__name__
    return running


@virtual
async def test_a_snapshot_is_settled_with_its_last_update() -> None:
    services = Services(WatchHosts=[[host(1, snapshot=True, complete=False), 5.0, host(2, snapshot=True), host(3)]])
    told = await read(LiveStream(WatchLiveRequest(topics=[HOSTS]), services.watch), 4)
    assert [shown(each) for each in told] == ["host.1", "host.2", "HOSTS SETTLED", "host.3"]
    assert services.open == 0


@virtual
async def test_a_snapshot_that_is_broken_off_begins_anew() -> None:
    services = Services(WatchHosts=[[host(1, snapshot=True, complete=False), host(2, snapshot=True), host(3)]])
    told = await read(LiveStream(WatchLiveRequest(topics=[HOSTS], cursor="1.old:7"), services.watch), 4)
    assert [each.cursor for each in told] == ["1.old:7", "1.e:2", "1.e:2", "1.e:3"]


@virtual
async def test_what_tells_nothing_is_settled_after_a_while_and_what_fails_meanwhile_is_not() -> None:
    quiet: list[tuple[Script, str]] = [([], "SETTLED"), ([0.9, Unavailable("it is away")], "AWAY")]
    for script, expected in quiet:
        services = Services(WatchLeds=[script])
        (told,) = await read(LiveStream(WatchLiveRequest(topics=[LEDS]), services.watch), 1)
        assert shown(told) == f"LEDS {expected}"
        assert asyncio.get_running_loop().time() <= SILENCE_SECONDS + 1


@virtual
async def test_of_events_it_is_settled_when_it_is_known_where_they_begin() -> None:
    begins = WatchEventsResponse(cursor="log:4")
    services = Services(WatchEvents=[[begins, WatchEventsResponse(event=Event(id=5), cursor="log:5")]])
    told = await read(LiveStream(WatchLiveRequest(topics=[EVENTS]), services.watch), 3)
    assert [shown(each) for each in told] == ["event log", "EVENTS SETTLED", "event 5"]
    assert [each.cursor for each in told] == ["7.log:4", "7.log:4", "7.log:5"]


@virtual
async def test_each_topic_goes_on_where_it_was_and_those_not_asked_for_keep_their_place() -> None:
    services = Services(WatchHosts=[[host(6)]], WatchEvents=[[WatchEventsResponse(cursor="log:4")]])
    request = WatchLiveRequest(topics=[HOSTS, EVENTS], cursor="1.e:5~6.led:3")
    told = await read(LiveStream(request, services.watch), 4)
    assert sorted(services.opened) == [("WatchEvents", ""), ("WatchHosts", "e:5")]
    assert told[-1].cursor == "1.e:6~6.led:3~7.log:4"


@virtual
async def test_a_service_that_is_away_is_tried_again_and_goes_on_where_it_was() -> None:
    away = Unavailable("statemgr is not running")
    services = Services(WatchHosts=[[host(1, snapshot=True), host(2), away], [away], [Exhausted("full")], [host(3)]])
    told = await read(LiveStream(WatchLiveRequest(topics=[HOSTS]), services.watch), 6)
    assert [shown(each) for each in told] == [
        "host.1", "HOSTS SETTLED", "host.2", "HOSTS AWAY", "host.3", "HOSTS SETTLED",
    ]  # fmt: skip
    assert told[3].update is not None
    assert told[3].update.value == LiveTopicState(topic=HOSTS, state=LiveState.AWAY, message=away.message)
    assert [cursor for _, cursor in services.opened] == ["", "e:2", "e:2", "e:2"]


@virtual
async def test_a_stream_that_just_ends_is_away_too() -> None:
    async def ends(_token: ServerStream[Any, Any], _request: Any) -> AsyncGenerator[Message[Any], None]:
        yield host(1)

    told = await read(LiveStream(WatchLiveRequest(topics=[HOSTS]), ends), 3)
    assert [shown(each) for each in told] == ["host.1", "HOSTS SETTLED", "HOSTS AWAY"]


@virtual
async def test_it_is_tried_less_and_less_often() -> None:
    services = Services(WatchHosts=[[Unavailable("away")]], WatchLeds=[[]])
    live = LiveStream(WatchLiveRequest(topics=[HOSTS]), services.watch)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(100):
            await read(live, 2)
    waits = [after - before for before, after in zip(services.times, services.times[1:], strict=False)]
    assert waits == pytest.approx(sorted(waits))
    assert waits[-1] == pytest.approx(LONGEST_RETRY_SECONDS)
    assert 20 < len(waits) < 40


@virtual
async def test_what_a_board_does_not_have_or_somebody_may_not_see_is_told_once() -> None:
    services = Services(
        WatchLeds=[[NotFound("this board has no lights")]], WatchHosts=[[Denied("no")]], WatchEvents=[[]]
    )
    live = LiveStream(WatchLiveRequest(topics=[LEDS, HOSTS, EVENTS]), services.watch)
    told = await read(live, 3)
    assert sorted(shown(each) for each in told) == ["EVENTS SETTLED", "HOSTS DENIED", "LEDS ABSENT"]
    assert len(services.opened) == 3


@virtual
async def test_the_end_of_the_session_ends_all_also_what_nobody_reads() -> None:
    services = Services(WatchHosts=[[host(1), 3.0, Unauthenticated("over")]], WatchLeds=[[]])
    with pytest.raises(Unauthenticated, match="over"):
        await read(LiveStream(WatchLiveRequest(topics=[HOSTS, LEDS]), services.watch), 99)
    assert services.open == 0
    many: Script = [host(number) for number in range(99)]
    live = LiveStream(WatchLiveRequest(topics=[HOSTS]), Services(WatchHosts=[many]).watch)
    async with contextlib.aclosing(live.run()) as told:
        await anext(told)
        await asyncio.sleep(1)  # the queue is full now
        live.end(Unauthenticated("logged out"))
        live.end(Unauthenticated("later"))
        with pytest.raises(Unauthenticated, match="logged out"):
            await anext(told)


@virtual
async def test_a_bug_and_a_wrong_place_end_it() -> None:
    for error in (RuntimeError("a bug"), Invalid("cursor: that is none")):
        live = LiveStream(WatchLiveRequest(topics=[HOSTS, LEDS]), Services(WatchHosts=[[error]], WatchLeds=[[]]).watch)
        with pytest.raises(type(error), match=str(error)):
            await read(live, 2)


@virtual
async def test_a_slow_reader_slows_all_and_nothing_piles_up() -> None:
    many: Script = [host(number) for number in range(1000)]
    lights: Script = [WatchLedsResponse(led=Led(name=f"led.{n}"), cursor=f"l:{n}", complete=True) for n in range(1000)]
    services = Services(WatchHosts=[many], WatchLeds=[lights])
    live = LiveStream(WatchLiveRequest(topics=[HOSTS, LEDS]), services.watch)
    async with contextlib.aclosing(live.run()) as told:
        names = [shown(await anext(told))]
        await asyncio.sleep(60)
        assert services.told <= 1 + AHEAD + 2  # handed out, waiting, and one that each topic holds
        names += [shown(await anext(told)) for _ in range(2001)]
    assert [name for name in names if name.startswith("host.")] == [f"host.{n}" for n in range(1000)]
    assert [name for name in names if name.startswith("led.")] == [f"led.{n}" for n in range(1000)]


@virtual
async def test_the_cursor_is_behind_what_was_handed_out_and_not_behind_what_waits() -> None:
    many: Script = [host(number) for number in range(10)]
    live = LiveStream(WatchLiveRequest(topics=[HOSTS]), Services(WatchHosts=[many]).watch)
    async with contextlib.aclosing(live.run()) as told:
        messages = [await anext(told)]
        await asyncio.sleep(1)
        messages += [await anext(told) for _ in range(2)]
    assert [shown(each) for each in messages] == ["host.0", "HOSTS SETTLED", "host.1"]
    assert [each.cursor for each in messages] == ["1.e:0", "1.e:0", "1.e:1"]
