"""One light on virtual time: overrides, lamp test, hardware that fails or hangs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine

import pytest

from ubmc.hw.leds.port import Led, LedState, Steady
from ubmc.kit.errors import Unavailable
from ubmc.kit.testing import run_virtual
from ubmc.services.ledmgr import pattern
from ubmc.services.ledmgr.facts import Duty
from ubmc.services.ledmgr.light import Light
from ubmc.services.ledmgr.pattern import Shown
from ubmc.v1alpha1 import led_pb
from ubmc.v1alpha1.led_pb import LedPattern

LIT, DARK = Shown(LedPattern.ON, "all is well"), Shown(LedPattern.OFF, "off")
BY_HAND = Shown(LedPattern.BLINK_FAST, "set by olga")


class Lamp(Led):
    """The hardware end: remembers what it was told, and when."""

    def __init__(self) -> None:
        self.told: list[tuple[float, LedState]] = []
        self.broken = False
        self.hangs = False

    @property
    def name(self) -> str:
        return "status-led"

    async def set(self, state: LedState) -> None:
        if self.hangs:
            await asyncio.Event().wait()
        if self.broken:
            raise Unavailable("the wire is cut")
        self.told.append((asyncio.get_running_loop().time(), state))

    async def close(self) -> None:
        raise AssertionError("the light is not ours to close")

    def shows(self) -> LedState:
        return self.told[-1][1]


Scene = Callable[[Light, Lamp, list[led_pb.Led]], Coroutine[None, None, None]]


def play(scene: Scene) -> None:
    """Play a scene with a light whose task runs."""

    async def main() -> None:
        lamp, said = Lamp(), list[led_pb.Led]()
        light = Light(Duty("status-led", "status", "chassis.0"), lamp, said.append)
        running = asyncio.create_task(light.run())
        await scene(light, lamp, said)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    run_virtual(main())


def test_nothing_is_driven_before_anything_is_known() -> None:
    async def scene(light: Light, lamp: Lamp, said: list[led_pb.Led]) -> None:
        await asyncio.sleep(60)
        assert lamp.told == []
        assert light.message().pattern is LedPattern.UNSPECIFIED
        light.usually(LIT, "chassis.0")
        await light.tried(1)
        assert lamp.shows() is Steady.ON
        assert [led.pattern for led in said] == [LedPattern.UNSPECIFIED, LedPattern.ON]

    play(scene)


def test_what_was_set_by_hand_ends_with_its_time() -> None:
    async def scene(light: Light, lamp: Lamp, said: list[led_pb.Led]) -> None:
        light.usually(LIT, "chassis.0")
        light.override(BY_HAND, 30)
        await light.tried(1)
        assert lamp.shows() == pattern.LOOKS[LedPattern.BLINK_FAST]
        assert (light.message().overridden, light.message().reason) == (True, "set by olga")
        light.usually(DARK, "chassis.0")
        await asyncio.sleep(29)
        assert lamp.shows() == pattern.LOOKS[LedPattern.BLINK_FAST]
        await asyncio.sleep(1.1)
        assert lamp.shows() is Steady.OFF
        assert lamp.told[-1][0] == pytest.approx(30, abs=0.01)
        assert not said[-1].overridden

    play(scene)


def test_what_was_set_by_hand_without_a_time_stays_until_it_is_taken_back() -> None:
    async def scene(light: Light, lamp: Lamp, said: list[led_pb.Led]) -> None:
        light.usually(LIT, "chassis.0")
        light.override(DARK, 0)
        await asyncio.sleep(100_000)
        assert lamp.shows() is Steady.OFF
        light.override(None, 0)
        await light.tried(1)
        assert lamp.shows() is Steady.ON

    play(scene)


def test_a_lamp_test_outranks_all_and_leaves_things_as_they_are_then() -> None:
    async def scene(light: Light, lamp: Lamp, said: list[led_pb.Led]) -> None:
        light.usually(DARK, "chassis.0")
        light.test(5)
        await light.tried(1)
        assert (lamp.shows(), light.message().reason, light.message().overridden) == (Steady.ON, "a lamp test", True)
        light.override(BY_HAND, 3600)
        await asyncio.sleep(4)
        assert lamp.shows() is Steady.ON
        await asyncio.sleep(1.1)
        assert lamp.shows() == pattern.LOOKS[LedPattern.BLINK_FAST]
        assert said[-1].reason == "set by olga"

    play(scene)


def test_hardware_that_fails_is_tried_again_and_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "ubmc.ledmgr")

    async def scene(light: Light, lamp: Lamp, said: list[led_pb.Led]) -> None:
        lamp.broken = True
        light.usually(LIT, "chassis.0")
        await light.tried(1)
        assert light.message().failed
        await asyncio.sleep(60)
        lamp.broken = False
        await asyncio.sleep(0.6)
        assert lamp.shows() is Steady.ON
        assert not said[-1].failed

    play(scene)
    assert [record.message for record in caplog.records] == ["a light cannot be set", "a light can be set again"]


def test_hardware_that_hangs_has_failed() -> None:
    async def scene(light: Light, lamp: Lamp, said: list[led_pb.Led]) -> None:
        lamp.hangs = True
        light.usually(LIT, "chassis.0")
        began = asyncio.get_running_loop().time()
        await light.tried(2)
        assert asyncio.get_running_loop().time() - began == pytest.approx(2)
        assert not light.message().failed
        await asyncio.sleep(4)
        assert light.message().failed
        lamp.hangs = False
        await asyncio.sleep(6)
        assert lamp.shows() is Steady.ON

    play(scene)


def test_hardware_is_told_again_now_and_then_but_nobody_else() -> None:
    async def scene(light: Light, lamp: Lamp, said: list[led_pb.Led]) -> None:
        light.usually(LIT, "chassis.0")
        await asyncio.sleep(35)
        assert [state for _, state in lamp.told] == [Steady.ON] * 4
        assert [led.pattern for led in said] == [LedPattern.ON]

    play(scene)
