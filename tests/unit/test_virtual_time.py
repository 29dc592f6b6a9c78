"""The virtual clock that other tests stand on."""

from __future__ import annotations

import asyncio
import socket
import time

import pytest

from ubmc.kit import testing
from ubmc.kit.testing import run_virtual


def test_sleeping_costs_nothing_and_keeps_the_order() -> None:
    async def main() -> list[float]:
        loop = asyncio.get_running_loop()
        woke: list[float] = []

        async def sleep(seconds: float) -> None:
            await asyncio.sleep(seconds)
            woke.append(loop.time())

        async with asyncio.timeout(100_000):
            await asyncio.gather(*(sleep(seconds) for seconds in (86_400, 0.001, 3.5)))
        return woke

    before = time.monotonic()
    assert run_virtual(main()) == pytest.approx([0.001, 3.5, 86_400])
    assert time.monotonic() - before < 60


def test_deadlines_pass() -> None:
    async def main() -> None:
        async with asyncio.timeout(30):
            await asyncio.Event().wait()

    with pytest.raises(TimeoutError):
        run_virtual(main())


def test_bytes_that_are_there_come_before_any_timer() -> None:
    async def main() -> bytes:
        loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair()
        with ours, theirs:
            ours.setblocking(False)
            theirs.send(b"x")
            async with asyncio.timeout(0.000_001):
                return await loop.sock_recv(ours, 1)

    assert run_virtual(main()) == b"x"


def test_patience_waits_for_the_world_before_it_jumps() -> None:
    def work() -> str:
        time.sleep(0.05)
        return "done"

    async def main() -> str:
        async with asyncio.timeout(0.001):
            return await asyncio.to_thread(work)

    assert run_virtual(main(), patience_seconds=10) == "done"


def test_a_deadlock_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(testing, "_STUCK_SECONDS", 0.01)

    async def main() -> None:
        await asyncio.Event().wait()

    loop = testing.VirtualLoop()
    try:
        task = loop.create_task(main())
        with pytest.raises(RuntimeError, match="deadlock"):
            loop.run_until_complete(task)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            loop.run_until_complete(task)
    finally:
        loop.close()
