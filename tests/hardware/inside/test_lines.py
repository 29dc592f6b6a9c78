"""`LinuxLines` on the kernel's GPIO character device; what it does is read on the other side of the wire."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator

import gpiod
import pytest
from tests.hardware.gpio_sim import GpioSim, gpio_sim
from tests.hardware.wires import HELD, LINES

from ubmc.hw.gpio.linux import LinuxLines
from ubmc.hw.gpio.linux_line import LinuxOutput
from ubmc.hw.gpio.port import How, InputLine
from ubmc.kit.errors import Busy, Invalid, NotFound, Refused, Unavailable

PATIENCE_SECONDS = 5.0
RELEASE = """
import sys
from ubmc.hw.gpio.linux_line import LinuxOutput
from ubmc.hw.gpio.port import How, Release
Release("a line", How.GPIO_V2, int(sys.argv[1])).drive_inactive()
"""


@pytest.fixture
async def lines(chip: GpioSim) -> AsyncIterator[LinuxLines]:
    assert chip.there
    opened = LinuxLines()
    yield opened
    await opened.close()


async def expect(watch: AsyncIterator[bool], *levels: bool) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        for level in levels:
            assert await anext(watch) is level


@pytest.mark.parametrize("active_low", [False, True])
async def test_output_by_name(chip: GpioSim, lines: LinuxLines, active_low: bool) -> None:
    chip.pull("power-button-0", high=active_low)
    line = await lines.output("power-button-0", active_low=active_low)
    assert chip.is_high("power-button-0") is active_low
    for active in (True, False, True):
        await line.set(active=active)
        assert chip.is_high("power-button-0") is (active is not active_low)
    await line.close()
    assert chip.is_high("power-button-0") is active_low


@pytest.mark.parametrize("called", ["name", "label"])
async def test_output_by_chip_and_offset(chip: GpioSim, lines: LinuxLines, called: str) -> None:
    offset = len(LINES) - 1
    line = await lines.output(f"{getattr(chip, called)}:{offset}")
    await line.set(active=True)
    assert chip.is_high(offset)
    assert not any(chip.is_high(other) for other in ("power-button-0", "nmi-button-0"))


async def test_the_kernel_says_whose_a_line_is(chip: GpioSim, lines: LinuxLines) -> None:
    await lines.output("power-button-0")
    with gpiod.Chip(f"/dev/{chip.name}") as device:
        info = device.get_line_info(0)
        assert (info.used, info.consumer) == (True, "ubmc")
    other = LinuxLines()
    try:
        with pytest.raises(Busy, match="held by ubmc"):
            await other.output("power-button-0")
        with pytest.raises(Busy, match="held by ubmc"):
            await other.input(f"{chip.name}:0")
    finally:
        await other.close()


async def test_a_line_of_somebody_else_is_busy_until_given_back(chip: GpioSim, lines: LinuxLines) -> None:
    with (
        gpiod.request_lines(f"/dev/{chip.name}", {0: None}, consumer="somebody"),
        pytest.raises(Busy, match="held by somebody"),
    ):
        await lines.output("power-button-0")
    await (await lines.output("power-button-0")).set(active=True)
    assert chip.is_high("power-button-0")


async def test_names_that_do_not_say_which_line(chip: GpioSim, lines: LinuxLines) -> None:
    with pytest.raises(NotFound, match="did you mean power-button-0"):
        await lines.output("power-buton-0")
    with pytest.raises(NotFound, match="board"):
        await lines.input(f"{chip.name}:{len(LINES)}")
    # A chip that comes later is found, and takes the certainty away.
    with gpio_sim("expander", ["", HELD]) as second:
        await (await lines.output("expander:0")).set(active=True)
        assert second.is_high(0)
        with pytest.raises(Invalid, match=rf"board:{LINES.index(HELD)} and expander:1"):
            await lines.output(HELD)
        await lines.close()


@pytest.mark.parametrize("active_low", [False, True])
async def test_input_follows_the_wire(chip: GpioSim, lines: LinuxLines, active_low: bool) -> None:
    chip.pull("power-good-0", high=active_low)
    line = await lines.input("power-good-0", active_low=active_low)
    watch = line.watch()
    await expect(watch, False)
    for active in (True, False, True):
        chip.pull("power-good-0", high=active is not active_low)
        await expect(watch, active)
        assert await line.get() is active
    with pytest.raises(Busy):
        await anext(line.watch())
    await lines.close()
    assert [level async for level in watch] == []


async def test_pulses_that_are_over_before_anybody_looks_are_seen(chip: GpioSim, lines: LinuxLines) -> None:
    line = await lines.input("front-power-button")
    watch = line.watch()
    await expect(watch, False)
    for high in (True, False, True, False):
        chip.pull("front-power-button", high=high)
        time.sleep(0.1)  # the loop stands still, the kernel does not
    await expect(watch, True, False, True, False)


async def test_edges_that_the_kernel_lost_leave_no_wrong_level(chip: GpioSim, lines: LinuxLines) -> None:
    line = await lines.input("front-power-button")
    watch = line.watch()
    await expect(watch, False)
    for number in range(101):  # it keeps 16, and makes one of those that come at once
        chip.pull("front-power-button", high=number % 2 == 0)
    seen: list[bool] = []
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(0.5):
            while True:
                seen.append(await anext(watch))
    assert seen[-1] is True
    assert await line.get() is True


async def test_debounce_swallows_what_is_shorter(chip: GpioSim, lines: LinuxLines) -> None:
    line = await lines.input("front-power-button", debounce_seconds=0.3)
    watch = line.watch()
    await expect(watch, False)
    started = asyncio.get_running_loop().time()
    for high in (True, False, True, False, True):
        chip.pull("front-power-button", high=high)
    await expect(watch, True)
    assert asyncio.get_running_loop().time() - started >= 0.3
    for high in (False, True):
        chip.pull("front-power-button", high=high)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1.0):
            await anext(watch)


@pytest.mark.parametrize("active_low", [False, True])
async def test_another_process_drives_a_line_inactive(chip: GpioSim, lines: LinuxLines, active_low: bool) -> None:
    chip.pull("power-button-0", high=active_low)
    line = await lines.output("power-button-0", active_low=active_low)
    await line.set(active=True)
    release = line.release()
    assert release.how is How.GPIO_V2
    assert chip.is_high("power-button-0") is not active_low
    other = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", RELEASE, str(release.fd)], pass_fds=[release.fd], check=False
    )
    assert other.returncode == 0
    assert chip.is_high("power-button-0") is active_low
    await line.set(active=True)
    assert chip.is_high("power-button-0") is not active_low
    # Whoever keeps a duplicate keeps the line.
    await line.close()
    assert chip.is_high("power-button-0") is active_low
    with pytest.raises(Busy):
        await lines.output("power-button-0")
    os.close(release.fd)
    await lines.output("power-button-0", active_low=active_low)


async def test_held_line_keeps_its_level_until_set(chip: GpioSim, lines: LinuxLines) -> None:
    chip.pull(HELD, high=True)
    line = await lines.output(HELD, momentary=False)
    assert chip.is_high(HELD)
    with pytest.raises(Refused):
        line.release()
    await line.set(active=False)
    assert not chip.is_high(HELD)
    await line.set(active=True)
    assert chip.is_high(HELD)


@pytest.mark.parametrize("pulled_up", [False, True])
async def test_what_a_held_line_does_afterwards_is_its_chips_to_say(
    chip: GpioSim, lines: LinuxLines, pulled_up: bool
) -> None:
    chip.pull(HELD, high=pulled_up)
    line = await lines.output(HELD, momentary=False)
    assert isinstance(line, LinuxOutput)
    await line.set(active=not pulled_up)
    kept = os.dup(line.request.fd)
    await line.close()
    assert chip.is_high(HELD) is not pulled_up
    os.close(kept)
    # gpio-sim floats a line that nobody has any more; other chips may keep driving it.
    assert chip.is_high(HELD) is pulled_up


async def watching_fails(line: InputLine) -> None:
    async for _level in line.watch():
        pass


async def test_a_chip_that_goes_away_is_unavailable_and_found_again(chip: GpioSim, lines: LinuxLines) -> None:
    output = await lines.output("power-button-0")
    watching = asyncio.create_task(watching_fails(await lines.input("power-good-0")))
    await asyncio.sleep(0.1)
    chip.vanish()
    with pytest.raises(Unavailable):
        await output.set(active=True)
    with pytest.raises(Unavailable):
        async with asyncio.timeout(PATIENCE_SECONDS):
            await watching
    with pytest.raises(Unavailable):
        await output.close()
    with pytest.raises(Unavailable):
        await lines.output("power-button-0")
    chip.appear()
    await (await lines.output("power-button-0")).set(active=True)
    assert chip.is_high("power-button-0")
