"""The bus, as a service sees it: ask, watch, tell, serve.

This is the one thin facade over NATS. Calls have a deadline that the receiver honours, so nothing is executed after
its caller gave up; when the bus is lost, every call in flight fails at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import itertools
import logging
import secrets
import time
from collections.abc import AsyncGenerator
from dataclasses import replace
from typing import Any

import orjson
from nats.aio.msg import Msg
from protobuf import Message
from protobuf.wkt import Timestamp
from ulid import ULID

from ubmc.kit import call as calls
from ubmc.kit import subjects, tracing
from ubmc.kit.answer import Answerer
from ubmc.kit.call import Call
from ubmc.kit.errors import Exhausted, TimedOut, UbmcError, Unavailable
from ubmc.kit.keys import BusKey, PrincipalVerifier
from ubmc.kit.link import Endpoint, Link
from ubmc.kit.metrics import Metrics
from ubmc.kit.outbox import Outbox
from ubmc.kit.schema import Schema
from ubmc.kit.stream import StreamReader
from ubmc.rpc import Req, Res, ServerStream, Unary
from ubmc.v1alpha1.event_kind_pb import Severity
from ubmc.v1alpha1.event_pb import EventEnvelope
from ubmc.v1alpha1.host_pb import Cause

log = logging.getLogger("ubmc.bus")

ASK_SECONDS = 5.0
STORE_SECONDS = 2.0
MAX_CALLS = 1024
MAX_PENDING = 8192
_NO_RESPONDERS = "503"


class Bus:
    """One process's place on the bus."""

    def __init__(self, process: str, schema: Schema, key: BusKey, metrics: Metrics) -> None:
        self.process = process
        self.metrics = metrics
        self.verifier = PrincipalVerifier(time.monotonic)
        self.link = Link(process, key, metrics)
        self.link.on_disconnect.append(self._lost)
        self.link.on_forbidden = self._forbidden
        self._inbox = f"{subjects.inbox(process)}.{secrets.token_hex(8)}"
        self._secret = secrets.token_bytes(16)
        self._counter = itertools.count()
        self._waiting: dict[str, tuple[str, asyncio.Future[Msg]]] = {}
        self._reading: dict[str, tuple[str, StreamReader, Call]] = {}
        self._outbox = Outbox(self._store, metrics)
        self._tasks: set[asyncio.Task[None]] = set()
        self.answerer = Answerer(self, schema)

    # --- life ---------------------------------------------------------------------------------------------------

    def start(self, endpoint: Endpoint) -> None:
        """Begin to connect, and keep connected until `close`."""
        self._spawn(self._run(endpoint))
        self._spawn(self._outbox.run())

    async def _run(self, endpoint: Endpoint) -> None:
        # As many answers and frames may come in one gulp as calls and streams are under way.
        await self.link.subscribe(f"{self._inbox}.*", self._arrived, pending=MAX_PENDING)
        await self.answerer.start()
        await self.link.connect(endpoint)

    def _spawn(self, coroutine: Any) -> None:
        task = asyncio.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a part of the bus ended by a bug", extra={"of": self.process}, exc_info=error)

    async def close(self, drain_seconds: float = 1.0) -> None:
        """Store the events that wait, then end everything."""
        if self.link.connected.is_set():
            await self._outbox.drain(drain_seconds)
        await self.answerer.close()
        self.link.give_up()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._lost()
        await self.link.close()

    # --- asking -------------------------------------------------------------------------------------------------

    async def ask(self, token: Unary[Req, Res], request: Req, *, timeout: float = ASK_SECONDS, key: str = "") -> Res:
        """Call another service as ourselves; who asked us, if anybody, is passed on as the cause.

        Raises:
            UbmcError: what the service answered; `Unavailable` when it is not running or the bus is away (if the bus
                was lost in the middle, it is unknown whether the call was done); `TimedOut` after `timeout` seconds.
        """
        call = self._call(timeout, key)
        data = await self.request(subjects.peer(token), request.to_binary(), call, _name(token))
        return token.response.from_binary(data)

    async def forward(self, token: Unary[Req, Res], request: Req, call: Call) -> Res:
        """Call a service for somebody at a door. Raises as `ask` does."""
        data = await self.request(subjects.rpc(token), request.to_binary(), call, _name(token))
        return token.response.from_binary(data)

    async def watch(
        self, token: ServerStream[Req, Res], request: Req, call: Call | None = None
    ) -> AsyncGenerator[Res, None]:
        """Read a stream, as ourselves or (with `call`) for somebody at a door.

        Raises:
            UbmcError: as `ask`; `Unavailable` also when the service vanishes in the middle.
        """
        subject = subjects.peer(token) if call is None else subjects.rpc(token)
        sent = call or self._call(float("inf"))
        call_id = self._new_id()
        reader = StreamReader(self.link.publish, f"{self._inbox}.{call_id}", token.short)
        if len(self._reading) >= MAX_CALLS:
            raise Exhausted("too many streams at once")
        self._reading[call_id] = (subject, reader, sent)
        try:
            await self.link.publish(
                subject, request.to_binary(), f"{self._inbox}.{call_id}", {calls.HEADER: sent.header()}
            )
            while (frame := await reader.next()) is not None:
                yield token.response.from_binary(frame)
        finally:
            self._reading.pop(call_id, None)
            with contextlib.suppress(Unavailable):
                await reader.cancel()

    def stream_sessions(self) -> dict[str, Call]:
        """The sessions for which streams are being read, each with a call of it."""
        return {call.principal.session: call for _, _, call in self._reading.values() if call.principal is not None}

    def end_streams(self, session: str, error: UbmcError) -> None:
        """End all streams that are read for a session."""
        for _subject, reader, call in self._reading.values():
            if call.principal is not None and call.principal.session == session:
                reader.fail(error)

    def _call(self, timeout: float, key: str = "") -> Call:
        trace = tracing.current.get() or tracing.Trace.new()
        deadline = time.monotonic() + timeout
        cause = calls.current.get()
        if cause is None:
            return Call(deadline, trace, key)
        return replace(cause, deadline=deadline, trace=trace, key=key)

    async def request(self, subject: str, data: bytes, call: Call, what: str) -> bytes:
        """One message and its one answer, by the call's deadline."""
        answer = await self._exchange(subject, data, {calls.HEADER: call.header()}, call.deadline, what)
        name = (answer.headers or {}).get(calls.ERROR_HEADER)
        if name is not None:
            raise calls.decode_error(name, answer.data)
        return answer.data

    async def _exchange(self, subject: str, data: bytes, headers: dict[str, str], deadline: float, what: str) -> Msg:
        if len(self._waiting) >= MAX_CALLS:
            raise Exhausted("too many calls at once")
        call_id = self._new_id()
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Msg] = loop.create_future()
        self._waiting[call_id] = (subject, future)
        # Far cheaper than asyncio.timeout; the loop's clock is the monotonic one, in which deadlines are.
        timer = loop.call_at(deadline, _expire, future, what)
        try:
            await self.link.publish(subject, data, f"{self._inbox}.{call_id}", headers)
            answer = await future
        finally:
            timer.cancel()
            del self._waiting[call_id]
        if answer.headers is not None and answer.headers.get("Status") == _NO_RESPONDERS:
            raise Unavailable(f"{what} is not running")
        return answer

    def _new_id(self) -> str:
        count = next(self._counter).to_bytes(8, "big")
        return hashlib.blake2b(count, key=self._secret, digest_size=8).hexdigest()

    async def gather(self, token: Unary[Req, Res], request: Req, expected: int, seconds: float) -> list[Res]:
        """Ask all processes that answer this call; what `expected` of them said, or fewer after `seconds`."""
        subject = f"{subjects.inbox(self.process)}.gather-{secrets.token_hex(8)}"
        answers: list[Res] = []
        complete = asyncio.Event()

        async def arrived(msg: Msg) -> None:
            headers = msg.headers or {}
            if "Status" not in headers and calls.ERROR_HEADER not in headers:
                answers.append(token.response.from_binary(msg.data))
                if len(answers) >= expected:
                    complete.set()

        subscription = await self.link.subscribe(subject, arrived)
        try:
            header = self._call(seconds).header()
            await self.link.publish(subjects.peer(token), request.to_binary(), subject, {calls.HEADER: header})
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await complete.wait()
        finally:
            await self.link.unsubscribe(subscription)
        return answers

    # --- telling ------------------------------------------------------------------------------------------------

    def tell(
        self,
        component: str,
        news: Message[Any],
        *,
        severity: Severity = Severity.UNSPECIFIED,
        cause: Cause | None = None,
    ) -> asyncio.Future[None]:
        """Tell news about a component. The future is done when the bus has stored them (or sent them, if unlogged).

        Never blocks: news wait in a bounded queue while the bus is away.
        """
        kind = subjects.kind_of(type(news))
        ulid = str(ULID())
        envelope = EventEnvelope(
            ulid=ulid,
            time=Timestamp.now(),
            component=component,
            severity=severity or kind.severity,
            cause=cause or self.cause(),
            type=type(news).desc().type_name,
            body=news.to_binary(),
        )
        subject = subjects.event(type(news), component)
        self.metrics.events.labels(kind.message_id).inc()
        if not kind.unlogged:
            return self._outbox.put(subject, envelope.to_binary(), ulid)
        sent: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._spawn(self._send(subject, envelope.to_binary(), sent))
        return sent

    def cause(self) -> Cause | None:
        """Who or what is behind what is being done now."""
        call = calls.current.get()
        if call is None or call.principal is None:
            return None
        return Cause(kind="user", user=call.principal.user, trace_id=call.trace.trace_id)

    async def _send(self, subject: str, data: bytes, sent: asyncio.Future[None]) -> None:
        with contextlib.suppress(UbmcError):
            await self.link.publish(subject, data)
        if not sent.done():
            sent.set_result(None)

    async def _store(self, subject: str, data: bytes, ulid: str) -> None:
        deadline = time.monotonic() + STORE_SECONDS
        answer = await self._exchange(subject, data, {"Nats-Msg-Id": ulid}, deadline, "the event stream")
        _check_stored(answer.data)

    # --- what arrives -------------------------------------------------------------------------------------------

    async def _arrived(self, msg: Msg) -> None:
        call_id = msg.subject.rpartition(".")[2]
        waiting = self._waiting.get(call_id)
        if waiting is not None:
            if not waiting[1].done():
                waiting[1].set_result(msg)
            return
        reading = self._reading.get(call_id)
        if reading is not None:
            with contextlib.suppress(Unavailable):
                await reading[1].frame(msg)

    def _lost(self) -> None:
        for _subject, future in self._waiting.values():
            if not future.done():
                future.set_exception(Unavailable("the bus was lost; whether the call was done is unknown"))
        for _subject, reader, _call in self._reading.values():
            reader.fail(Unavailable("the bus was lost"))

    def _forbidden(self, subject: str) -> None:  # the client library gives it in lower case
        error = Unavailable(f"the bus forbids {self.process} to call {subject}")
        for asked, future in self._waiting.values():
            if asked.lower() == subject.lower() and not future.done():
                future.set_exception(error)
        for asked, reader, _call in self._reading.values():
            if asked.lower() == subject.lower():
                reader.fail(error)


def _check_stored(answer: bytes) -> None:
    """Whether JetStream has stored what it was sent: its answer is a `PubAck`, or has an `error` (ADR-1 of NATS).

    Raises:
        Unavailable: it has not, or what it says cannot be read; then the event is sent again, and stored once.
    """
    try:
        content = orjson.loads(answer)
    except orjson.JSONDecodeError as error:
        raise Unavailable("the event stream says what cannot be read") from error
    if not isinstance(content, dict) or not ("error" in content or isinstance(content.get("seq"), int)):
        raise Unavailable("the event stream says what cannot be read")
    if "error" in content:
        problem = content["error"]
        description = problem.get("description", "") if isinstance(problem, dict) else problem
        raise Unavailable(f"the event stream refuses: {description}")


def _expire(future: asyncio.Future[Msg], what: str) -> None:
    if not future.done():
        future.set_exception(TimedOut(f"{what} did not answer in time; whether it was done is unknown"))


def _name(token: Unary[Any, Any] | ServerStream[Any, Any]) -> str:
    return f"{token.short}.{token.method}"
