"""Power cycles, presses of the power button, and why a host was started last, on virtual time."""

from __future__ import annotations

import asyncio

import pytest
from protobuf.wkt import Duration, FieldMask
from tests.unit.statemgr_world import OFF, OLGA, ON, UNKNOWN, World, play, state_of

from ubmc.kit.errors import Busy, Refused
from ubmc.services.statemgr.host import HostRequest
from ubmc.services.statemgr.restart import cause_of
from ubmc.services.statemgr.store import HostMemory
from ubmc.v1alpha1.host_pb import (
    BootFirmware,
    BootOverride,
    BootOverrideMode,
    BootTarget,
    Cause,
    Host,
    HostNewsKind,
    HostPowerAction,
    HostState,
    HostWatchdog,
    RestartCause,
    RestorePolicy,
    WatchdogAction,
    WatchdogPretimeoutAction,
    WatchdogUse,
)
from ubmc.v1alpha1.internal_pb import WireAction
from ubmc.v1alpha1.task_pb import TaskState


def why(world: World) -> RestartCause:
    return world.host.message().restart_cause


def test_power_stays_off_for_as_long_as_the_board_needs() -> None:
    async def body(world: World) -> None:
        await world.see(ON)
        task = await world.request(HostRequest.FORCE_CYCLE)
        await world.see(OFF)
        await asyncio.sleep(0.9)
        assert world.actions == [WireAction.FORCE_OFF]
        assert world.state() is HostState.RESTARTING
        await asyncio.sleep(0.2)
        assert world.actions == [WireAction.FORCE_OFF, WireAction.ON]
        assert state_of(task) is TaskState.RUNNING
        await world.see(ON)
        assert state_of(task) is TaskState.COMPLETED
        assert world.state() is HostState.ON
        assert why(world) is RestartCause.CHASSIS_CONTROL
        assert world.failures() == []

    play(body)


def test_forced_off_during_the_pause_is_obeyed_and_nothing_powers_on_after_it() -> None:
    async def body(world: World) -> None:
        await world.see(ON)
        cycle = await world.request(HostRequest.FORCE_CYCLE)
        await world.see(OFF)
        off = await world.request(HostRequest.FORCE_OFF)
        await asyncio.sleep(5)
        assert state_of(cycle) is TaskState.CANCELLED
        assert state_of(off) is TaskState.COMPLETED
        assert WireAction.ON not in world.actions
        assert world.state() is HostState.OFF

    play(body)


def test_power_cycle_that_a_restart_of_ours_cut_in_two_is_told() -> None:
    async def body(world: World) -> None:
        await world.see(OFF)
        assert [failure.action for failure in world.failures()] == [HostPowerAction.POWER_CYCLE]
        assert "power cycle was interrupted" in world.failures()[0].advice

    play(body, HostMemory(pending=HostRequest.FORCE_CYCLE))


def test_a_press_does_what_the_front_button_does() -> None:
    async def body(world: World) -> None:
        await world.see(UNKNOWN)
        with pytest.raises(Refused, match="cannot be read"):
            world.host.push_button(OLGA)
        await world.see(OFF)
        world.host.push_button(OLGA)
        with pytest.raises(Busy):
            world.host.push_button(OLGA)
        await world.see(ON)
        world.host.push_button(OLGA)
        await asyncio.sleep(0.01)
        assert world.actions == [WireAction.ON, WireAction.SOFT_OFF]

    play(body)


def test_what_started_a_host_is_kept() -> None:
    async def body(world: World) -> None:
        await world.see(ON)
        assert why(world) is RestartCause.UNSPECIFIED  # it was found on
        await world.see(ON, HostNewsKind.GUEST_RESET)
        assert why(world) is RestartCause.SOFT_RESET
        assert world.boots == 1
        await world.see(OFF, HostNewsKind.GUEST_SHUTDOWN)
        await world.see(OFF, HostNewsKind.BUTTON_PRESSED)
        await asyncio.sleep(0.01)
        await world.see(ON)
        assert why(world) is RestartCause.POWER_BUTTON
        await world.request(HostRequest.FORCE_RESTART)
        assert why(world) is RestartCause.CHASSIS_CONTROL
        assert world.boots == 3
        await world.host.keep()
        assert world.kept[-1].restart_cause is RestartCause.CHASSIS_CONTROL
        assert world.kept[-1].restart_time_us > 0

    play(body)


def test_a_host_that_is_wired_to_its_button_tells_by_it_why_it_came_up() -> None:
    async def body(world: World) -> None:
        await world.see(OFF)
        await world.see(OFF, HostNewsKind.BUTTON_PRESSED)
        await asyncio.sleep(2)
        await world.see(ON)
        assert why(world) is RestartCause.POWER_BUTTON
        await world.see(OFF)
        await asyncio.sleep(100)
        await world.see(ON)
        assert why(world) is RestartCause.UNKNOWN

    play(body, front_wired=True)


@pytest.mark.parametrize(
    ("policy", "cause"),
    [
        (RestorePolicy.ALWAYS_ON, RestartCause.RESTORE_ALWAYS_ON),
        (RestorePolicy.LAST_STATE, RestartCause.RESTORE_LAST_STATE),
    ],
)
def test_power_that_is_restored_says_by_which_policy(policy: RestorePolicy, cause: RestartCause) -> None:
    async def body(world: World) -> None:
        await world.see(ON, epoch="a:1")
        await world.host.update(Host(name="host.0", restore_policy=policy), None)
        await world.see(OFF, epoch="a:1!")
        await world.see(OFF, epoch="a:2")
        await asyncio.sleep(0.01)
        await world.see(ON)
        assert why(world) is cause

    play(body)


def test_what_happens_after_a_loss_of_mains_is_shown_though_nobody_said_it() -> None:
    async def body(world: World) -> None:
        shown = world.host.message()
        assert shown.restore_policy is RestorePolicy.UNSPECIFIED
        assert shown.effective_restore_policy is RestorePolicy.LAST_STATE
        await world.host.update(Host(name="host.0", restore_policy=RestorePolicy.ALWAYS_ON), None)
        assert world.host.message().effective_restore_policy is RestorePolicy.ALWAYS_ON

    play(body)


def test_a_host_that_ignores_its_shutdown_was_not_restarted() -> None:
    async def body(world: World) -> None:
        await world.see(ON)
        await world.request(HostRequest.GRACEFUL_OFF)
        await asyncio.sleep(400)
        assert world.state() is HostState.ON
        assert why(world) is RestartCause.UNSPECIFIED

    play(body)


def test_why_is_known_of_the_end_of_a_start_only() -> None:
    from ubmc.services.statemgr.host import HostPhase

    def of(before: HostPhase, after: HostPhase) -> RestartCause | None:
        return cause_of(before, after, None, Cause(kind="hardware"), RestorePolicy.ALWAYS_OFF, pressed=False)

    assert of(HostPhase.ON, HostPhase.ON) is None
    assert of(HostPhase.OFF, HostPhase.POWERING_ON) is None
    assert of(HostPhase.OFF, HostPhase.ON) is RestartCause.UNKNOWN


def test_watchdog_warns_before_it_expires_and_remembers_its_use() -> None:
    async def body(world: World) -> None:
        await world.see(ON)
        watchdog = HostWatchdog(
            running=True,
            timeout=Duration.from_seconds(10.0),
            action=WatchdogAction.RESET,
            use=WatchdogUse.OS_LOAD,
            pretimeout=Duration.from_seconds(4.0),
            pretimeout_action=WatchdogPretimeoutAction.NMI,
            dont_log=True,
        )
        await world.host.update(Host(name="host.0", watchdog=watchdog), None)
        await asyncio.sleep(5)
        world.host.feed_watchdog()
        await asyncio.sleep(5)
        assert world.actions == []
        await asyncio.sleep(2)
        assert world.actions == [WireAction.NMI]
        await asyncio.sleep(5)
        assert world.actions == [WireAction.NMI, WireAction.RESET]
        assert HostNewsKind.WATCHDOG_EXPIRED not in world.news()
        shown = world.host.watchdog()
        assert (shown.running, shown.expired_uses) == (False, [WatchdogUse.OS_LOAD])
        assert why(world) is RestartCause.WATCHDOG

    play(body)


def test_an_override_is_driven_whole_and_what_must_not_be_loaded_is_refused() -> None:
    async def body(world: World) -> None:
        world.targets = [BootTarget.HTTP, BootTarget.PXE]
        world.firmwares = [BootFirmware.UEFI]
        await world.see(OFF)
        override = BootOverride(
            mode=BootOverrideMode.ONCE,
            target=BootTarget.HTTP,
            firmware=BootFirmware.UEFI,
            http_uri="http://127.0.0.1/x.efi",
        )
        with pytest.raises(Refused, match="loopback"):
            await world.host.update(Host(name="host.0", boot_override=override), None)
        override.http_uri = "http://192.0.2.1/x.efi"
        await world.host.update(Host(name="host.0", boot_override=override), None)
        await world.request(HostRequest.ON)
        chosen = world.choices[-1]
        assert (chosen.target, chosen.firmware, chosen.http_uri) == (
            BootTarget.HTTP,
            BootFirmware.UEFI,
            "http://192.0.2.1/x.efi",
        )
        await world.see(ON)
        shown = world.host.message().boot_override
        assert shown == BootOverride(mode=BootOverrideMode.DISABLED, firmware=BootFirmware.UEFI)
        only = Host(name="host.0", boot_override=BootOverride(mode=BootOverrideMode.CONTINUOUS))
        await world.host.update(only, FieldMask(paths=["boot_override.mode"]))
        await world.request(HostRequest.FORCE_RESTART)
        assert world.choices[-1].firmware is BootFirmware.UEFI

    play(body)
