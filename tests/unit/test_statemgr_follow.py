"""Following the wires on virtual time: what is shown while powermgr is away, and afterwards."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable

from ubmc.kit.errors import Unavailable
from ubmc.kit.testing import run_virtual
from ubmc.services.statemgr.follow import WireFollower
from ubmc.v1alpha1.internal_pb import PowerLevel, WatchPowerResponse

ON, OFF, UNKNOWN = PowerLevel.ON, PowerLevel.OFF, PowerLevel.UNKNOWN


class World:
    """A powermgr that comes and goes, and what is shown."""

    def __init__(self) -> None:
        self.shown: dict[str, PowerLevel] = {}
        self.lost: list[str] = []
        self.tries = 0
        self.alive = False
        self._sights: asyncio.Queue[WatchPowerResponse | None] = asyncio.Queue()

    async def watch(self) -> AsyncGenerator[WatchPowerResponse, None]:
        self.tries += 1
        if not self.alive:
            raise Unavailable("powermgr is not running")
        while (sight := await self._sights.get()) is not None:
            yield sight
        raise Unavailable("powermgr has gone silent")

    async def see(self, seen: WatchPowerResponse) -> None:
        self.shown[seen.name] = seen.level

    async def tell(self, **levels: PowerLevel) -> None:
        self.alive = True
        for name, level in levels.items():
            self._sights.put_nowait(WatchPowerResponse(name=name, level=level))
        await asyncio.sleep(1.5)

    async def die(self) -> None:
        self.alive = False
        self._sights.put_nowait(None)
        await asyncio.sleep(0.01)


def play(body: Callable[[World], Awaitable[None]]) -> None:
    async def main() -> None:
        world = World()
        follower = WireFollower(("a", "b"), world.watch, world.see, world.lost.append, grace_seconds=5.0)
        running = asyncio.create_task(follower.run())
        try:
            await body(world)
        finally:
            running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await running

    run_virtual(main())


def test_it_is_tried_again_for_ever_and_not_too_often() -> None:
    async def body(world: World) -> None:
        await asyncio.sleep(3600)
        assert 3600 <= world.tries <= 3610
        assert sorted(world.lost) == ["a", "b"]
        await world.tell(a=ON, b=OFF)
        assert world.shown == {"a": ON, "b": OFF}

    play(body)


def test_a_short_absence_is_not_shown() -> None:
    async def body(world: World) -> None:
        await world.tell(a=ON, b=OFF)
        await world.die()
        await world.tell(a=UNKNOWN, b=UNKNOWN)  # a new powermgr has not looked yet
        assert world.shown == {"a": ON, "b": OFF}
        await world.tell(a=OFF, b=OFF)
        assert world.shown == {"a": OFF, "b": OFF}
        await asyncio.sleep(60)
        assert world.lost == []

    play(body)


def test_who_is_not_seen_again_is_unknown_after_the_grace() -> None:
    async def body(world: World) -> None:
        await world.tell(a=ON, b=ON)
        await world.die()
        await asyncio.sleep(2)
        await world.tell(a=ON, b=UNKNOWN)
        assert world.lost == []
        await asyncio.sleep(5)
        assert world.lost == ["b"]
        await world.tell(a=UNKNOWN)
        assert world.shown["a"] is UNKNOWN

    play(body)


def test_a_second_loss_has_a_grace_of_its_own() -> None:
    async def body(world: World) -> None:
        await world.tell(a=ON, b=ON)
        await world.die()
        await asyncio.sleep(2)
        await world.tell(a=ON, b=ON)
        await world.die()
        await asyncio.sleep(3)
        assert world.lost == []
        await asyncio.sleep(3)
        assert sorted(world.lost) == ["a", "b"]

    play(body)
