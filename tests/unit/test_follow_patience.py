"""Who follows another service says so when it waits in vain, not when it waits a moment; on virtual time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable
from pathlib import Path

import pytest

from ubmc.kit.bus import Bus
from ubmc.kit.database import Database
from ubmc.kit.errors import Unavailable
from ubmc.kit.keys import BusKey
from ubmc.kit.metrics import Metrics
from ubmc.kit.schema import load
from ubmc.kit.secrets import FILE_NAME, DeviceKey
from ubmc.kit.testing import run_virtual
from ubmc.services.ipmisrv.commands.facts import follow
from ubmc.services.securitymgr.store import Store
from ubmc.services.securitymgr.trail import Trail


class Service:
    """Another service, which can be away."""

    def __init__(self) -> None:
        self.away = True

    async def load(self) -> None:
        """Answer, or not."""
        if self.away:
            raise Unavailable("it is not running")

    async def watch(self) -> AsyncGenerator[str, None]:
        """Say something each second."""
        while not self.away:
            yield "update"
            await asyncio.sleep(1)


async def told(seconds: tuple[float, float], service: Service, following: Awaitable[None]) -> None:
    """Be away, there, and away again."""
    task = asyncio.ensure_future(following)
    for each in seconds:
        service.away = True
        await asyncio.sleep(each)
        service.away = False
        await asyncio.sleep(5)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        ((4.0, 4.0), []),
        ((4.0, 20.0), ["a part of the machine is not followed", "a part of the machine is followed again"]),
    ],
)
def test_a_part_of_the_machine(caplog: pytest.LogCaptureFixture, seconds: tuple[float, float], said: list[str]) -> None:
    caplog.set_level(logging.INFO, logger="ubmc.ipmisrv")
    service = Service()
    taken: list[str] = []
    run_virtual(told(seconds, service, follow("hosts", service.load, service.watch, taken.append, taken.clear)))
    assert caplog.messages == said


@pytest.mark.parametrize(("seconds", "said"), [(4.0, []), (30.0, ["the audit trail waits for the event log"])])
def test_the_audit_trail(tmp_path: Path, caplog: pytest.LogCaptureFixture, seconds: float, said: list[str]) -> None:
    caplog.set_level(logging.INFO, logger="ubmc.securitymgr")

    async def main() -> None:
        database = Database(tmp_path / "precious.db")
        database.open()
        try:
            store = Store(database, DeviceKey.load(tmp_path / FILE_NAME))
            await store.load()
            trail = Trail(store)
            bus = Bus("securitymgr", load(), BusKey(), Metrics())  # it is never connected
            task = asyncio.create_task(trail.follow(bus))
            await asyncio.sleep(seconds)
            assert not task.done()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        finally:
            database.close()

    run_virtual(main(), patience_seconds=0.02)
    assert caplog.messages == said
