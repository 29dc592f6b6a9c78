"""What statemgr remembers: everything comes back as it was, also from the tables of an older release."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from protobuf.wkt import Timestamp

from ubmc.kit.database import Database
from ubmc.services.statemgr.bios import Setup
from ubmc.services.statemgr.host import HostRequest
from ubmc.services.statemgr.settings import BootChoice, Settings, WatchdogSettings
from ubmc.services.statemgr.store import MIGRATIONS, OWNER, HostMemory, Store
from ubmc.v1alpha1.host_pb import (
    BootFirmware,
    BootOverrideMode,
    BootTarget,
    HostPowerAction,
    HostPowerFailure,
    HostState,
    RestartCause,
    RestorePolicy,
    WatchdogAction,
    WatchdogPretimeoutAction,
    WatchdogUse,
)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = Database(tmp_path / "precious.db")
    opened.open()
    yield opened
    opened.close()


async def test_all_of_a_host_comes_back(database: Database) -> None:
    store = Store(database)
    await store.prepare()
    memory = HostMemory(
        desired=True,
        mains_epoch="a:1",
        power_on_seconds=12.5,
        settings=Settings(
            RestorePolicy.ALWAYS_ON,
            BootOverrideMode.ONCE,
            BootChoice(BootTarget.HTTP, BootFirmware.UEFI, "http://192.0.2.9/x"),
            WatchdogSettings(
                running=True,
                seconds=7.5,
                action=WatchdogAction.POWER_CYCLE,
                use=WatchdogUse.OS_LOAD,
                pretimeout_seconds=2.5,
                pretimeout_action=WatchdogPretimeoutAction.NMI,
                dont_log=True,
                expired=frozenset({WatchdogUse.OS_LOAD, WatchdogUse.OEM}),
            ),
        ),
        pending=HostRequest.FORCE_CYCLE,
        restart_cause=RestartCause.SOFT_RESET,
        restart_time_us=1_700_000_000_000_001,
        state=HostState.ON,
        state_time_us=1_700_000_000_000_002,
        power_failure=HostPowerFailure(action=HostPowerAction.ON, advice="look", time=Timestamp(seconds=5)),
    )
    await store.keep_host("host.0", memory)
    assert await store.host("host.0") == memory
    assert await store.host("host.1") == HostMemory()


async def test_a_host_of_an_older_release_comes_back_with_what_it_had(database: Database) -> None:
    await database.migrate(OWNER, MIGRATIONS[:2])
    row = ("host.0", 1, "a:1", 3600.0, 2, 3, 1, 0, 60.0, 2, "reboot")
    await database.run(
        lambda connection: connection.execute(
            "INSERT INTO statemgr_hosts VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", row
        ).close()
    )
    store = Store(database)
    await store.prepare()
    memory = await store.host("host.0")
    assert (memory.desired, memory.pending, memory.power_on_seconds) == (True, HostRequest.REBOOT, 3600.0)
    assert memory.settings.boot == BootChoice(BootTarget.PXE)
    assert memory.settings.boot_mode is BootOverrideMode.CONTINUOUS
    assert (memory.settings.watchdog.seconds, memory.settings.watchdog.action) == (60.0, WatchdogAction.RESET)
    assert (memory.restart_cause, memory.restart_time_us) == (RestartCause.UNSPECIFIED, 0)
    assert (memory.state, memory.state_time_us) == (HostState.UNSPECIFIED, 0)
    await store.keep_host("host.0", memory)
    assert await store.host("host.0") == memory


async def test_a_set_up_comes_back(database: Database) -> None:
    store = Store(database)
    await store.prepare()
    assert await store.bios("host.0") == Setup()
    setup = Setup({"BootMode": "Uefi", "Tag": "ä"}, {"BootMode": "Legacy"}, 7, ("fault",))
    await store.keep_bios("host.0", setup)
    assert await store.bios("host.0") == setup
