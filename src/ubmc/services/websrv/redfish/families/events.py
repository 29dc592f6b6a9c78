"""Event subscriptions: pushed ones, which eventlog owns, and streams, which live as long as their connection."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import Any

import orjson
from protobuf.wkt import Duration, FieldMask

from ubmc.kit.errors import Exhausted, NotFound, Refused, UbmcError, Unauthenticated
from ubmc.protocols.redfish import event_payload, events
from ubmc.protocols.redfish.events import OpenStream
from ubmc.protocols.redfish.messages import Message, RedfishError
from ubmc.protocols.redfish.query import Query, parse_query
from ubmc.protocols.redfish.registry import kinds
from ubmc.protocols.redfish.resource import Body, members
from ubmc.protocols.redfish.shape import Values
from ubmc.services.websrv.http.asgi import Receive, Scope, Send
from ubmc.services.websrv.redfish.context import By, Context, Done, Family, Made, Unit
from ubmc.services.websrv.redfish.families.blame import blaming
from ubmc.services.websrv.responses import COMMON
from ubmc.v1alpha1.event_kind_pb import EventKind
from ubmc.v1alpha1.event_pb import WatchEventsRequest, WatchEventsResponse
from ubmc.v1alpha1.event_rpc import EventService
from ubmc.v1alpha1.subscription_pb import (
    CreateSubscriptionRequest,
    DeleteSubscriptionRequest,
    Delivery,
    GetDeliveryRequest,
    GetSubscriptionRequest,
    ListSubscriptionsRequest,
    ResumeSubscriptionRequest,
    SendTestEventRequest,
    Subscription,
    SuspendSubscriptionRequest,
    UpdateDeliveryRequest,
    UpdateSubscriptionRequest,
)
from ubmc.v1alpha1.subscription_rpc import SubscriptionService

PAGE = 1000
MOST_STREAMS = 100
HEARTBEAT_SECONDS = 15.0
FIRST_HEARTBEAT_SECONDS = 0.5  # so that a client sees early that its stream is open
_HEARTBEAT = b":\n\n"
_STREAM_HEADERS = [(b"content-type", b"text/event-stream"), (b"odata-version", b"4.0"), *COMMON]
_DESTINATION = f"{events.SUBSCRIPTIONS}/{{subscription}}"
_FIELDS = {
    "destination": "Destination",
    "context": "Context",
    "httpHeaders": "HttpHeaders",
    "messageIds": "MessageIds",
    "registryPrefixes": "RegistryPrefixes",
    "resourceTypes": "ResourceTypes",
    "severities": "Severities",
}


# --- the service --------------------------------------------------------------------------------------------------


async def _service(context: Context, _query: Query) -> Body:
    found = await context.call(SubscriptionService.GetDelivery, GetDeliveryRequest())
    return events.service(found.delivery or Delivery())


async def _change_delivery(context: Context, values: Values) -> None:
    delivery = Delivery()
    paths = []
    if "ServiceEnabled" in values:
        delivery.enabled = values["ServiceEnabled"]
        paths.append("enabled")
    if "DeliveryRetryAttempts" in values:
        delivery.retry_attempts = values["DeliveryRetryAttempts"]
        paths.append("retry_attempts")
    if "DeliveryRetryIntervalSeconds" in values:
        delivery.retry_interval = Duration.from_seconds(values["DeliveryRetryIntervalSeconds"])
        paths.append("retry_interval")
    request = UpdateDeliveryRequest(delivery=delivery, update_mask=FieldMask(paths=paths))
    await context.call(SubscriptionService.UpdateDelivery, request)


async def _must_be_enabled(context: Context) -> None:
    """What is turned off delivers nothing, so nobody is to wait for it.

    Raises:
        RedfishError: 503, the service is disabled.
    """
    delivery = (await context.call(SubscriptionService.GetDelivery, GetDeliveryRequest())).delivery
    if delivery is not None and not delivery.enabled:
        raise RedfishError(503, Message("ServiceDisabled", (events.SERVICE,)))


async def _test(context: Context, values: Values) -> Done:
    await _must_be_enabled(context)
    request = SendTestEventRequest(
        message_id=values["MessageId"],
        message=values.get("Message", ""),
        message_args=values.get("MessageArgs", []),
        severity=events.severity(values.get("MessageSeverity") or values.get("Severity")),
        origin=values.get("OriginOfCondition", ""),
        event_id=values.get("EventId", ""),
        event_time=values.get("EventTimestamp", ""),
        event_group_id=values.get("EventGroupId", 0),
    )
    with blaming(context.path, {"messageId": "MessageId", "message": "Message"}):
        await context.call(SubscriptionService.SendTestEvent, request)
    return Done()


# --- subscriptions by push ----------------------------------------------------------------------------------------


async def _create(context: Context, values: Values) -> Made:
    await _must_be_enabled(context)
    request = CreateSubscriptionRequest(subscription=events.subscription(values))
    try:
        with blaming(context.path, _FIELDS, ("Destination",)):
            made = (await context.call(SubscriptionService.CreateSubscription, request)).subscription
    except Exhausted as error:
        if error.retry_seconds:
            raise
        raise RedfishError(503, Message("EventSubscriptionLimitExceeded", text=error.message)) from None
    if made is None:
        raise NotFound("the subscription is not there any more")
    return Made(f"{events.SUBSCRIPTIONS}/{made.id}")


async def _change(context: Context, values: Values) -> None:
    wanted = Subscription(id=context.params["subscription"])
    paths = []
    if "Context" in values:
        wanted.context = values["Context"] or ""
        paths.append("context")
    if "DeliveryRetryPolicy" in values:
        wanted.retry_policy = events.retry_policy(values["DeliveryRetryPolicy"])
        paths.append("retry_policy")
    if "VerifyCertificate" in values:
        wanted.verify_certificate = values["VerifyCertificate"]
        paths.append("verify_certificate")
    if "HttpHeaders" in values:
        wanted.http_headers = events.headers(values["HttpHeaders"])
        paths.append("http_headers")
    request = UpdateSubscriptionRequest(subscription=wanted, update_mask=FieldMask(paths=paths))
    with blaming(context.path, _FIELDS, tuple(values)):
        await context.call(SubscriptionService.UpdateSubscription, request)


async def _suspend(context: Context, _values: Values) -> Done:
    request = SuspendSubscriptionRequest(id=context.params["subscription"])
    await context.call(SubscriptionService.SuspendSubscription, request)
    return Done()


async def _resume(context: Context, values: Values) -> Done:
    """Deliver again. What came meanwhile is delivered too, unless a client wants none of it."""
    buffered = values.get("DeliverBufferedEventDuration") != "PT0S"
    request = ResumeSubscriptionRequest(id=context.params["subscription"], deliver_buffered=buffered)
    await context.call(SubscriptionService.ResumeSubscription, request)
    return Done()


# --- both ---------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Open:
    """One open stream."""

    shown: OpenStream
    ended: asyncio.Event = field(default_factory=asyncio.Event)


class Streams:
    """The open streams of this door."""

    def __init__(self) -> None:
        self._open: dict[str, _Open] = {}
        self._kinds: dict[str, EventKind] = {}

    async def collection(self, context: Context, _query: Query) -> Body:
        """All subscriptions."""
        listed = await context.call(SubscriptionService.ListSubscriptions, ListSubscriptionsRequest(page_size=PAGE))
        ids = [each.id for each in listed.subscriptions]
        return {"Name": "Event Subscriptions", **members(events.SUBSCRIPTIONS, [*ids, *self._open])}

    async def destination(self, context: Context, _query: Query) -> Body | None:
        """One subscription."""
        opened = self._open.get(context.params["subscription"])
        if opened is not None:
            return events.stream_destination(opened.shown)
        request = GetSubscriptionRequest(id=context.params["subscription"])
        found = (await context.call(SubscriptionService.GetSubscription, request)).subscription
        return events.destination(found) if found is not None else None

    async def delete(self, context: Context) -> None:
        """End a subscription; a stream is closed by it (DSP0266, "Server-sent events")."""
        opened = self._open.get(context.params["subscription"])
        if opened is not None:
            opened.ended.set()
            return
        request = DeleteSubscriptionRequest(id=context.params["subscription"])
        await context.call(SubscriptionService.DeleteSubscription, request)

    async def change(self, context: Context, values: Values) -> None:
        """Change a subscription; a stream is as its client has opened it."""
        if context.params["subscription"] in self._open:
            raise Refused("this is an open stream, which only its client can open in another way")
        await _change(context, values)

    # --- streaming ------------------------------------------------------------------------------------------------

    async def stream(self, context: Context, scope: Scope, receive: Receive, send: Send) -> None:
        """Stream events until the client goes, the session ends or somebody deletes the subscription."""
        if len(self._open) >= MOST_STREAMS:
            raise RedfishError(503, Message("EventSubscriptionLimitExceeded"), retry_seconds=10)
        query = parse_query(scope["query_string"].decode("latin-1"))
        _check_filter(query)
        await _must_be_enabled(context)
        assert context.identity is not None
        method = context.schema.method(EventService.WatchEvents)
        admitted = await context.forwarder.authorize(method, context.identity, context.headers, context.peer)
        cursor = context.headers.get("last-event-id", "")[:64]
        items = context.forwarder.watch(admitted, WatchEventsRequest(cursor=cursor))
        shown = OpenStream(f"sse-{secrets.token_hex(8)}", context.user, context.peer.source)
        opened = self._open[shown.id] = _Open(shown)
        if not self._kinds:
            self._kinds = kinds(context.schema.events.values())
        try:
            await _Writing(send, query, self._kinds, shown).run(items, receive, opened.ended)
        finally:
            del self._open[shown.id]
            await items.aclose()

    def family(self) -> Family:
        """What this door does for events."""
        return Family(
            loads={
                events.SERVICE: _service,
                events.SUBSCRIPTIONS: self.collection,
                _DESTINATION: self.destination,
            },
            creates={events.SUBSCRIPTIONS: By(_create, SubscriptionService.CreateSubscription)},
            patches={
                events.SERVICE: (
                    Unit(
                        ("ServiceEnabled", "DeliveryRetryAttempts", "DeliveryRetryIntervalSeconds"),
                        _change_delivery,
                        SubscriptionService.UpdateDelivery,
                    ),
                ),
                _DESTINATION: (Unit(tuple(events.PATCH), self.change, SubscriptionService.UpdateSubscription),),
            },
            deletes={_DESTINATION: By(self.delete, SubscriptionService.DeleteSubscription)},
            actions={
                (events.SERVICE, "EventService.SubmitTestEvent"): By(_test, SubscriptionService.SendTestEvent),
                (_DESTINATION, "EventDestination.SuspendSubscription"): By(
                    _suspend, SubscriptionService.SuspendSubscription
                ),
                (_DESTINATION, "EventDestination.ResumeSubscription"): By(
                    _resume, SubscriptionService.ResumeSubscription
                ),
            },
            streams={events.STREAM: self.stream},
        )


class _Writing:
    """One stream on its way out."""

    def __init__(self, send: Send, query: Query, known: dict[str, EventKind], shown: OpenStream) -> None:
        self._send = send
        self._query = query
        self._kinds = known
        self._shown = shown
        self._started = False

    async def run(
        self, items: AsyncGenerator[WatchEventsResponse, None] | Any, receive: Receive, ended: asyncio.Event
    ) -> None:
        """Send until it ends. A refusal before the first event is an ordinary error.

        Raises:
            UbmcError: the event log refuses, or is away.
        """
        gone = asyncio.ensure_future(_disconnected(receive))
        over = asyncio.ensure_future(ended.wait())
        reading = asyncio.ensure_future(anext(items, None))
        try:
            while True:
                wait = HEARTBEAT_SECONDS if self._started else FIRST_HEARTBEAT_SECONDS
                done, _ = await asyncio.wait((reading, gone, over), timeout=wait, return_when=asyncio.FIRST_COMPLETED)
                if gone in done:
                    return
                if over in done:
                    break
                if reading not in done:
                    await self._chunk(_HEARTBEAT)
                    continue
                if not await self._item(reading):
                    break
                reading = asyncio.ensure_future(anext(items, None))
            await self._chunk(b"", more=False)
        finally:
            for task in (gone, over, reading):
                task.cancel()
            await asyncio.gather(gone, over, reading, return_exceptions=True)

    async def _item(self, reading: asyncio.Future[WatchEventsResponse | None]) -> bool:
        """Send what was read; whether there may be more."""
        try:
            item = reading.result()
        except UbmcError as error:
            if not self._started and not isinstance(error, Unauthenticated):
                raise
            return False
        if item is None:
            return False
        event = item.event
        if event is None:
            await self._chunk(_HEARTBEAT)
            return True
        if self._query.filter is None or self._query.filter(event_payload.filterable(event)):
            body = event_payload.payload([event], self._kinds, self._shown.context)
            await self._chunk(b"id: %s\ndata: %s\n\n" % (item.cursor.encode(), orjson.dumps(body)))
        return True

    async def _chunk(self, data: bytes, *, more: bool = True) -> None:
        if not self._started:
            self._started = True
            await self._send({"type": "http.response.start", "status": 200, "headers": list(_STREAM_HEADERS)})
        with contextlib.suppress(ConnectionResetError):
            await self._send({"type": "http.response.body", "body": data, "more_body": more})


def _check_filter(query: Query) -> None:
    """A filter by what no event has would give a stream that is silent for ever. Raises `RedfishError`."""
    names = query.filter.names if query.filter is not None else frozenset()
    able = [name for name, supported in events.STREAM_FILTERS.items() if supported]
    strange = sorted(names.difference(able))
    if strange:
        text = f"a stream cannot be filtered by {strange[0][:100]}; it can by {', '.join(able)}"
        raise RedfishError(400, Message("QueryParameterValueError", ("$filter",), text=text))


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
