"""A reboot that a restart of statemgr cut in two: it is told, it is still wanted, and nothing is done by itself."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import pytest
from tests.unit.statemgr_world import OFF, ON, UNKNOWN, World, play

from ubmc.kit.database import Database
from ubmc.services.statemgr.host import HostRequest
from ubmc.services.statemgr.options import PATIENCE
from ubmc.services.statemgr.store import MIGRATIONS, OWNER, HostMemory, Store
from ubmc.v1alpha1.host_pb import HostPowerAction, HostState, RestorePolicy
from ubmc.v1alpha1.internal_pb import WireAction

CUT_IN_TWO = HostMemory(desired=True, mains_epoch="a:0", pending=HostRequest.REBOOT)


def test_a_reboot_is_remembered_until_its_end_and_nothing_else_is() -> None:
    async def body(world: World) -> None:
        await world.see(ON, epoch="a:0")
        await world.request(HostRequest.REBOOT)
        assert world.pending() is HostRequest.REBOOT
        await world.see(OFF)
        assert world.pending() is HostRequest.REBOOT
        await world.see(ON)
        assert world.pending() is None
        for request in (HostRequest.FORCE_RESTART, HostRequest.GRACEFUL_OFF):
            await world.request(request)
            assert world.pending() is None
        await world.see(OFF)
        await world.request(HostRequest.ON)
        assert world.pending() is None

    play(body)


def test_a_reboot_that_a_forced_off_replaces_is_over() -> None:
    async def body(world: World) -> None:
        await world.see(ON, epoch="a:0")
        await world.request(HostRequest.REBOOT)
        await world.request(HostRequest.FORCE_OFF)
        assert world.pending() is None

    play(body)


def test_a_reboot_is_still_remembered_when_statemgr_stops() -> None:
    async def body(world: World) -> None:
        await world.see(ON, epoch="a:0")
        await world.request(HostRequest.REBOOT)
        await world.host.close()
        await world.host.keep()
        assert world.kept[-1].pending is HostRequest.REBOOT

    play(body)


def test_host_that_is_off_is_told_once_and_stays_wanted_on_but_is_not_driven() -> None:
    async def body(world: World) -> None:
        await world.see(UNKNOWN, epoch="a:0")
        assert world.failures() == []
        for _ in range(3):
            await world.see(OFF)
        await asyncio.sleep(1000)
        (failure,) = world.failures()
        assert (failure.action, failure.current) == (HostPowerAction.REBOOT, HostState.OFF)
        assert failure.advice == "The reboot was interrupted by a restart of the BMC; the host is off: power it on"
        assert world.driven == []
        assert world.desired() is True
        await world.host.keep()
        assert world.pending() is HostRequest.REBOOT
        await world.request(HostRequest.ON)
        await world.see(ON)
        assert world.pending() is None
        await world.see(OFF)
        assert world.desired() is False
        assert len(world.failures()) == 1

    play(body, CUT_IN_TWO)


def test_host_that_still_shuts_down_is_told_when_it_is_off() -> None:
    async def body(world: World) -> None:
        await world.see(ON, epoch="a:0")
        await asyncio.sleep(5)
        assert world.failures() == []
        await world.see(OFF)
        assert [failure.current for failure in world.failures()] == [HostState.OFF]
        assert world.desired() is True
        assert world.driven == []

    play(body, CUT_IN_TWO)


def test_host_that_stays_on_is_told_after_the_patience_of_a_shutdown() -> None:
    async def body(world: World) -> None:
        await world.see(ON, epoch="a:0")
        await asyncio.sleep(PATIENCE["soft_off"] + 1)
        (failure,) = world.failures()
        assert failure.current is HostState.ON
        assert failure.patience_seconds == PATIENCE["soft_off"]
        assert "the host is on: look whether it has restarted" in failure.advice
        assert world.pending() is None
        await world.see(OFF)
        assert world.desired() is False

    play(body, CUT_IN_TWO)


def test_somebody_who_acts_first_ends_it() -> None:
    async def body(world: World) -> None:
        await world.see(ON, epoch="a:0")
        await world.request(HostRequest.GRACEFUL_OFF)
        assert len(world.failures()) == 1
        assert world.pending() is None
        await world.see(OFF)
        assert world.desired() is False
        assert len(world.failures()) == 1

    play(body, CUT_IN_TWO)


@pytest.mark.parametrize(
    ("policy", "driven"), [(RestorePolicy.LAST_STATE, [WireAction.ON]), (RestorePolicy.ALWAYS_OFF, [])]
)
def test_the_restore_policy_is_the_only_one_that_acts(policy: RestorePolicy, driven: list[WireAction]) -> None:
    async def body(world: World) -> None:
        await world.see(OFF, epoch="a:0")
        assert world.driven == []
        await world.see(OFF, epoch="a:0!")
        await world.see(OFF, epoch="a:1")
        await asyncio.sleep(0.01)
        assert world.actions == driven
        assert world.pending() is None
        assert len(world.failures()) == 1

    play(body, CUT_IN_TWO, restore_policy=policy)


async def test_the_column_is_added_to_what_was_remembered_before(tmp_path: Path) -> None:
    database = Database(tmp_path / "precious.db")
    database.open()
    try:
        await database.migrate(OWNER, MIGRATIONS[:1])

        def fill(connection: sqlite3.Connection) -> None:
            row = "INSERT INTO statemgr_hosts VALUES ('host.0', 1, 'a:0', 7.0, 0, 0, 0, 0, 0.0, 0)"
            connection.execute(row).close()

        await database.run(fill)
        store = Store(database)
        await store.prepare()
        before = await store.host("host.0")
        assert (before.desired, before.power_on_seconds, before.pending) == (True, 7.0, None)
        assert not await store.board_changed("board-1")
        await store.keep_host("host.0", CUT_IN_TWO)
        assert (await store.host("host.0")).pending is HostRequest.REBOOT
        assert await store.board_changed("board-2")
        assert (await store.host("host.0")).pending is None
    finally:
        database.close()
