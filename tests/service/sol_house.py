"""The IPMI door with serial over LAN, consolesrv and a simulated host, and clients of the line."""

from __future__ import annotations

import asyncio
import contextlib
import random
import secrets
import shutil
import socket
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.harness.consoles import QUICK, Door, make_server
from tests.harness.ipmi import Remote
from tests.harness.terminal import Terminal
from tests.service.ipmisrv_house import IpmiHouse, ipmi_house, until

from ubmc.hw.sim.inprocess import InProcessMachine
from ubmc.hw.sim.parts.shell import Mode
from ubmc.hw.sim.plant import Plant, Settings
from ubmc.kit.bus import Bus
from ubmc.services.consolesrv.service import ConsoleServer
from ubmc.services.ipc.permissions import ProcessSpec
from ubmc.services.ipmisrv.door import IpmiOptions

MEBIBYTE = 1 << 20
ALONE = f"127.{secrets.randbelow(254) + 1}.{secrets.randbelow(254) + 1}.1"
"""An address of this machine for ipmiconsole, which speaks to port 623 only."""
OPTIONS = IpmiOptions(listen=(("127.0.0.1", 0),), settings=Path("-"), cipher_suites=(3, 17))


def may_bind_623() -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as tried:
        try:
            tried.bind((ALONE, 623))
        except OSError:
            return False
        return True


ACTIVATE = bytes.fromhex("01 01 c0 00 00 00")
CLIENTS = [
    pytest.param("ipmitool", marks=pytest.mark.skipif(shutil.which("ipmitool") is None, reason="apt install ipmitool")),
    pytest.param(
        "ipmiconsole",
        marks=[
            pytest.mark.skipif(shutil.which("ipmiconsole") is None, reason="apt install freeipmi-tools"),
            pytest.mark.skipif(not may_bind_623(), reason="ipmiconsole speaks to port 623 only, which needs root"),
        ],
    ),
]
clients = pytest.mark.parametrize("client", CLIENTS)


class SolHouse:
    """The IPMI door, consolesrv and a simulated host."""

    def __init__(self, ipmi: IpmiHouse, machine: InProcessMachine, owner: Bus, sshsrv: Bus) -> None:
        self.ipmi, self.machine, self.owner, self.sshsrv = ipmi, machine, owner, sshsrv
        self.replay_bytes = MEBIBYTE
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        server = make_server(self.machine, self.ipmi.world.state / "console", self.replay_bytes)
        self.server = server
        self._task = await self.ipmi.world.run(self.owner, server)
        await until(lambda: server._consoles["host.0"].connected is True)

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def press(self, line: str, seconds: float = 0.1) -> None:
        self.machine.act(lambda plant: plant.drive(line, active=True))
        loop = asyncio.get_running_loop()
        loop.call_later(seconds, self.machine.act, lambda plant: plant.drive(line, active=False))

    async def boot(self) -> None:
        self.press("power-button-0")
        await until(lambda: self.machine.plant.shell.mode is Mode.LOGIN)

    def terminal(self, client: str, name: str = "admin") -> Terminal:
        port, secret = str(self.ipmi.address[1]), self.ipmi.secrets[name].decode()
        if client == "ipmitool":
            return Terminal(
                *("ipmitool", "-I", "lanplus", "-H", "127.0.0.1", "-p", port, "-U", name, "-P", secret),
                *("-L", "OPERATOR", "-e", "~", "sol", "activate"),
            )
        return Terminal(
            *("ipmiconsole", "-h", ALONE, "-u", name, "-p", secret, "-I", "17", "-l", "OPERATOR"),
            *("-e", "~"),
        )

    @staticmethod
    async def opened(terminal: Terminal, client: str) -> None:
        await terminal.see(b"[SOL Session operational" if client == "ipmitool" else b"[SOL established]")
        await terminal.see(b"\n")

    @staticmethod
    async def log_in(terminal: Terminal) -> None:
        terminal.type(b"\r")
        await terminal.see(b"login: ")
        terminal.type(b"root\r")
        await terminal.see(b"Password: ")
        terminal.type(b"x\r")
        await terminal.see(b"# ")


@contextlib.asynccontextmanager
async def sol_house(client: str = "", replay_bytes: int = MEBIBYTE) -> AsyncIterator[SolHouse]:
    more = ((ALONE, 623),) if client == "ipmiconsole" else ()
    options = replace(OPTIONS, listen=(*OPTIONS.listen, *more))
    machine = InProcessMachine(Plant(Settings(timings=QUICK)))
    try:
        specs = (ProcessSpec("consolesrv", (ConsoleServer,)), ProcessSpec("sshsrv", (Door,), door=True))
        async with ipmi_house(options, *specs) as ipmi:
            owner, sshsrv = await ipmi.world.place("consolesrv"), await ipmi.world.place("sshsrv", Door())
            house = SolHouse(ipmi, machine, owner, sshsrv)
            house.replay_bytes = replay_bytes
            try:
                await house.start()
                yield house
            finally:
                await house.stop()
    finally:
        machine.close()


class SolClient:
    """Serial over LAN by hand, from the specification."""

    def __init__(self, remote: Remote) -> None:
        self.remote = remote
        self.text = b""
        self.number = 0
        self.last = 0
        self.flags = 0

    def rest(self, seconds: float) -> None:
        """Acknowledge nothing for a while, but keep the session alive."""
        time.sleep(seconds)

    def pump(self, seconds: float = 0.2) -> tuple[int, int]:
        """Take one packet; what it acknowledges."""
        self.remote.socket.settimeout(seconds)
        kind, payload = self.remote.receive()
        if kind != 1:
            return 0, 0
        number, acked, accepted, self.flags = payload[0] & 15, payload[1] & 15, payload[2], payload[3]
        if number:
            if number != self.last:
                self.text += payload[4:]
                self.last = number
            self.remote.send(bytes((0, number, len(payload) - 4, 0)), 1)
        return acked, accepted

    def see(self, text: bytes, seconds: float = 45.0) -> bytes:
        deadline = time.monotonic() + seconds
        while text not in self.text:
            assert time.monotonic() < deadline, self.text[-500:]
            with contextlib.suppress(TimeoutError):
                self.pump()
        before, _, self.text = self.text.partition(text)
        return before

    def type(self, data: bytes, operation: int = 0) -> int:
        """Send a packet until it is acknowledged; how many characters were taken."""
        self.number = self.number % 15 + 1
        packet = bytes((self.number, 0, 0, operation)) + data
        for _ in range(20):
            self.remote.send(packet, 1)
            with contextlib.suppress(TimeoutError):
                while True:
                    acked, accepted = self.pump(1.0)
                    if acked == self.number:
                        return accepted
        raise TimeoutError("no acknowledgement")


class Shown:
    """All that a terminal has shown."""

    def __init__(self, terminal: Terminal) -> None:
        self.terminal = terminal
        self.whole = b""

    async def see(self, text: bytes) -> None:
        self.whole += await self.terminal.see(text) + text

    async def log_in(self) -> None:
        for prompt, answer in ((b"login: ", b"root\r"), (b"Password: ", b"x\r"), (b"# ", b"")):
            await self.see(prompt)
            self.terminal.type(answer)

    async def raw(self) -> None:
        self.terminal.type(b"raw\r")
        await self.see(b"raw\r\n")

    async def echoed(self, data: bytes) -> bytes:
        back = await echoed(self.terminal, data)
        self.whole += back
        return back


def typeable(size: int, seed: int) -> bytes:
    """Any bytes but the escape character, which the clients keep to themselves."""
    return random.Random(seed).randbytes(size).replace(b"~", b"-")


async def echoed(terminal: Terminal, data: bytes, ahead: int = 4096) -> bytes:
    """What comes back of what is typed; ipmiconsole gives up when 8 KiB more are typed than it has sent."""
    shown = b""
    for begin in range(0, len(data), ahead):
        terminal.type(data[begin : begin + ahead])
        shown += await terminal.take(len(data[begin : begin + ahead]), 30)
    return shown


def common(first: bytes, second: bytes) -> bytes:
    """How they both begin."""
    pairs = enumerate(zip(first, second, strict=False))
    return first[: next((number for number, (one, other) in pairs if one != other), min(len(first), len(second)))]
