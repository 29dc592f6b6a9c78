"""Pushed events on a real bus, to a real HTTPS server: what is delivered, what is retried, what survives."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from protobuf.wkt import Duration, FieldMask
from tests.harness.authority import Authority
from tests.harness.bus import BusWorld
from tests.harness.receiver import Receiver, receiver

from ubmc.kit.bus import Bus
from ubmc.kit.database import Database
from ubmc.kit.errors import Denied, Exhausted, Invalid, NotFound, Refused, TimedOut, Unavailable
from ubmc.kit.outbox import CAPACITY
from ubmc.kit.secrets import DeviceKey
from ubmc.kit.service import Service
from ubmc.rpc import Req, Res, Unary
from ubmc.services.eventlog import push
from ubmc.services.eventlog.push import EventPush, Outside
from ubmc.services.eventlog.service import EventLog
from ubmc.services.ipc.permissions import ProcessSpec
from ubmc.v1alpha1 import subscription_pb as s
from ubmc.v1alpha1.event_kind_pb import Severity
from ubmc.v1alpha1.event_pb import EventFilter, ListEventsRequest
from ubmc.v1alpha1.event_rpc import EventService
from ubmc.v1alpha1.host_pb import HostNews, HostState, HostStateChange
from ubmc.v1alpha1.subscription_rpc import SubscriptionService

ROUNDS = 30 if os.environ.get("UBMC_SOAK") else 6  # each takes a second
HOSTS = s.SubscriptionFilter(message_ids=["Host.News"])


class Teller(Service):
    """Tells news from a process of its own."""

    name = "statemgr"
    tells = (HostNews, HostStateChange)


SPECS = (
    ProcessSpec("managers", (EventLog, EventPush)),
    ProcessSpec("safety", (Teller,)),
    ProcessSpec("websrv", (), door=True),
)


@dataclass
class House:
    """The event log, who pushes it, a teller and a door."""

    bus: BusWorld
    state: Path
    teller: Bus
    door: Bus
    authority: Authority
    managers: Bus | None = None
    local: bool = True
    running: asyncio.Task[None] | None = None
    precious: Database | None = None
    push: EventPush | None = None

    async def start(self) -> None:
        """Start the push alone; the event log goes on."""
        assert self.managers is not None
        assert self.precious is not None
        outside = Outside(lambda: self.local, self.authority.pem.decode)
        self.push = EventPush(self.precious, DeviceKey.load(self.state / "device.key"), self.bus.schema, outside)
        self.running = await self.bus.run(self.managers, self.push)

    async def stop(self) -> None:
        assert self.running is not None
        self.running.cancel()
        await asyncio.gather(self.running, return_exceptions=True)

    async def ask(self, token: Unary[Req, Res], request: Req, role: str = "Administrator") -> Res:
        return await self.door.forward(token, request, self.bus.call("olga", role))

    async def subscribe(self, to: Receiver, **fields: Any) -> s.Subscription:
        fields = {"destination": f"https://127.0.0.1:{to.port}/events?a=b", "filter": HOSTS, **fields}
        request = s.CreateSubscriptionRequest(subscription=s.Subscription(**fields))
        made = (await self.ask(SubscriptionService.CreateSubscription, request)).subscription
        assert made is not None
        return made

    async def get(self, made: s.Subscription) -> s.Subscription:
        answer = await self.ask(SubscriptionService.GetSubscription, s.GetSubscriptionRequest(id=made.id))
        assert answer.subscription is not None
        return answer.subscription

    async def until(self, made: s.Subscription, state: s.SubscriptionState) -> s.Subscription:
        async with asyncio.timeout(30):
            while (shown := await self.get(made)).state is not state:
                await asyncio.sleep(0.02)
        return shown

    async def attempts(self, again: int, seconds: float = 1.0, *, enabled: bool = True) -> None:
        wanted = s.Delivery(enabled=enabled, retry_attempts=again, retry_interval=Duration.from_seconds(seconds))
        mask = FieldMask(paths=["enabled", "retry_attempts", "retry_interval"])
        await self.ask(SubscriptionService.UpdateDelivery, s.UpdateDeliveryRequest(delivery=wanted, update_mask=mask))

    async def tell(self, text: str) -> None:
        """Tell it; returns when it is in the log."""
        await self.teller.tell("host.0", HostNews(name="host.0", what=text))
        wanted = ListEventsRequest(page_size=1, newest_first=True, filter=EventFilter(message_id="Host.News"))
        async with asyncio.timeout(20):
            while True:
                events = (await self.ask(EventService.ListEvents, wanted)).events
                if events and events[0].arguments["what"] == text:
                    return
                await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def house(path: Path, *, child: bool = False) -> AsyncIterator[House]:
    authority = Authority()
    (path / "authority.pem").write_bytes(authority.pem)
    async with BusWorld(*SPECS) as bus:
        teller, door = await bus.place("safety"), await bus.place("websrv")
        made = House(bus, path, teller, door, authority)
        if child:
            yield made
            return
        expendable, precious = Database(path / "expendable.db"), Database(path / "precious.db")
        expendable.open()
        precious.open()
        try:
            made.managers = await bus.place("managers", EventLog(expendable, bus.schema))
            made.precious = precious
            await made.start()
            yield made
            await made.stop()
        finally:
            precious.close()
            expendable.close()


async def test_an_event_is_pushed_as_redfish_has_it(tmp_path: Path) -> None:
    async with house(tmp_path) as made, receiver(made.authority) as to:
        subscribed = await made.subscribe(
            to, context="rack 7", http_headers={"X-Token": "secret"}, filter=s.SubscriptionFilter(components=["host"])
        )
        assert subscribed.http_header_names == ["X-Token"]
        assert subscribed.http_headers == {}
        await made.teller.tell(
            "host.0", HostStateChange(name="host.0", previous=HostState.OFF, current=HostState.POWERING_ON)
        )
        await to.until(lambda r: len(r.events()) == 1)
        body, (event,) = to.bodies[0], to.events()
        assert (body["@odata.type"].split(".")[0], body["Context"]) == ("#Event", "rack 7")
        assert event["MessageId"] == "Ubmc.1.0.HostStateChanged"
        assert event["Message"] == "host.0 went from off to powering on"
        assert event["MessageArgs"][0] == "host.0"
        assert event["OriginOfCondition"] == {"@odata.id": "/redfish/v1/Systems/host.0"}
        assert (to.targets, to.headers[0]["x-token"]) == (["/events?a=b"], "secret")
        assert to.headers[0]["host"] == f"127.0.0.1:{to.port}"
        assert to.headers[0]["content-type"].startswith("application/json")
        shown = await made.get(subscribed)
        assert (shown.state, shown.delivered, shown.user) == (s.SubscriptionState.ACTIVE, 1, "olga")
        stored = (tmp_path / "precious.db").read_bytes() + (tmp_path / "precious.db-wal").read_bytes()
        assert b"secret" not in stored


async def test_what_is_not_wanted_is_not_pushed_and_order_is_kept(tmp_path: Path) -> None:
    async with house(tmp_path) as made, receiver(made.authority) as to:
        await made.subscribe(to)
        for number in range(30):
            await made.tell(f"n{number}")
            await made.teller.tell("host.0", HostStateChange(name="host.0"))
        await to.until(lambda r: len(r.events()) >= 30)
        assert to.texts() == [f"host.0: n{number}" for number in range(30)]


async def test_a_certificate_that_nobody_trusts_gets_nothing_unless_that_is_wanted(tmp_path: Path) -> None:
    async with house(tmp_path) as made, receiver(Authority("stranger")) as to:
        await made.attempts(0)
        careful = await made.subscribe(to, retry_policy=s.RetryPolicy.SUSPEND_RETRIES)
        await made.tell("one")
        shown = await made.until(careful, s.SubscriptionState.SUSPENDED)
        assert "certificate" in shown.failure_reason.lower()
        assert to.asked == 0
        await made.subscribe(to, verify_certificate=False)
        await made.tell("two")
        await to.until(lambda r: r.texts() == ["host.0: two"])


async def test_a_name_is_verified_and_not_the_address(tmp_path: Path) -> None:
    async with house(tmp_path) as made, receiver(made.authority, ("localhost",)) as to:
        await made.attempts(0)
        await made.subscribe(to, destination=f"https://localhost:{to.port}/", context="by name")
        by_address = await made.subscribe(to, retry_policy=s.RetryPolicy.SUSPEND_RETRIES)
        await made.tell("one")
        await made.until(by_address, s.SubscriptionState.SUSPENDED)
        await to.until(lambda r: [body["Context"] for body in r.bodies] == ["by name"])


async def test_local_addresses_are_refused_unless_the_owner_allows_them(tmp_path: Path) -> None:
    async with house(tmp_path) as made, receiver(made.authority) as to:
        early = await made.subscribe(to, retry_policy=s.RetryPolicy.SUSPEND_RETRIES)
        await made.attempts(0)
        made.local = False
        with pytest.raises(Refused, match="loopback"):
            await made.subscribe(to)
        await made.tell("one")  # judged again at each delivery
        shown = await made.until(early, s.SubscriptionState.SUSPENDED)
        assert "loopback" in shown.failure_reason
        assert to.asked == 0


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"destination": ""}, "where the events go"),
        ({"destination": "ftp://127.0.0.1/"}, "https:// or http://"),
        ({"destination": "https://a:b@127.0.0.1/"}, "password"),
        ({"http_headers": {"Host": "other"}}, "set by the BMC"),
        ({"http_headers": {"Content-Length": "0"}}, "set by the BMC"),
        ({"http_headers": {"X": "a\r\nY: b"}}, "no header can have"),
    ],
)
async def test_what_cannot_be_subscribed_is_said(tmp_path: Path, fields: dict[str, Any], problem: str) -> None:
    async with house(tmp_path) as made:
        with pytest.raises(Invalid, match=problem):
            await made.subscribe(Receiver(port=1), **fields)
        with pytest.raises(Denied):
            await made.ask(SubscriptionService.SendTestEvent, s.SendTestEventRequest(), "Operator")


async def test_a_redirect_is_not_followed_and_the_policy_ends_the_subscription(tmp_path: Path) -> None:
    async with house(tmp_path) as made, receiver(made.authority) as to:
        await made.attempts(1)
        to.status = 307
        subscribed = await made.subscribe(to)
        await made.tell("one")
        await to.until(lambda r: r.asked == 2)
        async with asyncio.timeout(30):
            while True:
                try:
                    await made.get(subscribed)
                except NotFound:
                    break
                await asyncio.sleep(0.02)
        assert (to.asked, to.bodies) == (2, [])


async def test_a_destination_that_comes_back_gets_everything(tmp_path: Path) -> None:
    async with house(tmp_path) as made, receiver(made.authority) as to:
        await made.attempts(0)
        subscribed = await made.subscribe(to, retry_policy=s.RetryPolicy.RETRY_FOREVER)
        to.status = 503
        await made.tell("one")
        shown = await made.until(subscribed, s.SubscriptionState.RETRYING)
        assert "answered 503" in shown.failure_reason
        await made.tell("two")
        to.status = 200
        await to.until(lambda r: r.texts() == ["host.0: one", "host.0: two"])
        shown = await made.until(subscribed, s.SubscriptionState.ACTIVE)
        assert (shown.failures, shown.failure_reason, shown.delivered) == (0, "", 2)


async def test_suspended_and_resumed_with_or_without_what_was_missed(tmp_path: Path) -> None:
    async with house(tmp_path) as made, receiver(made.authority) as to:
        subscribed = await made.subscribe(to)
        for missed, buffered in (("a", True), ("b", False)):
            await made.ask(SubscriptionService.SuspendSubscription, s.SuspendSubscriptionRequest(id=subscribed.id))
            await made.tell(missed)
            request = s.ResumeSubscriptionRequest(id=subscribed.id, deliver_buffered=buffered)
            await made.ask(SubscriptionService.ResumeSubscription, request)
            await made.tell(f"after {missed}")
            await to.until(lambda r, missed=missed: r.texts()[-1:] == [f"host.0: after {missed}"])  # type: ignore[misc]
        assert to.texts() == ["host.0: a", "host.0: after a", "host.0: after b"]


async def test_disabled_deliveries_wait_and_new_subscriptions_are_refused(tmp_path: Path) -> None:
    async with house(tmp_path) as made, receiver(made.authority) as to:
        subscribed = await made.subscribe(to)
        await made.attempts(3, enabled=False)
        assert (await made.get(subscribed)).state is s.SubscriptionState.DISABLED
        with pytest.raises(Refused, match="disabled"):
            await made.subscribe(to)
        await made.tell("one")
        await made.stop()
        await made.start()
        assert to.asked == 0
        await made.attempts(3)
        await to.until(lambda r: r.texts() == ["host.0: one"])


async def test_deliveries_are_switched_for_all_though_one_gives_up_meanwhile(tmp_path: Path) -> None:
    async with house(tmp_path) as made, receiver(made.authority) as to:
        subscribed = [await made.subscribe(to) for _ in range(4)]
        running = made.push
        assert running is not None
        first, second = subscribed[0].id, subscribed[1].id

        async def ends_late() -> None:
            """The worker of the first one: when it ends, that of the second one is just giving up."""
            try:
                await asyncio.Event().wait()
            finally:
                gives_up = running._workers[second]
                await running._used_up(running._entries[second])
                gives_up.cancel()  # as it ends by itself when it gives up

        await running._end(first)
        running._workers[first] = asyncio.create_task(ends_late())
        await asyncio.sleep(0)
        await made.attempts(3, enabled=False)
        listed = await made.ask(SubscriptionService.ListSubscriptions, s.ListSubscriptionsRequest())
        assert {each.id for each in listed.subscriptions} == {each.id for each in subscribed} - {second}
        assert {each.state for each in listed.subscriptions} == {s.SubscriptionState.DISABLED}
        await made.attempts(3)
        assert running._workers.keys() == {each.id for each in subscribed} - {second}
        await made.tell("one")
        await to.until(lambda r: r.texts().count("host.0: one") == 3)


async def test_there_are_so_many_and_no_more(tmp_path: Path) -> None:
    async with house(tmp_path) as made, receiver(made.authority) as to:
        for _ in range(20):
            await made.subscribe(to)
        with pytest.raises(Exhausted, match="20 subscriptions") as refused:
            await made.subscribe(to)
        assert refused.value.retry_seconds == 0  # waiting does not help
        answer = await made.ask(SubscriptionService.ListSubscriptions, s.ListSubscriptionsRequest(page_size=1000))
        first = answer.subscriptions[0]
        await made.ask(SubscriptionService.DeleteSubscription, s.DeleteSubscriptionRequest(id=first.id))
        await made.tell("one")
        await to.until(lambda r: len(r.events()) == 19)


async def test_a_change_holds_from_the_next_delivery_on(tmp_path: Path) -> None:
    async with house(tmp_path) as made, receiver(made.authority) as to:
        subscribed = await made.subscribe(to, http_headers={"X-Token": "old"})
        await made.tell("one")
        await to.until(lambda r: len(r.events()) == 1)
        wanted = s.Subscription(id=subscribed.id, context="new", http_headers={"X-Other": "new"})
        request = s.UpdateSubscriptionRequest(subscription=wanted)
        await made.ask(SubscriptionService.UpdateSubscription, request)
        await made.stop()
        await made.start()
        await made.tell("two")
        await to.until(lambda r: len(r.events()) == 2)
        assert to.texts() == ["host.0: one", "host.0: two"]
        assert (to.bodies[1]["Context"], to.headers[1]["x-other"]) == ("new", "new")
        assert "x-token" not in to.headers[1]


async def test_a_test_event_says_what_was_asked_for(tmp_path: Path) -> None:
    async with house(tmp_path) as made, receiver(made.authority) as to:
        await made.subscribe(to, filter=s.SubscriptionFilter(registry_prefixes=["Base"]))
        await made.ask(SubscriptionService.SendTestEvent, s.SendTestEventRequest(message="not of Base"))
        request = s.SendTestEventRequest(
            message="hello",
            message_id="Base.1.0.Success",
            message_args=["a", "b"],
            severity=Severity.CRITICAL,
            origin="/redfish/v1/Chassis/chassis.0",
            event_id="e1",
            event_group_id=7,
        )
        await made.ask(SubscriptionService.SendTestEvent, request)
        await to.until(lambda r: len(r.events()) == 1)
        (event,) = to.events()
        assert (event["MessageId"], event["MessageArgs"]) == ("Base.1.0.Success", ["a", "b"])
        assert (event["Message"], event["MessageSeverity"]) == ("hello", "Critical")
        assert (event["EventId"], event["EventGroupId"]) == ("e1", 7)
        assert event["OriginOfCondition"] == {"@odata.id": "/redfish/v1/Chassis/chassis.0"}


async def test_a_test_event_that_is_not_stored_is_no_success(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody has made the stream of events, so none can be stored."""
    async with BusWorld(*SPECS) as bus, contextlib.AsyncExitStack() as closing:
        precious = Database(tmp_path / "precious.db")
        precious.open()
        closing.callback(precious.close)
        managers, door = await bus.place("managers"), await bus.place("websrv")
        running = await bus.run(managers, EventPush(precious, DeviceKey.load(tmp_path / "device.key"), bus.schema))
        send = SubscriptionService.SendTestEvent
        with monkeypatch.context() as quick:
            quick.setattr(push, "STORE_SECONDS", 0.1)
            with pytest.raises(TimedOut, match="not stored"):
                await door.forward(send, s.SendTestEventRequest(), bus.call("olga", "Administrator"))
        asking = asyncio.create_task(door.forward(send, s.SendTestEventRequest(), bus.call("olga", "Administrator")))
        while not asking.done():
            for _ in range(CAPACITY):
                managers.tell("bmc.0", s.TestEvent(text="more than can wait"))
            await asyncio.sleep(0.05)
        with pytest.raises(Unavailable, match="dropped"):
            await asking
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_watchers_see_subscriptions_come_and_go(tmp_path: Path) -> None:
    async with house(tmp_path) as made, receiver(made.authority) as to:
        call = made.bus.call("olga", "ReadOnly", seconds=60)
        watch = made.door.watch(SubscriptionService.WatchSubscriptions, s.WatchSubscriptionsRequest(), call)
        try:
            first = await anext(watch)
            assert first.delivery is not None
            assert (first.snapshot, first.delivery.max_subscriptions) == (True, 20)
            subscribed = await made.subscribe(to)
            update = await anext(watch)
            assert update.subscription is not None
            assert (update.subscription.id, update.gone) == (subscribed.id, False)
            await made.ask(SubscriptionService.DeleteSubscription, s.DeleteSubscriptionRequest(id=subscribed.id))
            assert (await anext(watch)).gone
        finally:
            await watch.aclose()


@contextlib.asynccontextmanager
async def child(made: House) -> AsyncIterator[asyncio.subprocess.Process]:
    """Event log and push in a process of their own, ready; killed at the end."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.service.eventpush_child", str(made.state),
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        async with asyncio.timeout(30):
            made.bus.server.admit("managers", (await process.stdout.readline()).decode().strip())
            while not made.bus.server.settle():
                await asyncio.sleep(0.005)
            process.stdin.write(f"{made.bus.server.port} {made.bus.signer.public.hex()}\n".encode())
            assert await process.stdout.readline() == b"ready\n"
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        process.stdin.close()
        await process.communicate()


async def test_killed_in_the_middle_of_deliveries_nothing_is_lost(tmp_path: Path) -> None:
    async with house(tmp_path, child=True) as made, receiver(made.authority) as to:
        wanted = [f"host.0: n{number}" for number in range(ROUNDS)]
        async with child(made):
            await made.subscribe(to)
        for number in range(ROUNDS):
            async with child(made) as process:
                to.gate.clear()
                asked = to.asked
                await made.teller.tell("host.0", HostNews(name="host.0", what=f"n{number}"))
                if number % 3 == 0:  # while the destination has the events, and has not answered
                    await to.until(lambda r, asked=asked: r.asked > asked)  # type: ignore[misc]
                elif number % 3 == 1:  # just after it answered
                    to.gate.set()
                    await to.until(lambda r, number=number: wanted[number] in r.texts())  # type: ignore[misc]
                os.kill(process.pid, signal.SIGKILL)
            to.gate.set()
        async with child(made):
            await made.tell("end")
            await to.until(lambda r: "host.0: end" in r.texts())
        told = to.texts()
        assert list(dict.fromkeys(told)) == [*wanted, "host.0: end"]  # in order; some twice, none lost
