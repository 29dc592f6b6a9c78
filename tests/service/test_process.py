"""What runs in every child: supervision of services, what is reported, and an end that nothing can put off."""

from __future__ import annotations

import ast
import asyncio
import contextlib
import os
import signal
import time
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any, Self

import pytest
from tests.harness.bus import BusWorld

from ubmc.kit import process, schema, supervise
from ubmc.kit.channel import Channel, Message
from ubmc.kit.errors import Unavailable
from ubmc.kit.process import Child, Place, ProcessFace, run_child
from ubmc.kit.service import Service, lasting, rpc
from ubmc.services import operator
from ubmc.services.ipc.permissions import ProcessSpec
from ubmc.services.operator.fork import fork_child
from ubmc.v1alpha1.host_pb import GetHostRequest, GetHostResponse
from ubmc.v1alpha1.host_rpc import HostService
from ubmc.v1alpha1.internal_pb import GetProcessMetricsRequest
from ubmc.v1alpha1.internal_rpc import ProcessService


class Tried(Service):
    """Does in its lives what the test wants."""

    name = "ledmgr"

    def __init__(self, *lives: str) -> None:
        self.lives = list(lives)
        self.happened: list[str] = []
        self.go_on = asyncio.Event()

    async def setup(self) -> None:
        self.happened.append("setup")
        if self.lives and self.lives[0] == "setup":
            self.lives.pop(0)
            raise Unavailable("no lights")

    async def work(self) -> None:
        self.happened.append("work")
        life = self.lives.pop(0) if self.lives else "live"
        if life == "bug":
            raise RuntimeError("secret detail")
        if life == "stray":
            raise asyncio.CancelledError
        if life == "group":
            async with asyncio.TaskGroup() as group:
                group.create_task(lasting(self.stray()))
                group.create_task(lasting(asyncio.Event().wait()))
        if life == "done":
            return
        await self.go_on.wait()

    async def stray(self) -> None:
        raise asyncio.CancelledError

    async def teardown(self) -> None:
        self.happened.append("teardown")

    @rpc(HostService.GetHost)
    async def get_host(self, request: GetHostRequest) -> GetHostResponse:
        return GetHostResponse()


class Safe(Tried):
    name = "powermgr"
    needs_bus = False

    @rpc(HostService.GetHost)
    async def get_host(self, request: GetHostRequest) -> GetHostResponse:
        return GetHostResponse()


class Later(Tried):
    name = "statemgr"
    after = ("usermgr", "powermgr")


class Parent:
    """The operator's side of one child that runs in this loop."""

    def __init__(self, services: Sequence[Service], world: BusWorld | None = None) -> None:
        self.channel, theirs = Channel.pair()
        self.theirs = theirs
        self.heard: list[Message] = []
        self.world = world
        self.place: Place | None = None

        def factory(place: Place) -> Sequence[Service]:
            self.place = place
            return services

        self.child = Child("managers", theirs, schema.load(), factory)

    async def __aenter__(self) -> Self:
        asyncio.get_running_loop().add_reader(self.channel.fileno(), self.hear)
        self.task = asyncio.create_task(self.child.run())
        await self.until(lambda: any(each.kind == "hello" for each in self.heard))
        if self.world is not None:
            self.go()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.child._stop.set()
        async with asyncio.timeout(30):
            await self.task
        asyncio.get_running_loop().remove_reader(self.channel.fileno())
        self.channel.close()
        self.theirs.close()

    def hear(self) -> None:
        with contextlib.suppress(BlockingIOError):
            message = self.channel.receive()
            assert message is not None
            self.heard.append(message)

    def go(self) -> None:
        assert self.world is not None
        hello = next(each for each in self.heard if each.kind == "hello")
        self.world.server.admit("managers", hello.fields["bus_key"])
        self.world.server.settle()
        endpoint = self.world.endpoint()
        self.channel.send("go", port=endpoint.port, uid=endpoint.uid, principal_keys=[self.world.signer.public.hex()])

    def health(self, **states: str) -> None:
        services = [{"name": name, "state": state} for name, state in states.items()]
        self.channel.send("health", services=services, news=[])

    def states(self, name: str) -> list[str]:
        return [each.fields["state"] for each in self.heard if each.kind == "service" and each.fields["name"] == name]

    def last(self, name: str) -> dict[str, Any]:
        return next(each.fields for each in reversed(self.heard) if each.fields.get("name") == name)

    async def until(self, what: Callable[[], object], seconds: float = 45.0) -> None:
        async with asyncio.timeout(seconds):
            while not what():
                await asyncio.sleep(0.005)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervise, "FIRST_SECONDS", 0.02)


@contextlib.asynccontextmanager
async def world() -> AsyncIterator[BusWorld]:
    spec = ProcessSpec("managers", (Tried, ProcessFace))
    async with BusWorld(spec, ProcessSpec("websrv", (), door=True)) as made:
        yield made


async def test_only_public_halves_of_keys_leave_the_process() -> None:
    async with Parent([]) as parent:
        hello = parent.heard[0]
        assert set(hello.fields) == {"bus_key", "principal_key"}
        assert parent.place is not None
        assert hello.fields["principal_key"] == parent.place.signer.public.hex()
    for path in Path(str(operator.__file__)).parent.glob("*.py"):
        names = {node.id for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Name)}
        assert not names & {"BusKey", "PrincipalSigner"}, f"{path.name}: the parent makes no keys"


async def test_a_service_that_fails_in_setup_is_torn_down_and_tried_again() -> None:
    service = Tried("setup", "setup", "live")
    async with world() as made, Parent([service], made) as parent:
        await parent.until(lambda: parent.states("ledmgr")[-1:] == ["READY"])
        assert parent.states("ledmgr") == ["STARTING", "FAILED", "STARTING", "FAILED", "STARTING", "READY"]
        assert service.happened == ["setup", "teardown", "setup", "teardown", "setup", "work"]
        failed = next(each for each in parent.heard if each.fields.get("state") == "FAILED")
        assert failed.fields["reason"] == "no lights"
        assert parent.last("ledmgr")["restarts"] == 2


@pytest.mark.parametrize(
    ("life", "reason"),
    [("bug", "RuntimeError: secret detail"), ("stray", "cancelled from within"), ("group", "unhandled errors")],
)
async def test_a_service_that_falls_is_started_again(life: str, reason: str) -> None:
    service = Safe(life, life)
    async with Parent([service]) as parent:
        await parent.until(lambda: parent.states("powermgr").count("READY") == 3)
        failed = [each.fields for each in parent.heard if each.fields.get("state") == "FAILED"]
        assert len(failed) == 2
        assert reason in failed[0]["reason"]
        assert service.happened == ["setup", "work", "teardown"] * 2 + ["setup", "work"]


async def test_it_degrades_and_goes_on() -> None:
    async with Parent([Safe(*["bug"] * 6)]) as parent:
        await parent.until(lambda: parent.states("powermgr").count("READY") == 7)
        bad = [each for each in parent.states("powermgr") if each in {"FAILED", "DEGRADED"}]
        assert bad == ["FAILED"] * 4 + ["DEGRADED"] * 2


async def test_a_service_that_is_done_is_not_started_again() -> None:
    service = Safe("done")
    async with Parent([service]) as parent:
        await parent.until(lambda: parent.states("powermgr")[-1:] == ["STOPPED"])
        await asyncio.sleep(0.2)
        assert service.happened == ["setup", "work", "teardown"]


async def test_what_keeps_machines_safe_works_without_the_bus_and_the_others_wait_for_it() -> None:
    safe, other = Safe(), Tried()
    async with world() as made:
        parent = Parent([safe, other])
        async with parent:
            await parent.until(lambda: parent.states("powermgr")[-1:] == ["READY"])
            await asyncio.sleep(0.2)
            assert "work" in safe.happened
            assert other.happened == []
            assert parent.states("ledmgr") == ["STARTING"]
            parent.world = made
            parent.go()
            await parent.until(lambda: parent.states("ledmgr")[-1:] == ["READY"])


async def test_a_service_waits_for_those_before_it() -> None:
    later = Later()
    later.needs_bus = False  # type: ignore[misc]
    async with Parent([later]) as parent:
        for states in ({}, {"usermgr": "READY"}, {"usermgr": "READY", "powermgr": "STARTING"}, {"powermgr": "READY"}):
            parent.health(**states)
            await asyncio.sleep(0.05)
            assert later.happened == []
        parent.health(usermgr="READY", powermgr="READY")
        await parent.until(lambda: "work" in later.happened)
        parent.health(usermgr="FAILED", powermgr="READY")
        await asyncio.sleep(0.1)
        assert later.happened == ["setup", "work"], "a restart of another does not cascade"


async def test_the_process_answers_for_its_metrics() -> None:
    async with world() as made, Parent([Tried("bug")], made) as parent:
        await parent.until(lambda: parent.states("ledmgr").count("READY") == 2)
        assert parent.place is not None
        method = made.schema.method(ProcessService.GetProcessMetrics)
        assert method.everywhere
        text = (await ProcessFace("managers", parent.place.bus.metrics).get_metrics(GetProcessMetricsRequest())).text
        assert 'ubmc_service_starts_total{service="ledmgr"} 2.0' in text


async def test_stray_descriptors_are_closed() -> None:
    async with Parent([]) as parent:
        before = len(list(Path("/proc/self/fd").iterdir()))
        for kind in ("nonsense", "guardian_", "stop"):
            parent.channel.send(kind, 0, 1)
        await asyncio.sleep(0.1)
        assert len(list(Path("/proc/self/fd").iterdir())) == before


class Stubborn(Safe):
    """Does not let itself be cancelled."""

    async def work(self) -> None:
        while True:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(60)


class Threaded(Safe):
    """Hangs in the kernel."""

    async def work(self) -> None:
        await asyncio.to_thread(time.sleep, 60)


def forked(*kinds: type[Safe]) -> tuple[int, Channel]:
    def body(channel: Channel) -> None:
        services = []
        for index, kind in enumerate(kinds):
            services.append(kind())
            services[-1].name = f"powermgr{index}"  # type: ignore[misc]
        run_child("safety", channel, schema.load(), lambda _place: services)

    pid, channel = fork_child("safety", body)
    deadline, ready = time.monotonic() + 20, 0
    while ready < len(kinds):
        assert time.monotonic() < deadline
        with contextlib.suppress(BlockingIOError):
            message = channel.receive()
            ready += message is not None and message.fields.get("state") == "READY"
    return pid, channel


def gone(pid: int, seconds: float) -> float:
    began = time.monotonic()
    while os.waitpid(pid, os.WNOHANG)[0] == 0:
        if time.monotonic() - began > seconds:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            raise AssertionError(f"not gone within {seconds} s")
        time.sleep(0.01)
    return time.monotonic() - began


@pytest.mark.parametrize(("kind", "least"), [(Stubborn, process.STOP_SECONDS), (Threaded, 0.0), (Safe, 0.0)])
def test_a_stop_ends_even_when_a_service_does_not(kind: type[Safe], least: float) -> None:
    pid, channel = forked(kind)
    time.sleep(0.2)
    os.kill(pid, signal.SIGINT)  # which is the operator's business
    time.sleep(0.1)
    assert os.waitpid(pid, os.WNOHANG) == (0, 0)
    os.kill(pid, signal.SIGTERM)
    assert least <= gone(pid, process.STOP_SECONDS + 2.0)
    channel.close()


@pytest.mark.parametrize("kind", [Stubborn, Threaded, Safe])
def test_when_the_operator_is_gone_it_ends_within_a_second(kind: type[Safe]) -> None:
    pid, channel = forked(kind)
    time.sleep(0.1)
    channel.close()
    gone(pid, 1.0)
