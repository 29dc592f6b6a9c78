"""Sessions of the IPMI door: who gets in, as whom commands are done, how sessions are kept apart and how they end."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import shutil
import socket
import statistics
import struct
import time
from dataclasses import replace
from pathlib import Path

import pytest
from tests.harness.ipmi import RefusedError, Remote, open_request, sessionless15
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
    tool,
    until,
)

from ubmc.kit.errors import Invalid
from ubmc.services.ipmisrv.door import IpmiOptions
from ubmc.services.ipmisrv.limits import Limits
from ubmc.v1alpha1.session_pb import DeleteSessionRequest, ListSessionsRequest, LoginAttempt
from ubmc.v1alpha1.session_rpc import SessionService
from ubmc.v1alpha1.user_pb import UserLocked

HERE = (("127.0.0.1", 0),)
BOTH = IpmiOptions(listen=HERE, settings=Path("-"), cipher_suites=(3, 17))
needs_ipmitool = pytest.mark.skipif(shutil.which("ipmitool") is None, reason="apt install ipmitool")
needs_freeipmi = pytest.mark.skipif(shutil.which("ipmi-raw") is None, reason="apt install freeipmi-tools")


@pytest.mark.parametrize("suite", [3, 17])
async def test_a_session_is_opened_used_and_closed(suite: int) -> None:
    async with ipmi_house(BOTH) as house:

        def talk() -> None:
            with house.remote(suite=suite) as remote:
                assert remote.ask(0x06, 0x01) == (0, DEVICE_ID)
                assert remote.keys.guid == bytes(range(16))

        await aside(talk)
        assert house.server.door is not None
        await until(lambda: not house.server.door._sessions.active())  # type: ignore[union-attr]


@needs_ipmitool
async def test_ipmitool_gets_in() -> None:
    async with ipmi_house(BOTH) as house:
        port, secret = str(house.address[1]), house.secrets["admin"].decode()
        base = ("ipmitool", "-I", "lanplus", "-H", "127.0.0.1", "-p", port, "-U", "admin", "-P", secret)
        assert "IPMI Version              : 2.0" in await tool(*base, "mc", "info")
        assert "IPMI Version              : 2.0" in await tool(*base, "-C", "3", "mc", "info")
        shown = await tool(*base, "session", "info", "active")
        assert "user id                       : 2" in shown
        assert "session type                  : IPMIv2/RMCP+" in shown
        assert "console ip                    : 127.0.0.1" in shown
        ciphers = await tool(*base, "channel", "getciphers", "ipmi", "1")
        assert "hmac_sha256" in ciphers
        capabilities = await tool(*base, "channel", "authcap", "1", "4")
        assert "Channel supports IPMI v1.5 : no" in capabilities
        refused = await tool(*base, "-v", "-C", "0", "mc", "info", expect=1)
        assert "invalid authentication algorithm" in refused
        lan = ("ipmitool", "-I", "lan", "-H", "127.0.0.1", "-p", port, "-U", "admin", "-P", "a password", "mc", "info")
        assert "Unable to establish" in await tool(*lan, expect=1)


@needs_freeipmi
async def test_freeipmi_gets_in_without_workarounds() -> None:
    async with ipmi_house(BOTH) as house:
        where, secret = f"127.0.0.1:{house.address[1]}", house.secrets["admin"].decode()
        for suite in ("3", "17"):
            base = ("-D", "LAN_2_0", "-h", where, "-u", "admin", "-p", secret, "-I", suite, "-l", "ADMIN")
            assert "20 01 01 00 02" in await tool("ipmi-raw", *base, "0", "6", "1")
        wrong = ("-D", "LAN_2_0", "-h", where, "-u", "admin", "-p", "wrong", "-I", "17")
        assert "password invalid" in await tool("ipmi-raw", *wrong, "0", "6", "1", expect=1)


@pytest.mark.parametrize(
    ("suite", "status"),
    [(0, 0x04), (1, 0x05), (2, 0x10), (6, 0x04), (7, 0x04), (8, 0x04), (11, 0x04), (12, 0x04), (15, 0x05), (16, 0x10)],
)
async def test_unsafe_suites_are_refused_by_name(suite: int, status: int) -> None:
    async with ipmi_house(BOTH) as house:

        def talk() -> int:
            remote = house.remote()
            with contextlib.closing(remote.socket), pytest.raises(RefusedError) as refused:
                remote.exchange(open_request(remote.keys.console_id, suite), 0x11)
            return refused.value.status

        assert await aside(talk) == status


async def test_suite_3_is_the_owners_choice() -> None:
    async with ipmi_house(IpmiOptions(listen=HERE, settings=Path("-"))) as house:

        def talk() -> None:
            with pytest.raises(RefusedError) as refused, house.remote(suite=3):
                pass
            assert refused.value.status == 0x04
            with house.remote(suite=17) as remote:
                assert remote.ask(0x06, 0x01)[0] == 0

        await aside(talk)
    with pytest.raises(Invalid, match="only 3, 17"):
        IpmiOptions(listen=HERE, settings=Path("-"), cipher_suites=(17, 0))


async def test_sessions_of_ipmi_15_are_refused() -> None:
    async with ipmi_house() as house:

        def talk() -> list[bytes]:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as plain:
                plain.settimeout(3)
                plain.connect(house.address)
                answers = []
                for command, data in ((0x38, b"\x0e\x04"), (0x39, b"\x02" + b"admin".ljust(16, b"\0"))):
                    plain.send(sessionless15(0x06, command, data))
                    answers.append(plain.recv(256)[20:-1])
                plain.send(sessionless15(0x06, 0x01))  # needs a session
                plain.settimeout(0.2)
                with pytest.raises(TimeoutError):
                    plain.recv(256)
                return answers

        capabilities, challenge = await aside(talk)
        assert capabilities == bytes.fromhex("00 01 00 04 00 00 00 00 00")  # no way to authenticate
        assert challenge == b"\xd6"


async def test_a_stranger_cannot_tell_who_has_an_account() -> None:
    """A name without an account and a wrong secret: the same messages, the same lengths, the same time."""
    async with ipmi_house() as house:

        def attempt(name: str) -> tuple[int, bytes, int, float]:
            remote = house.remote(name, b"wrong secret")
            with contextlib.closing(remote.socket):
                began = time.perf_counter()
                second = remote.greet()
                took = time.perf_counter() - began
                assert second[40:] != remote.keys.rakp2_code()
                with pytest.raises(RefusedError) as refused:
                    remote.exchange(remote.keys.rakp3(), 0x15)
                return len(second), second[24:40], refused.value.status, took

        known = [await aside(lambda: attempt("rita")) for _ in range(4)]
        unknown = [await aside(lambda: attempt("nobody")) for _ in range(4)]
        assert {each[:3] for each in (*known, *unknown)} == {(72, bytes(range(16)), 0x0F)}
        middle = [statistics.median(each[3] for each in group) for group in (known, unknown)]
        assert abs(middle[0] - middle[1]) < 0.01


async def test_the_same_wrong_name_gets_the_same_key() -> None:
    """Else a second try with the same numbers would show that there is no account."""
    async with ipmi_house() as house:

        def attempt() -> None:
            remote = house.remote("nobody", b"x")
            with contextlib.closing(remote.socket):
                first = remote.greet()
                again = remote.exchange(remote.keys.rakp1(), 0x13)
                assert again == first

        await aside(attempt)


async def test_failures_lock_the_account() -> None:
    async with ipmi_house() as house:

        def fail() -> None:
            remote = house.remote("rita", b"wrong")
            with contextlib.closing(remote.socket):
                remote.greet()
                with pytest.raises(RefusedError):
                    remote.exchange(remote.keys.rakp3(), 0x15)

        for _ in range(10):
            await aside(fail)
            if house.house.keeper.of(UserLocked):
                break
        await house.house.keeper.until(UserLocked, lambda news: news.name == "rita")

        def right() -> None:
            with pytest.raises(RefusedError), house.remote("rita", level=2):
                pass

        await aside(right)


async def test_who_stops_after_rakp_2_has_failed_too() -> None:
    limits = Limits(half_open_seconds=0.2)
    async with ipmi_house(replace(BOTH, limits=limits)) as house:

        def leave(name: str) -> None:
            remote = house.remote(name, b"wrong")
            with contextlib.closing(remote.socket):
                remote.greet()

        await aside(lambda: leave("rita"))
        news = await house.house.keeper.until(LoginAttempt, lambda news: news.user == "rita")
        assert news.outcome != "ok"
        assert news.source == "127.0.0.1"


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


async def test_pings_of_freeipmi_are_answered() -> None:
    """Both speak to port 623 only."""
    if shutil.which("rmcpping") is None:
        pytest.skip("apt install freeipmi-tools")
    alone = f"127.{secrets.randbelow(254) + 1}.{secrets.randbelow(254) + 1}.2"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as tried:
        try:
            tried.bind((alone, 623))
        except PermissionError:
            pytest.skip("port 623 needs root")
    async with ipmi_house(replace(BOTH, listen=((alone, 623),))):
        said = await tool("rmcpping", "-c", "2", "-v", alone)
        assert "2 pings transmitted, 2 pongs received" in said
        said = await tool("ipmiping", "-c", "2", "-v", alone)
        assert "2 requests transmitted, 2 responses received" in said
