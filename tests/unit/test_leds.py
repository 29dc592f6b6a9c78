"""Lights: the sysfs driver against a fake tree, and the line driver over a line whose waiting is by hand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from ubmc.hw.gpio.port import OutputLine, Release
from ubmc.hw.leds.line import LineLed
from ubmc.hw.leds.linux import SysfsLed
from ubmc.hw.leds.port import Blink, Steady
from ubmc.kit.errors import Invalid, Unavailable


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A tree as the kernel shows it: attributes are there before anybody writes them."""
    folder = tmp_path / "green:power"
    folder.mkdir()
    for name, content in {
        "brightness": "0\n",
        "max_brightness": "255\n",
        "trigger": "none [heartbeat] timer default-on\n",
        "delay_on": "500\n",
        "delay_off": "500\n",
    }.items():
        (folder / name).write_text(content)
    return folder


@asynccontextmanager
async def sysfs_led(tree: Path) -> AsyncIterator[SysfsLed]:
    led = SysfsLed("power-led", tree.name, root=tree.parent)
    try:
        yield led
    finally:
        await led.close()


def attributes(tree: Path, *names: str) -> list[str]:
    return [(tree / name).read_text() for name in names]


async def test_sysfs_steady_takes_the_trigger_away_and_lights_fully(tree: Path) -> None:
    async with sysfs_led(tree) as led:
        await led.set(Steady.ON)
        assert attributes(tree, "trigger", "brightness") == ["none", "255"]
        (tree / "trigger").write_text("[none] heartbeat timer\n")  # as the kernel shows it then
        await led.set(Steady.OFF)
        assert attributes(tree, "trigger", "brightness") == ["[none] heartbeat timer\n", "0"]


async def test_sysfs_blink_is_left_to_the_kernel(tree: Path) -> None:
    async with sysfs_led(tree) as led:
        await led.set(Blink(0.25, 1.75))
    assert attributes(tree, "trigger", "delay_on", "delay_off") == ["timer", "250", "1750"]


async def test_sysfs_blink_that_is_under_way_is_not_begun_anew(tree: Path) -> None:
    (tree / "trigger").write_text("none [timer]\n")
    (tree / "delay_on").write_text("500 \n")  # with what the kernel may put around it
    async with sysfs_led(tree) as led:
        await led.set(Blink(0.5, 0.125))
    assert attributes(tree, "trigger", "delay_on", "delay_off") == ["none [timer]\n", "500 \n", "125"]


@pytest.mark.parametrize("triggers", [None, "[none] heartbeat\n"])
async def test_sysfs_blinks_by_itself_where_the_kernel_cannot(tree: Path, triggers: str | None) -> None:
    if triggers is None:  # a kernel without CONFIG_LEDS_TRIGGERS
        (tree / "trigger").unlink()
    else:
        (tree / "trigger").write_text(triggers)
    clock = Clock()
    led = SysfsLed("power-led", tree.name, root=tree.parent, sleep=clock.sleep)
    await led.set(Blink(0.3, 0.7))
    seen = attributes(tree, "brightness")
    for _ in range(3):
        await clock.tick_slowly()
        seen += attributes(tree, "brightness")
    assert seen == ["255", "0", "255", "0"]
    await led.set(Blink(0.3, 0.7))  # nothing new
    await clock.tick_slowly()
    assert attributes(tree, "brightness") == ["255"]
    assert clock.asked == [0.3, 0.7, 0.3, 0.7, 0.3]
    await led.close()
    assert attributes(tree, "brightness") == ["0"]
    assert (tree / "trigger").exists() == (triggers is not None)


async def test_sysfs_steady_ends_our_own_blinking(tree: Path) -> None:
    (tree / "trigger").unlink()
    clock = Clock()
    led = SysfsLed("power-led", tree.name, root=tree.parent, sleep=clock.sleep)
    await led.set(Blink(0.3, 0.7))
    await clock.tick_slowly()
    await led.set(Steady.ON)
    await led.close()
    assert attributes(tree, "brightness") == ["255"]


async def test_sysfs_light_that_is_not_there(tmp_path: Path) -> None:
    led = SysfsLed("power-led", "nowhere", root=tmp_path)
    with pytest.raises(Unavailable, match="nowhere/"):
        await led.set(Steady.ON)
    await led.close()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("seconds", [0.0, -1.0, 0.019, 61.0, float("nan")])
def test_blink_has_a_range(seconds: float) -> None:
    with pytest.raises(Invalid, match="20 ms"):
        Blink(seconds, 0.5)
    with pytest.raises(Invalid, match="20 ms"):
        Blink(0.5, seconds)


class Lamp(OutputLine):
    """The electrical end of a line: remembers what it was driven to."""

    def __init__(self) -> None:
        self.levels: list[bool] = []
        self.broken = False
        self.opened = 0
        self.closed = True

    async def open(self) -> OutputLine:
        assert self.closed, "the line is open already"
        self.closed = False
        self.opened += 1
        return self

    @property
    def name(self) -> str:
        return "lamp"

    async def set(self, *, active: bool) -> None:
        assert not self.closed
        if self.broken:
            raise Unavailable("the wire is cut")
        self.levels.append(active)

    def release(self) -> Release:
        raise NotImplementedError

    async def close(self) -> None:
        self.closed = True


class Clock:
    """Time that passes when the test says so."""

    def __init__(self) -> None:
        self.asked: list[float] = []
        self._waiting: asyncio.Future[None] | None = None

    async def sleep(self, seconds: float) -> None:
        self.asked.append(seconds)
        self._waiting = asyncio.get_running_loop().create_future()
        await self._waiting

    async def tick(self) -> None:
        while self._waiting is None:
            await asyncio.sleep(0)
        self._waiting.set_result(None)
        self._waiting = None
        while self._waiting is None:
            await asyncio.sleep(0)

    async def tick_slowly(self) -> None:
        """As `tick`, for what is done in a thread."""
        while self._waiting is None:
            await asyncio.sleep(0.001)
        self._waiting.set_result(None)
        self._waiting = None
        async with asyncio.timeout(30):
            while self._waiting is None:
                await asyncio.sleep(0.001)


async def test_line_steady() -> None:
    lamp = Lamp()
    led = LineLed("power-led", lamp.open)
    await led.set(Steady.ON)
    await led.set(Steady.OFF)
    await led.set(Steady.ON)
    await led.close()
    assert lamp.levels == [True, False, True]  # a steady light stays as it is
    assert lamp.closed


async def test_line_blinks_in_turn_and_ends_dark() -> None:
    lamp, clock = Lamp(), Clock()
    led = LineLed("power-led", lamp.open, sleep=clock.sleep)
    await led.set(Blink(0.3, 0.7))
    for _ in range(3):
        await clock.tick()
    assert lamp.levels == [True, False, True, False]
    assert clock.asked == [0.3, 0.7, 0.3, 0.7]
    await clock.tick()
    await led.close()
    assert lamp.levels[-2:] == [True, False]


async def test_line_that_blinks_so_already_blinks_on() -> None:
    lamp, clock = Lamp(), Clock()
    led = LineLed("power-led", lamp.open, sleep=clock.sleep)
    await led.set(Blink(0.3, 0.7))
    await clock.tick()
    await led.set(Blink(0.3, 0.7))
    await clock.tick()
    assert lamp.levels == [True, False, True]
    await led.set(Blink(0.1, 0.7))
    assert lamp.levels == [True, False, True, True]
    await led.close()


async def test_line_steady_ends_the_blinking() -> None:
    lamp, clock = Lamp(), Clock()
    led = LineLed("power-led", lamp.open, sleep=clock.sleep)
    await led.set(Blink(0.3, 0.7))
    await clock.tick()
    await led.set(Steady.ON)
    for _ in range(20):
        await asyncio.sleep(0)
    assert lamp.levels == [True, False, True]
    await led.close()
    assert lamp.levels == [True, False, True]


async def test_line_that_fails_is_told_of_once_and_blinks_again(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "ubmc.leds")
    lamp, clock = Lamp(), Clock()
    led = LineLed("power-led", lamp.open, sleep=clock.sleep)
    await led.set(Blink(0.3, 0.7))
    lamp.broken = True
    for _ in range(3):
        await clock.tick()
    lamp.broken = False
    await clock.tick()
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
    assert lamp.levels == [True, True]
    assert lamp.opened == 4  # once, and anew after each failure
    await led.close()
    assert lamp.closed


async def test_line_that_does_not_obey_is_an_error() -> None:
    lamp = Lamp()
    lamp.broken = True
    led = LineLed("power-led", lamp.open)
    with pytest.raises(Unavailable, match="the wire is cut"):
        await led.set(Blink(0.5, 0.5))
    await led.close()
    assert lamp.closed
