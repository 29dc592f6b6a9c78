"""Who gets into the IPMI door, with which clients and ciphers, and what strangers learn: nothing."""

from __future__ import annotations

import contextlib
import secrets
import shutil
import socket
import statistics
import time
from dataclasses import replace
from pathlib import Path

import pytest
from tests.harness.ipmi import RefusedError, open_request, sessionless15
from tests.service.ipmisrv_house import (
    DEVICE_ID,
    aside,
    ipmi_house,
    tool,
    until,
)

from ubmc.kit.errors import Invalid
from ubmc.services.ipmisrv.door import IpmiOptions
from ubmc.services.ipmisrv.limits import Limits
from ubmc.services.usermgr.attempts import BURST
from ubmc.v1alpha1.session_pb import LoginAttempt, LoginFlood
from ubmc.v1alpha1.user_pb import SourceLocked, UserLocked

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
        assert min(each[3] for each in (*known, *unknown)) >= 0.01, "no answer comes sooner, however it was found"


async def test_a_repeated_message_gets_the_same_answer() -> None:
    """The first may have been lost."""
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


async def test_a_stranger_does_not_fill_the_event_log() -> None:
    async with ipmi_house() as house:

        def fail() -> None:
            remote = house.remote("nobody", b"wrong")
            with contextlib.closing(remote.socket):
                remote.greet()
                with pytest.raises(RefusedError):
                    remote.exchange(remote.keys.rakp3(), 0x15)

        def flood() -> None:
            for _ in range(BURST + 20):
                fail()

        await aside(flood)
        keeper = house.house.keeper
        await keeper.until(SourceLocked, lambda _: True)
        await house.house.stop()  # it tells then what it has not told yet
        await keeper.until(LoginFlood, lambda news: (news.attempts, news.source) == (20, "127.0.0.1"))
        assert len([news for news in keeper.of(LoginAttempt) if news.outcome == "refused"]) == BURST
        await house.house.start()


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
