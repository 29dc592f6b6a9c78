"""The contract of `ubmc.hw.power.port.Power`, which every power driver keeps."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import importlib.util
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from tests.contract import power_sim
from tests.contract.power_rig import BootRig, Factory, Rig

from ubmc.hw.power.port import Action, Boot, BootFirmware, BootTarget, Level, News, Power, Sight
from ubmc.kit.errors import Refused, UbmcError, Unavailable

Run = Callable[[Callable[[Rig], Awaitable[None]]], None]


def _factories() -> list[Factory]:
    found: list[Factory] = list(power_sim.FACTORIES)
    for kind in ("rig_qemu", "rig_linux"):
        name = f"tests.contract.{kind}"
        if importlib.util.find_spec(name) is not None:
            found += importlib.import_module(name).FACTORIES
    return found


FACTORIES = _factories()
LOSABLE = [factory for factory in FACTORIES if factory.can_lose]


@pytest.fixture(params=FACTORIES, ids=lambda factory: factory.name)
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Run:
    factory: Factory = request.param
    return lambda body: factory.run(body, tmp_path)


@contextlib.asynccontextmanager
async def opened(rig: Rig) -> AsyncIterator[Power]:
    power = rig.driver()
    for release in await power.open():
        os.close(release.fd)
    try:
        yield power
    finally:
        await power.close()


async def seen(rig: Rig, sights: AsyncIterator[Sight], wanted: Level | News) -> list[Sight]:
    """What is seen up to and with `wanted`."""
    found: list[Sight] = []
    async with asyncio.timeout(rig.patience_seconds):
        async for sight in sights:
            found.append(sight)
            if wanted in (sight.level, sight.news):
                return found
    raise AssertionError(f"the watch ended without {wanted}: {found}")


async def until(rig: Rig, condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(rig.patience_seconds):
        while not await condition():
            await asyncio.sleep(0.02)


async def turn_on(rig: Rig, power: Power) -> AsyncIterator[Sight]:
    sights = power.watch()
    await seen(rig, sights, Level.OFF)
    await power.do(Action.ON)
    await seen(rig, sights, Level.ON)
    return sights


def test_open_changes_no_power(run: Run) -> None:
    async def body(rig: Rig) -> None:
        async with opened(rig) as power:
            assert await anext(power.watch()) == Sight(Level.OFF)
            assert not await rig.is_on()
            assert await rig.asserted() == frozenset()

    run(body)


def test_first_sight_is_the_level_now_for_each_of_two_watchers(run: Run) -> None:
    async def body(rig: Rig) -> None:
        async with opened(rig) as power:
            early = await turn_on(rig, power)
            late = power.watch()
            assert (await anext(late)).level is Level.ON
            await power.do(Action.FORCE_OFF)
            assert (await seen(rig, early, Level.OFF))[-1].level is Level.OFF
            assert (await seen(rig, late, Level.OFF))[-1].level is Level.OFF

    run(body)


def test_on_then_forced_off(run: Run) -> None:
    async def body(rig: Rig) -> None:
        async with opened(rig) as power:
            sights = await turn_on(rig, power)
            assert await rig.is_on()
            assert await rig.asserted() == frozenset()
            await power.do(Action.FORCE_OFF)
            await seen(rig, sights, Level.OFF)
            assert not await rig.is_on()
            assert await rig.asserted() == frozenset()

    run(body)


def test_soft_off_is_the_guests_to_do(run: Run) -> None:
    async def body(rig: Rig) -> None:
        async with opened(rig) as power:
            sights = await turn_on(rig, power)
            await rig.os_up()
            await power.do(Action.SOFT_OFF)
            await seen(rig, sights, Level.OFF)
            assert not await rig.is_on()

    run(body)


def test_a_hung_host_stays_on_after_soft_off_and_goes_off_by_force(run: Run) -> None:
    async def body(rig: Rig) -> None:
        async with opened(rig) as power:
            sights = await turn_on(rig, power)
            await rig.os_up()
            await rig.hang()
            await power.do(Action.SOFT_OFF)
            await asyncio.sleep(rig.soft_off_seconds)
            assert await rig.is_on()
            await power.do(Action.FORCE_OFF)
            await seen(rig, sights, Level.OFF)
            assert not await rig.is_on()

    run(body)


def test_reset_leaves_the_power_on(run: Run) -> None:
    async def body(rig: Rig) -> None:
        async with opened(rig) as power:
            sights = await turn_on(rig, power)
            await rig.os_up()
            await power.do(Action.RESET)
            assert await rig.is_on()
            await rig.os_up()
            assert (await anext(power.watch())).level is Level.ON
            await power.do(Action.FORCE_OFF)
            levels = {sight.level for sight in await seen(rig, sights, Level.OFF)}
            assert Level.UNKNOWN not in levels

    run(body)


@pytest.mark.parametrize("action", [Action.SOFT_OFF, Action.RESET, Action.NMI])
def test_refused_while_off(run: Run, action: Action) -> None:
    async def body(rig: Rig) -> None:
        async with opened(rig) as power:
            with pytest.raises(Refused, match="off"):
                await power.do(action)
            assert not await rig.is_on()

    run(body)


def test_on_is_refused_while_on_and_forced_off_is_nothing_while_off(run: Run) -> None:
    async def body(rig: Rig) -> None:
        async with opened(rig) as power:
            await power.do(Action.FORCE_OFF)
            assert not await rig.is_on()
            await turn_on(rig, power)
            with pytest.raises(Refused, match="on"):
                await power.do(Action.ON)
            assert await rig.is_on()

    run(body)


async def boots_from(rig: BootRig, target: BootTarget) -> None:
    async def so() -> bool:
        return await rig.booted_from() is target

    await until(rig, so)


@contextlib.asynccontextmanager
async def opened_to_boot(rig: Rig) -> AsyncIterator[tuple[Power, BootRig] | None]:
    """The driver, if it can choose boots; None if it cannot, and says so."""
    async with opened(rig) as power:
        if isinstance(rig, BootRig):
            assert {BootTarget.DISK, BootTarget.CD} <= power.boot_targets
            yield power, rig
            return
        assert power.boot_targets == frozenset()
        with pytest.raises(Refused, match="set that in its firmware"):
            await power.do(Action.ON, boot=Boot(BootTarget.CD))
        assert not await rig.is_on()
        yield None


def test_every_target_is_booted_from_once_and_then_the_own_order_holds_again(run: Run) -> None:
    async def body(bare: Rig) -> None:
        async with opened_to_boot(bare) as able:
            if able is None:
                return
            power, rig = able
            await turn_on(rig, power)
            await boots_from(rig, BootTarget.DISK)
            for target in power.boot_targets - {BootTarget.DISK}:
                await power.do(Action.RESET, boot=Boot(target))
                await boots_from(rig, target)
                await power.do(Action.RESET)
                await boots_from(rig, BootTarget.DISK)

    run(body)


def test_a_power_on_boots_from_a_target_and_the_guests_own_restart_does_not(run: Run) -> None:
    async def body(bare: Rig) -> None:
        async with opened_to_boot(bare) as able:
            if able is None:
                return
            power, rig = able
            sights = power.watch()
            await seen(rig, sights, Level.OFF)
            await power.do(Action.ON, boot=Boot(BootTarget.CD))
            await boots_from(rig, BootTarget.CD)
            await rig.os_up()
            await rig.guest_reset()
            await boots_from(rig, BootTarget.DISK)
            await rig.os_up()
            await rig.guest_shutdown()
            await seen(rig, sights, Level.OFF)
            await power.do(Action.ON, boot=Boot(BootTarget.CD))  # of a virtual machine the process is still there
            await boots_from(rig, BootTarget.CD)
            await power.do(Action.FORCE_OFF)
            await seen(rig, sights, Level.OFF)
            await power.do(Action.ON)
            await boots_from(rig, BootTarget.DISK)

    run(body)


def test_the_firmware_interface_alone_can_be_chosen_and_the_own_order_holds(run: Run) -> None:
    async def body(bare: Rig) -> None:
        async with opened_to_boot(bare) as able:
            if able is None:
                return
            power, rig = able

            async def is_off() -> bool:
                return not await rig.is_on()

            assert power.boot_order[0] is BootTarget.DISK
            assert power.boot_firmwares
            for firmware in power.boot_firmwares:
                await power.do(Action.ON, boot=Boot(firmware=firmware))
                await boots_from(rig, BootTarget.DISK)
                await power.do(Action.FORCE_OFF)
                await until(rig, is_off)

    run(body)


def test_a_boot_that_cannot_be_chosen_is_refused(run: Run) -> None:
    async def body(rig: Rig) -> None:
        async with opened(rig) as power:
            for target in frozenset(BootTarget) - power.boot_targets:
                with pytest.raises(Refused, match="boot"):
                    await power.do(Action.ON, boot=Boot(target))
            for firmware in frozenset(BootFirmware) - power.boot_firmwares:
                with pytest.raises(Refused, match="boot"):
                    await power.do(Action.ON, boot=Boot(firmware=firmware))
            with pytest.raises(Refused, match="boots nothing"):
                await power.do(Action.FORCE_OFF, boot=Boot(BootTarget.DISK))
            assert not await rig.is_on()

    run(body)


def test_the_guest_powers_itself_off(run: Run) -> None:
    async def body(rig: Rig) -> None:
        async with opened(rig) as power:
            sights = await turn_on(rig, power)
            await rig.os_up()
            await rig.guest_shutdown()
            found = await seen(rig, sights, Level.OFF)
            if News.GUEST_SHUTDOWN in rig.news:
                assert News.GUEST_SHUTDOWN in {sight.news for sight in found}
            assert not await rig.is_on()

    run(body)


def test_close_leaves_the_power_alone_and_the_next_driver_finds_it(run: Run) -> None:
    async def body(rig: Rig) -> None:
        async with opened(rig) as power:
            sights = await turn_on(rig, power)
        async with asyncio.timeout(rig.patience_seconds):
            assert {sight.level async for sight in sights} <= {Level.ON}
        assert await rig.is_on()
        async with opened(rig) as power:
            assert await anext(power.watch()) == Sight(Level.ON)
            assert await rig.is_on()

    run(body)


def test_a_cancelled_caller_leaves_no_line_active(run: Run) -> None:
    async def body(rig: Rig) -> None:
        async with opened(rig) as power:
            sights = power.watch()
            await seen(rig, sights, Level.OFF)
            caller = asyncio.create_task(power.do(Action.ON))
            await asyncio.sleep(0.01)
            caller.cancel()
            await asyncio.wait([caller])

            async def released() -> bool:
                return not await rig.asserted()

            await until(rig, released)

    run(body)


def test_actions_at_once_are_serialised(run: Run) -> None:
    async def body(rig: Rig) -> None:
        async with opened(rig) as power:
            sights = await turn_on(rig, power)
            await rig.os_up()
            await rig.hang()
            both = await asyncio.gather(
                power.do(Action.SOFT_OFF),
                power.do(Action.FORCE_OFF),
                power.do(Action.FORCE_OFF),
                return_exceptions=True,
            )
            # A soft shutdown may come too late and be refused; forced ones always work.
            assert (both[1], both[2]) == (None, None)
            await seen(rig, sights, Level.OFF)
            assert not await rig.is_on()
            assert await rig.asserted() == frozenset()

    run(body)


@pytest.mark.parametrize("run", LOSABLE, ids=lambda factory: factory.name, indirect=True)
def test_unreachable_is_unknown_until_it_is_back(run: Run) -> None:
    async def body(rig: Rig) -> None:
        async with opened(rig) as power:
            sights = await turn_on(rig, power)
            await rig.lose()
            await seen(rig, sights, Level.UNKNOWN)
            with pytest.raises((Unavailable, Refused)):
                await power.do(Action.RESET)
            await rig.find()
            await seen(rig, sights, Level.ON)
            assert await rig.is_on()
            await power.do(Action.FORCE_OFF)
            await seen(rig, sights, Level.OFF)

    run(body)


def test_closed_drivers_do_nothing(run: Run) -> None:
    async def body(rig: Rig) -> None:
        async with opened(rig) as power:
            pass
        with pytest.raises(UbmcError):
            await power.do(Action.ON)
        assert not await rig.is_on()

    run(body)


def test_mains_epoch_is_the_same_for_the_next_driver(run: Run) -> None:
    async def body(rig: Rig) -> None:
        async with opened(rig) as power:
            before = await power.mains_epoch()
        async with opened(rig) as power:
            assert await power.mains_epoch() == before

    run(body)
