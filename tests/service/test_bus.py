"""The bus facade on a real nats-server: asking, watching, telling, and every trap that the facade closes."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import ClassVar

import pytest
from tests.harness.bus import BusWorld

from ubmc.kit import call as calls
from ubmc.kit.bus import Bus
from ubmc.kit.errors import Denied, Invalid, NotFound, TimedOut, Unauthenticated, Unavailable
from ubmc.kit.service import Service, on, rpc, stream
from ubmc.services.ipc.permissions import ProcessSpec
from ubmc.v1alpha1.host_pb import (
    ChangeHostPowerRequest,
    ChangeHostPowerResponse,
    GetHostRequest,
    GetHostResponse,
    Host,
    HostPowerAction,
    HostStateChange,
    WatchHostsRequest,
    WatchHostsResponse,
)
from ubmc.v1alpha1.host_rpc import HostService
from ubmc.v1alpha1.internal_pb import DriveHostRequest, DriveHostResponse
from ubmc.v1alpha1.internal_rpc import PowerService
from ubmc.v1alpha1.session_pb import CredentialKind, Principal
from ubmc.v1alpha1.system_pb import AuditedCall


class Hosts(Service):
    """A service of the test: what it was asked is visible."""

    name = "statemgr"
    calls = (PowerService.DriveHost,)
    tells = (HostStateChange,)

    def __init__(self) -> None:
        self.actions: list[str] = []
        self.hold = asyncio.Event()
        self.hold.set()
        self.closed = asyncio.Event()

    @rpc(HostService.GetHost)
    async def get_host(self, request: GetHostRequest) -> GetHostResponse:
        if request.name == "host.9":
            raise NotFound("there is no host.9")
        if request.name == "bug":
            raise RuntimeError("secret detail")
        await self.hold.wait()
        return GetHostResponse(host=Host(name=request.name))

    @rpc(HostService.ChangeHostPower)
    async def change_power(self, request: ChangeHostPowerRequest) -> ChangeHostPowerResponse:
        who = calls.asking()
        self.actions.append(who.user if who is not None else "")
        return ChangeHostPowerResponse(host=Host(name=request.name))

    @stream(HostService.WatchHosts)
    async def watch_hosts(self, request: WatchHostsRequest) -> AsyncIterator[WatchHostsResponse]:
        try:
            for count in range(int(request.cursor or "1000000")):
                yield WatchHostsResponse(cursor=str(count), host=Host(name="host.0" * 100))
        finally:
            self.closed.set()


class Power(Service):
    """The other end of an internal call."""

    name = "powermgr"

    def __init__(self) -> None:
        self.driven: list[tuple[str, str]] = []

    @rpc(PowerService.DriveHost)
    async def drive(self, request: DriveHostRequest) -> DriveHostResponse:
        who = calls.asking()
        self.driven.append((request.name, who.user if who is not None else ""))
        return DriveHostResponse()


class Follower(Service):
    """Follows news."""

    name = "ledmgr"
    seen: ClassVar[list[str]]

    def __init__(self) -> None:
        self.news: asyncio.Queue[HostStateChange] = asyncio.Queue()

    @on(HostStateChange)
    async def follow(self, change: HostStateChange) -> None:
        await self.news.put(change)


MANAGERS = ProcessSpec("managers", (Hosts, Follower))
SAFETY = ProcessSpec("safety", (Power,))
DOOR = ProcessSpec("websrv", (), door=True)


async def drain(items: AsyncIterator[WatchHostsResponse]) -> None:
    async for _ in items:
        pass


@contextlib.asynccontextmanager
async def world() -> AsyncIterator[tuple[BusWorld, Hosts, Bus]]:
    async with BusWorld(MANAGERS, SAFETY, DOOR) as made:
        hosts = Hosts()
        await made.place("managers", hosts)
        yield made, hosts, await made.place("websrv")


async def test_forwarded_call_is_answered() -> None:
    async with world() as (made, _hosts, door):
        answer = await door.forward(HostService.GetHost, GetHostRequest(name="host.0"), made.call("olga", "ReadOnly"))
        assert answer.host is not None
        assert answer.host.name == "host.0"


async def test_errors_cross_the_bus_and_bugs_give_nothing_away(caplog: pytest.LogCaptureFixture) -> None:
    async with world() as (made, _hosts, door):
        with pytest.raises(NotFound, match=r"there is no host\.9"):
            await door.forward(HostService.GetHost, GetHostRequest(name="host.9"), made.call())
        with pytest.raises(Exception, match="something went wrong") as caught:
            await door.forward(HostService.GetHost, GetHostRequest(name="bug"), made.call())
        assert "secret detail" not in str(caught.value)
        assert "secret detail" in caplog.text


async def test_receiver_checks_privilege_and_signature() -> None:
    change = ChangeHostPowerRequest(name="host.0", action=HostPowerAction.ON)
    async with world() as (made, hosts, door):
        with pytest.raises(Denied, match="ConfigureComponents"):
            await door.forward(HostService.ChangeHostPower, change, made.call("olga", "ReadOnly"))
        call = made.call("admin")
        forgery = call.signed[:64] + call.signed[64:].replace(b"admin", b"hacke")
        forged = calls.Call(call.deadline, call.trace, signed=forgery)
        with pytest.raises(Unauthenticated):
            await door.forward(HostService.ChangeHostPower, change, forged)
        with pytest.raises(Denied):
            await door.forward(HostService.ChangeHostPower, change, calls.Call(call.deadline, call.trace))
        assert hosts.actions == []


async def test_door_cannot_call_internal_rpcs_or_tell_events() -> None:
    async with BusWorld(MANAGERS, SAFETY, DOOR) as made:
        power = Power()
        await made.place("safety", power)
        follower = Follower()
        await made.place("managers", follower)
        door = await made.place("websrv")
        with pytest.raises(Unavailable, match="forbids"):
            await door.ask(PowerService.DriveHost, DriveHostRequest(name="host.0"))
        with pytest.raises(Unavailable, match="forbids"):
            await door.ask(HostService.GetHost, GetHostRequest(name="host.0"))
        await door.link.publish("event.host.host-0.host_state_change", b"")
        await door.link.publish("_INBOX_managers.x.y", b"")
        await door.link.flush()
        assert power.driven == []
        assert follower.news.empty()


async def test_cause_travels_with_calls_among_services() -> None:
    async with BusWorld(MANAGERS, SAFETY, DOOR) as made:
        power = Power()
        await made.place("safety", power)
        managers = await made.place("managers")
        call = made.call("olga")
        principal = managers.verifier.verify(call.signed)
        token = calls.current.set(calls.Call(call.deadline, call.trace, signed=call.signed, principal=principal))
        try:
            await managers.ask(PowerService.DriveHost, DriveHostRequest(name="host.0"))
        finally:
            calls.current.reset(token)
        assert power.driven == [("host.0", "olga")]


async def test_same_idempotency_key_is_done_once() -> None:
    change = ChangeHostPowerRequest(name="host.0", action=HostPowerAction.ON)
    async with world() as (made, hosts, door):
        for _ in range(3):
            await door.forward(HostService.ChangeHostPower, change, made.call("olga", "Operator", key="k1"))
        await door.forward(HostService.ChangeHostPower, change, made.call("other", "Operator", key="k1"))
        assert hosts.actions == ["olga", "other"]
        other = ChangeHostPowerRequest(name="host.1", action=HostPowerAction.ON)
        with pytest.raises(Invalid, match="another request"):
            await door.forward(HostService.ChangeHostPower, other, made.call("olga", "Operator", key="k1"))


async def test_a_key_of_a_user_opens_nothing_for_their_tokens() -> None:
    """What was answered to a session may hold a secret that no token is given."""
    change = ChangeHostPowerRequest(name="host.0", action=HostPowerAction.ON)
    async with world() as (made, hosts, door):
        for kind, session in (
            (CredentialKind.SESSION, "a"), (CredentialKind.SESSION, "b"), (CredentialKind.TOKEN, "t1.x"),
            (CredentialKind.TOKEN, "t1.y"), (CredentialKind.TOKEN, "t2.x"),
        ):  # fmt: skip
            call = made.call("olga", "Operator", key="k1")
            principal = Principal.from_binary(call.signed[64:])
            principal.kind, principal.session = kind, session
            signed = made.signer.sign(principal)
            await door.forward(HostService.ChangeHostPower, change, replace(call, signed=signed))
        assert hosts.actions == ["olga"] * 3


async def test_late_call_is_never_executed() -> None:
    change = ChangeHostPowerRequest(name="host.0", action=HostPowerAction.FORCE_OFF)
    async with world() as (made, hosts, door):
        os.kill(made.server.pid or 0, signal.SIGSTOP)
        try:
            with pytest.raises(TimedOut):
                await door.forward(HostService.ChangeHostPower, change, made.call(seconds=0.2))
        finally:
            os.kill(made.server.pid or 0, signal.SIGCONT)
        await door.forward(HostService.GetHost, GetHostRequest(name="host.0"), made.call())
        assert hosts.actions == []


async def test_calls_fail_fast_while_the_bus_is_away_and_are_not_done_later() -> None:
    change = ChangeHostPowerRequest(name="host.0", action=HostPowerAction.FORCE_OFF)
    async with world() as (made, hosts, door):
        hosts.hold.clear()
        flying = asyncio.create_task(door.forward(HostService.GetHost, GetHostRequest(name="host.0"), made.call()))
        await asyncio.sleep(0.05)
        os.kill(made.server.pid or 0, signal.SIGKILL)
        made.server.reap()
        began = time.monotonic()
        with pytest.raises(Unavailable):
            await flying
        with pytest.raises(Unavailable):
            await door.forward(HostService.ChangeHostPower, change, made.call())
        assert time.monotonic() - began < 1.0
        made.server.start()
        hosts.hold.set()
        async with asyncio.timeout(30):
            while True:
                try:
                    await door.forward(HostService.GetHost, GetHostRequest(name="host.0"), made.call())
                    break
                except Unavailable:
                    await asyncio.sleep(0.02)
        assert hosts.actions == []


async def test_stream_is_bounded_and_ends_when_the_reader_leaves() -> None:
    async with world() as (made, hosts, door):
        reading = door.watch(HostService.WatchHosts, WatchHostsRequest(), made.call())
        seen = [await anext(reading) for _ in range(100)]
        assert [item.cursor for item in seen] == [str(n) for n in range(100)]
        await reading.aclose()
        async with asyncio.timeout(3):
            await hosts.closed.wait()


async def test_stream_ends_and_errors_arrive() -> None:
    async with world() as (made, _hosts, door):
        reading = door.watch(HostService.WatchHosts, WatchHostsRequest(cursor="500"), made.call())
        assert len([item async for item in reading]) == 500
        with pytest.raises(Denied):
            async for _ in door.watch(HostService.WatchHosts, WatchHostsRequest(), calls.Call(1e12, made.call().trace)):
                pass


async def test_stream_is_closed_when_the_bus_is_lost() -> None:
    async with world() as (made, _hosts, door):
        reading = door.watch(HostService.WatchHosts, WatchHostsRequest(), made.call())
        await anext(reading)
        os.kill(made.server.pid or 0, signal.SIGKILL)
        made.server.reap()
        with pytest.raises(Unavailable):
            await asyncio.wait_for(drain(reading), 3)
        made.server.start()


async def test_nobody_there_is_told_at_once() -> None:
    async with BusWorld(MANAGERS, SAFETY, DOOR) as made:
        door = await made.place("websrv")
        with pytest.raises(Unavailable, match="not running"):
            await door.forward(HostService.GetHost, GetHostRequest(name="host.0"), made.call())


async def test_news_are_followed() -> None:
    async with BusWorld(MANAGERS, SAFETY, DOOR) as made:
        follower = Follower()
        managers = await made.place("managers", follower)
        managers.tell("host.0", HostStateChange(name="host.0"))
        async with asyncio.timeout(30):
            assert (await follower.news.get()).name == "host.0"


async def test_wrong_server_gets_no_signature() -> None:
    async with BusWorld(MANAGERS, SAFETY, DOOR) as made:
        await made.place("websrv")
        endpoint = made.endpoint()
        assert endpoint.genuine()
        assert not type(endpoint)(endpoint.port, endpoint.uid + 1).genuine()


async def test_audited_call_is_told() -> None:
    change = ChangeHostPowerRequest(name="host.0", action=HostPowerAction.ON)
    told: asyncio.Queue[AuditedCall] = asyncio.Queue()

    class Auditor(Service):
        name = "eventlog"

        @on(AuditedCall)
        async def follow(self, call: AuditedCall) -> None:
            await told.put(call)

    async with BusWorld(ProcessSpec("managers", (Hosts, Follower, Auditor)), SAFETY, DOOR) as made:
        await made.place("managers", Hosts(), Auditor())
        door = await made.place("websrv")
        await door.forward(HostService.ChangeHostPower, change, made.call("olga"))
        async with asyncio.timeout(30):
            audited = await told.get()
        assert (audited.user, audited.outcome, audited.target) == ("olga", "ok", "host.0")
        assert audited.method == "HostService.ChangeHostPower"
