"""The power of a virtual machine: the `Power` port for a QEMU process.

The one thing to know: the host is off when there is no process, and also when there is one whose guest has powered
itself off (run state `shutdown`). Closing the driver never ends the machine; the next driver adopts it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

from ubmc.hw.gpio.port import Release
from ubmc.hw.power.boot import check_boot
from ubmc.hw.power.port import Action, Boot, BootFirmware, BootTarget, Level, News, Sight
from ubmc.hw.qemu import process
from ubmc.hw.qemu.boot import ECHO_SECONDS, BootOrder
from ubmc.hw.qemu.feed import Feed
from ubmc.hw.qemu.files import bound_log, free_head
from ubmc.hw.qemu.line import Line, Listener, Patience
from ubmc.hw.qemu.machine import Layout, MachineSpec, command
from ubmc.hw.qemu.qmp import Session
from ubmc.kit.errors import Exists, Refused, Unavailable

log = logging.getLogger("ubmc.qemu")

# Run states in which no instruction has run since power-on, or none will without it. All others are ON.
_OFF = frozenset({"shutdown", "prelaunch"})
_CRASH_STATE = "guest-panicked"
_LOG_LIMIT_BYTES = 1 << 20
# How often the state is asked for anew because an event overtook the answer.
_LOOKS = 5


class QemuPower:
    """The power of one virtual machine. Use `open` first and `close` last, on one event loop."""

    actions = frozenset(Action)

    def __init__(
        self,
        spec: MachineSpec,
        directory: Path,
        *,
        binary: str = "qemu-system-x86_64",
        patience: Patience | None = None,
    ) -> None:
        """Nothing is touched before `open`. `directory` is the machine's own, absolute; it is made when needed."""
        self._spec = spec
        self._layout = Layout(directory)
        self._binary = binary
        self._boot = BootOrder(spec)
        self._patience = patience or Patience()
        self._feed = Feed()
        self._lock = asyncio.Lock()  # one action or one look at a time; a forced off waits for nobody
        self._open = False
        self._level = Level.UNKNOWN
        self._status: str | None = None  # the last run state seen
        self._generation = 0  # counts what events said, so that an older answer does not overrule them
        self._pressed_until = 0.0  # the next POWERDOWN before then is the echo of our own press
        self._reset_until = 0.0  # a reset by the guest before then is the echo of the last one
        self._blind = True  # events may have been missed since the last look
        listener = Listener(self._visit, self._hear, self._silence, self._end)
        self._line = Line(spec, self._layout, self._patience, listener)
        self._deeds: set[asyncio.Task[None]] = set()
        self._forced_offs = 0  # how many were asked for

    @property
    def boot_targets(self) -> frozenset[BootTarget]:
        """What the machine has a device for."""
        return self._boot.targets

    @property
    def boot_firmwares(self) -> frozenset[BootFirmware]:
        """That which the machine has; none for a kernel that is loaded without any."""
        return self._boot.firmwares if self._boot.targets else frozenset()

    @property
    def boot_order(self) -> tuple[BootTarget, ...]:
        """The order of its devices."""
        return self._boot.order

    async def open(self) -> tuple[Release, ...]:
        """Adopt the machine if it runs. There are no momentary lines, so nothing is returned.

        A machine that does not answer is adopted too; its level is UNKNOWN until it does.

        Raises:
            Invalid: the specification or the directory cannot work.
            Unavailable: QEMU is not installed, or the machine belongs to somebody else.
        """
        command(self._spec, self._layout, self._binary, self._spec.accelerator)
        found = process.find(self._layout)
        if found is None:
            process.locate(self._binary)
            if self._layout.record.exists():
                log.warning("the machine has ended while nobody watched", extra={"machine": self._spec.name})
                process.forget(self._layout)
            self._tell(Level.OFF)
        else:
            log.info("a running machine is adopted", extra={"machine": self._spec.name, "pid": found.pid})
            self._adopt(found)
        self._line.open()
        self._open = True
        if found is not None:
            with contextlib.suppress(Unavailable):
                async with self._lock:
                    await self._refresh(await self._line.reach(self._patience.call_seconds))
        return ()

    async def do(self, action: Action, *, boot: Boot | None = None) -> None:
        """Carry out the action.

        ON and RESET also bring back a machine whose guest has crashed. FORCE_OFF ends the process, answering or not;
        on a host that is off it does nothing. It waits for nobody; actions that wait for another one when it comes
        are refused. A caller who is cancelled while waiting has done nothing; afterwards the action goes on to its end.

        Raises:
            Refused: not in this level, or the machine has nothing to boot from there, or a forced off came first.
            Unavailable: QEMU is missing, does not start, or does not answer; in the last case it may act later.
        """
        self._check_open()
        check_boot(action, boot, self.boot_targets, self.boot_firmwares)
        if action is Action.FORCE_OFF:
            self._forced_offs += 1
            await self._see_through(asyncio.create_task(self._line.end()))
            return
        forced_offs = self._forced_offs
        await self._lock.acquire()
        try:
            self._check_open()
            self._check_wanted(action, forced_offs)
            deed = asyncio.create_task(self._carry_out(action, boot, forced_offs))
        except BaseException:
            self._lock.release()
            raise
        deed.add_done_callback(lambda _: self._lock.release())
        await self._see_through(deed)

    def watch(self) -> AsyncIterator[Sight]:
        """The level now, then every change and all news. Ends when the driver is closed."""
        return self._feed.follow(lambda: Sight(self._level))

    async def mains_epoch(self) -> str | None:
        """The boot of the machine that we run on: a virtual machine never survives its end."""
        try:
            return process.boot_id()
        except OSError:
            return None

    async def close(self) -> None:
        """Let go of the machine, which goes on running. Actions under way are finished first."""
        self._open = False
        if self._deeds:
            await asyncio.wait(self._deeds)
        await self._line.close()
        self._feed.close()

    async def end(self) -> None:
        """End the machine, then close. Raises `Unavailable` when it does not end; it is closed all the same."""
        try:
            await self.do(Action.FORCE_OFF)
        finally:
            await self.close()

    # --- actions

    def _check_open(self) -> None:
        if not self._open:
            raise Unavailable(f"{self._spec.name}: the driver is not open")

    def _check_wanted(self, action: Action, forced_offs: int) -> None:
        """Raises `Refused` for an action asked for before a forced off: it would undo what was asked for later."""
        if self._forced_offs != forced_offs:
            raise Refused(f"{self._spec.name}: a forced off came first; ask for {action.value} again if it is wanted")

    async def _see_through(self, deed: asyncio.Task[None]) -> None:
        """Wait for a deed, which goes on to its end even if the caller is cancelled."""
        self._deeds.add(deed)
        deed.add_done_callback(self._deeds.discard)
        try:
            await asyncio.shield(deed)
        except asyncio.CancelledError:
            deed.add_done_callback(_log_failure)  # nobody else will look at it
            raise

    async def _carry_out(self, action: Action, boot: Boot | None, forced_offs: int) -> None:
        """Carry out what is not a forced off, with the lock held."""
        if self._line.ending:
            await self._line.ended(2 * self._patience.end_seconds)
            self._check_wanted(action, forced_offs)
        if action is Action.ON:
            await self._on(boot)
            return
        if not self._line.alive:
            raise Refused(f"{self._spec.name} is off; {action.value} needs a host that is on")
        session = await self._line.reach(self._patience.call_seconds)
        # Asked first, because a command sent to a QEMU that hangs would be carried out when it wakes.
        status = await self._refresh(session)
        if status in _OFF:
            raise Refused(f"{self._spec.name} is off; {action.value} needs a host that is on")
        match action:
            case Action.SOFT_OFF:
                self._pressed_until = _now() + self._patience.call_seconds
                await session.execute("system_powerdown")
            case Action.RESET:
                await self._reset(session, status, boot)
            case Action.NMI:
                await session.execute("inject-nmi")
            case _:
                raise Refused(f"{action.value} is not known here")
        await self._refresh(session)

    async def _on(self, boot: Boot | None) -> None:
        if not self._line.alive and self._start(boot):
            try:
                session = await self._line.reach(self._patience.start_seconds)
            except Unavailable:
                if not self._line.alive:
                    raise Unavailable(f"QEMU has ended at once: {process.complaint(self._layout)}") from None
                raise
            self._share_ipmi()
            await self._boot.settle(session, _now())
            await self._refresh(session)
            return
        session = await self._line.reach(self._patience.call_seconds)
        status = await self._refresh(session)
        if status not in _OFF and status != _CRASH_STATE:
            raise Refused(f"{self._spec.name} is on already (run state {status})")
        await self._reset(session, status, boot)
        await self._refresh(session)

    def _share_ipmi(self) -> None:
        """Let the group of the folder reach the guest's IPMI, and none of the other sockets."""
        if self._spec.ipmi:
            with contextlib.suppress(FileNotFoundError):
                self._layout.ipmi.chmod(0o660)

    async def _reset(self, session: Session, before: str, boot: Boot | None) -> None:
        """Reset; a machine that was stopped goes through `prelaunch` and is let run there."""
        await self._boot.choose(session, boot, _now())
        await session.execute("system_reset")
        if before == "running":
            return
        try:
            async with asyncio.timeout(self._patience.call_seconds):
                while (status := await session.status()) not in {"prelaunch", "running"}:  # noqa: ASYNC110 - QEMU's state
                    await asyncio.sleep(0.02)
        except TimeoutError:
            raise Unavailable(f"{self._spec.name} does not come out of run state {before} by a reset") from None
        if status == "prelaunch":
            await session.execute("cont")

    # --- what is seen

    def _adopt(self, found: process.Process) -> None:
        self._line.attach(found)
        self._boot.doubt(_now())

    def _start(self, boot: Boot | None) -> bool:
        """Start the process; False if there was one that we did not know of (it is adopted)."""
        accelerator = process.pick_accelerator(self._spec.accelerator)
        binary = process.locate(self._binary)
        argv = command(self._spec, self._layout, binary, accelerator, self._boot.indices(boot))
        try:
            started = process.start(self._layout, argv, self._spec.uuid)
        except Exists:
            found = process.find(self._layout)
            if found is None:
                raise Unavailable(f"{self._spec.name} is just ending; try again") from None
            self._adopt(found)
            return False
        log.info(
            "the machine is started",
            extra={"machine": self._spec.name, "pid": started.pid, "accelerator": accelerator.value},
        )
        self._line.attach(started)
        if boot is not None and boot.target is not None:
            self._boot.started(_now())
        return True

    async def _visit(self, session: Session) -> None:
        """Look at the machine, as often as the line finds it worth while."""
        async with self._lock:
            await self._refresh(session)
            await self._boot.settle(session, _now())
        for path in self._layout.logs:
            # Who reads the serial line goes by the places of its bytes.
            bound = free_head if path == self._layout.serial_log else bound_log
            try:
                bound(path, _LOG_LIMIT_BYTES)
            except OSError as error:
                log.warning("a log cannot be bounded", extra={"path": str(path), "error": str(error)})

    async def _refresh(self, session: Session) -> str:
        """Ask for the run state, tell what follows from it, and return it."""
        status = ""
        for _ in range(_LOOKS):
            generation = self._generation
            status = await session.status()
            if generation == self._generation:
                break  # else an event came in after the answer was written, and knows better
        before, self._status = self._status, status
        crashed = self._blind and status == _CRASH_STATE and before not in {None, _CRASH_STATE}
        self._blind = False
        self._tell(Level.OFF if status in _OFF else Level.ON, News.PANICKED if crashed else None)
        return status

    def _hear(self, event: str, data: Mapping[str, Any]) -> None:
        """One event of QEMU, in the order in which they happened."""
        by_guest = bool(data.get("guest"))
        if event == "SHUTDOWN" and by_guest:
            self._learn("shutdown", Level.OFF, News.GUEST_SHUTDOWN)
        elif event == "RESET":
            self._hear_reset(by_guest=by_guest)
        elif event == "GUEST_PANICKED":
            self._learn(_CRASH_STATE, Level.ON, News.PANICKED)
        elif event == "POWERDOWN":
            ours = _now() < self._pressed_until
            self._pressed_until = 0.0
            if not ours:
                self._tell(self._level, News.BUTTON_PRESSED)
        elif event == "WATCHDOG":
            self._learn("running", Level.ON, News.WATCHDOG_EXPIRED)

    def _hear_reset(self, *, by_guest: bool) -> None:
        now = _now()
        # After any reset SeaBIOS resets once more, which looks like a reset by the guest.
        echo = now < self._reset_until
        self._reset_until = now + ECHO_SECONDS
        self._boot.hear_reset(now)
        if by_guest and not echo:
            self._learn("running", Level.ON, News.GUEST_RESET)

    def _learn(self, status: str, level: Level, news: News) -> None:
        self._generation += 1
        self._blind = False
        self._status = status
        self._tell(level, news)

    def _silence(self) -> None:
        """The process lives and does not answer."""
        self._blind = True
        self._tell(Level.UNKNOWN)

    def _end(self, asked: bool) -> None:
        """The process is gone."""
        self._generation += 1
        self._boot.forget()
        failed_start = self._level is Level.OFF and self._status is None
        self._status = None
        if asked or failed_start:
            self._tell(Level.OFF)
            return
        log.error(
            "the machine's process has ended by itself",
            extra={"machine": self._spec.name, "complaint": process.complaint(self._layout)},
        )
        self._tell(Level.OFF, News.CRASHED)

    def _tell(self, level: Level, news: News | None = None) -> None:
        if level is self._level and news is None:
            return
        self._level = level
        self._feed.publish(Sight(level, news))


def _now() -> float:
    return asyncio.get_running_loop().time()


def _log_failure(deed: asyncio.Task[None]) -> None:
    if not deed.cancelled() and (error := deed.exception()) is not None:
        log.warning("an action that nobody waits for any more has failed", extra={"error": str(error)})
