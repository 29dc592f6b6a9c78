"""The line to one machine: its process is watched, and one control session is kept to it as long as it lives.

The one thing to know: all waiting is for "something changed" (`_next`), then the state is looked at again; no waiter
relies on having seen each change.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ubmc.hw.qemu import process
from ubmc.hw.qemu.machine import Layout, MachineSpec
from ubmc.hw.qemu.qmp import Session
from ubmc.kit.errors import Refused, Unavailable

log = logging.getLogger("ubmc.qemu")

_RETRY_SECONDS = (0.05, 2.0)
_MISSES_BEFORE_RECONNECT = 5
# When the process ends, its socket closes a moment before we hear of the end.
_LINGER_SECONDS = 0.3


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait: for an answer, a start, an end; and how often to look unasked."""

    call_seconds: float = 3.0
    start_seconds: float = 15.0
    end_seconds: float = 2.0
    poll_seconds: float = 2.0


@dataclass(frozen=True, slots=True)
class Listener:
    """What the owner of a line wants to be told. Only `visit` may wait.

    Attributes:
        visit: look at the machine; may raise `Unavailable`.
        hear: an event of QEMU, its name and data.
        silence: the process lives and does not answer.
        end: the process has ended; `asked`: by `Line.end`.
    """

    visit: Callable[[Session], Awaitable[None]]
    hear: Callable[[str, Mapping[str, Any]], None]
    silence: Callable[[], None]
    end: Callable[[bool], None]


class Line:
    """Watches one process and keeps one session to it."""

    def __init__(self, spec: MachineSpec, layout: Layout, patience: Patience, listener: Listener) -> None:
        self._spec = spec
        self._layout = layout
        self._patience = patience
        self._listener = listener
        self._process: process.Process | None = None
        self._session: Session | None = None
        self._ending = False
        self._silent = False
        self._stranger = ""  # the UUID of a machine that is not ours to command
        self._changed = asyncio.Event()
        self._supervisor: asyncio.Task[None] | None = None

    @property
    def alive(self) -> bool:
        """Whether there is a process."""
        return self._process is not None

    @property
    def ending(self) -> bool:
        """Whether the process has been told to end."""
        return self._ending

    def open(self) -> None:
        """Begin to keep a session."""
        self._supervisor = asyncio.create_task(self._supervise(), name=f"qemu-{self._spec.name}")

    def attach(self, found: process.Process) -> None:
        """Take over a process, started or adopted."""
        self._process = found
        self._ending = False
        self._stranger = ""
        asyncio.get_running_loop().add_reader(found.pidfd, self._on_end)
        self._notify()

    async def reach(self, timeout_seconds: float) -> Session:
        """The session.

        Raises:
            Unavailable: there is none within the time, or the process ends.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_seconds):
                while self._process is not None and not self._stranger:
                    if self._session is not None and not self._session.lost:
                        return self._session
                    await self._changed.wait()
        if self._stranger:
            raise Unavailable(
                f"the machine in {self._layout.directory} has the UUID {self._stranger}, not {self._spec.uuid}: "
                "force it off, or give it back its identity"
            )
        if self._process is None:
            raise Unavailable(f"{self._spec.name}: the process has ended")
        raise Unavailable(f"{self._spec.name}: QEMU (process {self._process.pid}) does not answer; force off ends it")

    async def end(self) -> None:
        """End the process: SIGTERM makes QEMU flush its images and go, SIGKILL is for one that does not.

        Raises:
            Unavailable: not even SIGKILL ends it.
        """
        self._ending = self._process is not None
        for number in (signal.SIGTERM, signal.SIGKILL):
            if self._process is not None:
                self._process.signal(number)
            if await self.ended(self._patience.end_seconds):
                return
        raise Unavailable(f"{self._spec.name}: the process does not end, not even by SIGKILL; it waits for a device")

    async def ended(self, timeout_seconds: float) -> bool:
        """Wait until the process that is there now is gone; whether that came in time."""
        current = self._process
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_seconds):
                while current is not None and self._process is current:
                    await self._changed.wait()
        return current is None or self._process is not current

    async def close(self) -> None:
        """Let go of the process, which lives on."""
        if self._supervisor is not None:
            self._supervisor.cancel()
            await asyncio.wait([self._supervisor])
            self._supervisor = None
        self._detach()

    def _notify(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    def _detach(self) -> None:
        if self._process is not None:
            asyncio.get_running_loop().remove_reader(self._process.pidfd)
            self._process.close()
            self._process = None

    def _on_end(self) -> None:
        if self._process is None:
            return
        self._process.reap()
        self._detach()
        self._session = None
        process.forget(self._layout)
        asked, self._ending, self._silent, self._stranger = self._ending, False, False, ""
        self._listener.end(asked)
        self._notify()

    def _on_event(self, event: str, data: Mapping[str, Any]) -> None:
        self._listener.hear(event, data)
        self._notify()

    def _answers(self) -> None:
        if self._silent:
            log.info("the machine answers again", extra={"machine": self._spec.name})
        self._silent = False

    def _unreachable(self, error: Exception) -> None:
        if self._process is None or self._ending:
            return
        if not self._silent:
            log.warning("the machine does not answer", extra={"machine": self._spec.name, "error": str(error)})
        self._silent = True
        self._listener.silence()

    async def _supervise(self) -> None:
        """Keep one session while there is a process. Runs from open to close."""
        pause, longest = _RETRY_SECONDS
        loop = asyncio.get_running_loop()
        current: process.Process | None = None
        silence_is_news = 0.0  # from then on; a process just started has no socket yet
        while True:
            if self._process is None:
                await self._changed.wait()
                continue
            if self._process is not current:
                current = self._process
                pause, silence_is_news = _RETRY_SECONDS[0], loop.time() + self._patience.call_seconds
            try:
                session = await self._connect()
            except Unavailable as error:
                if loop.time() >= silence_is_news and self._process is current:
                    self._unreachable(error)
                await self.ended(pause)
                pause = min(pause * 2, longest)
                continue
            pause, silence_is_news = _RETRY_SECONDS[0], 0.0
            try:
                await self._attend(session, current)
            except Exception as error:  # one bad session must not leave us deaf to the next
                if not isinstance(error, Unavailable):
                    log.exception("a control session has failed", extra={"machine": self._spec.name})
                if self._process is current and not await self.ended(_LINGER_SECONDS):
                    self._unreachable(error)
            finally:
                self._session = None
                await session.close()
            await self.ended(pause)

    async def _connect(self) -> Session:
        call_seconds = self._patience.call_seconds
        return await Session.connect(self._layout.qmp, self._on_event, self._notify, call_seconds=call_seconds)

    async def _attend(self, session: Session, current: process.Process) -> None:
        """Visit the machine at each poll and whenever something happened, until the session is of no use."""
        if not await self._known(session):
            return
        if self._process is not current:
            raise Unavailable("the process has changed meanwhile")
        self._session = session
        self._notify()
        misses = 0
        while not session.lost:
            try:
                await self._listener.visit(session)
                self._answers()
                misses = 0
            except Unavailable as error:
                misses += 1
                if session.lost or misses >= _MISSES_BEFORE_RECONNECT:
                    raise
                self._unreachable(error)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._patience.poll_seconds):
                    await self._changed.wait()
        raise Unavailable("the connection was closed")

    async def _known(self, session: Session) -> bool:
        """Whether it is the machine that we mean; if not, wait until it has gone."""
        try:
            found = await session.uuid()
        except Refused as error:
            raise Unavailable(error.message) from error
        if found == str(self._spec.uuid):
            return True
        self._stranger = found
        self._notify()
        self._unreachable(Unavailable(f"the machine has the UUID {found}, not {self._spec.uuid}"))
        while not session.lost:
            await self._changed.wait()
        return False
