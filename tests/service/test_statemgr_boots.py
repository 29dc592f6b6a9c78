"""Power cycles, presses, boots by HTTP and set-ups of firmware, from the API to the simulated machine and back."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from protobuf.wkt import FieldMask
from tests.service.statemgr_house import House, bare_house, whole_house

from ubmc.kit.errors import Invalid, NotFound, Refused
from ubmc.v1alpha1 import bios_pb as b
from ubmc.v1alpha1.bios_rpc import BiosService
from ubmc.v1alpha1.host_pb import (
    BootFirmware,
    BootOverride,
    BootOverrideMode,
    BootProgress,
    BootTarget,
    Host,
    HostPowerAction,
    HostState,
    RestartCause,
    UpdateHostRequest,
)
from ubmc.v1alpha1.host_rpc import HostService
from ubmc.v1alpha1.task_pb import TaskState

BIOS = (
    b.BiosAttribute(
        name="BootMode",
        type=b.BiosAttributeType.ENUMERATION,
        default_value="Uefi",
        values=[b.BiosAttributeValue(value="Uefi"), b.BiosAttributeValue(value="Legacy")],
    ),
    b.BiosAttribute(name="Cores", type=b.BiosAttributeType.INTEGER, default_value="8", minimum=1, maximum=8),
)


async def powered(house: House) -> None:
    _, task = await house.change(HostPowerAction.ON)
    await house.task_ends(task)
    await house.os_up()


async def bios(house: House) -> b.Bios:
    shown = (await house.ask(BiosService.GetBios, b.GetBiosRequest(host="host.0"))).bios
    assert shown is not None
    return shown


async def test_a_power_cycle_takes_the_power_and_gives_it_back(tmp_path: Path) -> None:
    async with whole_house(tmp_path) as house:
        host = await house.host()
        assert {HostPowerAction.POWER_CYCLE, HostPowerAction.PUSH_POWER_BUTTON} <= set(host.power_actions)
        assert host.boot_order == [BootTarget.DISK]
        await powered(house)
        before = (await house.control.state())["hosts"]["host.0"]["power_ons"]
        moving, task = await house.change(HostPowerAction.POWER_CYCLE)
        assert moving.state is HostState.RESTARTING
        ended = await house.task_ends(task)
        assert (ended.state, ended.percent_complete) == (TaskState.COMPLETED, 100)
        assert (await house.control.state())["hosts"]["host.0"]["power_ons"] == before + 1
        host = await house.host()
        assert host.state is HostState.ON
        assert host.restart_cause is RestartCause.CHASSIS_CONTROL
        assert host.restart_time is not None


async def test_a_press_powers_on_and_asks_to_shut_down(tmp_path: Path) -> None:
    async with whole_house(tmp_path) as house:
        _, task = await house.change(HostPowerAction.PUSH_POWER_BUTTON)
        await house.task_ends(task)
        await house.os_up()
        _, task = await house.change(HostPowerAction.PUSH_POWER_BUTTON)
        assert (await house.task_ends(task)).state is TaskState.COMPLETED
        assert not await house.has_power()


async def test_the_boot_is_seen_to_go_on(tmp_path: Path) -> None:
    async with whole_house(tmp_path) as house:
        assert (await house.host()).boot_progress is BootProgress.NONE
        await powered(house)
        async with asyncio.timeout(30):
            while (await house.host()).boot_progress is not BootProgress.OS_RUNNING:
                await asyncio.sleep(0.01)
        await house.change(HostPowerAction.FORCE_OFF)
        await house.host_is(HostState.OFF)
        assert (await house.host()).boot_progress is BootProgress.NONE


async def test_a_boot_by_http_loads_what_was_said_with_the_firmware_that_was_said(tmp_path: Path) -> None:
    async with whole_house(tmp_path) as house:
        override = BootOverride(
            mode=BootOverrideMode.ONCE,
            target=BootTarget.HTTP,
            firmware=BootFirmware.LEGACY,
            http_uri="http://192.0.2.9/boot.efi",
        )
        await house.ask(HostService.UpdateHost, UpdateHostRequest(host=Host(name="host.0", boot_override=override)))
        assert (await house.host()).boot_override == override
        await powered(house)
        state = (await house.control.state())["hosts"]["host.0"]
        assert (state["boot_source"], state["boot_firmware"], state["boot_uri"]) == (
            "http", "legacy", "http://192.0.2.9/boot.efi",
        )  # fmt: skip
        left = (await house.host()).boot_override
        assert left == BootOverride(mode=BootOverrideMode.DISABLED, firmware=BootFirmware.LEGACY)
        for uri, problem in (("http://127.0.0.1/x", Refused), ("ftp://192.0.2.9/x", Invalid)):
            override.http_uri = uri
            mask = FieldMask(paths=["boot_override"])
            request = UpdateHostRequest(host=Host(name="host.0", boot_override=override), update_mask=mask)
            with pytest.raises(problem):
                await house.ask(HostService.UpdateHost, request)


async def test_why_it_was_restarted_outlives_statemgr(tmp_path: Path) -> None:
    async with bare_house(tmp_path) as house:
        await house.start_power()
        await house.start_state()
        await house.switched_on()
        before = await house.host()
        await house.stop_state()
        await house.start_state()
        after = await house.host_is(HostState.ON)
        assert after.restart_cause is RestartCause.CHASSIS_CONTROL
        assert after.restart_time == before.restart_time


async def test_a_set_up_is_changed_by_the_next_boot_and_is_kept(tmp_path: Path) -> None:
    async with bare_house(tmp_path) as house:
        await house.start_power()
        await house.start_state(bios=BIOS)
        await house.host_is(HostState.OFF)
        assert (await bios(house)).attributes == {"BootMode": "Uefi", "Cores": "8"}
        request = b.UpdateBiosRequest(host="host.0", attributes={"Cores": "4"})
        await house.ask(BiosService.UpdateBios, request)
        with pytest.raises(Invalid, match="BootMode: has to be one of Uefi, Legacy"):
            wrong = b.UpdateBiosRequest(host="host.0", attributes={"BootMode": "x"})
            await house.ask(BiosService.UpdateBios, wrong)
        await house.stop_state()
        await house.start_state(bios=BIOS)
        await house.host_is(HostState.OFF)
        shown = await bios(house)
        assert (shown.attributes["Cores"], shown.pending) == ("8", {"Cores": "4"})
        await powered(house)
        shown = await bios(house)
        assert (shown.attributes["Cores"], shown.pending, shown.applied_time is not None) == ("4", {}, True)
        await house.hear(b.BiosChange, what="the boot changed Cores")
        await house.ask(BiosService.ResetBios, b.ResetBiosRequest(host="host.0"))
        assert (await bios(house)).pending == {"Cores": "8"}
        await house.ask(BiosService.DiscardBiosChanges, b.DiscardBiosChangesRequest(host="host.0"))
        _, task = await house.change(HostPowerAction.FORCE_RESTART)
        await house.task_ends(task)
        assert (await bios(house)).attributes["Cores"] == "4"
        listed = await house.ask(BiosService.ListBiosAttributes, b.ListBiosAttributesRequest(host="host.0"))
        assert [each.name for each in listed.bios_attributes] == ["BootMode", "Cores"]


async def test_a_host_whose_set_up_cannot_be_reached_says_so(tmp_path: Path) -> None:
    async with whole_house(tmp_path) as house:
        with pytest.raises(NotFound, match="lists no attributes"):
            await bios(house)


async def test_watchers_see_a_set_up_change(tmp_path: Path) -> None:
    async with bare_house(tmp_path) as house:
        await house.start_power()
        await house.start_state(bios=BIOS)
        watch = house.door.watch(BiosService.WatchBios, b.WatchBiosRequest(), house.world.call("olga", seconds=60))
        try:
            async with asyncio.timeout(30):
                assert (await anext(watch)).snapshot
                await house.ask(
                    BiosService.UpdateBios, b.UpdateBiosRequest(host="host.0", attributes={"BootMode": "Legacy"})
                )
                update = await anext(watch)
            assert update.bios is not None
            assert update.bios.pending == {"BootMode": "Legacy"}
        finally:
            await watch.aclose()
