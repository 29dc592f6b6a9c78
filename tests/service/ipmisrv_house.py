"""The IPMI door on a real bus with a real usermgr; its commands are a handful that show what the frame does."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from tests.harness.bus import BusWorld
from tests.harness.ipmi import Remote
from tests.service.usermgr_house import MANAGERS, WEBSRV, House

from ubmc.kit.bus import Bus
from ubmc.kit.service import Service, on
from ubmc.protocols.ipmi.codes import Code, Completion, Level, NetFn
from ubmc.services.ipc.permissions import ProcessSpec
from ubmc.services.ipmisrv import sol, users
from ubmc.services.ipmisrv.commands import own
from ubmc.services.ipmisrv.dispatch import Command, Context
from ubmc.services.ipmisrv.door import Door, IpmiOptions
from ubmc.services.ipmisrv.sessions import SessionsView
from ubmc.services.ipmisrv.settings import Settings
from ubmc.services.usermgr.roles import ADMINISTRATOR, OPERATOR, READ_ONLY
from ubmc.services.usermgr.sessions import SessionOptions
from ubmc.v1alpha1.session_pb import ListSessionsRequest, SessionEnd
from ubmc.v1alpha1.session_rpc import SessionService
from ubmc.v1alpha1.user_pb import ListRolesRequest, ResetIpmiSecretRequest
from ubmc.v1alpha1.user_rpc import UserService

T = TypeVar("T")
OEM = 0x30
WHO, SLOW, COUNT, ADMIN_ONLY, BUG, ROLE_COUNT = 0x01, 0x02, 0x03, 0x04, 0x05, 0x06
ROLES = {"admin": ADMINISTRATOR, "otto": OPERATOR, "rita": READ_ONLY}
DEVICE_ID = bytes.fromhex("20 01 01 00 02 80 00 00 00 00 00 00 00 00 00")


class FewCommands:
    """Commands of this test."""

    def __init__(self, _bus: Bus, _settings: Settings, _sessions: SessionsView) -> None:
        self.counted = 0
        self.slow = asyncio.Event()

    def commands(self) -> Iterable[Command]:
        return (
            Command(NetFn.APP, 0x01, "Get Device ID", Level.USER, lambda _context, _data: DEVICE_ID, inband=True),
            Command(OEM, WHO, "Who", Level.USER, self._who),
            Command(OEM, ROLE_COUNT, "Roles", Level.USER, self._roles),
            Command(OEM, SLOW, "Slow", Level.USER, self._slow, 0, 4),
            Command(OEM, COUNT, "Count", Level.USER, self._count),
            Command(OEM, ADMIN_ONLY, "Admin", Level.ADMINISTRATOR, self._count),
            Command(OEM, BUG, "Bug", Level.USER, self._bug, 1),
        )

    def system_guid(self) -> bytes:
        return bytes(range(16))

    async def setup(self) -> None:
        return

    async def work(self) -> None:
        await asyncio.Event().wait()

    async def teardown(self) -> None:
        self.slow.set()

    async def _who(self, context: Context, _data: bytes) -> bytes:
        """Whose sessions the person sees; it takes ConfigureSelf, which only the level administrator has."""
        answer = await context.ask(SessionService.ListSessions, ListSessionsRequest())
        return " ".join(sorted({session.user for session in answer.sessions})).encode()

    async def _roles(self, context: Context, _data: bytes) -> bytes:
        """What everybody may see who may log in."""
        return bytes((len((await context.ask(UserService.ListRoles, ListRolesRequest())).roles),))

    async def _slow(self, _context: Context, data: bytes) -> bytes:
        await self.slow.wait()
        return data

    async def _count(self, _context: Context, _data: bytes) -> bytes:
        self.counted += 1
        return bytes((self.counted,))

    def _bug(self, _context: Context, data: bytes) -> bytes:
        if data == b"\x01":
            raise Completion(Code.OUT_OF_RANGE)
        raise KeyError("a bug of this test")


class SmallServer(Service):
    """The service with few commands."""

    name = "ipmisrv"
    calls = (*users.CALLS, *sol.CALLS)
    tells = own.TELLS

    def __init__(self, options: IpmiOptions) -> None:
        self.options = options
        self.ports: list[int] = []
        self.door: Door | None = None
        self.suite: FewCommands | None = None

    async def setup(self) -> None:
        def make(*given: Any) -> FewCommands:
            self.suite = FewCommands(*given)
            return self.suite

        self.door = Door(self.bus, self.options, make, lambda _host, port: self.ports.append(port))
        await self.door.open()

    async def work(self) -> None:
        assert self.door is not None
        await self.door.work()

    async def teardown(self) -> None:
        if self.door is not None:
            await self.door.close()

    @on(SessionEnd)
    async def session_ended(self, ended: SessionEnd) -> None:
        if self.door is not None:
            self.door.session_ended(ended.id)


class IpmiHouse:
    """A bus, usermgr with three accounts of three roles, and the IPMI door."""

    def __init__(self, world: BusWorld, house: House, server: SmallServer) -> None:
        self.world, self.house, self.server = world, house, server
        self.secrets: dict[str, bytes] = {}
        self.token = ""

    @property
    def suite(self) -> FewCommands:
        assert self.server.suite is not None
        return self.server.suite

    @property
    def address(self) -> tuple[str, int]:
        return "127.0.0.1", self.server.ports[0]

    def remote(self, name: str = "admin", secret: bytes | None = None, level: int = 4, **more: Any) -> Remote:
        """A remote console; it is opened by `with`, on another thread than the door."""
        given = self.secrets.get(name, b"no secret") if secret is None else secret
        return Remote(self.address, name, given, level=level, **more)

    async def people(self) -> None:
        self.token = await self.house.admin()
        for name, role in ROLES.items():
            if name != "admin":
                await self.house.create(self.token, name, role)
            request = ResetIpmiSecretRequest(name=name)
            answer = await self.house.ask(self.token, UserService.ResetIpmiSecret, request)
            self.secrets[name] = answer.secret.encode()


@contextlib.asynccontextmanager
async def ipmi_house(
    options: IpmiOptions | None = None, *more: ProcessSpec, sessions: SessionOptions | None = None
) -> AsyncIterator[IpmiHouse]:
    spec = ProcessSpec("ipmisrv", (SmallServer,), door=True)
    async with BusWorld(MANAGERS, WEBSRV, spec, *more) as world:
        house = House(world, sessions or SessionOptions())
        given = options or IpmiOptions(listen=(("127.0.0.1", 0),), settings=Path("-"), cipher_suites=(3, 17))
        server = SmallServer(replace(given, settings=world.state / "ipmi" / "settings.json"))
        try:
            await house.open()
            await world.place("ipmisrv", server)
            made = IpmiHouse(world, house, server)
            await made.people()
            yield made
        finally:
            await house.stop()


async def aside(work: Callable[[], T]) -> T:
    """Do something that blocks, while the door answers."""
    return await asyncio.to_thread(work)


async def tool(*arguments: str, expect: int = 0) -> str:
    """Run another people's client; what it printed."""
    process = await asyncio.create_subprocess_exec(
        *arguments, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    async with asyncio.timeout(40):
        output, _ = await process.communicate()
    text = output.decode(errors="replace")
    assert process.returncode == expect, text
    return text


async def until(condition: Callable[[], bool | Awaitable[bool]], seconds: float = 45.0) -> None:
    """Wait until something holds."""
    async with asyncio.timeout(seconds):
        while True:
            held = condition()
            if held if isinstance(held, bool) else await held:
                return
            await asyncio.sleep(0.01)
