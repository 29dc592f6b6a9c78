"""The rig of the virtual machine, for the contract suite of power drivers."""

from __future__ import annotations

import asyncio
import shutil
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from tests.contract.power_qemu import BINARY, PATIENCE, QemuBench, machine
from tests.contract.power_rig import Factory, Rig

from ubmc.hw.power.port import BootTarget, Level, News, Power


class QemuRig:
    """One machine with the guest of `power_qemu`, which hears the power button as soon as it is up."""

    patience_seconds = 20.0
    soft_off_seconds = 0.5  # the guest looks at the button 18 times a second
    news = frozenset(News) - {News.IDENTIFY_PRESSED}

    def __init__(self, bench: QemuBench) -> None:
        self._bench = bench
        self._boots = 0

    def driver(self) -> Power:
        return self._bench.driver()

    async def is_on(self) -> bool:
        return await self._bench.truth() is Level.ON

    async def os_up(self) -> None:
        self._boots += 1
        await self._bench.booted(self._boots)

    async def hang(self) -> None:
        await self._bench.guest_ignores_button()
        await asyncio.sleep(0.3)

    async def guest_shutdown(self) -> None:
        await self._bench.guest_shutdown()

    async def guest_reset(self) -> None:
        await self._bench.guest_reset()

    async def booted_from(self) -> BootTarget | None:
        return next(reversed(self._bench.booted_from()), None)

    async def asserted(self) -> frozenset[str]:
        return frozenset()

    async def lose(self) -> None:
        self._bench.signal(signal.SIGSTOP)

    async def find(self) -> None:
        self._bench.signal(signal.SIGCONT)


class QemuFactory:
    """Makes machines, each in a loop of its own."""

    name = "qemu"
    can_lose = True

    def run(self, body: Callable[[Rig], Awaitable[None]], directory: Path) -> None:
        if shutil.which(BINARY) is None:
            pytest.skip("qemu-system-x86_64 is not installed (apt install qemu-system-x86)")

        async def within() -> None:
            with machine(PATIENCE) as bench:
                await body(QemuRig(bench))

        asyncio.run(within())


FACTORIES: tuple[Factory, ...] = (QemuFactory(),)
