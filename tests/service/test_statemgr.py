"""statemgr on a real bus, over the simulated machine: what an operator sees, and what the machine really does."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from protobuf.wkt import Duration, FieldMask
from tests.service.statemgr_house import WAIT_SECONDS, bare_house, whole_house

from ubmc.kit.database import Database
from ubmc.kit.errors import Busy, Internal, Invalid, NotFound, Refused
from ubmc.v1alpha1.chassis_pb import (
    ChassisIdentifyChange,
    ChassisPowerAction,
    ChassisState,
    ChassisStateChange,
    ListChassisRequest,
    SetChassisIdentifyRequest,
    WatchChassisRequest,
)
from ubmc.v1alpha1.chassis_rpc import ChassisService
from ubmc.v1alpha1.host_pb import (
    FeedHostWatchdogRequest,
    GetHostRequest,
    Host,
    HostNews,
    HostNewsKind,
    HostPowerAction,
    HostPowerActionFailure,
    HostState,
    HostStateChange,
    HostWatchdog,
    ListHostsRequest,
    RestorePolicy,
    UpdateHostRequest,
    WatchdogAction,
    WatchHostsRequest,
)
from ubmc.v1alpha1.host_rpc import HostService
from ubmc.v1alpha1.management_controller_pb import (
    GetManagementControllerRequest,
    ListManagementControllersRequest,
    ManagementControllerRestart,
    ManagementControllerState,
    RestartManagementControllerRequest,
)
from ubmc.v1alpha1.management_controller_rpc import ManagementControllerService
from ubmc.v1alpha1.task_pb import TaskState

ON, OFF, UNKNOWN = HostState.ON, HostState.OFF, HostState.UNKNOWN


async def test_without_powermgr_everything_is_unknown_and_found_later(tmp_path: Path) -> None:
    async with bare_house(tmp_path) as house:
        await house.start_state()
        host = await house.host()
        assert host.state is UNKNOWN
        with pytest.raises(Refused, match=r"power of host\.0 cannot be read"):
            await house.change(HostPowerAction.ON)
        await house.start_power()
        host = await house.host_is(OFF)
        assert set(host.power_actions) == set(HostPowerAction) - {HostPowerAction.UNSPECIFIED}
        await house.chassis_is(ChassisState.ON)


async def test_on_and_graceful_off(tmp_path: Path) -> None:
    async with whole_house(tmp_path) as house:
        host, task = await house.change(HostPowerAction.ON)
        assert host.state is HostState.POWERING_ON
        assert host.state_cause is not None
        assert (host.state_cause.kind, host.state_cause.user) == ("user", "olga")
        assert (await house.task_ends(task)).state is TaskState.COMPLETED
        assert await house.has_power()
        await house.os_up()
        host, task = await house.change(HostPowerAction.GRACEFUL_OFF)
        assert host.state is HostState.POWERING_OFF
        assert (await house.task_ends(task)).state is TaskState.COMPLETED
        assert not await house.has_power()
        await house.hear(HostStateChange, previous=HostState.POWERING_OFF, current=OFF)


async def test_reboot_reset_and_interrupt(tmp_path: Path) -> None:
    async with whole_house(tmp_path) as house:
        await house.switched_on()
        host, task = await house.change(HostPowerAction.REBOOT)
        assert host.state is HostState.RESTARTING
        assert (await house.task_ends(task)).state is TaskState.COMPLETED
        await house.os_up()
        _, task = await house.change(HostPowerAction.FORCE_RESTART)
        assert (await house.task_ends(task)).state is TaskState.COMPLETED
        state = await house.control.state()
        assert state["hosts"]["host.0"]["power_ons"] == 2
        await house.os_up()
        _, task = await house.change(HostPowerAction.NMI)
        assert task is None
        await house.hear(HostNews, kind=HostNewsKind.NMI_SENT)
        assert (await house.host()).state is ON


async def test_host_that_ignores_a_shutdown_is_on_and_can_be_cut(tmp_path: Path) -> None:
    async with whole_house(tmp_path) as house:
        await house.switched_on()
        await house.control.set_fault("hang-off", on=True)
        _, first = await house.change(HostPowerAction.GRACEFUL_OFF)
        with pytest.raises(Busy, match="force-off"):
            await house.change(HostPowerAction.REBOOT)
        assert (await house.task_ends(first)).state is TaskState.FAILED
        failure = await house.hear(HostPowerActionFailure, action=HostPowerAction.GRACEFUL_OFF)
        assert isinstance(failure, HostPowerActionFailure)
        assert failure.current is ON
        assert failure.patience_seconds >= 0.6  # more on a busy machine
        assert (await house.host()).state is ON
        _, second = await house.change(HostPowerAction.FORCE_OFF)
        assert (await house.task_ends(second)).state is TaskState.COMPLETED
        assert not await house.has_power()


async def test_host_that_does_not_come_up_is_off_and_may_try_again(tmp_path: Path) -> None:
    async with whole_house(tmp_path) as house:
        await house.control.set_fault("hang-on", on=True)
        _, task = await house.change(HostPowerAction.ON)
        assert (await house.task_ends(task)).state is TaskState.FAILED
        assert (await house.host()).state is OFF
        await house.control.set_fault("hang-on", on=False)
        await house.switched_on()


async def test_forced_off_takes_over_while_the_host_comes_up(tmp_path: Path) -> None:
    async with whole_house(tmp_path) as house:
        _, first = await house.change(HostPowerAction.ON)
        _, second = await house.change(HostPowerAction.FORCE_OFF)
        assert (await house.task_ends(first)).state is TaskState.CANCELLED
        assert (await house.task_ends(second)).state is TaskState.COMPLETED
        await house.host_is(OFF)
        assert not await house.has_power()


async def test_guest_and_front_button(tmp_path: Path) -> None:
    async with whole_house(tmp_path) as house:
        await house.control.press("front-power-button", 0.05)
        host = await house.host_is(ON)
        assert host.state_cause is not None
        assert host.state_cause.kind == "front-panel"
        await house.hear(HostNews, kind=HostNewsKind.BUTTON_PRESSED)
        await house.os_up()
        await house.control.press("front-power-button", 0.05)
        await house.host_is(OFF)
        await house.switched_on()
        await house.control.guest("shutdown")
        host = await house.host_is(OFF)
        assert host.state_cause is not None
        assert host.state_cause.kind == "hardware"


@pytest.mark.parametrize(
    ("policy", "comes_back"),
    [
        (RestorePolicy.ALWAYS_ON, True),
        (RestorePolicy.ALWAYS_OFF, False),
        (RestorePolicy.LAST_STATE, True),
    ],
)
async def test_restore_policy_after_a_loss_of_mains(tmp_path: Path, policy: RestorePolicy, comes_back: bool) -> None:
    async with whole_house(tmp_path) as house:
        await house.switched_on()
        wanted = UpdateHostRequest(host=Host(name="host.0", restore_policy=policy))
        await house.ask(HostService.UpdateHost, wanted)
        await house.control.set_mains(on=False)
        await house.host_is(OFF)
        await house.chassis_is(ChassisState.OFF)
        await house.control.set_mains(on=True)
        await house.hear(HostNews, kind=HostNewsKind.POWER_RESTORED)
        if comes_back:
            host = await house.host_is(ON)
            assert host.state_cause is not None
            assert host.state_cause.kind == "restore-policy"
        else:
            await house.stop_state()
            await house.start_state()
            await house.host_is(OFF)
        assert await house.has_power() is comes_back


async def test_guest_that_shut_down_stays_down_after_a_loss_of_mains(tmp_path: Path) -> None:
    async with whole_house(tmp_path) as house:
        await house.switched_on()
        await house.control.guest("shutdown")
        await house.host_is(OFF)
        await house.control.set_mains(on=False)
        await house.chassis_is(ChassisState.OFF)
        await house.control.set_mains(on=True)
        restored = await house.hear(HostNews, kind=HostNewsKind.POWER_RESTORED)
        assert isinstance(restored, HostNews)
        assert restored.what == "mains came back and the policy is last-state: it stays off"
        assert not await house.has_power()


async def test_loss_while_statemgr_was_away_is_acted_upon_once(tmp_path: Path) -> None:
    async with whole_house(tmp_path) as house:
        await house.switched_on()
        await house.stop_state()
        await house.control.set_mains(on=False)
        await house.control.set_mains(on=True)
        await house.start_state()
        await house.host_is(ON)
        await house.os_up()
        await house.stop_state()
        await house.control.guest("shutdown")
        await house.until(house.has_no_power, "the host has no power")
        await house.start_state()
        await house.host_is(OFF)
        assert not await house.has_power()


async def test_another_board_file_forgets_what_was_desired(tmp_path: Path) -> None:
    async with whole_house(tmp_path) as house:
        await house.switched_on()
        await house.stop_state()
        await house.control.set_mains(on=False)
        await house.control.set_mains(on=True)
        await house.start_state(fingerprint="board-2")
        await house.host_is(OFF)
        await house.hear(HostNews, kind=HostNewsKind.BOARD_CHANGED)
        assert not await house.has_power()
        assert all(
            not isinstance(news, HostNews) or news.kind is not HostNewsKind.POWER_RESTORED
            for news in house.listener.heard
        )


async def test_restart_of_statemgr_keeps_the_truth_and_the_power(tmp_path: Path) -> None:
    async with whole_house(tmp_path) as house:
        await house.switched_on()
        timeout = Duration.from_seconds(3600)
        watchdog = HostWatchdog(running=True, timeout=timeout, action=WatchdogAction.FORCE_OFF)
        await house.ask(HostService.UpdateHost, UpdateHostRequest(host=Host(name="host.0", watchdog=watchdog)))
        identify = SetChassisIdentifyRequest(name="chassis.0", identify=True)
        await house.ask(ChassisService.SetChassisIdentify, identify)
        _, task = await house.change(HostPowerAction.GRACEFUL_OFF)
        await house.stop_state()
        assert (await house.task_ends(task)).state is TaskState.CANCELLED
        await house.until(house.has_no_power, "the host has shut down meanwhile")
        await house.start_state()
        host = await house.host_is(OFF)
        assert host.watchdog is not None
        assert not host.watchdog.running
        assert host.watchdog.timeout == timeout
        assert host.power_on_time is not None
        assert host.power_on_time.to_seconds() > 0
        assert (await house.chassis()).identify


async def test_reboot_that_a_restart_cuts_in_two_is_told_and_still_wanted(tmp_path: Path) -> None:
    async with whole_house(tmp_path) as house:
        await house.switched_on()
        _, task = await house.change(HostPowerAction.REBOOT)
        await house.stop_state()
        assert (await house.task_ends(task)).state is TaskState.CANCELLED
        await house.until(house.has_no_power, "the host has shut down meanwhile")
        await house.start_state()
        failure = await house.hear(HostPowerActionFailure, action=HostPowerAction.REBOOT)
        assert isinstance(failure, HostPowerActionFailure)
        assert failure.current is OFF
        assert "interrupted by a restart of the BMC" in failure.advice
        assert not await house.has_power()
        await house.control.set_mains(on=False)
        await house.chassis_is(ChassisState.OFF)
        await house.control.set_mains(on=True)
        await house.host_is(ON)


async def test_a_part_that_a_stray_cancellation_ends_is_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Database.run

    async def stray(database: Database, job: Callable[[sqlite3.Connection], object]) -> object:
        if database.path.name != "precious.db":
            return await run(database, job)
        monkeypatch.undo()
        raise asyncio.CancelledError

    async with whole_house(tmp_path) as house:
        running = house.running()
        monkeypatch.setattr(Database, "run", stray)
        await house.change(HostPowerAction.ON)
        await asyncio.wait((running,), timeout=WAIT_SECONDS)
        assert running.done()
        error = running.exception()
        assert isinstance(error, ExceptionGroup)
        assert error.subgroup(Internal) is not None
        await house.stop_state()
        await house.start_state()
        await house.host_is(ON)


async def test_restart_of_powermgr_is_not_seen(tmp_path: Path) -> None:
    async with whole_house(tmp_path, grace_seconds=10.0) as house:
        await house.switched_on()
        await house.stop_power()
        assert (await house.host()).state is ON
        await house.start_power()
        before = len(house.listener.heard)
        await house.control.guest("shutdown")
        await house.host_is(OFF)
        assert all(
            not isinstance(news, HostStateChange) or news.current is not UNKNOWN
            for news in house.listener.heard[before:]
        )


async def test_wires_that_nobody_sees_are_unknown_after_a_grace(tmp_path: Path) -> None:
    async with whole_house(tmp_path, grace_seconds=0.5) as house:
        await house.switched_on()
        await house.stop_power()
        await house.host_is(UNKNOWN)
        await house.chassis_is(ChassisState.UNKNOWN)
        assert await house.has_power()
        await house.start_power()
        await house.host_is(ON)


async def test_chassis_with_a_supply(tmp_path: Path) -> None:
    async with whole_house(tmp_path) as house:
        await house.switched_on()
        for action, forced in ((ChassisPowerAction.OFF, "force-off"), (ChassisPowerAction.CYCLE, "force-cycle")):
            with pytest.raises(Refused, match=rf"host\.0 is on: shut down first, or use {forced}"):
                await house.change_chassis(action)
        chassis, task = await house.change_chassis(ChassisPowerAction.FORCE_OFF)
        assert chassis.state is ChassisState.POWERING_OFF
        assert (await house.task_ends(task)).state is TaskState.COMPLETED
        await house.host_is(OFF)
        with pytest.raises(Refused, match=r"chassis\.0 is off: power it on first"):
            await house.change(HostPowerAction.ON)
        _, task = await house.change_chassis(ChassisPowerAction.ON)
        assert (await house.task_ends(task)).state is TaskState.COMPLETED
        chassis, task = await house.change_chassis(ChassisPowerAction.CYCLE)
        assert chassis.state is ChassisState.CYCLING
        assert (await house.task_ends(task)).state is TaskState.COMPLETED
        await house.hear(ChassisStateChange, previous=ChassisState.CYCLING, current=ChassisState.ON)
        await house.switched_on()


async def test_chassis_that_follows_its_hosts(tmp_path: Path) -> None:
    async with whole_house(tmp_path, wired=False) as house:
        await house.chassis_is(ChassisState.OFF)
        _, task = await house.change_chassis(ChassisPowerAction.ON)
        assert (await house.task_ends(task)).state is TaskState.COMPLETED
        await house.host_is(ON)
        with pytest.raises(Refused, match=r"host\.0 is on"):
            await house.change_chassis(ChassisPowerAction.OFF)
        _, task = await house.change_chassis(ChassisPowerAction.FORCE_CYCLE)
        assert (await house.task_ends(task)).state is TaskState.COMPLETED
        assert (await house.control.state())["hosts"]["host.0"]["power_ons"] == 2
        _, task = await house.change_chassis(ChassisPowerAction.FORCE_OFF)
        assert (await house.task_ends(task)).state is TaskState.COMPLETED
        await house.host_is(OFF)


async def test_identify_by_call_and_by_button(tmp_path: Path) -> None:
    async with whole_house(tmp_path) as house:
        request = SetChassisIdentifyRequest(name="chassis.0", identify=True)
        response = await house.ask(ChassisService.SetChassisIdentify, request)
        assert response.chassis is not None
        assert response.chassis.identify
        await house.hear(ChassisIdentifyChange, identify=True)
        await house.control.press("front-identify-button", 0.05)
        await house.hear(ChassisIdentifyChange, identify=False)
        assert not (await house.chassis()).identify


async def test_watchdog_expires_and_is_fed(tmp_path: Path) -> None:
    async with whole_house(tmp_path) as house:
        with pytest.raises(Refused, match="not running"):
            await house.ask(HostService.FeedHostWatchdog, FeedHostWatchdogRequest(name="host.0"))
        await house.switched_on()
        watchdog = HostWatchdog(running=True, timeout=Duration.from_seconds(1), action=WatchdogAction.POWER_CYCLE)
        await house.ask(HostService.UpdateHost, UpdateHostRequest(host=Host(name="host.0", watchdog=watchdog)))
        fed = await house.ask(HostService.FeedHostWatchdog, FeedHostWatchdogRequest(name="host.0"))
        assert fed.watchdog is not None
        assert fed.watchdog.remaining is not None
        assert 0.5 < fed.watchdog.remaining.to_seconds() <= 1.0
        await house.hear(HostNews, kind=HostNewsKind.WATCHDOG_EXPIRED)
        await house.hear(HostStateChange, previous=HostState.RESTARTING, current=ON)
        assert (await house.control.state())["hosts"]["host.0"]["power_ons"] == 2


async def test_watching_tells_a_snapshot_then_changes_and_resumes(tmp_path: Path) -> None:
    async with whole_house(tmp_path) as house:
        watching = house.door.watch(HostService.WatchHosts, WatchHostsRequest(), house.world.call())
        first = await anext(watching)
        assert first.snapshot
        assert first.host is not None
        assert first.host.state is OFF
        await house.change(HostPowerAction.ON)
        states: list[HostState] = []
        async with asyncio.timeout(30):
            while ON not in states:
                update = await anext(watching)
                assert update.host is not None
                states.append(update.host.state)
        await watching.aclose()
        assert HostState.POWERING_ON in states
        resumed = house.door.watch(
            HostService.WatchHosts, WatchHostsRequest(name="host.0", cursor=first.cursor), house.world.call()
        )
        missed = await anext(resumed)
        assert not missed.snapshot
        await resumed.aclose()
        with pytest.raises(NotFound, match=r"there is no host\.7; there is host\.0"):
            await anext(house.door.watch(HostService.WatchHosts, WatchHostsRequest(name="host.7"), house.world.call()))
        chassis = house.door.watch(ChassisService.WatchChassis, WatchChassisRequest(), house.world.call())
        assert (await anext(chassis)).snapshot
        await chassis.aclose()


async def test_lists_and_mistakes(tmp_path: Path) -> None:
    async with whole_house(tmp_path) as house:
        hosts = await house.ask(HostService.ListHosts, ListHostsRequest())
        assert [host.name for host in hosts.hosts] == ["host.0"]
        chassis = await house.ask(ChassisService.ListChassis, ListChassisRequest())
        assert [each.hosts for each in chassis.chassis] == [["host.0"]]
        with pytest.raises(NotFound, match=r"there is no host\.1; there is host\.0"):
            await house.ask(HostService.GetHost, GetHostRequest(name="host.1"))
        wrong = UpdateHostRequest(host=Host(name="host.0"), update_mask=FieldMask(paths=["state"]))
        with pytest.raises(Invalid, match="state cannot be updated"):
            await house.ask(HostService.UpdateHost, wrong)
        with pytest.raises(Refused, match=r"host\.0 is off"):
            await house.change(HostPowerAction.FORCE_RESTART)
        with pytest.raises(Invalid, match="is not known"):
            await house.change(HostPowerAction.UNSPECIFIED)


async def test_the_bmc_restarts_its_services(tmp_path: Path) -> None:
    async with whole_house(tmp_path) as house:
        service = ManagementControllerService
        shown = await house.ask(service.ListManagementControllers, ListManagementControllersRequest())
        (bmc,) = shown.management_controllers
        assert (bmc.name, bmc.state) == ("bmc.0", ManagementControllerState.READY)
        assert bmc.version
        request = RestartManagementControllerRequest(name="bmc.0")
        await house.ask(service.RestartManagementController, request)
        await house.hear(ManagementControllerRestart, name="bmc.0")
        assert house.operator.restarts == 1
        again = await house.ask(service.GetManagementController, GetManagementControllerRequest(name="bmc.0"))
        assert again.management_controller is not None
        assert again.management_controller.state is ManagementControllerState.RESTARTING
        with pytest.raises(Busy, match="restarting already"):
            await house.ask(service.RestartManagementController, request)
