"""The walls of the bus: what somebody who holds one process, or another account of the machine, can do. Nothing.

Every call of the schema is answered here by a service that notes what reached it, on a real server with the permissions
of the real program.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import os
import pkgutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nats.errors
import pytest
from nats.aio.client import Client
from tests.harness.bus import BusWorld

from ubmc import v1alpha1
from ubmc.boards.load import load_board
from ubmc.compose.processes import process_specs
from ubmc.kit import subjects
from ubmc.kit.bus import Bus
from ubmc.kit.call import Call
from ubmc.kit.errors import Denied, TimedOut, UbmcError, Unauthenticated, Unavailable
from ubmc.kit.handlers import handlers_of, rpc, stream
from ubmc.kit.keys import BusKey, PrincipalSigner
from ubmc.kit.link import Endpoint, Link
from ubmc.kit.metrics import Metrics
from ubmc.kit.schema import Method, Schema, load
from ubmc.kit.service import Service
from ubmc.kit.tracing import Trace
from ubmc.rpc import ServerStream
from ubmc.services.ipc.permissions import ProcessSpec, matrix
from ubmc.services.websrv.service import WebServer
from ubmc.v1alpha1.access_pb import Privilege
from ubmc.v1alpha1.host_pb import ChangeHostPowerRequest, HostPowerAction, HostStateChange
from ubmc.v1alpha1.host_rpc import HostService
from ubmc.v1alpha1.session_pb import Principal
from ubmc.v1alpha1.system_pb import AuditedCall

NOBODY = 65534
ALL = [Privilege.LOGIN, Privilege.CONFIGURE_COMPONENTS, Privilege.CONFIGURE_MANAGER, Privilege.CONFIGURE_USERS]


def everything(name: str, methods: list[Method]) -> type[Service]:
    """A service that answers these calls, and notes them."""
    body: dict[str, Any] = {"name": name, "done": []}
    for index, method in enumerate(methods):
        body[f"answer{index}"] = _answer(method)
    return type("Everything", (Service,), body)


def _answer(method: Method) -> Any:
    token = method.token
    if isinstance(token, ServerStream):

        async def follow(self: Any, request: Any) -> AsyncIterator[Any]:
            self.done.append(method.name)
            yield token.response()

        return stream(token)(follow)

    async def answer(self: Any, request: Any) -> Any:
        self.done.append(method.name)
        return token.response()

    return rpc(token)(answer)


@dataclass
class World:
    made: BusWorld
    door: Bus
    services: list[Any]

    @property
    def schema(self) -> Schema:
        return self.made.schema

    @property
    def done(self) -> list[str]:
        return [each for service in self.services for each in service.done]

    async def try_call(self, method: Method, call: Call) -> None:
        """As the door forwards it."""
        token = method.token
        if isinstance(token, ServerStream):
            async with contextlib.aclosing(self.door.watch(token, token.request(), call)) as reader:
                await anext(reader)
        else:
            await self.door.forward(token, token.request(), call)

    async def settle(self) -> None:
        """Everything that was sent has arrived, and what it caused has happened."""
        await self.door.link.flush()
        await asyncio.sleep(0.1)


def specs() -> tuple[ProcessSpec, ...]:
    """The processes of the real program, their calls answered by ours."""
    schema = load()
    made = []
    for spec in process_specs(load_board("sim")):
        if spec.door:
            made.append(spec)
            continue
        answered = [m for m in schema.methods if not m.everywhere and subjects.peer(m.token) in _answers(spec)]
        made.append(ProcessSpec(spec.name, (everything("eventlog", answered),)))
    return tuple(made)


def _answers(spec: ProcessSpec) -> set[str]:
    found = (handler.what for service in spec.services for handler in handlers_of(service))
    return {subjects.peer(what) for what in found if not isinstance(what, type)}


@contextlib.asynccontextmanager
async def world() -> AsyncIterator[World]:
    processes = specs()
    async with BusWorld(*processes) as made:
        services = []
        for spec in processes:
            if not spec.door:
                services.append(spec.services[0]())
                await made.place(spec.name, services[-1])
        yield World(made, await made.place("websrv"), services)


def forged(signer: PrincipalSigner, expires: float = 1e12) -> bytes:
    return signer.sign(Principal(user="admin", role="Administrator", privileges=ALL, session="s", expires=expires))


async def test_the_walls_stand_where_something_is_behind_them() -> None:
    """Somebody who is logged in reaches every call that is not internal, nor made of others at the door.

    Else the other tests prove nothing.
    """
    async with world() as w:
        public = [method for method in w.schema.methods if not (method.internal or method.at_door)]
        for method in public:
            await w.try_call(method, w.made.call())
        assert sorted(w.done) == sorted(method.name for method in public)


async def test_with_the_keys_of_websrv_nobody_becomes_a_user_who_is_not_logged_in() -> None:
    async with world() as w:
        own = PrincipalSigner()  # every process makes one, and only that of usermgr is trusted
        honest = w.made.call("olga", "ReadOnly")
        expired = w.made.signer.sign(Principal(user="admin", role="Administrator", privileges=ALL, expires=1.0))
        promoted = honest.signed[:64] + forged(own)[64:]
        for method in w.schema.methods:
            if method.internal or method.public or method.at_door:
                continue
            for signed, error in (
                (forged(own), Unauthenticated),
                (expired, Unauthenticated),
                (promoted, Unauthenticated),
                (honest.signed[:-1], Unauthenticated),
                (b"x" * 100, Unauthenticated),
                (b"", Denied),
            ):
                call = Call(time.monotonic() + 5, Trace.new(), source="127.0.0.1", signed=signed)
                with pytest.raises(error):
                    await w.try_call(method, call)
            if method.privilege not in {Privilege.LOGIN, Privilege.CONFIGURE_SELF}:
                with pytest.raises(Denied):
                    await w.try_call(method, honest)
        assert w.done == []


async def test_with_the_keys_of_websrv_no_internal_call_is_made() -> None:
    async with world() as w:
        for method in w.schema.methods:
            for prefix in ("rpc", "peer"):
                subject = f"{prefix}.{method.token.short}.{method.token.method}"
                if prefix == "rpc" and not method.internal:
                    continue
                if prefix == "peer" and ("websrv" in method.callers or method.token in WebServer.calls):
                    continue  # compared exactly in the next test; the others are in tests/unit/test_permissions.py
                with pytest.raises(Unavailable, match="forbids websrv"):
                    await w.door.request(subject, b"", w.made.call(), method.name)
        await w.settle()
        assert w.done == []


def test_the_internal_calls_of_doors_are_these_and_no_others() -> None:
    named = {method.name for method in load().methods if "websrv" in method.callers}
    assert named == {
        "SessionService.ExchangeToken",
        "SessionService.ExchangeBasic",
        "SessionService.ExchangeCertificate",
        "SecurityService.WatchDoor",
        "ConsoleService.OpenConsole",  # which takes the principal of who asks
    }


@pytest.mark.parametrize("board", ["sim", "qemu"])
def test_each_process_may_exactly_what_its_services_declare(board: str) -> None:
    """Every process times every call and event of the schema, worked out here from the declarations alone."""
    schema, processes = load(), process_specs(load_board(board))
    rights = matrix(processes, schema)
    assert set(rights) == {spec.name for spec in processes}
    kinds = _news()
    assert len(kinds) > 20
    for spec in processes:
        mine = rights[spec.name]
        calls = {subjects.peer(token) for service in spec.services for token in service.calls}
        answers = {
            handler.what for service in spec.services for handler in handlers_of(service)
            if not isinstance(handler.what, type)
        }  # fmt: skip
        for method in schema.methods:
            token = method.token
            peer, rpc_ = subjects.peer(token), f"rpc.{token.short}.{token.method}"
            answered = any(subjects.peer(what) == peer for what in answers)
            assert (peer in mine.publish) == (peer in calls), (spec.name, peer)
            assert (peer in mine.subscribe) == answered, (spec.name, peer)
            somebody = any(
                subjects.peer(handler.what) == peer
                for other in processes for service in other.services for handler in handlers_of(service)
                if not isinstance(handler.what, type)
            )  # fmt: skip
            assert (rpc_ in mine.publish) == (spec.door and not method.internal and somebody), (spec.name, rpc_)
            assert (rpc_ in mine.subscribe) == (answered and not method.internal), (spec.name, rpc_)
        for news in kinds:
            tells = any(news in service.tells for service in spec.services)
            tells |= news is AuditedCall and any(schema.method(what).audited for what in answers)
            follows = any(handler.what is news for service in spec.services for handler in handlers_of(service))
            assert (subjects.event(news) in mine.publish) == tells, (spec.name, news)
            assert (subjects.event(news) in mine.subscribe) == follows, (spec.name, news)


def _news() -> list[type[Any]]:
    """Every kind of news that the generated modules know."""
    found = []
    for module in pkgutil.iter_modules(v1alpha1.__path__):
        if module.name.endswith("_pb"):
            for each in vars(importlib.import_module(f"ubmc.v1alpha1.{module.name}")).values():
                with contextlib.suppress(Exception):
                    subjects.event(each)
                    found.append(each)
    return list(dict.fromkeys(found))


async def test_with_the_keys_of_websrv_no_event_is_published_and_no_answer_forged() -> None:
    async with world() as w:
        follower: list[str] = []
        managers = next(bus for bus in w.made._buses if bus.process == "managers")

        async def heard(msg: Any) -> None:
            follower.append(msg.subject)

        for subject in ("event.host.*.host_state_change", "event.audit.*.audited_call"):
            with contextlib.suppress(UbmcError):
                await managers.link.subscribe(subject, heard)
        told: list[str] = []
        w.door.link.on_forbidden = told.append
        targets = {
            subjects.event(HostStateChange, "host.0"),
            "event.audit.x.audited_call",
            "event.a.b.c",
            "signal.a.b.c",
        }
        targets |= {
            "_INBOX_managers.x.y",
            "_INBOX_safety.x.y",
            "$JS.API.STREAM.PURGE.EVENTS",
            "$JS.ACK.EVENTS.eventlog.1",
        }
        for subject in targets:
            await w.door.link.publish(subject, b"x")
        await w.settle()
        assert set(told) == {each.lower() for each in targets}
        assert follower == []


async def test_a_name_that_is_a_command_of_the_bus_is_only_a_name() -> None:
    """What a client asked about becomes part of the subject of the audit trail."""
    async with world() as w:
        managers = next(bus for bus in w.made._buses if bus.process == "managers")
        evil = "x\r\nPUB event.a.b.c 0\r\n\r\n"
        for name in (evil, "a b", ">", "*", "a.b.>", "\0", "x" * 100_000):
            await w.door.forward(HostService.ChangeHostPower, ChangeHostPowerRequest(name=name), w.made.call())
        await w.settle()
        assert managers.link.connected.is_set()
        assert all(len(item.data) < 1000 for item in managers._outbox._items)
        assert all(item.subject.count(".") == 3 for item in managers._outbox._items)


async def _stopped(pid: int) -> None:
    """Return when every thread of a process stands still: one that still runs could pass a message on in time."""
    async with asyncio.timeout(30):
        while any(
            stat.read_text().rpartition(")")[2].split()[0] != "T" for stat in Path(f"/proc/{pid}/task").glob("*/stat")
        ):
            await asyncio.sleep(0.005)


async def test_a_call_that_timed_out_is_never_executed_later() -> None:
    change = ChangeHostPowerRequest(name="host.0", action=HostPowerAction.FORCE_OFF)
    async with world() as w:
        for _ in range(3):
            os.kill(w.made.server.pid or 0, signal.SIGSTOP)
            try:
                await _stopped(w.made.server.pid or 0)
                with pytest.raises(TimedOut):
                    await w.door.forward(HostService.ChangeHostPower, change, w.made.call(seconds=0.15))
            finally:
                os.kill(w.made.server.pid or 0, signal.SIGCONT)
        late = w.made.call(seconds=-0.001)
        await w.door.link.publish(
            subjects.rpc(HostService.ChangeHostPower), change.to_binary(), "", {"Ubmc": late.header()}
        )
        for value in (
            "",
            "nonsense",
            "nan " + late.header().partition(" ")[2],
            "-inf " + late.header().partition(" ")[2],
        ):
            subject = subjects.rpc(HostService.ChangeHostPower)
            await w.door.link.publish(subject, change.to_binary(), "", {"Ubmc": value})
        await w.settle()
        assert w.done == []
        await w.door.forward(HostService.ChangeHostPower, change, w.made.call())
        assert w.done == ["HostService.ChangeHostPower"]


async def test_a_receiver_that_was_stopped_does_not_do_what_nobody_waits_for() -> None:
    """Its own loop stands still while the call waits in its socket."""
    change = ChangeHostPowerRequest(name="host.0", action=HostPowerAction.FORCE_OFF)
    async with world() as w:
        call = w.made.call(seconds=0.3)
        asking = asyncio.create_task(w.door.forward(HostService.ChangeHostPower, change, call))
        await asyncio.sleep(0)
        time.sleep(0.5)
        with pytest.raises(UbmcError):
            await asking
        await w.settle()
        assert w.done == []


# --- other accounts of the machine --------------------------------------------------------------------------------

STRANGER = """
import asyncio, encodings.idna, os, pathlib, socket  # before this account is left, which may read our Python
os.setgid({nobody}); os.setuid({nobody})
{code}
"""


def need_root() -> None:
    if os.getuid():
        pytest.skip("another account is needed: run the tests as root")


def as_stranger(code: str) -> subprocess.Popen[str]:
    """Run Python as another user."""
    text = STRANGER.format(nobody=NOBODY, code=code)
    return subprocess.Popen(
        [sys.executable, "-c", text], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd="/"
    )


async def said(process: subprocess.Popen[str], seconds: float = 45.0) -> str:
    out, error = await asyncio.to_thread(process.communicate, timeout=seconds)
    assert process.returncode == 0, error
    return out


async def test_another_user_without_a_key_is_refused() -> None:
    need_root()
    async with world() as w:
        code = f"""
names = ("{{}}", '{{"nkey":"UX","sig":"x"}}', '{{"user":"a","pass":"b"}}')
for greeting in (b"", *(f"CONNECT {{name}}\\r\\n".encode() for name in names)):
    with socket.create_connection(("127.0.0.1", {w.made.server.port}), 5) as end:
        end.settimeout(5)
        assert b"nonce" in end.recv(4096)
        end.sendall(greeting + b"SUB > 1\\r\\nPUB rpc.HostService.ListHosts 0\\r\\n\\r\\nPING\\r\\n")
        answer = b""
        while data := end.recv(4096):
            answer += data
        assert b"PONG" not in answer and b"MSG" not in answer, answer
        print(answer)
"""
        out = await said(as_stranger(code))
        assert (
            out.count("Authorization Violation") + out.count("Authentication Timeout") + out.count("Parser Error") == 4
        )
        await w.settle()
        assert w.done == []
        with pytest.raises((nats.errors.Error, TimeoutError)):
            stranger = Client()
            key = BusKey()
            stranger._public_nkey = key.public
            async with asyncio.timeout(30):
                try:
                    await stranger.connect(
                        f"nats://127.0.0.1:{w.made.server.port}", signature_cb=key.sign, allow_reconnect=False
                    )
                finally:
                    if stranger._transport is not None:
                        stranger._transport.close()  # type: ignore[no-untyped-call]


async def test_another_user_cannot_pose_as_the_bus() -> None:
    need_root()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    code = f"""
async def greet(reader, writer):
    writer.write(b'INFO {{"nonce":"abc","auth_required":true,"max_payload":1000}}\\r\\n')
    await writer.drain()
    print("got", await reader.read(4096), flush=True)
    writer.close()

async def main():
    server = await asyncio.start_server(greet, "127.0.0.1", {port})
    print("listening", flush=True)
    await asyncio.sleep(1.5)

asyncio.run(main())
"""
    process = as_stranger(code)
    assert process.stdout is not None
    assert await asyncio.to_thread(process.stdout.readline) == "listening\n"
    endpoint = Endpoint(port, os.getuid())
    assert not endpoint.genuine()
    assert Endpoint(port, NOBODY).genuine()
    signed: list[str] = []

    class Watched(BusKey):
        def sign(self, nonce: str) -> bytes:
            signed.append(nonce)
            return super().sign(nonce)

    link = Link("websrv", Watched(), Metrics())
    connecting = asyncio.create_task(link.connect(endpoint))
    out = await said(process)
    assert out.count("got b''") >= 2, "it connects again and again, and says nothing at all"
    assert "CONNECT" not in out
    assert signed == []
    connecting.cancel()
    await asyncio.gather(connecting, return_exceptions=True)
    await link.close()


async def test_another_user_cannot_read_what_is_ours() -> None:
    need_root()
    async with world() as w:
        code = f"""
for path in ("/proc/{w.made.server.pid}/fd", "/proc/{os.getpid()}/environ", "{w.made.state}/jetstream"):
    try:
        list(pathlib.Path(path).iterdir()) if not path.endswith("environ") else pathlib.Path(path).read_bytes()
    except PermissionError:
        print("denied")
try:
    os.kill({w.made.server.pid}, 1)
except PermissionError:
    print("denied")
"""
        assert (await said(as_stranger(code))).split() == ["denied"] * 4
