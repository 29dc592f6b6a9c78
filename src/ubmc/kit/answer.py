"""The answering half of the bus: every call to a handler passes here, in one order.

deadline -> who asks (signature) -> privilege -> decode -> idempotency key -> handler -> answer, with one span, one
metric, one line of the audit trail where the schema asks for it. Handlers only ever see calls that passed.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nats.aio.msg import Msg
from protobuf import Message

from ubmc.kit import call as calls
from ubmc.kit import subjects, tracing
from ubmc.kit.call import Call
from ubmc.kit.errors import Denied, Exhausted, Internal, Invalid, TimedOut, UbmcError, Unavailable
from ubmc.kit.handlers import Handler, handlers_of
from ubmc.kit.link import Subscription
from ubmc.kit.schema import Method, Schema
from ubmc.kit.stream import ReaderGone, StreamWriter
from ubmc.rpc import ServerStream
from ubmc.v1alpha1.event_pb import EventEnvelope
from ubmc.v1alpha1.session_pb import CredentialKind, Principal
from ubmc.v1alpha1.system_pb import AuditedCall

if TYPE_CHECKING:
    from ubmc.kit.bus import Bus

log = logging.getLogger("ubmc.rpc")

MAX_RUNNING = 64
SHORTEST_SECONDS = 0.01  # what cannot be answered in time is not begun
MAX_STREAMS = 128
MAX_KEYS = 512
KEY_SECONDS = 600.0
MAX_PENDING = 4096  # credit for streams that may come in one gulp: none of it may get lost
_MAX_TARGET = 128
_QUEUE = "one"  # should two incarnations ever overlap, a call goes to one of them only


@dataclass(slots=True)
class Answered:
    """What was answered under an idempotency key."""

    request: bytes
    """The hash of the request: it may hold a password."""
    until: float
    response: asyncio.Future[bytes]


class Answerer:
    """Dispatches what arrives for the services of one process."""

    def __init__(self, bus: Bus, schema: Schema) -> None:
        self._bus = bus
        self._schema = schema
        self._serving: dict[object, list[Subscription]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: dict[str, tuple[StreamWriter, object]] = {}  # by the id of the stream, with the service
        self._keys: OrderedDict[tuple[str, str, str], Answered] = OrderedDict()

    # --- subscriptions ------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Listen to the readers of our streams."""
        await self._bus.link.subscribe(subjects.stream(self._bus.process, "*"), self._on_control, pending=MAX_PENDING)

    async def serve(self, service: object) -> None:
        """Begin to answer for a service; returns when the bus knows, however long that takes."""
        subscriptions = self._serving.setdefault(service, [])
        for place, answer, queue in self._places(service):
            subscriptions.append(await self._bus.link.subscribe(place, answer, queue))
        await self._bus.link.known()

    def _places(self, service: object) -> Iterator[tuple[str, Any, str]]:
        """Where a service listens: subject, callback, queue group."""
        for handler in handlers_of(service):
            if isinstance(handler.what, type):
                yield subjects.event(handler.what), self._follower(handler), ""
                continue
            method = self._schema.method(handler.what)
            queue = "" if method.everywhere else _QUEUE
            yield subjects.peer(handler.what), self._responder(handler, method, trusted=True), queue
            if not method.internal:
                yield subjects.rpc(handler.what), self._responder(handler, method, trusted=False), queue

    async def withdraw(self, service: object) -> None:
        """Stop answering for a service; who reads its streams is told, instead of seeing its last words for ever."""
        ending = self._serving.pop(service, ())
        await asyncio.gather(*(self._bus.link.unsubscribe(subscription) for subscription in ending))
        ended = calls.encode_error(Unavailable("the service has ended; it may come back"))
        for writer, answering in tuple(self._writers.values()):
            if answering is service:
                with contextlib.suppress(Unavailable):
                    await writer.end(ended)
                writer.abort()

    async def close(self) -> None:
        """Stop answering; what is being answered is cancelled."""
        for service in tuple(self._serving):
            await self.withdraw(service)
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _spawn(self, coroutine: Any) -> asyncio.Task[None]:
        task = asyncio.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    # --- news ---------------------------------------------------------------------------------------------------

    def _follower(self, handler: Handler) -> Any:
        async def follow(msg: Msg) -> None:
            assert isinstance(handler.what, type)
            try:
                envelope = EventEnvelope.from_binary(msg.data)
                await handler.method(handler.what.from_binary(envelope.body))
            except UbmcError as error:
                log.warning("news could not be followed", extra={"subject": msg.subject, "error": error.message})
            except Exception:
                log.exception("a bug: news could not be followed", extra={"subject": msg.subject})

        async def arrived(msg: Msg) -> None:
            # One after another, and to its end even when the connection (and its callbacks with it) is lost meanwhile.
            await asyncio.shield(self._spawn(follow(msg)))

        return arrived

    # --- calls --------------------------------------------------------------------------------------------------

    def _responder(self, handler: Handler, method: Method, *, trusted: bool) -> Any:
        async def arrived(msg: Msg) -> None:
            self._spawn(self._respond(msg, handler, method, trusted=trusted))

        return arrived

    async def _respond(self, msg: Msg, handler: Handler, method: Method, *, trusted: bool) -> None:
        began = time.monotonic()
        try:
            call = Call.parse((msg.headers or {}).get(calls.HEADER, ""))
        except UbmcError as error:
            await self._answer_error(msg.reply, error)
            return
        if call.deadline - began < SHORTEST_SECONDS:
            return  # nobody waits any more: doing it now would be doing it behind their back
        with tracing.span(method.name, call.trace, **{"rpc.system": "ubmc"}) as trace:
            outcome = await self._admitted(msg, handler, method, call.within(trace), trusted=trusted)
            self._bus.metrics.answered(method.name, outcome, time.monotonic() - began, trace)

    async def _admitted(self, msg: Msg, handler: Handler, method: Method, call: Call, *, trusted: bool) -> str:
        request: Message[Any] | None = None
        outcome = "ok"
        try:
            call = self._who(call, trusted=trusted)
            self._admit(call, method, trusted=trusted)
            token = calls.current.set(call)
            try:
                request = self._decode(handler, msg.data)
                if isinstance(handler.what, ServerStream):
                    await self._stream(msg.reply, handler, method, request)
                else:
                    await self._bus.link.publish(
                        msg.reply, await self._once(call, handler, method, request, msg.data), "", None
                    )
            finally:
                calls.current.reset(token)
        except UbmcError as error:
            outcome = error.name
            await self._answer_error(msg.reply, error)
        except Exception:
            outcome = Internal.name
            log.exception("a bug: %s failed", method.name, extra={"trace_id": call.trace.trace_id})
            await self._answer_error(msg.reply, Internal("something went wrong; the log has it under the trace id"))
        if method.audited and not trusted:
            self._audit(call, method, request, outcome)
        return outcome

    def _who(self, call: Call, *, trusted: bool) -> Call:
        """The call with whoever asks, if that can be proven."""
        if not call.signed:
            return call
        # To a peer the principal is the cause, not the permission: what somebody began may outlast their proof.
        return call.within(call.trace, self._bus.verifier.verify(call.signed, expired=trusted))

    @staticmethod
    def _admit(call: Call, method: Method, *, trusted: bool) -> None:
        if trusted or method.public:
            return
        if call.principal is None:
            raise Denied("the door did not say who is asking")
        if method.privilege not in call.principal.privileges:
            raise Denied(f"this needs the privilege {method.privilege_name}, which {call.principal.role} has not")

    @staticmethod
    def _decode(handler: Handler, data: bytes) -> Message[Any]:
        assert not isinstance(handler.what, type)
        try:
            request: Message[Any] = handler.what.request.from_binary(data)
        except (ValueError, TypeError, OverflowError, RecursionError) as error:
            raise Invalid("the request cannot be read") from error
        return request

    async def _once(self, call: Call, handler: Handler, method: Method, request: Message[Any], data: bytes) -> bytes:
        # What anybody may call is always done: else whoever knows a key could try passwords against what is kept here.
        if not call.key or method.side_effect_free or method.public:
            return await self._handle(call, handler, method, request)
        key = (_asker(call.principal), method.name, call.key)
        now = time.monotonic()
        while self._keys and next(iter(self._keys.values())).until <= now:
            self._keys.popitem(last=False)  # an answer may hold a secret, so it stays no longer than it must
        known = self._keys.get(key)
        digest = hashlib.sha256(data).digest()
        if known is not None:
            if known.request != digest:
                raise Invalid("this idempotency key was used for another request")
            return await asyncio.shield(known.response)
        answered = Answered(digest, now + KEY_SECONDS, asyncio.get_running_loop().create_future())
        self._keys[key] = answered
        while len(self._keys) > MAX_KEYS:
            self._keys.popitem(last=False)
        try:
            response = await self._handle(call, handler, method, request)
        except BaseException as error:
            self._keys.pop(key, None)  # it was not done; the same key may try again
            answered.response.set_exception(error if isinstance(error, UbmcError) else Unavailable("it was not done"))
            answered.response.exception()  # seen: nobody need wait for it
            raise
        answered.response.set_result(response)
        return response

    async def _handle(self, call: Call, handler: Handler, method: Method, request: Message[Any]) -> bytes:
        if len(self._tasks) - len(self._writers) > MAX_RUNNING:
            raise Exhausted("too many calls at once; try again later")
        try:
            async with asyncio.timeout(max(0.0, call.deadline - time.monotonic())):
                response: Message[Any] = await handler.method(request)
        except TimeoutError as error:
            raise TimedOut(f"{method.name} was not done in time") from error
        return response.to_binary()

    # --- streams ------------------------------------------------------------------------------------------------

    async def _stream(self, inbox: str, handler: Handler, method: Method, request: Message[Any]) -> None:
        if len(self._writers) >= MAX_STREAMS:
            raise Exhausted("too many streams at once; try again later")
        stream_id = f"{id(request):x}-{time.monotonic_ns():x}"
        control = subjects.stream(self._bus.process, stream_id)
        writer = StreamWriter(self._bus.link.publish, inbox, control)
        self._writers[stream_id] = (writer, getattr(handler.method, "__self__", None))
        gauge = self._bus.metrics.streams.labels(method.name)
        gauge.inc()
        feeding = asyncio.create_task(self._feed(writer, handler.method(request)))
        beating = asyncio.create_task(writer.beat())
        try:
            await asyncio.wait((feeding, beating), return_when=asyncio.FIRST_COMPLETED)
            if feeding.done():
                feeding.result()
        except ReaderGone:
            pass
        finally:
            gauge.dec()
            del self._writers[stream_id]
            for task in (feeding, beating):
                task.cancel()
            await asyncio.gather(feeding, beating, return_exceptions=True)

    @staticmethod
    async def _feed(writer: StreamWriter, items: AsyncIterator[Message[Any]]) -> None:
        try:
            async for item in items:
                await writer.send(item.to_binary())
        finally:
            close = getattr(items, "aclose", None)
            if close is not None:
                await close()
        await writer.end()

    async def _on_control(self, msg: Msg) -> None:
        writer = self._writers.get(msg.subject.rpartition(".")[2])
        if writer is not None:
            writer[0].control(msg)

    # --- what is said about it ----------------------------------------------------------------------------------

    async def _answer_error(self, reply: str, error: UbmcError) -> None:
        name, body = calls.encode_error(error)
        with contextlib.suppress(Unavailable):
            await self._bus.link.publish(reply, body, "", {calls.ERROR_HEADER: name})

    def _audit(self, call: Call, method: Method, request: Message[Any] | None, outcome: str) -> None:
        principal = call.principal
        target = _target(request)[:_MAX_TARGET] if request is not None else ""
        token = calls.current.set(call)
        try:
            self._bus.tell(
                target or "bmc.0",
                AuditedCall(
                    method=method.name,
                    user=principal.user if principal is not None else "",
                    source=call.source,
                    outcome=outcome,
                    target=target,
                ),
            )
        finally:
            calls.current.reset(token)


def _asker(principal: Principal | None) -> str:
    """By whom an idempotency key is known: a user, and apart from them each of their tokens, which may do less."""
    if principal is None:
        return ""
    token = principal.session.partition(".")[0] if principal.kind is CredentialKind.TOKEN else ""
    return f"{principal.user} {token}"


def _target(request: Message[Any]) -> str:
    """What a request is about: its `name` or `id`, or that of the resource in it."""
    for name in ("name", "id"):
        value = getattr(request, name, None)
        if isinstance(value, str):
            return value
    for described in request.desc().fields:
        value = getattr(request, described.local_name, None)
        if isinstance(value, Message):
            return _target(value)
    return ""
