"""Sessions of the IPMI door: as whom commands are done, how sessions are kept apart and how they end."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import socket
import struct
import time
from dataclasses import replace
from pathlib import Path

import pytest
from tests.harness.ipmi import RefusedError, Remote
from tests.service.ipmisrv_house import (
    ADMIN_ONLY,
    BUG,
    COUNT,
    DEVICE_ID,
    OEM,
    ROLE_COUNT,
    SLOW,
    WHO,
    aside,
    ipmi_house,
    until,
)

from ubmc.services.ipmisrv.door import IpmiOptions
from ubmc.services.ipmisrv.limits import Limits
from ubmc.v1alpha1.access_pb import Privilege
from ubmc.v1alpha1.session_pb import DeleteSessionRequest, ListSessionsRequest
from ubmc.v1alpha1.session_rpc import SessionService
from ubmc.v1alpha1.user_pb import CreateRoleRequest, ResetIpmiSecretRequest, Role
from ubmc.v1alpha1.user_rpc import UserService

HERE = (("127.0.0.1", 0),)
BOTH = IpmiOptions(listen=HERE, settings=Path("-"), cipher_suites=(3, 17))
needs_ipmitool = pytest.mark.skipif(shutil.which("ipmitool") is None, reason="apt install ipmitool")
needs_freeipmi = pytest.mark.skipif(shutil.which("ipmi-raw") is None, reason="apt install freeipmi-tools")


async def test_commands_are_done_as_the_person_and_no_more_than_the_level() -> None:
    async with ipmi_house() as house:

        def talk() -> None:
            with house.remote("otto", level=3) as otto, house.remote("admin", level=4) as admin:
                assert otto.ask(OEM, ROLE_COUNT) == (0, b"\x03")
                assert otto.ask(OEM, WHO) == (0xD4, b"")  # the service says so, not our table
                assert admin.ask(OEM, WHO) == (0, b"admin otto")
                assert admin.ask(0x06, 0x3B, b"\x02") == (0, b"\x02")
                assert admin.ask(OEM, WHO) == (0xD4, b"")
                assert admin.ask(OEM, ROLE_COUNT) == (0, b"\x03")
                assert admin.ask(OEM, ADMIN_ONLY) == (0xD4, b"")
            with house.remote("rita", level=2) as rita:
                assert rita.ask(OEM, ROLE_COUNT) == (0, b"\x03")
                assert rita.ask(0x06, 0x3B, b"\x03") == (0x81, b"")
                assert rita.ask(0x06, 0x3B, b"\x05") == (0x80, b"")
                assert rita.ask(0x06, 0x3B, b"\x00") == (0, b"\x02")

        await aside(talk)


async def test_more_than_the_account_may_is_refused_after_the_secret_was_proven() -> None:
    async with ipmi_house() as house:

        def talk() -> None:
            for name, level in (("rita", 3), ("rita", 4), ("otto", 4)):
                with pytest.raises(RefusedError, match="RAKP 4") as refused, house.remote(name, level=level):
                    pass
                assert refused.value.status == 0x0A
            with house.remote("otto", level=3) as remote:
                assert remote.ask(OEM, ROLE_COUNT)[0] == 0

        await aside(talk)


async def test_rules_of_the_table() -> None:
    async with ipmi_house() as house:

        def talk() -> list[tuple[int, bytes]]:
            with house.remote() as remote:
                return [
                    remote.ask(OEM, 0x7F),
                    remote.ask(0x06, 0x01, b"\x00"),
                    remote.ask(0x2C, 0x01),
                    remote.ask(0x2C, 0x01, b"\xdc"),
                    remote.ask(OEM, BUG, b"\x01"),
                    remote.ask(OEM, BUG, b"\x02"),
                    remote.ask(0x06, 0x01),
                ]

        codes = [code for code, _data in await aside(talk)]
        assert codes == [0xC1, 0xC7, 0xC7, 0xC1, 0xC9, 0xFF, 0x00]


async def test_a_session_is_seen_and_ended_at_usermgr() -> None:
    async with ipmi_house() as house:

        async def listed() -> list[str]:
            answer = await house.house.ask(house.token, SessionService.ListSessions, ListSessionsRequest())
            return [session.id for session in answer.sessions if session.user == "otto"]

        remote = house.remote("otto", level=3)
        await aside(remote.__enter__)
        try:
            (identifier,) = await listed()
            await house.house.ask(house.token, SessionService.DeleteSession, DeleteSessionRequest(id=identifier))
            assert house.server.door is not None
            await until(lambda: not house.server.door._sessions.active())  # type: ignore[union-attr]
            remote.socket.settimeout(0.2)
            with pytest.raises(TimeoutError):
                await aside(lambda: remote.ask(0x06, 0x01))
        finally:
            remote.socket.close()
        assert await listed() == []

        def again() -> None:
            with house.remote("otto", level=3):
                pass

        await aside(again)

        async def gone() -> bool:
            return not await listed()

        await until(gone)


async def test_a_session_lives_on_when_usermgr_is_restarted() -> None:
    async with ipmi_house() as house:
        remote = house.remote()
        await aside(remote.__enter__)
        try:
            await house.house.restart()
            assert await aside(lambda: remote.ask(0x06, 0x3B, b"\x03")) == (0, b"\x03")
            assert (await aside(lambda: remote.ask(OEM, ROLE_COUNT)))[0] == 0
        finally:
            await aside(remote.close)
            remote.socket.close()


async def test_a_repeated_request_is_done_once() -> None:
    async with ipmi_house() as house:

        def talk() -> None:
            with house.remote() as remote:
                request = remote.request(OEM, COUNT)
                remote.send(request)
                assert remote.answer(request) == (0, b"\x01")
                remote.send(request)  # the same number of requests, in a new packet
                assert remote.answer(request) == (0, b"\x01")
                assert remote.ask(OEM, COUNT) == (0, b"\x02")
                sealed = remote.keys.seal(0, remote.request(OEM, COUNT), remote.sequence)
                remote.socket.send(sealed)  # a number that was used before
                assert remote.ask(OEM, COUNT) == (0, b"\x03")

        await aside(talk)


async def test_a_slow_command_holds_up_its_own_session_only() -> None:
    async with ipmi_house() as house:

        def talk() -> list[int]:
            with house.remote() as slow, house.remote("otto", level=3) as quick:
                first, second = slow.request(OEM, SLOW, b"\x01"), slow.request(0x06, 0x01)
                slow.send(first)
                slow.send(second)
                slow.send(first)  # impatient
                for _ in range(20):
                    assert quick.ask(OEM, COUNT)[0] == 0
                loop.call_soon_threadsafe(house.suite.slow.set)
                order = []
                for _ in range(2):
                    _kind, payload = slow.receive()
                    order.append(payload[5])
                slow.socket.settimeout(0.1)
                with pytest.raises(TimeoutError):
                    slow.receive()
                slow.socket.settimeout(3.0)
                return order

        loop = asyncio.get_running_loop()
        assert await aside(talk) == [SLOW, 0x01]


async def test_a_silent_session_ends() -> None:
    async with ipmi_house(replace(BOTH, limits=Limits(idle_seconds=0.5))) as house:

        def talk() -> None:
            remote = house.remote()
            remote.__enter__()
            with contextlib.closing(remote.socket):
                for _ in range(4):
                    time.sleep(0.2)
                    assert remote.ask(0x06, 0x01)[0] == 0
                time.sleep(2.0)
                remote.socket.settimeout(0.2)
                with pytest.raises(TimeoutError):
                    remote.ask(0x06, 0x01)

        await aside(talk)


async def test_there_is_a_limit_for_each_user() -> None:
    async with ipmi_house(replace(BOTH, limits=Limits(per_user=2))) as house:

        def talk() -> None:
            with house.remote("otto", level=3), house.remote("otto", level=3):
                with pytest.raises(RefusedError, match="RAKP 4") as refused, house.remote("otto", level=3):
                    pass
                assert refused.value.status == 0x0B
                with house.remote("rita", level=2):
                    pass

        await aside(talk)


async def test_there_is_a_limit_for_each_address() -> None:
    async with ipmi_house(replace(BOTH, limits=Limits(per_address=1))) as house:

        def talk() -> None:
            with house.remote():
                with pytest.raises(RefusedError, match="open session") as refused, house.remote():
                    pass
                assert refused.value.status == 0x01

        await aside(talk)


async def test_an_administrator_closes_others_sessions_and_nobody_else_does() -> None:
    async with ipmi_house() as house:

        def talk() -> None:
            with house.remote() as admin, house.remote("otto", level=3) as other:
                ours, theirs = (struct.pack("<I", each.keys.system_id) for each in (admin, other))
                assert other.ask(0x06, 0x3C, ours) == (0xD4, b"")
                assert admin.ask(0x06, 0x3C, b"\x01\x02\x03\x04") == (0x87, b"")
                assert admin.ask(0x06, 0x3C, bytes(4) + b"\xfd") == (0x88, b"")
                _code, info = admin.ask(0x06, 0x3D, b"\xff" + theirs)
                assert info[1:3] == b"\x3f\x02"
                assert info[4:6] == b"\x03\x11"
                assert admin.ask(0x06, 0x3C, theirs) == (0, b"")
                other.socket.settimeout(0.2)
                with pytest.raises(TimeoutError):
                    other.ask(0x06, 0x01)
                other.close = lambda: None  # type: ignore[method-assign]
                assert admin.ask(0x06, 0x3D, b"\xff" + theirs) == (0xCB, b"")
                assert admin.ask(0x06, 0x3D, b"\x02")[1] == b"\x00\x3f\x01"

        await aside(talk)


async def test_the_level_alone_does_not_close_others_sessions() -> None:
    """Who may configure the BMC, but no users, has the level administrator all the same."""
    async with ipmi_house() as house:
        role = Role(name="Wirer", privileges=[Privilege.CONFIGURE_MANAGER])
        await house.house.ask(house.token, UserService.CreateRole, CreateRoleRequest(role=role))
        await house.house.create(house.token, "willi", "Wirer")
        answer = await house.house.ask(house.token, UserService.ResetIpmiSecret, ResetIpmiSecretRequest(name="willi"))
        house.secrets["willi"] = answer.secret.encode()

        def talk() -> None:
            with house.remote("willi") as willi, house.remote("otto", level=3) as other:
                theirs = struct.pack("<I", other.keys.system_id)
                assert willi.ask(0x06, 0x3C, theirs) == (0xD4, b"")
                assert other.ask(0x06, 0x01)[0] == 0

        await aside(talk)


async def test_garbage_and_empty_datagrams_do_not_hurt() -> None:
    async with ipmi_house() as house:

        def talk() -> None:
            with house.remote() as remote:
                with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
                    for datagram in (b"", b"\x06", bytes(2000), b"\x06\x00\xff\x07", b"\x06\x00\xff\x06"):
                        other.sendto(datagram, house.address)
                remote.send(b"", 0)
                remote.send(b"", 1)
                remote.send(b"\x00\x00\x00\x00", 1)
                assert remote.ask(0x06, 0x01) == (0, DEVICE_ID)

        await aside(talk)


async def test_the_answer_comes_from_the_address_that_was_asked() -> None:
    """Bound to a wildcard address, over IPv4 and IPv6."""
    listen = (("0.0.0.0", 0), ("::", 0))
    async with ipmi_house(replace(BOTH, listen=listen)) as house:
        four, six = house.server.ports

        def talk(address: tuple[str, int]) -> bytes:
            # Connected sockets of clients take an answer from nowhere else.
            with Remote(address, "admin", house.secrets["admin"]) as remote:
                return remote.ask(0x06, 0x01)[1]

        assert await aside(lambda: talk(("127.0.0.2", four))) == DEVICE_ID
        assert await aside(lambda: talk(("::1", six))) == DEVICE_ID
        assert await aside(lambda: talk(("127.0.0.3", six))) == DEVICE_ID


async def test_a_port_that_is_taken_is_told() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        with pytest.raises(Exception, match=f"cannot listen for IPMI on 127.0.0.1 port {port}"):
            async with ipmi_house(replace(BOTH, listen=(("127.0.0.1", port),))):
                pass


async def test_a_hundred_sessions_at_once_are_served() -> None:
    async with ipmi_house() as house:

        def talk() -> None:
            with contextlib.ExitStack() as stack:
                remotes = [stack.enter_context(house.remote(timeout=10.0)) for _ in range(100)]
                for _ in range(3):
                    requests = [(remote, remote.request(0x06, 0x01)) for remote in remotes]
                    for remote, request in requests:
                        remote.send(request)
                    for remote, request in requests:
                        assert remote.answer(request) == (0, DEVICE_ID)

        await aside(talk)
