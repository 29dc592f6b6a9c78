"""The guest's own IPMI: one connection to each virtual machine, commands under a policy, one at a time.

The virtual machine listens (its socket lies in the machine's folder and outlives us) and we connect, again and again:
while we are away the guest gets "BMC initialization in progress" from QEMU and tries again. The guest is not trusted:
it has no user, what it may do is an allow-list, and a request that comes too fast is taken up later; it waits for each
answer, so that nothing is lost and nothing piles up.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from ubmc.kit.bus import Bus
from ubmc.protocols.ipmi import vm
from ubmc.protocols.ipmi.codes import SYSTEM_INTERFACE, Level, NetFn
from ubmc.protocols.ipmi.vm import Control, VmCommand, VmRequest
from ubmc.services.ipmisrv.dispatch import Command, Context, Table
from ubmc.services.ipmisrv.limits import Limits, Patience

log = logging.getLogger("ubmc.ipmisrv")

Policy = Literal["restricted", "full", "off"]
"""`restricted`: what each command says of itself: reading and the watchdog. `full`: every other too that is not about
sessions and their payloads, as an administrator: for provisioning on a trusted guest. `off`: no connection at all."""

RETRY_SECONDS = 1.0
LONGEST_RETRY_SECONDS = 5.0
READ_BYTES = 4096
_OF_SESSIONS = frozenset({0x39, 0x3A, 0x3B, 0x3C, 0x3D, 0x48, 0x49, 0x4A, 0x4B, 0x55})
"""Of the network function App (Spec table G-1): a guest has no session, and those of others are not its business."""
_WATCHDOG = frozenset({(NetFn.APP, 0x22), (NetFn.APP, 0x24)})  # Reset and Set Watchdog Timer (Spec sections 27.5, 27.6)


def guest_may(policy: Policy) -> Callable[[Command], bool]:
    """The policy as a rule for commands."""
    if policy == "full":
        return lambda command: command.inband or command.netfn != NetFn.APP or command.number not in _OF_SESSIONS
    return lambda command: policy == "restricted" and command.inband


class Guest:
    """The IPMI of one virtual machine.

    Args:
        bus: for what handlers ask.
        table: the commands, with the policy.
        name: the host.
        path: the unix socket of the virtual machine.
        limits: how fast it may ask.
    """

    def __init__(self, bus: Bus, table: Table, name: str, path: Path, limits: Limits) -> None:
        self._bus = bus
        self._table = table
        self.name = name
        self._path = path
        self._requests = Patience(limits.guest_per_second, limits.guest_burst)
        self._changes = Patience(limits.guest_changes_per_second, limits.guest_changes_burst)
        self._able_since: float | None = None
        self._slowed = False

    @property
    def able_seconds(self) -> float:
        """For how long the guest has had a BMC that did all it was asked about the watchdog; 0: it has none now."""
        return 0.0 if self._able_since is None else time.monotonic() - self._able_since

    async def run(self) -> None:
        """Connect, answer, and connect again; for ever."""
        delay = RETRY_SECONDS
        while True:
            with contextlib.suppress(OSError):
                reader, writer = await asyncio.open_unix_connection(str(self._path))
                delay = RETRY_SECONDS
                try:
                    await self._serve(reader, writer)
                finally:
                    self._able_since = None
                    writer.transport.abort()
            await asyncio.sleep(delay)
            delay = min(LONGEST_RETRY_SECONDS, delay * 2)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        log.info("the guest has its BMC", extra={"host": self.name})
        writer.write(vm.control(Control.VERSION, bytes((vm.VERSION,))))
        self._able_since = time.monotonic()
        decoder = vm.Decoder()
        while data := await reader.read(READ_BYTES):
            for frame in decoder.feed(data):
                match frame:
                    case VmRequest():
                        await self._wait_for_turn(frame)
                        writer.write(vm.respond(frame, await self._answer(frame)))
                        await writer.drain()
                    case VmCommand():
                        log.debug("the virtual machine says", extra={"host": self.name, "command": frame.command})
        log.info("the guest's BMC connection ended", extra={"host": self.name})

    async def _wait_for_turn(self, request: VmRequest) -> None:
        seconds = self._requests.wait_seconds()
        group = request.data[0] if request.netfn == NetFn.GROUP and request.data else None
        command = self._table.find(request.netfn, request.command, group)
        if command is not None and command.changes:
            seconds = max(seconds, self._changes.wait_seconds())
        if seconds:
            if not self._slowed:
                log.warning("a guest asks too fast, its requests wait", extra={"host": self.name})
            self._slowed = True
            await asyncio.sleep(seconds)
        elif self._slowed and self._requests.rested and self._changes.rested:
            self._slowed = False
            log.info("a guest asks at a fair rate again", extra={"host": self.name})

    async def _answer(self, request: VmRequest) -> bytes:
        context = Context(self._bus, SYSTEM_INTERFACE, request.lun, Level.ADMINISTRATOR, source="guest")
        context.host = self.name
        answer = await self._table.answer(context, request.netfn, request.command, request.data)
        if answer[0] and (request.netfn, request.command) in _WATCHDOG:
            self._able_since = time.monotonic()  # it was not done, so the guest's silence proves nothing yet
        for each in context.after:
            each()
        return answer
