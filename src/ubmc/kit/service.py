"""The frame that every service stands in.

A service says what it is called, whom it waits for, whom it calls and what it tells; the bus permissions of its process
are made of that. It overrides `setup`, `work` and `teardown`; the frame does the rest.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, ClassVar

from protobuf import Message

from ubmc.kit.bus import Bus
from ubmc.kit.errors import Internal
from ubmc.kit.handlers import on, rpc, stream
from ubmc.rpc import ServerStream, Unary

__all__ = ["Service", "lasting", "on", "rpc", "stream"]


async def lasting(work: Awaitable[object]) -> None:
    """Work of a task group that must go on: should it end or be cancelled from within, that is a failure of the group.

    Raises:
        Internal: it ended. A task group on its own lets go of a task that a stray cancellation ended, without a word.
    """
    try:
        await work
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        raise Internal("a part of the service was cancelled from within") from error
    raise Internal("a part of the service came to an end")


class Service:
    """One part of the BMC."""

    name: ClassVar[str]
    after: ClassVar[tuple[str, ...]] = ()
    """Services that must be ready before this one is started for the first time."""
    calls: ClassVar[tuple[Unary[Any, Any] | ServerStream[Any, Any], ...]] = ()
    """What it calls at other services, as itself."""
    tells: ClassVar[tuple[type[Message[Any]], ...]] = ()
    """The news that it tells."""
    needs_bus: ClassVar[bool] = True
    """Whether it can work only with the bus. What keeps machines safe must not."""

    bus: Bus

    async def setup(self) -> None:
        """Open what the service needs. What is raised here is a failed start."""

    async def work(self) -> None:
        """What the service does of its own accord; by default nothing, until it is cancelled."""
        await asyncio.Event().wait()

    async def teardown(self) -> None:
        """Give everything back; also called when `setup` failed half-way."""

    async def run(self, ready: Callable[[], None]) -> None:
        """Set up, answer, work, tear down. Returning means done, raising means: start me again.

        Args:
            ready: called once, when the service does its work.
        """
        announcing: asyncio.Task[None] | None = None
        try:
            await self.setup()
            if self.needs_bus:
                await self.bus.answerer.serve(self)
                ready()
            else:
                announcing = asyncio.create_task(self.bus.answerer.serve(self))
                ready()
            await self.work()
        finally:
            if announcing is not None:
                announcing.cancel()
            await self.bus.answerer.withdraw(self)
            await self.teardown()
