"""One connection to QEMU's control socket (QMP), with a deadline on every call and no memory that grows.

The one thing to know: `qemu.qmp` keeps every event for ever in its default listener; a filter that hands the event on
and answers False keeps it from that.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from qemu.qmp import ExecuteError, Message, QMPClient, QMPError, Runstate

from ubmc.kit.errors import Refused, Unavailable

Hear = Callable[[str, Mapping[str, Any]], None]

# What the library may raise when the other end misbehaves; the assertions are its checks of QEMU's answers.
_LOST = (QMPError, OSError, EOFError, AssertionError)


class Session:
    """A connected QMP client. Use `connect`; the owner calls `close`."""

    def __init__(self, client: QMPClient, call_seconds: float, lose: Callable[[], None]) -> None:
        self._client = client
        self._call_seconds = call_seconds
        self._lose = lose
        self._watch = asyncio.create_task(self._await_loss(), name="qmp-loss")

    @property
    def lost(self) -> bool:
        """Whether the connection is gone; it does not come back."""
        return self._client.runstate is not Runstate.RUNNING

    @classmethod
    async def connect(cls, path: Path, hear: Hear, lose: Callable[[], None], *, call_seconds: float) -> Session:
        """Connect and negotiate.

        Args:
            path: the socket.
            hear: gets each event's name and data, at once and in order; it must not block.
            lose: called once when the connection is lost, not when it is closed by us.
            call_seconds: the deadline of this and of each later call.

        Raises:
            Unavailable: nobody answers within `call_seconds`.
        """
        client = QMPClient("machine")
        # Failures are told by our caller, once; the library would repeat them at each attempt. A logger of its own,
        # so that no level of a shared one changes.
        client.logger = logging.Logger("ubmc.qemu.wire", logging.CRITICAL + 1)  # noqa: LOG001

        def keep(event: Message) -> bool:
            data = event.get("data")
            hear(str(event["event"]), data if isinstance(data, Mapping) else {})
            return False

        client.events.event_filter = keep
        joining = asyncio.create_task(client.connect(str(path)))
        try:
            async with asyncio.timeout(call_seconds):
                await asyncio.shield(joining)
            return cls(client, call_seconds, lose)
        except TimeoutError:
            await _abandon(client, joining, call_seconds)
            raise Unavailable(f"QEMU does not answer on {path} within {call_seconds:g} s") from None
        except asyncio.CancelledError:
            await _abandon(client, joining, call_seconds)
            raise
        except _LOST as error:
            raise Unavailable(f"QEMU cannot be reached on {path}: {error}") from error

    async def execute(self, command: str, **arguments: object) -> Any:
        """Carry out a command and return what QEMU answers.

        Raises:
            Unavailable: no answer within the deadline, or the connection is lost; it may still be carried out.
            Refused: QEMU says no, in its words.
        """
        try:
            async with asyncio.timeout(self._call_seconds):
                return await self._client.execute(command, arguments or None)
        except TimeoutError:
            raise Unavailable(f"QEMU does not answer {command} within {self._call_seconds:g} s") from None
        except ExecuteError as error:
            raise Refused(f"QEMU refuses {command}: {error}") from error
        except _LOST as error:
            raise Unavailable(f"the connection to QEMU is lost during {command}: {error}") from error

    async def status(self) -> str:
        """The run state (`RunState` of QEMU's QAPI). Raises `Unavailable`."""
        return str((await self.execute("query-status"))["status"])

    async def uuid(self) -> str:
        """The machine's UUID. Raises `Unavailable`."""
        return str((await self.execute("query-uuid"))["UUID"])

    async def close(self) -> None:
        """Disconnect, even if cancelled meanwhile. Fails never, and waits no longer than a call may."""
        self._watch.cancel()
        # In a task of its own: interrupted half way, the library leaves futures behind that nobody looks at.
        leaving = asyncio.create_task(_disconnect(self._client, self._call_seconds))
        try:
            await asyncio.shield(leaving)
        except asyncio.CancelledError:
            await asyncio.wait([leaving])
            raise

    async def _await_loss(self) -> None:
        while self._client.runstate is Runstate.RUNNING:
            await self._client.runstate_changed()
        self._lose()


async def _abandon(client: QMPClient, joining: asyncio.Task[None], call_seconds: float) -> None:
    """End an attempt to connect that is under way; it is cancelled once, and cleans up undisturbed."""
    joining.cancel()
    await asyncio.wait([joining])
    if not joining.cancelled() and joining.exception() is None:
        await _disconnect(client, call_seconds)


async def _disconnect(client: QMPClient, call_seconds: float) -> None:
    with contextlib.suppress(TimeoutError, *_LOST):
        async with asyncio.timeout(call_seconds):
            await client.disconnect()
