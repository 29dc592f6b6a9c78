"""The boot override from the API to the firmware of the simulated machine, through statemgr, the bus and powermgr."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.service.statemgr_house import House, bare_house, whole_house

from ubmc.kit.errors import Invalid, Refused
from ubmc.v1alpha1.chassis_pb import ChassisIdentifyChange
from ubmc.v1alpha1.host_pb import (
    BootOverride,
    BootOverrideMode,
    BootTarget,
    Host,
    HostPowerAction,
    HostState,
    UpdateHostRequest,
)
from ubmc.v1alpha1.host_rpc import HostService
from ubmc.v1alpha1.internal_pb import DriveHostRequest, WireAction
from ubmc.v1alpha1.internal_rpc import PowerService

ALL = set(BootTarget) - {BootTarget.UNSPECIFIED}


async def override(house: House, mode: BootOverrideMode, target: BootTarget) -> None:
    host = Host(name="host.0", boot_override=BootOverride(mode=mode, target=target))
    await house.ask(HostService.UpdateHost, UpdateHostRequest(host=host))


async def boots(house: House, action: HostPowerAction) -> str:
    """Carry it out; where the boot that follows comes from."""
    _, task = await house.change(action)
    await house.task_ends(task)
    await house.os_up()
    return str((await house.control.state())["hosts"]["host.0"]["boot_source"])


async def test_once_is_for_one_boot(tmp_path: Path) -> None:
    async with whole_house(tmp_path) as house:
        assert set((await house.host()).boot_targets) == ALL
        await override(house, BootOverrideMode.ONCE, BootTarget.CD)
        assert await boots(house, HostPowerAction.ON) == "cd"
        left = (await house.host()).boot_override
        assert left is None or left.mode is BootOverrideMode.DISABLED
        await override(house, BootOverrideMode.ONCE, BootTarget.PXE)
        assert await boots(house, HostPowerAction.FORCE_RESTART) == "pxe"
        assert await boots(house, HostPowerAction.FORCE_RESTART) == "disk"


async def test_continuous_is_for_every_boot_until_it_is_disabled(tmp_path: Path) -> None:
    async with whole_house(tmp_path) as house:
        await override(house, BootOverrideMode.CONTINUOUS, BootTarget.USB)
        assert await boots(house, HostPowerAction.ON) == "usb"
        assert await boots(house, HostPowerAction.FORCE_RESTART) == "usb"
        await override(house, BootOverrideMode.DISABLED, BootTarget.UNSPECIFIED)
        assert await boots(house, HostPowerAction.FORCE_RESTART) == "disk"


async def test_who_begins_to_watch_after_news_hears_of_all_that_the_wires_can_do(tmp_path: Path) -> None:
    async with bare_house(tmp_path) as house:
        await house.start_power()
        await house.start_state()
        await house.host_is(HostState.OFF)
        await house.control.press("front-identify-button")
        await house.hear(ChassisIdentifyChange)
        await house.stop_state()
        await house.start_state()
        host = await house.host_is(HostState.OFF)
        assert set(host.boot_targets) == ALL
        assert host.power_actions


async def test_wires_refuse_a_boot_that_is_none(tmp_path: Path) -> None:
    async with whole_house(tmp_path) as house:
        request = DriveHostRequest(name="host.0", action=WireAction.FORCE_OFF, boot_target=BootTarget.CD)
        with pytest.raises(Refused, match="boots nothing"):
            await house.managers.ask(PowerService.DriveHost, request)
        unknown = DriveHostRequest(name="host.0", action=WireAction.ON, boot_target=BootTarget(77))
        with pytest.raises(Invalid, match="booted from"):
            await house.managers.ask(PowerService.DriveHost, unknown)
        assert not await house.has_power()
