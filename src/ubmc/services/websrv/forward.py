"""The one way through the door, the same for Connect, gRPC-Web and REST.

Authenticate -> authorize by the schema's privilege -> validate -> forward with deadline, identity and trace.

Adding an RPC to the schema adds no code here. One is not forwarded but made here of others: WatchLive.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from protobuf import Message

from ubmc.kit import tracing
from ubmc.kit.bus import Bus
from ubmc.kit.call import Call, check_key
from ubmc.kit.errors import Denied, NotFound, UbmcError, Unauthenticated
from ubmc.kit.schema import Method, Schema
from ubmc.kit.tracing import Trace
from ubmc.rpc import ServerStream, Unary
from ubmc.services.websrv.identities import Identities, Identity
from ubmc.services.websrv.live import LiveStream
from ubmc.services.websrv.peer import Peer, credential
from ubmc.services.websrv.rates import Rates
from ubmc.services.websrv.validation import validate
from ubmc.v1alpha1.account_rpc import AccountService
from ubmc.v1alpha1.live_pb import WatchLiveRequest
from ubmc.v1alpha1.user_rpc import UserService

CALL_SECONDS = 10.0
RECORD_SECONDS = 2.0
LONGEST_SECONDS = 60.0
UNATTENDED_HEADER = "x-unattended"
"""Nobody asked for this request: a page made it by itself. With `1` it does not keep its session from idling."""
_OF_ACCOUNTS = frozenset(token.short for token in (UserService.UpdateUser, AccountService.UpdateAccountPolicy))


@dataclass(frozen=True, slots=True)
class Admitted:
    """A request that may be forwarded."""

    method: Method
    identity: Identity | None
    trace: Trace
    key: str
    source: str

    def call(self, seconds: float) -> Call:
        """What goes over the bus beside the message."""
        return Call(
            deadline=time.monotonic() + seconds,
            trace=self.trace,
            key=self.key,
            source=self.source,
            signed=self.identity.signed if self.identity is not None else b"",
            principal=self.identity.principal if self.identity is not None else None,
        )


class Forwarder:
    """Passes requests on to the services."""

    def __init__(self, schema: Schema, bus: Bus, rates: Rates, absent: Mapping[str, str] | None = None) -> None:
        """Make it.

        Args:
            schema: what is forwarded.
            bus: where the services are.
            rates: how many requests each user may make.
            absent: the services of the schema that nobody answers on this board, and why.
        """
        self._schema = schema
        self._bus = bus
        self._live: dict[LiveStream, Admitted] = {}
        self._absent = dict(absent or {})
        self._rates = rates
        self.identities = Identities(bus)
        self.basic_allowed = True
        """Policy: whether name and password may come with each request, where the path offers it at all."""

    async def admit(self, method: Method, headers: Mapping[str, str], peer: Peer) -> Admitted:
        """Whether this request may be made at all; its body is not needed for that.

        Args:
            method: the RPC.
            headers: of the request, names in lower case; only `authorization`, `cookie`, `x-csrf-token`,
                `idempotency-key`, `traceparent` and `x-unattended` are looked at.
            peer: the other end.

        Raises:
            Unauthenticated: no token, or nobody's.
            Denied: the role lacks the privilege, or a browser's request its CSRF token.
            NotFound: this board has nothing of that kind.
            Exhausted: this user makes too many requests.
            Invalid: the idempotency key cannot be one.
        """
        if method.public:
            return self._admitted(method, None, headers, peer)
        return await self.authorize(method, await self.identify(headers, peer), headers, peer)

    async def identify(self, headers: Mapping[str, str], peer: Peer) -> Identity:
        """Who makes this request. Raises `Unauthenticated`, `Exhausted`, `Denied` as `admit` does."""
        shown = credential(headers, peer, basic_allowed=self.basic_allowed)
        attended = headers.get(UNATTENDED_HEADER) != "1"
        identity = await self.identities.identify(shown, peer.source, attended=attended)
        peer.is_known(identity.principal.user)
        self._rates.take(f"user {peer.user}")
        return identity

    async def authorize(self, method: Method, identity: Identity, headers: Mapping[str, str], peer: Peer) -> Admitted:
        """Whether somebody who was identified may make this call. Raises `Denied`, `NotFound`, `Invalid`."""
        admitted = self._admitted(method, identity, headers, peer)
        try:
            self._allow(method, identity)
        except Denied:
            await self._have_it_recorded(admitted)
            raise
        return admitted

    def _allow(self, method: Method, identity: Identity) -> None:
        """Whether somebody may make a call that this board has. Raises `Denied`, `NotFound`."""
        if method.internal or method.privilege not in identity.principal.privileges:
            raise Denied(_what_is_missing(method, identity))
        if (reason := self._absent.get(method.name.partition(".")[0])) is not None:
            raise NotFound(reason)

    @staticmethod
    def _admitted(method: Method, identity: Identity | None, headers: Mapping[str, str], peer: Peer) -> Admitted:
        trace = Trace.parse(headers.get("traceparent", "")) or Trace.new()
        return Admitted(method, identity, trace, check_key(headers.get("idempotency-key", "")), peer.source)

    async def record_refusal(self, method: Method, identity: Identity, headers: Mapping[str, str], peer: Peer) -> None:
        """Have it in the audit trail that somebody tried what they may not do; nothing if they may make this call."""
        if method.public or method.internal or method.privilege in identity.principal.privileges:
            return
        trace = Trace.parse(headers.get("traceparent", "")) or Trace.new()
        await self._have_it_recorded(Admitted(method, identity, trace, "", peer.source))

    async def _have_it_recorded(self, refused: Admitted) -> None:
        """Let the service that would answer refuse an audited call too, so that the attempt is in the audit trail.

        It sees the same principal and refuses before it looks at the request, which is an empty one. The door itself
        cannot write to the trail: whoever takes it over shall not forge records.
        """
        token = refused.method.token
        if refused.method.audited and isinstance(token, Unary) and token.short not in self._absent:
            with contextlib.suppress(UbmcError):
                await self._bus.forward(token, token.request(), refused.call(RECORD_SECONDS))

    async def call(self, admitted: Admitted, request: Message[Any], seconds: float = CALL_SECONDS) -> Message[Any]:
        """Forward a unary call. Raises whatever the service answers."""
        validate(request)
        token = admitted.method.token
        assert isinstance(token, Unary)
        with tracing.span(f"door {admitted.method.name}", admitted.trace):
            try:
                return await self._bus.forward(token, request, admitted.call(min(seconds, LONGEST_SECONDS)))
            except Unauthenticated:
                if admitted.identity is None:
                    raise  # it was a login
                fresh = await self._again(admitted)
                return await self._bus.forward(token, request, fresh.call(min(seconds, LONGEST_SECONDS)))
            finally:
                if token.short in _OF_ACCOUNTS and not admitted.method.side_effect_free:
                    self.identities.forget_passwords()  # the news come later than the answer

    async def watch(self, admitted: Admitted, request: Message[Any]) -> AsyncGenerator[Message[Any], None]:
        """Forward a stream. Raises whatever the service answers, `Unauthenticated` when the session ends."""
        validate(request)
        told = self._watch_live(admitted, request) if admitted.method.at_door else self._forwarded(admitted, request)
        async with contextlib.aclosing(told):
            async for item in told:
                yield item

    async def _forwarded(self, admitted: Admitted, request: Message[Any]) -> AsyncGenerator[Message[Any], None]:
        begun = False
        try:
            async with contextlib.aclosing(self._stream(admitted, request)) as stream:
                async for item in stream:
                    begun = True
                    yield item
            return
        except Unauthenticated:
            if begun or admitted.identity is None:
                raise
        async with contextlib.aclosing(self._stream(await self._again(admitted), request)) as stream:
            async for item in stream:
                yield item

    async def _watch_live(self, admitted: Admitted, request: Message[Any]) -> AsyncGenerator[Message[Any], None]:
        assert isinstance(request, WatchLiveRequest)
        live = LiveStream(request, partial(self._part, admitted))
        metrics, began, outcome = self._bus.metrics, time.monotonic(), "ok"
        metrics.streams.labels(admitted.method.name).inc()
        self._live[live] = admitted
        try:
            async with contextlib.aclosing(live.run()) as told:
                async for item in told:
                    yield item
        except UbmcError as error:
            outcome = error.name
            raise
        finally:
            del self._live[live]
            metrics.streams.labels(admitted.method.name).dec()
            metrics.answered(admitted.method.name, outcome, time.monotonic() - began, admitted.trace)

    async def _part(
        self, whole: Admitted, token: ServerStream[Any, Any], request: Message[Any]
    ) -> AsyncGenerator[Message[Any], None]:
        """One of the streams that another one is made of, for who asked for that one."""
        assert whole.identity is not None
        method = self._schema.method(token)
        self._allow(method, whole.identity)
        async with contextlib.aclosing(self._forwarded(replace(whole, method=method), request)) as told:
            async for item in told:
                yield item

    def _stream(self, admitted: Admitted, request: Message[Any]) -> AsyncGenerator[Message[Any], None]:
        token = admitted.method.token
        assert isinstance(token, ServerStream)
        return self._bus.watch(token, request, admitted.call(float("inf")))

    async def _again(self, admitted: Admitted) -> Admitted:
        """Since usermgr was restarted it signs with another key: ask again who it is."""
        asked = admitted.identity
        assert asked is not None
        assert asked.shown is not None
        self.identities.forget(asked)
        identity = await self.identities.identify(asked.shown, admitted.source, attended=asked.attended)
        return Admitted(admitted.method, identity, admitted.trace, admitted.key, admitted.source)

    def end_session(self, session: str) -> None:
        """Forget a session and end its streams."""
        self.identities.forget_session(session)
        self._end_streams(session, Unauthenticated("the session has ended; log in again"))

    def _end_streams(self, session: str, error: UbmcError) -> None:
        for live, admitted in self._live.items():  # though nothing of it may be open on the bus now
            if _session(admitted) == session:
                live.end(error)
        self._bus.end_streams(session, error)

    async def recheck_streams(self) -> None:
        """End the streams of sessions that ended without our hearing of it. That a stream is open is no use of one."""
        open_ = {session: call.source for session, call in self._bus.stream_sessions().items()}
        open_ |= {_session(admitted): admitted.source for admitted in self._live.values()}
        for session, source in open_.items():
            try:
                await self.identities.renew(session, source)
            except Unauthenticated as error:
                self._end_streams(session, error)
            except UbmcError:
                continue  # usermgr is away; the next round decides


def _session(admitted: Admitted) -> str:
    return admitted.identity.principal.session if admitted.identity is not None else ""


def _what_is_missing(method: Method, identity: Identity) -> str:
    if not identity.principal.privileges or method.privilege_name == "Login":
        return "change your password first: POST /api/v1alpha1/users/{name}:changePassword"
    return f"this needs the privilege {method.privilege_name}, which {identity.principal.role} has not"
