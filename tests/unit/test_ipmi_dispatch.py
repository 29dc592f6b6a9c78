"""The table of commands and the limits of the IPMI door, without a network."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from ubmc.kit.bus import Bus
from ubmc.kit.errors import ERRORS, FACES, Busy, Exists, NotFound, Refused, Unavailable
from ubmc.kit.keys import BusKey
from ubmc.kit.metrics import Metrics
from ubmc.kit.schema import load
from ubmc.kit.testing import run_virtual
from ubmc.protocols.ipmi import cipher
from ubmc.protocols.ipmi.codes import LAN_CHANNEL, SYSTEM_INTERFACE, Code, Completion, Group, Level, NetFn
from ubmc.protocols.ipmi.rmcpplus import Payload
from ubmc.services.ipmisrv.dispatch import COMMAND_SECONDS, Command, Context, Table
from ubmc.services.ipmisrv.inband import guest_may
from ubmc.services.ipmisrv.limits import REMEMBERED, Buckets, Limits, Patience
from ubmc.services.ipmisrv.session_commands import SessionCommands
from ubmc.services.ipmisrv.sessions import Sessions
from ubmc.services.ipmisrv.settings import Settings
from ubmc.services.ipmisrv.sol import SolPayloads
from ubmc.services.ipmisrv.users import Users


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def at_once(_context: Context, data: bytes) -> bytes:
    return data


def command(number: int, handler: Any = at_once, **more: Any) -> Command:
    given = {"netfn": NetFn.APP, "number": number, "name": f"C{number}", "level": Level.USER, "handler": handler}
    return Command(**(given | more))


def context(level: Level = Level.USER, *, guest: bool = False) -> Context:
    bus = Bus("ipmisrv", load(), BusKey(), Metrics())
    if guest:
        return Context(bus, SYSTEM_INTERFACE, level=Level.ADMINISTRATOR)
    made = Context(bus, LAN_CHANNEL, level=level)
    made.session = object()  # type: ignore[assignment]  # there is one
    return made


def asked(table: Table, where: Context, number: int, data: bytes = b"", netfn: int = NetFn.APP) -> bytes:
    answer = table.begin(where, netfn, number, data)
    assert isinstance(answer, bytes)
    return answer


def test_rules_come_in_their_order() -> None:
    table = Table([command(1, shortest=2, longest=3), command(2, level=Level.ADMINISTRATOR, shortest=1)])
    assert asked(table, context(), 9) == b"\xc1"
    assert asked(table, context(), 2) == b"\xd4"  # before its length is looked at
    assert asked(table, context(Level.ADMINISTRATOR), 2) == b"\xc7"
    assert asked(table, context(), 1, b"1") == b"\xc7"
    assert asked(table, context(), 1, b"1234") == b"\xc7"
    assert asked(table, context(), 1, b"12") == b"\x0012"
    assert asked(table, context(), 1, b"123") == b"\x00123"
    assert asked(table, context(Level.NONE), 1, b"12") == b"\xd4"


def test_only_sensors_are_there_at_another_lun() -> None:
    table = Table([command(1), command(1, netfn=NetFn.SENSOR)])
    where = context()
    where.lun = 1
    assert asked(table, where, 9) == b"\xc1"
    assert asked(table, where, 1) == b"\xc2"
    assert asked(table, where, 1, netfn=NetFn.SENSOR) == b"\x00"


def test_group_extensions_name_their_body_on_both_ways() -> None:
    group = command(1, netfn=NetFn.GROUP, group=Group.DCMI, shortest=1)
    table = Table([group])
    assert asked(table, context(), 1, b"\xdcx", NetFn.GROUP) == b"\x00\xdcx"
    assert asked(table, context(), 1, b"\xdc", NetFn.GROUP) == b"\xc7\xdc"
    assert asked(table, context(), 1, b"\x00x", NetFn.GROUP) == b"\xc1\x00"
    assert asked(table, context(), 1, b"", NetFn.GROUP) == b"\xc7"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (Completion(Code.OUT_OF_RANGE), 0xC9),
        (Completion(0x81), 0x81),
        (NotFound("x"), 0xCB),
        (Refused("x"), 0xD5),
        (Busy("x"), 0xC0),
        (Exists("x"), 0xCC),
        (Unavailable("x"), 0xC0),
        (KeyError("a bug"), 0xFF),
    ],
)
async def test_errors_have_their_codes(error: Exception, code: int) -> None:
    def fails(_context: Context, _data: bytes) -> bytes:
        raise error

    async def fails_later(_context: Context, _data: bytes) -> bytes:
        raise error

    table = Table([command(1, fails), command(2, fails_later)])
    assert asked(table, context(), 1) == bytes((code,))
    assert await table.answer(context(), NetFn.APP, 2, b"") == bytes((code,))


def test_what_takes_too_long_is_a_timeout() -> None:
    async def test() -> None:
        async def stuck(_context: Context, _data: bytes) -> bytes:
            await asyncio.sleep(10 * COMMAND_SECONDS)
            return b""

        assert await Table([command(1, stuck)]).answer(context(), NetFn.APP, 1, b"") == b"\xc3"

    run_virtual(test())


async def test_nobody_asks_in_the_name_of_nobody() -> None:
    async def asks(where: Context, _data: bytes) -> bytes:
        await where.ask(None, None)  # type: ignore[arg-type, type-var]
        return b""

    table = Table([command(1, asks, level=Level.NONE)])
    assert await table.answer(context(Level.NONE), NetFn.APP, 1, b"") == b"\xd4"


def test_a_guest_may_what_the_policy_lets_it() -> None:
    commands = [command(1, inband=True), command(2)]
    allowed = {
        policy: [
            asked(Table(commands, guest_may=guest_may(policy)), context(guest=True), each.number) for each in commands
        ]
        for policy in ("restricted", "full", "off")
    }
    assert allowed == {"restricted": [b"\0", b"\xd4"], "full": [b"\0", b"\0"], "off": [b"\xd4", b"\xd4"]}
    assert context(guest=True).inband
    assert not context().inband


def test_a_guest_never_has_to_do_with_sessions() -> None:
    bus = Bus("ipmisrv", load(), BusKey(), Metrics())
    sessions = Sessions(Users(bus), Limits())
    own = SessionCommands(sessions, cipher.strongest_first((17,)), (Payload.SOL,)).commands()
    lines = SolPayloads(bus, sessions, Settings(Path("none")), ("host.0",)).commands()
    table = Table((*own, *lines), guest_may=guest_may("full"))
    allowed = {each.name for each in table if table.allowed(each, Level.ADMINISTRATOR, inband=True)}
    assert allowed == {
        "Get Channel Authentication Capabilities",
        "Get Channel Cipher Suites",
        "Get Channel Payload Support",
        "Get Channel Payload Version",
    }


def test_two_commands_of_one_number_are_a_mistake() -> None:
    with pytest.raises(ValueError, match="C1 and C1 have the same number"):
        Table([command(1), command(1)])
    table = Table([command(2), command(1)])
    assert [each.number for each in table] == [1, 2]
    assert table.find(NetFn.APP, 1) is not None
    assert table.find(NetFn.APP, 3) is None


def test_every_error_of_the_house_has_a_code() -> None:
    assert all(0xC0 <= FACES[name].ipmi <= 0xFF for name in ERRORS)


def test_a_bucket_fills_again() -> None:
    clock = Clock()
    buckets = Buckets(10.0, 5.0, clock)
    assert [buckets.take("a") for _ in range(6)] == [True] * 5 + [False]
    assert buckets.take("b")
    assert buckets.empty("a")
    assert not buckets.empty("b")
    assert not buckets.empty("c")
    clock.now = 0.25
    assert [buckets.take("a") for _ in range(3)] == [True, True, False]
    clock.now = 100.0
    assert sum(buckets.take("a") for _ in range(20)) == 5


def test_buckets_do_not_fill_memory() -> None:
    clock = Clock()
    buckets = Buckets(1.0, 1.0, clock)
    for number in range(3 * REMEMBERED):
        buckets.take(f"198.51.100.{number}")
    assert len(buckets._buckets) == REMEMBERED


def test_who_asks_too_fast_waits_and_is_forgiven_in_time() -> None:
    clock = Clock()
    patience = Patience(10.0, 3.0, clock)
    assert [patience.wait_seconds() for _ in range(3)] == [0.0, 0.0, 0.0]
    for _ in range(5):
        wait = patience.wait_seconds()
        assert wait == pytest.approx(0.1)
        clock.now += wait
    rested = [patience.rested]
    clock.now += 0.2
    assert [*rested, patience.rested] == [False, True]
    clock.now += 100.0
    assert [patience.wait_seconds() for _ in range(4)] == pytest.approx([0.0, 0.0, 0.0, 0.1])


def test_commands_that_only_tell_something_are_no_changes() -> None:
    names = {"Get Device ID": False, "Read FRU Data": False, "Reserve SEL": False, "Reset Watchdog Timer": True}
    assert {name: command(1, name=name).changes for name in names} == names
