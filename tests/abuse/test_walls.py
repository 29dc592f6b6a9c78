"""The walls of the bus: what code can do that runs inside a process, with that process's own keys."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator

import pytest
from tests.harness.bus import BusWorld

from ubmc.app import process_specs
from ubmc.boards.load import load_board
from ubmc.kit import subjects
from ubmc.kit.bus import Bus
from ubmc.kit.call import Call
from ubmc.kit.errors import Denied, TimedOut, UbmcError, Unauthenticated, Unavailable
from ubmc.kit.keys import BusKey, PrincipalSigner
from ubmc.kit.link import Endpoint
from ubmc.kit.schema import load
from ubmc.kit.service import Service, rpc
from ubmc.kit.tracing import Trace
from ubmc.rpc import Unary
from ubmc.services.ipc.permissions import ProcessSpec
from ubmc.v1alpha1.host_pb import ChangeHostPowerRequest, ChangeHostPowerResponse, HostPowerAction
from ubmc.v1alpha1.host_rpc import HostService
from ubmc.v1alpha1.session_pb import Principal

SPECS = process_specs(load_board("sim"))
SCHEMA = load()
ON = ChangeHostPowerRequest(name="host.0", action=HostPowerAction.ON)


class Hosts(Service):
    """Stands where statemgr stands, and counts what gets through."""

    name = "statemgr"

    def __init__(self) -> None:
        self.done = 0

    @rpc(HostService.ChangeHostPower)
    async def change(self, _request: ChangeHostPowerRequest) -> ChangeHostPowerResponse:
        self.done += 1
        return ChangeHostPowerResponse()


async def refused(bus: Bus, wanted: set[str], expected: int) -> set[str]:
    """Where the server forbids this process to publish, in lower case, as the client library gives it."""
    forbidden: set[str] = set()
    bus.link.on_forbidden = forbidden.add
    for subject in sorted(wanted):
        await bus.link.publish(subject, b"", "", {"Ubmc": "x"})
        await bus.link.flush()
    deadline = time.monotonic() + 5.0
    while len(forbidden) < expected and time.monotonic() < deadline:
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.05)  # one too many would come now
    return forbidden


@pytest.fixture
async def world() -> AsyncIterator[BusWorld]:
    async with BusWorld(*SPECS) as made:
        yield made


@pytest.mark.parametrize("process", [spec.name for spec in SPECS])
async def test_every_process_is_refused_everything_else(world: BusWorld, process: str) -> None:
    """Every subject of the house that the matrix does not give to this process, tried on the real server."""
    bus = await world.place(process)
    mine = world.permissions[process].publish
    wanted = {subjects.peer(method.token) for method in SCHEMA.methods}
    wanted |= {subjects.rpc(method.token) for method in SCHEMA.methods}
    wanted |= {subjects.event(news, "host.0") for news in SCHEMA.events.values()}
    wanted |= {"$JS.API.STREAM.DELETE.EVENTS", "$JS.API.STREAM.PURGE.EVENTS", "$SYS.REQ.SERVER.PING", "anything.else"}
    allowed = {subject for subject in wanted if any(_covers(pattern, subject) for pattern in mine)}
    forbidden = {subject.lower() for subject in wanted - allowed}
    assert await refused(bus, wanted, len(forbidden)) == forbidden


def _covers(pattern: str, subject: str) -> bool:
    parts, words = pattern.split("."), subject.split(".")
    for at, part in enumerate(parts):
        if part == ">":
            return len(words) > at
        if at >= len(words) or part not in ("*", words[at]):
            return False
    return len(parts) == len(words)


async def test_the_door_gets_no_internal_call_but_the_exchange_of_tokens() -> None:
    async with BusWorld(*SPECS) as made:
        publish = made.permissions["websrv"].publish
        peers = {subject for subject in publish if subject.startswith("peer.")}
        assert peers == {"peer.SessionService.ExchangeToken"}
        assert not [subject for subject in publish if subject.startswith(("event.", "signal.", "$JS"))]
        internal = {subjects.rpc(method.token) for method in SCHEMA.methods if method.internal}
        assert not internal & publish


async def test_a_door_that_was_taken_over_cannot_become_somebody_else() -> None:
    specs = (ProcessSpec("managers", (Hosts,)), ProcessSpec("websrv", (), door=True))
    async with BusWorld(*specs) as made:
        hosts = Hosts()
        await made.place("managers", hosts)
        door = await made.place("websrv")
        good = made.call("olga", "ReadOnly")
        admin = Principal.from_binary(made.call("admin").signed[64:])
        thief = PrincipalSigner()  # the door can make keys, but nobody trusts them
        forgeries = [
            thief.sign(admin),
            good.signed[:64] + admin.to_binary(),
            bytes(64) + admin.to_binary(),
            admin.to_binary(),
            b"x",
        ]
        for signed in forgeries:
            with pytest.raises(Unauthenticated):
                await door.forward(HostService.ChangeHostPower, ON, Call(good.deadline, Trace.new(), signed=signed))
        for call in (good, Call(good.deadline, Trace.new())):
            with pytest.raises(Denied):
                await door.forward(HostService.ChangeHostPower, ON, call)
        with pytest.raises(Unavailable, match="forbids"):
            await door.ask(HostService.ChangeHostPower, ON)
        stale = Principal.from_binary(admin.to_binary())
        stale.expires = time.monotonic() - 0.1
        old = Call(good.deadline, Trace.new(), signed=made.signer.sign(stale))
        with pytest.raises(Unauthenticated):
            await door.forward(HostService.ChangeHostPower, ON, old)
        assert hosts.done == 0


async def test_a_call_that_timed_out_is_never_done_later() -> None:
    import signal

    specs = (ProcessSpec("managers", (Hosts,)), ProcessSpec("websrv", (), door=True))
    async with BusWorld(*specs) as made:
        hosts = Hosts()
        await made.place("managers", hosts)
        door = await made.place("websrv")
        for _ in range(5):
            os.kill(made.server.pid or 0, signal.SIGSTOP)
            try:
                with pytest.raises(TimedOut):
                    await door.forward(HostService.ChangeHostPower, ON, made.call(seconds=0.1))
            finally:
                os.kill(made.server.pid or 0, signal.SIGCONT)
        for _ in range(5):
            os.kill(made.server.pid or 0, signal.SIGKILL)
            made.server.reap()
            with pytest.raises(UbmcError):
                await door.forward(HostService.ChangeHostPower, ON, made.call(seconds=0.1))
            made.server.start()
            async with asyncio.timeout(10):
                await door.link.connected.wait()
        async with asyncio.timeout(10):
            while True:
                try:
                    await door.forward(HostService.ChangeHostPower, ON, made.call())
                    break
                except Unavailable:
                    await asyncio.sleep(0.02)
        assert hosts.done == 1


@pytest.mark.parametrize("credentials", ["{}", '{"user":"ubmc","pass":"ubmc"}', '{"auth_token":"ubmc"}'])
async def test_nobody_without_a_key_gets_on_the_bus(world: BusWorld, credentials: str) -> None:
    await world.place("websrv")
    reader, writer = await asyncio.open_connection("127.0.0.1", world.server.port)
    try:
        async with asyncio.timeout(5):
            assert (await reader.readline()).startswith(b"INFO ")
            writer.write(
                f"CONNECT {credentials}\r\nSUB > 1\r\nPUB rpc.HostService.ListHosts 0\r\n\r\nPING\r\n".encode()
            )
            assert b"Authorization Violation" in await reader.readline()
            assert await reader.read() == b""
    finally:
        writer.close()
        await writer.wait_closed()


async def test_a_key_of_an_earlier_process_is_worth_nothing(world: BusWorld) -> None:
    old = await world.place("websrv")
    fresh = await world.place("websrv")
    async with asyncio.timeout(10):
        while old.link.connected.is_set():
            await asyncio.sleep(0.02)
    assert fresh.link.connected.is_set()


FAKE = """
import os, socket, sys
os.setuid(65534)
server = socket.socket()
server.bind(("127.0.0.1", int(sys.argv[1])))
server.listen()
print("ready", flush=True)
connection, _ = server.accept()
info = '{"server_id":"x","version":"2.15.1","nonce":"abc","auth_required":true,"max_payload":1}'
connection.sendall(f"INFO {info}\\r\\n".encode())
connection.settimeout(3)
try:
    print(connection.recv(4096).decode(), flush=True)
except OSError:
    print("nothing", flush=True)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to be another user as well")
async def test_another_user_cannot_pose_as_the_bus() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    fake = subprocess.Popen([sys.executable, "-c", FAKE, str(port)], stdout=subprocess.PIPE, text=True)
    assert fake.stdout is not None
    try:
        assert fake.stdout.readline() == "ready\n"
        from ubmc.kit.metrics import Metrics

        bus = Bus("websrv", SCHEMA, BusKey(), Metrics())
        bus.start(Endpoint(port, os.getuid()))
        said = await asyncio.to_thread(fake.stdout.readline)
        assert "sig" not in said
        assert not bus.link.connected.is_set()
        await bus.close()
    finally:
        fake.kill()
        fake.wait(5)
        fake.stdout.close()


def test_every_public_call_can_be_asked_by_the_door_and_no_other() -> None:
    from ubmc.services.ipc.permissions import matrix

    publish = matrix(SPECS, SCHEMA)["websrv"].publish
    wanted = {subjects.rpc(method.token) for method in SCHEMA.methods if not method.internal}
    assert {subject for subject in publish if subject.startswith("rpc.")} == wanted
    assert all(isinstance(method.token, Unary) or method.streams for method in SCHEMA.methods)
