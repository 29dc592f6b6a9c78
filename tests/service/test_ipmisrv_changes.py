"""What IPMI changes that no other service owns: who may, what the audit trail says, and what lapses by itself.

The commands stand on a real bus with the real statemgr and event log; sessions are only their signed principals.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

import pytest
from tests.harness.bus import BusWorld
from tests.service.statemgr_house import House, whole_house

from ubmc.kit.service import Service, on, rpc
from ubmc.protocols.ipmi import chassis
from ubmc.protocols.ipmi.codes import LAN_CHANNEL, SYSTEM_INTERFACE, Level, NetFn
from ubmc.services.ipc.permissions import ProcessSpec
from ubmc.services.ipmisrv.commands import boot
from ubmc.services.ipmisrv.commands.suite import Suite, SuiteOptions
from ubmc.services.ipmisrv.dispatch import Context, SessionFacts, Table
from ubmc.services.ipmisrv.inband import Policy, guest_may
from ubmc.services.ipmisrv.limits import Limits
from ubmc.services.ipmisrv.sessions import Sessions
from ubmc.services.ipmisrv.settings import Settings
from ubmc.services.ipmisrv.users import Users
from ubmc.v1alpha1.access_pb import Privilege
from ubmc.v1alpha1.host_pb import (
    BootFirmware,
    BootOverride,
    BootOverrideMode,
    BootTarget,
    Host,
    HostState,
    UpdateHostRequest,
)
from ubmc.v1alpha1.host_rpc import HostService
from ubmc.v1alpha1.session_pb import Principal
from ubmc.v1alpha1.system_pb import AuditedCall
from ubmc.v1alpha1.user_pb import IpmiUser, ListIpmiUsersRequest, ListIpmiUsersResponse
from ubmc.v1alpha1.user_rpc import UserService

COMPONENTS, MANAGER, USERS = (
    Privilege.CONFIGURE_COMPONENTS,
    Privilege.CONFIGURE_MANAGER,
    Privilege.CONFIGURE_USERS,
)
ABSENT = frozenset({"SensorService", "InventoryService", "NetworkService", "TimeService"})
RECORD = bytes(2) + b"\x02" + bytes(4) + b"\x41\x00\x04\x05\x30\x6f\x01\xff\xff"


class Commands(Service):
    """All commands about the machine, without sockets and sessions."""

    name = "ipmisrv"
    calls = Suite.calls
    tells = Suite.tells

    def __init__(self, folder: Path) -> None:
        self._path = folder / "ipmi" / "settings.json"

    async def setup(self) -> None:
        settings = Settings(self._path)
        await settings.load()
        options = SuiteOptions(absent=ABSENT)
        self.suite = Suite(self.bus, settings, options, Sessions(Users(self.bus), Limits()))
        self.table = Table(self.suite.commands())
        await self.suite.setup()

    async def work(self) -> None:
        await self.suite.work()

    async def teardown(self) -> None:
        await self.suite.teardown()


class Auditor(Service):
    """Hears what gets into the audit trail."""

    name = "auditor"

    def __init__(self) -> None:
        self.heard: list[AuditedCall] = []

    @on(AuditedCall)
    async def follow(self, call: AuditedCall) -> None:
        self.heard.append(call)


class Signed:
    """Somebody who has logged in, with these privileges."""

    def __init__(self, world: BusWorld, user: str, privileges: tuple[Privilege, ...]) -> None:
        self._world = world
        self._user = user
        self._privileges = [Privilege.LOGIN, *privileges]

    async def signed(self) -> bytes:
        expires = time.monotonic() + 60
        principal = Principal(user=self._user, role="Made", privileges=self._privileges, session="s1", expires=expires)
        return self._world.signer.sign(principal)


class Desk:
    """The commands, and how to use them."""

    def __init__(self, house: House, commands: Commands, auditor: Auditor) -> None:
        self.house, self.commands, self.auditor = house, commands, auditor

    async def ask(self, netfn: int, number: int, data: bytes, *privileges: Privilege) -> bytes:
        """As a session of the level administrator, whose user has these privileges."""
        facts = SessionFacts(1, 1, 1, "ida", 2, "198.51.100.7", 40000, Level.ADMINISTRATOR)
        identity = Signed(self.house.world, "ida", privileges)
        context = Context(self.commands.bus, LAN_CHANNEL, 0, Level.ADMINISTRATOR, facts, identity, "198.51.100.7")
        return await self.commands.table.answer(context, netfn, number, data)

    async def as_guest(self, netfn: int, number: int, data: bytes, policy: Policy = "full") -> bytes:
        """As a guest, that the owner trusts unless the policy says otherwise."""
        context = Context(self.commands.bus, SYSTEM_INTERFACE, 0, Level.ADMINISTRATOR, source="guest")
        table = Table(self.commands.table, guest_may=guest_may(policy))
        return await table.answer(context, netfn, number, data)

    async def trail(self, count: int) -> list[tuple[str, str, str, str, str]]:
        """The records about IPMI, when there are so many; a little later there are no more."""

        def found() -> list[AuditedCall]:
            return [each for each in self.auditor.heard if each.method.startswith("Ipmi.")]

        async with asyncio.timeout(30):
            while len(found()) < count:
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)
        return [(each.method, each.user, each.source, each.target, each.outcome) for each in found()]

    async def ready(self) -> None:
        """Until everything is known."""
        async with asyncio.timeout(30):
            while (await self.ask(NetFn.STORAGE, 0x43, bytes(4) + b"\0\xff"))[:1] == b"\xc0" or (
                await self.ask(NetFn.CHASSIS, 0x09, b"\5\0\0")
            )[:1] != b"\0":
                await asyncio.sleep(0.02)

    async def override(self) -> tuple[BootOverrideMode, BootTarget]:
        """The boot override as another door shows it."""
        shown = (await self.house.host()).boot_override
        assert shown is not None
        return shown.mode, shown.target


class Accounts(Service):
    """Who has a user id of IPMI, in usermgr's place."""

    name = "usermgr"

    @rpc(UserService.ListIpmiUsers)
    async def list_ipmi_users(self, _request: ListIpmiUsersRequest) -> ListIpmiUsersResponse:
        names = {2: "ida", 3: "otto"}
        return ListIpmiUsersResponse(users=[IpmiUser(id=number, name=name) for number, name in names.items()])


@contextlib.asynccontextmanager
async def desk(folder: Path) -> AsyncIterator[Desk]:
    specs = (
        ProcessSpec("ipmisrv", (Commands,), door=True),
        ProcessSpec("auditor", (Auditor,)),
        ProcessSpec("accounts", (Accounts,)),
    )
    async with whole_house(folder, *specs) as house:
        auditor, commands = Auditor(), Commands(folder)
        await house.world.place("auditor", auditor)
        await house.world.place("ipmisrv", commands)
        made = Desk(house, commands, auditor)
        await made.ready()
        yield made


# --- who may ----------------------------------------------------------------------------------------------------------


class Own(NamedTuple):
    """A command that changes something of the door's own, and how to see that it did."""

    netfn: int
    number: int
    data: bytes
    privilege: Privilege
    method: str
    target: str
    look: tuple[int, bytes]
    before: bytes
    after: bytes
    repeats: bool = False
    """Doing it again is a change again."""


OWN = (
    Own(
        NetFn.TRANSPORT, 0x21, b"\1\4\4\x32", MANAGER, "Ipmi.SetSolConfigurationParameters", "bmc.0",
        (0x22, b"\1\4\0\0"), b"\x11\7\x32", b"\x11\4\x32",
    ),
    Own(
        NetFn.APP, 0x4C, b"\1\x45\2\0\0\0", USERS, "Ipmi.SetUserPayloadAccess", "user id 5",
        (0x4D, b"\1\5"), b"\3\0\0\0", b"\1\0\0\0",
    ),
    Own(
        NetFn.APP, 0x58, b"\3\0\0\4Plan", MANAGER, "Ipmi.SetSystemInfoParameters", "bmc.0",
        (0x59, b"\0\3\0\0"), b"\x11\0\1\0", b"\x11\0\1\4Plan", repeats=True,
    ),
    Own(
        NetFn.APP, 0x2E, b"\x09", MANAGER, "Ipmi.SetBmcGlobalEnables", "bmc.0", (0x2F, b""), b"\x08", b"\x09",
    ),
    Own(
        NetFn.CHASSIS, 0x08, b"\7\1abc", COMPONENTS, "Ipmi.SetSystemBootOptions", "host.0",
        (0x09, b"\7\1\0"), b"\1\7\1" + bytes(16), b"\1\7\1abc" + bytes(13),
    ),
    Own(
        NetFn.SENSOR, 0x28, b"\1\x40", COMPONENTS, "Ipmi.SetSensorEventEnable", "host_power",
        (0x29, b"\1"), b"\xc0", b"\x40",
    ),
)  # fmt: skip


@pytest.mark.parametrize("own", OWN, ids=[each.method for each in OWN])
async def test_what_no_service_owns_needs_a_privilege_of_the_schema_and_is_audited(own: Own, tmp_path: Path) -> None:
    async with desk(tmp_path) as made:
        if own.number == 0x28:
            own = own._replace(data=(place := await sensor(made)) + own.data[1:], look=(0x29, place))
        others = tuple({COMPONENTS, MANAGER, USERS} - {own.privilege})

        async def shown() -> bytes:
            number, data = own.look
            answer = await made.ask(own.netfn, number, data)
            assert answer[:1] == b"\0"
            return answer[1 : 1 + len(own.after)].rstrip(b"\0")

        assert await shown() == own.before.rstrip(b"\0")
        assert await made.ask(own.netfn, own.number, own.data, *others) == b"\xd4"
        assert await shown() == own.before.rstrip(b"\0")
        assert await made.ask(own.netfn, own.number, own.data, own.privilege) == b"\0"
        assert await shown() == own.after.rstrip(b"\0")
        assert await made.ask(own.netfn, own.number, own.data, own.privilege) == b"\0"
        outcomes = ["denied", "ok", *(["ok"] if own.repeats else [])]
        expected = [(own.method, "ida", "198.51.100.7", own.target, outcome) for outcome in outcomes]
        assert await made.trail(len(expected)) == expected


async def sensor(made: Desk) -> bytes:
    """The number of the sensor that tells the power of the host."""
    for number in range(1, 0xFF):
        answer = await made.ask(NetFn.SENSOR, 0x2F, bytes((number,)))
        if answer == b"\0\x22\x6f":
            return bytes((number,))
    raise AssertionError("there is no such sensor")


async def test_who_may_not_change_users_does_not_guess_their_secrets(tmp_path: Path) -> None:
    async with desk(tmp_path) as made:
        guess = b"\x82\x03" + b"a guess".ljust(20, b"\0")
        assert await made.ask(NetFn.APP, 0x47, guess, MANAGER, COMPONENTS) == b"\xd4"
        assert await made.ask(NetFn.APP, 0x47, guess, USERS) != b"\xd4"
        outcomes = [each[-1] for each in await made.trail(2)]
        assert outcomes[0] == "denied"
        assert outcomes[1] != "denied", "here is nobody who knows users"


async def test_the_names_of_others_are_for_who_may_change_users_and_never_for_a_guest(tmp_path: Path) -> None:
    async with desk(tmp_path) as made:
        await made.house.world.place("accounts", Accounts())
        ida, otto = (b"\0" + name.ljust(16, b"\0") for name in (b"ida", b"otto"))
        assert await made.ask(NetFn.APP, 0x46, b"\2") == ida, "one's own"
        for user_id in (b"\3", b"\4"):  # whether there is one does not show
            assert await made.ask(NetFn.APP, 0x46, user_id, MANAGER, COMPONENTS) == b"\xd4"
        assert await made.ask(NetFn.APP, 0x46, b"\3", USERS) == otto
        for number, data in ((0x46, b"\2"), (0x44, b"\1\2"), (0x4D, b"\1\2")):
            assert await made.as_guest(NetFn.APP, number, data, "restricted") == b"\xd4"
        assert await made.as_guest(NetFn.APP, 0x46, b"\3", "full") == otto


async def test_records_of_the_event_log_name_who_wrote_them(tmp_path: Path) -> None:
    async with desk(tmp_path) as made:
        assert await made.ask(NetFn.STORAGE, 0x44, RECORD, MANAGER, USERS) == b"\xd4"
        assert (await made.ask(NetFn.STORAGE, 0x44, RECORD, COMPONENTS))[:1] == b"\0"
        event = b"\x04\x05\x30\x6f\x01\xff\xff"
        assert await made.ask(NetFn.SENSOR, 0x02, event, MANAGER, USERS) == b"\xd4"
        assert await made.as_guest(NetFn.SENSOR, 0x02, b"\x41" + event) == b"\0"  # it says which of its programs
        ida, guest = ("ida", "198.51.100.7", "host.0"), ("", "guest", "host.0")
        assert await made.trail(4) == [
            ("Ipmi.AddSelEntry", *ida, "denied"),
            ("Ipmi.AddSelEntry", *ida, "ok"),
            ("Ipmi.PlatformEventMessage", *ida, "denied"),
            ("Ipmi.PlatformEventMessage", *guest, "ok"),
        ]


async def test_what_has_an_owner_is_audited_once_and_there(tmp_path: Path) -> None:
    async with desk(tmp_path) as made:
        flags = b"\5\x80\4\0\0\0"
        assert await made.ask(NetFn.CHASSIS, 0x08, flags, MANAGER, USERS) == b"\xd4"
        assert await made.ask(NetFn.CHASSIS, 0x08, flags, COMPONENTS) == b"\0"
        assert await made.ask(NetFn.CHASSIS, 0x09, b"\5\0\0", COMPONENTS) == b"\0\1" + flags
        assert await made.ask(NetFn.CHASSIS, 0x08, b"\5\x80\4", COMPONENTS) == b"\xc7"
        assert await made.trail(0) == []
        told = [(each.method, each.user, each.outcome) for each in made.auditor.heard]
        assert told == [("HostService.UpdateHost", "ida", "denied"), ("HostService.UpdateHost", "ida", "ok")]


# --- what lapses ------------------------------------------------------------------------------------------------------

PXE = (BootOverrideMode.ONCE, BootTarget.PXE)
NONE = (BootOverrideMode.DISABLED, BootTarget.UNSPECIFIED)


async def set_pxe_for_a_moment(made: Desk) -> None:
    """The client wants flags that lapse; it says so in parameter 3."""
    assert await made.ask(NetFn.CHASSIS, 0x08, b"\3\0", COMPONENTS) == b"\0"
    assert await made.ask(NetFn.CHASSIS, 0x08, b"\5\x80\4\0\0\0", COMPONENTS) == b"\0"
    assert await made.override() == PXE


async def test_flags_lapse_when_nobody_powers_the_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chassis, "VALID_SECONDS", 0.3)
    async with desk(tmp_path) as made:
        await set_pxe_for_a_moment(made)

        async def gone() -> bool:
            return await made.override() == NONE

        await made.house.until(gone, "the flags lapsed")
        assert (await made.ask(NetFn.CHASSIS, 0x09, b"\5\0\0"))[3:4] != b"\x80"


async def test_what_somebody_else_has_set_meanwhile_does_not_lapse(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chassis, "VALID_SECONDS", 0.3)
    async with desk(tmp_path) as made:
        for other in (
            BootOverride(mode=BootOverrideMode.ONCE, target=BootTarget.DISK),
            BootOverride(mode=BootOverrideMode.CONTINUOUS, target=BootTarget.PXE),
            BootOverride(mode=BootOverrideMode.DISABLED),
        ):
            await set_pxe_for_a_moment(made)
            request = UpdateHostRequest(host=Host(name="host.0", boot_override=other))
            await made.house.ask(HostService.UpdateHost, request, "olga")
            await asyncio.sleep(0.6)
            assert await made.override() == (other.mode, other.target)


async def test_flags_that_were_booted_by_do_not_lapse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chassis, "VALID_SECONDS", 0.3)
    async with desk(tmp_path) as made:
        assert await made.ask(NetFn.CHASSIS, 0x08, b"\3\0", COMPONENTS) == b"\0"
        assert await made.ask(NetFn.CHASSIS, 0x08, b"\5\xc0\4\0\0\0", COMPONENTS) == b"\0"  # for all boots
        assert await made.ask(NetFn.CHASSIS, 0x02, b"\1", COMPONENTS) == b"\0"
        await made.house.host_is(HostState.ON)
        await asyncio.sleep(0.6)
        shown = (await made.house.host()).boot_override
        assert shown == BootOverride(
            mode=BootOverrideMode.CONTINUOUS, target=BootTarget.PXE, firmware=BootFirmware.UNSPECIFIED
        )


async def test_flags_that_are_marked_invalid_do_not_change_from_where_the_host_boots(tmp_path: Path) -> None:
    async with desk(tmp_path) as made:
        assert await made.ask(NetFn.CHASSIS, 0x08, b"\5\x80\4\0\0\0", COMPONENTS) == b"\0"
        assert await made.override() == PXE
        assert await made.ask(NetFn.CHASSIS, 0x08, b"\x85\x80\x08\0\0\0", COMPONENTS) == b"\0"
        assert await made.override() == PXE
        assert await made.ask(NetFn.CHASSIS, 0x09, b"\5\0\0") == b"\0\1\x85\x80\4\0\0\0"
        assert await made.ask(NetFn.CHASSIS, 0x08, b"\5\x80\x08\0\0\0", COMPONENTS) == b"\0"
        assert await made.override() == (BootOverrideMode.ONCE, BootTarget.DISK)
        assert (await made.ask(NetFn.CHASSIS, 0x09, b"\5\0\0"))[:3] == b"\0\1\5"


async def test_who_forgets_to_say_that_they_are_done_keeps_nobody_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(boot, "PROGRESS_SECONDS", 0.5)
    async with desk(tmp_path) as made:
        begin, end, look = b"\0\1", b"\0\0", (NetFn.CHASSIS, 0x09, b"\0\0\0")
        assert await made.ask(NetFn.CHASSIS, 0x08, begin) == b"\0"
        assert await made.ask(NetFn.CHASSIS, 0x08, begin) == b"\x81"
        assert await made.ask(*look) == b"\0\1\0\1"

        async def lapsed() -> bool:
            return await made.ask(*look) == b"\0\1\0\0"

        await made.house.until(lapsed, "it lapsed")
        for data, code in ((begin, b"\0"), (begin, b"\x81"), (end, b"\0"), (begin, b"\0")):
            assert await made.ask(NetFn.CHASSIS, 0x08, data) == code


async def test_a_light_that_was_to_go_out_goes_out_though_a_later_command_failed(tmp_path: Path) -> None:
    async with desk(tmp_path) as made:

        async def lit() -> bool:
            return (await made.house.chassis()).identify

        assert await made.ask(NetFn.CHASSIS, 0x04, b"\1", COMPONENTS) == b"\0"
        assert await made.ask(NetFn.CHASSIS, 0x04, b"\xc8", MANAGER) == b"\xd4"
        assert await lit()

        async def dark() -> bool:
            return not await lit()

        await made.house.until(dark, "the light went out")


async def test_who_reserves_the_event_log_again_and_again_keeps_nobody_from_clearing_it(tmp_path: Path) -> None:
    async with desk(tmp_path) as made:
        number = (await made.ask(NetFn.STORAGE, 0x42, b""))[1:]
        for _ in range(3):
            assert await made.as_guest(NetFn.STORAGE, 0x42, b"") == b"\0" + number
        clear = number + b"CLR\xaa"
        assert await made.ask(NetFn.STORAGE, 0x47, clear, MANAGER) == b"\0\1"
        assert await made.ask(NetFn.STORAGE, 0x47, clear, MANAGER) == b"\xc5"  # it is another log now
        assert (await made.ask(NetFn.STORAGE, 0x42, b""))[1:] != number
