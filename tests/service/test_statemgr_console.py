"""How far a boot has come as the console shows it, where the wires do not tell: statemgr on a real bus."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from tests.service.statemgr_house import House, bare_house

from ubmc.kit.bus import Bus
from ubmc.kit.service import Service
from ubmc.services.ipc.permissions import ProcessSpec
from ubmc.v1alpha1.console_pb import ConsoleSight, ConsoleSighting
from ubmc.v1alpha1.host_pb import BootProgress, HostPowerAction, HostState
from ubmc.v1alpha1.task_pb import TaskState


class Consoles(Service):
    """Tells what the consoles show."""

    name = "consolesrv"
    tells = (ConsoleSighting,)


@contextlib.asynccontextmanager
async def console_house(folder: Path, *, stages: bool) -> AsyncIterator[tuple[House, Bus]]:
    """A host that is off, and who looks at its console; `stages`: the wires tell how far boots come."""
    async with bare_house(folder, ProcessSpec("consolesrv", (Consoles,))) as house:
        await house.start_power(stages=stages)
        await house.start_state()
        await house.host_is(HostState.OFF)
        yield house, await house.world.place("consolesrv", Consoles())


def show(
    bus: Bus, progress: BootProgress, sight: ConsoleSight = ConsoleSight.BOOT_PROGRESS, host: str = "host.0"
) -> None:
    bus.tell(host, ConsoleSighting(name=host, sight=sight, progress=progress, text="as the host likes"))


async def progress_is(house: House, progress: BootProgress) -> None:
    async def so() -> bool:
        return (await house.host()).boot_progress is progress

    await house.until(so, f"the boot has come to {progress.name}")


async def test_a_boot_is_followed_by_its_console_and_begins_anew(tmp_path: Path) -> None:
    async with console_house(tmp_path, stages=False) as (house, consoles):
        await house.switched_on()
        assert (await house.host()).boot_progress is BootProgress.UNSPECIFIED
        show(consoles, BootProgress.OS_BOOT_STARTED)
        await progress_is(house, BootProgress.OS_BOOT_STARTED)
        show(consoles, BootProgress.OS_RUNNING, ConsoleSight.LOGIN_PROMPT)
        await progress_is(house, BootProgress.OS_RUNNING)
        for again in (HostPowerAction.FORCE_RESTART, HostPowerAction.REBOOT):
            _, task = await house.change(again)
            assert (await house.task_ends(task)).state is TaskState.COMPLETED
            assert (await house.host_is(HostState.ON)).boot_progress is BootProgress.UNSPECIFIED, again
            await house.os_up()
            show(consoles, BootProgress.OS_RUNNING, ConsoleSight.LOGIN_PROMPT)
            await progress_is(house, BootProgress.OS_RUNNING)
        await house.change(HostPowerAction.FORCE_OFF)
        await house.host_is(HostState.OFF)
        await progress_is(house, BootProgress.NONE)
        show(consoles, BootProgress.SETUP_ENTERED)  # what is still on the way
        await asyncio.sleep(0.2)
        await house.switched_on()
        assert (await house.host()).boot_progress is BootProgress.UNSPECIFIED


async def test_what_a_host_writes_sets_the_stage_and_nothing_else(tmp_path: Path) -> None:
    async with console_house(tmp_path, stages=False) as (house, consoles):
        await house.switched_on()
        before = await house.host()
        heard = len(house.listener.heard)
        show(consoles, BootProgress.OS_RUNNING, host="host.7")
        show(consoles, BootProgress.UNSPECIFIED, ConsoleSight.PANIC)
        show(consoles, BootProgress.SETUP_ENTERED)
        await progress_is(house, BootProgress.SETUP_ENTERED)
        after = await house.host()
        after.boot_progress, after.power_on_time = before.boot_progress, before.power_on_time
        assert after == before
        assert house.listener.heard[heard:] == []


async def test_wires_that_tell_are_believed_and_no_console(tmp_path: Path) -> None:
    async with console_house(tmp_path, stages=True) as (house, consoles):
        await house.switched_on()
        await progress_is(house, BootProgress.OS_RUNNING)
        show(consoles, BootProgress.SETUP_ENTERED)
        await asyncio.sleep(0.3)
        assert (await house.host()).boot_progress is BootProgress.OS_RUNNING
