"""The service eventpush: event subscriptions, and a worker for each that delivers.

It reads the event log as everybody does, by WatchEvents, and is a service of its own so that no destination can hold up
the log.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from dataclasses import dataclass

from protobuf.wkt import Timestamp
from ulid import ULID

from ubmc.kit import outgoing, pages
from ubmc.kit.database import Database
from ubmc.kit.errors import Exhausted, NotFound, Refused, TimedOut, UbmcError, Unavailable
from ubmc.kit.feed import Feed
from ubmc.kit.masks import merged
from ubmc.kit.schema import Schema
from ubmc.kit.secrets import DeviceKey
from ubmc.kit.service import Service, rpc, stream
from ubmc.protocols.redfish.registry import kinds
from ubmc.services.eventlog import push_rules as rules
from ubmc.services.eventlog.push_store import Entry, Store, default_delivery
from ubmc.services.eventlog.push_worker import Ports, Worker
from ubmc.v1alpha1 import subscription_pb as s
from ubmc.v1alpha1.event_pb import WatchEventsRequest, WatchEventsResponse
from ubmc.v1alpha1.event_rpc import EventService
from ubmc.v1alpha1.host_pb import Cause
from ubmc.v1alpha1.subscription_rpc import SubscriptionService

log = logging.getLogger("ubmc.eventlog")

FIRST_SECONDS = 3.0
STORE_SECONDS = 4.0
DELIVERY = "delivery"


@dataclass(frozen=True, slots=True)
class Outside:
    """What is allowed outside, asked anew each time."""

    allow_local: Callable[[], bool] = lambda: False
    """Whether loopback and link-local addresses may be talked to."""
    authorities: Callable[[], str] = lambda: ""
    """Authorities that are trusted besides those of the system, as PEM."""


class EventPush(Service):
    """Pushes events to who subscribed to them.

    Args:
        database: the precious one, open.
        key: seals the headers of subscriptions.
        schema: where the texts of the events come from.
        outside: what is allowed outside.
    """

    name = "eventpush"
    after = ("eventlog",)
    calls = (EventService.WatchEvents,)
    tells = (s.SubscriptionChange, s.TestEvent)

    def __init__(self, database: Database, key: DeviceKey, schema: Schema, outside: Outside | None = None) -> None:
        self._store = Store(database, key)
        self._kinds = kinds(schema.events.values())
        self._outside = outside or Outside()
        self._entries: dict[str, Entry] = {}
        self._delivery = default_delivery()
        self._workers: dict[str, asyncio.Task[None]] = {}
        self._feed: Feed[s.WatchSubscriptionsResponse] = Feed()
        self._changing = asyncio.Lock()

    # --- life ---------------------------------------------------------------------------------------------------

    async def setup(self) -> None:
        """Remember, and go on where each subscription was."""
        self._feed, self._workers = Feed(), {}
        self._entries, self._delivery = await self._store.load()
        for entry in self._entries.values():
            entry.subscription.failures, entry.subscription.failure_reason = 0, ""
            self._begin(entry)
        self._publish_delivery()

    async def teardown(self) -> None:
        """End all deliveries; one that was under way is made again."""
        workers, self._workers = self._workers, {}
        for worker in workers.values():
            worker.cancel()
        await asyncio.gather(*workers.values(), return_exceptions=True)

    def _begin(self, entry: Entry) -> None:
        """Let a worker serve it, unless nothing is to be delivered; and show how it is."""
        shown = entry.subscription
        states = s.SubscriptionState
        if shown.state is not states.SUSPENDED:
            shown.state = states.ACTIVE if self._delivery.enabled else states.DISABLED
        if shown.state is states.ACTIVE:
            from ubmc.services.eventlog.push_post import Destination  # httpx: only who has subscriptions needs it

            destination = Destination(
                shown.destination,
                entry.headers,
                verify=rules.verifies(shown),
                allow_local=self._outside.allow_local,
                authorities=self._outside.authorities,
            )
            ports = Ports(self._watch, self._store.reached, self._publish, self._used_up, self._kinds, self._attempts)
            work = Worker(entry, destination, ports).run()
            self._workers[shown.id] = asyncio.create_task(work, name=f"subscription {shown.id}")
        self._publish(entry)

    async def _end(self, name: str) -> None:
        worker = self._workers.pop(name, None)
        if worker is not None:
            worker.cancel()
            await asyncio.gather(worker, return_exceptions=True)

    def _watch(self, cursor: str) -> AsyncGenerator[WatchEventsResponse, None]:
        return self.bus.watch(EventService.WatchEvents, WatchEventsRequest(cursor=cursor))

    def _attempts(self) -> rules.Attempts:
        interval = self._delivery.retry_interval
        return rules.Attempts(self._delivery.retry_attempts, interval.to_seconds() if interval is not None else 1.0)

    async def _used_up(self, entry: Entry) -> None:
        """A worker gives up: do what the policy of its subscription says."""
        shown, cause = entry.subscription, Cause(kind="eventpush")
        self._workers.pop(shown.id, None)
        if shown.retry_policy is s.RetryPolicy.SUSPEND_RETRIES:
            shown.state = s.SubscriptionState.SUSPENDED
            with contextlib.suppress(UbmcError):  # after a restart it is tried again, and suspended again
                await self._store.reached(entry)
            self._publish(entry)
            self._tell(shown, f"is suspended: {shown.failure_reason}", cause)
            return
        self._entries.pop(shown.id, None)
        self._forget(entry)
        self._tell(shown, f"was ended: {shown.failure_reason}", cause)
        with contextlib.suppress(UbmcError):  # after a restart it is tried again, and ended again
            await self._store.delete(shown.id)

    # --- what is shown ------------------------------------------------------------------------------------------

    def _publish(self, entry: Entry) -> None:
        name = entry.subscription.id
        if name in self._entries:
            self._feed.publish(name, s.WatchSubscriptionsResponse(subscription=copy.deepcopy(entry.subscription)))

    def _publish_delivery(self) -> None:
        self._feed.publish(DELIVERY, s.WatchSubscriptionsResponse(delivery=self._shown_delivery()))

    def _forget(self, entry: Entry) -> None:
        shown = entry.subscription
        self._feed.publish(shown.id, s.WatchSubscriptionsResponse(subscription=copy.deepcopy(shown), gone=True))
        self._feed.forget(shown.id)

    def _tell(self, shown: s.Subscription, what: str, cause: Cause | None = None) -> None:
        news = s.SubscriptionChange(id=shown.id, destination=shown.destination, what=what)
        self.bus.tell("subscription", news, cause=cause)

    def _shown_delivery(self) -> s.Delivery:
        shown = copy.deepcopy(self._delivery)
        shown.max_subscriptions = rules.MAX_SUBSCRIPTIONS
        return shown

    def _find(self, name: str) -> Entry:
        if name not in self._entries:
            raise NotFound(f"there is no event subscription {name}; it may have been ended because it failed")
        return self._entries[name]

    # --- calls --------------------------------------------------------------------------------------------------

    @rpc(SubscriptionService.ListSubscriptions)
    async def list_subscriptions(self, request: s.ListSubscriptionsRequest) -> s.ListSubscriptionsResponse:
        """All subscriptions."""
        shown, token = pages.page(
            [entry.subscription for entry in self._entries.values()],
            request.page_size,
            request.page_token,
            key=lambda each: each.id,
            order=str,
        )
        return s.ListSubscriptionsResponse(subscriptions=shown, next_page_token=token)

    @rpc(SubscriptionService.GetSubscription)
    async def get_subscription(self, request: s.GetSubscriptionRequest) -> s.GetSubscriptionResponse:
        """One subscription."""
        return s.GetSubscriptionResponse(subscription=self._find(request.id).subscription)

    @rpc(SubscriptionService.CreateSubscription)
    async def create_subscription(self, request: s.CreateSubscriptionRequest) -> s.CreateSubscriptionResponse:
        """Make a subscription."""
        made = rules.checked(request.subscription or s.Subscription())
        await self._check_destination(made.destination)
        async with self._changing:
            if not self._delivery.enabled:
                raise Refused("the delivery of events is disabled: enable it first")
            if len(self._entries) >= rules.MAX_SUBSCRIPTIONS:
                raise Exhausted(f"there are {rules.MAX_SUBSCRIPTIONS} subscriptions: end one first", retry_seconds=0)
            headers, made.http_headers = made.http_headers, {}
            made.id, made.create_time = str(ULID()), Timestamp.now()
            made.http_header_names = sorted(headers)
            made.user = (self.bus.cause() or Cause()).user
            entry = Entry(made, headers, await self._now())
            await self._store.put(entry)
            self._entries[made.id] = entry
            self._begin(entry)
        self._tell(made, "was made")
        return s.CreateSubscriptionResponse(subscription=made)

    async def _check_destination(self, destination: str) -> None:
        """Judge it now, so that who asks learns of it; it is judged again at each delivery."""
        try:
            await asyncio.to_thread(
                outgoing.check_url, destination, rules.SCHEMES, allow_local=self._outside.allow_local()
            )
        except Unavailable as error:
            log.info("a subscription to what cannot be found now: %s", error.message)

    async def _now(self) -> str:
        """The cursor behind the newest event. Raises `Unavailable`."""
        try:
            async with asyncio.timeout(FIRST_SECONDS), contextlib.aclosing(self._watch("")) as updates:
                return (await anext(updates)).cursor
        except (TimeoutError, StopAsyncIteration) as error:
            raise Unavailable("the event log does not answer: try again") from error

    @rpc(SubscriptionService.UpdateSubscription)
    async def update_subscription(self, request: s.UpdateSubscriptionRequest) -> s.UpdateSubscriptionResponse:
        """Change a subscription; a delivery that is under way may be made again."""
        wanted = request.subscription or s.Subscription()
        async with self._changing:
            entry = self._find(wanted.id)
            after, taken = merged(entry.subscription, wanted, request.update_mask, rules.CHANGEABLE)
            rules.check_headers(after.http_headers)
            headers = dict(after.http_headers) if "http_headers" in taken else dict(entry.headers)
            after.http_headers, after.http_header_names = {}, sorted(headers)
            after.verify_certificate = rules.verifies(after)
            after.retry_policy = after.retry_policy or s.RetryPolicy.TERMINATE_AFTER_RETRIES
            await self._replace(entry, after, headers, entry.cursor)
        self._tell(after, "was changed")
        return s.UpdateSubscriptionResponse(subscription=after)

    async def _replace(self, entry: Entry, after: s.Subscription, headers: dict[str, str], cursor: str) -> None:
        """Let a subscription be this from now on, on disk first."""
        await self._end(after.id)
        self._find(after.id)  # its worker may have ended it just now
        after.delivered, after.missed = entry.subscription.delivered, entry.subscription.missed
        changed = Entry(after, headers, cursor)
        try:
            await self._store.put(changed)
        except UbmcError:
            self._begin(entry)
            raise
        self._entries[after.id] = changed
        self._begin(changed)

    @rpc(SubscriptionService.DeleteSubscription)
    async def delete_subscription(self, request: s.DeleteSubscriptionRequest) -> s.DeleteSubscriptionResponse:
        """End a subscription."""
        async with self._changing:
            entry = self._find(request.id)
            await self._store.delete(request.id)
            await self._end(request.id)
            self._entries.pop(request.id, None)
            self._forget(entry)
        self._tell(entry.subscription, "was ended")
        return s.DeleteSubscriptionResponse()

    @rpc(SubscriptionService.ResumeSubscription)
    async def resume_subscription(self, request: s.ResumeSubscriptionRequest) -> s.ResumeSubscriptionResponse:
        """Take up a subscription again."""
        async with self._changing:
            entry = self._find(request.id)
            if entry.subscription.state is s.SubscriptionState.SUSPENDED:
                after = copy.deepcopy(entry.subscription)
                after.state = s.SubscriptionState.ACTIVE
                after.failures, after.failure_reason = 0, ""
                cursor = entry.cursor if request.deliver_buffered else await self._now()
                await self._replace(entry, after, dict(entry.headers), cursor)
                self._tell(after, "was resumed")
        return s.ResumeSubscriptionResponse(subscription=self._find(request.id).subscription)

    @rpc(SubscriptionService.SuspendSubscription)
    async def suspend_subscription(self, request: s.SuspendSubscriptionRequest) -> s.SuspendSubscriptionResponse:
        """Suspend a subscription."""
        async with self._changing:
            entry = self._find(request.id)
            if entry.subscription.state is not s.SubscriptionState.SUSPENDED:
                after = copy.deepcopy(entry.subscription)
                after.state = s.SubscriptionState.SUSPENDED
                await self._replace(entry, after, dict(entry.headers), entry.cursor)
                self._tell(after, "was suspended")
        return s.SuspendSubscriptionResponse(subscription=self._find(request.id).subscription)

    @rpc(SubscriptionService.SendTestEvent)
    async def send_test_event(self, request: s.SendTestEventRequest) -> s.SendTestEventResponse:
        """Put a test event into the log; answers when the bus has stored it. Raises `TimedOut`, `Unavailable`."""
        news = s.TestEvent(
            text=request.message or "this is a test event",
            message_id=request.message_id,
            message_args=list(request.message_args),
            origin=request.origin,
            event_id=request.event_id,
            event_time=request.event_time,
            event_group_id=request.event_group_id,
        )
        stored = self.bus.tell(request.component or "bmc.0", news, severity=request.severity)
        await asyncio.wait((stored,), timeout=STORE_SECONDS)
        if stored.cancelled():
            raise Unavailable("the event log takes no events, so the test event was dropped: try again later")
        if not stored.done():
            raise TimedOut("the event log has not stored the test event yet; it is delivered as soon as that is done")
        return s.SendTestEventResponse()

    @stream(SubscriptionService.WatchSubscriptions)
    async def watch_subscriptions(
        self, request: s.WatchSubscriptionsRequest
    ) -> AsyncIterator[s.WatchSubscriptionsResponse]:
        """Every change."""
        async for update in self._feed.watch(request.cursor, request.id):
            yield s.WatchSubscriptionsResponse(
                subscription=update.item.subscription,
                delivery=update.item.delivery,
                cursor=update.cursor,
                snapshot=update.snapshot,
                complete=update.complete,
                gone=update.item.gone,
            )

    @rpc(SubscriptionService.GetDelivery)
    async def get_delivery(self, _request: s.GetDeliveryRequest) -> s.GetDeliveryResponse:
        """How deliveries are made."""
        return s.GetDeliveryResponse(delivery=self._shown_delivery())

    @rpc(SubscriptionService.UpdateDelivery)
    async def update_delivery(self, request: s.UpdateDeliveryRequest) -> s.UpdateDeliveryResponse:
        """Change how deliveries are made."""
        async with self._changing:
            wanted = request.delivery or s.Delivery()
            after, _ = merged(self._delivery, wanted, request.update_mask, rules.DELIVERY_FIELDS)
            if after.retry_interval is None:
                after.retry_interval = self._delivery.retry_interval
            await self._store.put_delivery(after)
            switched = after.enabled is not self._delivery.enabled
            self._delivery = after
            self._publish_delivery()
            if switched:
                for name in tuple(self._entries):
                    await self._end(name)
                    if (entry := self._entries.get(name)) is not None:  # its worker may have given up just now
                        self._begin(entry)
        return s.UpdateDeliveryResponse(delivery=self._shown_delivery())
