"""The guest's own IPMI: one connection to each virtual machine, commands under a policy, one at a time.

The virtual machine listens (its socket lies in the machine's folder and outlives us) and we connect, again and again:
while we are away the guest gets "BMC initialization in progress" from QEMU and tries again. The guest is not trusted:
it has no user, and what it may do is an allow-list.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from ubmc.kit.bus import Bus
from ubmc.protocols.ipmi import vm
from ubmc.protocols.ipmi.codes import SYSTEM_INTERFACE, Level
from ubmc.protocols.ipmi.vm import Control, VmCommand, VmRequest
from ubmc.services.ipmisrv.dispatch import Command, Context, Table

log = logging.getLogger("ubmc.ipmisrv")

Policy = Literal["restricted", "full", "off"]
"""`restricted`: what each command says of itself: reading and the watchdog. `full`: every command that is not about a
session, as an administrator: for provisioning on a trusted guest. `off`: no connection at all."""

RETRY_SECONDS = 1.0
LONGEST_RETRY_SECONDS = 5.0
READ_BYTES = 4096


def guest_may(policy: Policy) -> Callable[[Command], bool]:
    """The policy as a rule for commands."""
    if policy == "full":
        return lambda _command: True
    return lambda command: policy == "restricted" and command.inband


class Guest:
    """The IPMI of one virtual machine.

    Args:
        bus: for what handlers ask.
        table: the commands, with the policy.
        name: the host.
        path: the unix socket of the virtual machine.
    """

    def __init__(self, bus: Bus, table: Table, name: str, path: Path) -> None:
        self._bus = bus
        self._table = table
        self._name = name
        self._path = path
        self._attention = False
        self._writer: asyncio.StreamWriter | None = None

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
                    self._writer = None
                    writer.transport.abort()
            await asyncio.sleep(delay)
            delay = min(LONGEST_RETRY_SECONDS, delay * 2)

    def attention(self, *, on: bool) -> None:
        """Tell the guest that there is something for it, or that there is nothing (any more)."""
        self._attention = on
        if self._writer is not None:
            self._writer.write(vm.control(Control.ATTENTION_IRQ if on else Control.NO_ATTENTION))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        log.info("the guest has its BMC", extra={"host": self._name})
        self._writer = writer
        writer.write(vm.control(Control.VERSION, bytes((vm.VERSION,))))
        if self._attention:
            self.attention(on=True)
        decoder = vm.Decoder()
        while data := await reader.read(READ_BYTES):
            for frame in decoder.feed(data):
                match frame:
                    case VmRequest():
                        writer.write(vm.respond(frame, await self._answer(frame)))
                        await writer.drain()
                    case VmCommand():
                        log.debug("the virtual machine says", extra={"host": self._name, "command": frame.command})
        log.info("the guest's BMC connection ended", extra={"host": self._name})

    async def _answer(self, request: VmRequest) -> bytes:
        context = Context(self._bus, SYSTEM_INTERFACE, request.lun, Level.ADMINISTRATOR, source="guest")
        context.host = self._name
        answer = await self._table.answer(context, request.netfn, request.command, request.data)
        for each in context.after:
            each()
        return answer
