"""From datagrams to commands and back: what is outside of sessions, what belongs to which, and in which order."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

from ubmc.kit.bus import Bus
from ubmc.protocols.ipmi import lan15, message, rmcp, rmcpplus
from ubmc.protocols.ipmi.codes import LAN_CHANNEL, Level
from ubmc.protocols.ipmi.message import Request
from ubmc.protocols.ipmi.rmcpplus import Packet, Payload
from ubmc.services.ipmisrv.dispatch import Context, Table
from ubmc.services.ipmisrv.endpoint import Peer
from ubmc.services.ipmisrv.handshake import Handshake
from ubmc.services.ipmisrv.limits import Gate, Limits
from ubmc.services.ipmisrv.sessions import Session, Sessions

log = logging.getLogger("ubmc.ipmisrv")


class SolReceiver(Protocol):
    """Where SOL payloads go."""

    def received(self, session: Session, payload: bytes) -> None:
        """Take a SOL payload of a session."""
        ...


class Server:
    """What is done with datagrams. Nothing here raises for what a stranger sends, and nothing waits.

    Args:
        bus: for what handlers ask.
        table: the commands.
        sessions: the open ones.
        handshake: the half-open ones.
        sol: the serial lines.
        limits: how much is taken.
    """

    def __init__(
        self, bus: Bus, table: Table, sessions: Sessions, handshake: Handshake, sol: SolReceiver, limits: Limits
    ) -> None:
        self._bus = bus
        self._table = table
        self._sessions = sessions
        self._sol = sol
        self._limits = limits
        self._gate = Gate(limits)
        self._opening: dict[int, Callable[[bytes, Peer], None]] = {
            Payload.OPEN_SESSION_REQUEST: handshake.open,
            Payload.RAKP_1: handshake.rakp1,
            Payload.RAKP_3: handshake.rakp3,
        }
        self._tasks: set[asyncio.Task[None]] = set()

    def received(self, datagram: bytes, peer: Peer) -> None:
        """Take a datagram."""
        kind, body = rmcp.unwrap(datagram)
        if kind:
            self._sessions.packets += 1
        if kind == rmcp.CLASS_IPMI:
            packet = rmcpplus.header(body)
            if packet is None:
                self._ipmi15(body, peer)
            elif packet.session_id == 0:
                self._outside(body, packet, peer)
            else:
                self._inside(body, packet, peer)
        elif kind == rmcp.CLASS_ASF and self._gate.outside(peer.counted):
            answer = rmcp.pong(body)
            if answer:
                peer.send(answer)

    # --- outside of sessions --------------------------------------------------------------------------------------

    def _ipmi15(self, body: bytes, peer: Peer) -> None:
        payload = lan15.unwrap(body)
        if payload and self._gate.outside(peer.counted):
            self._sessionless(payload, peer, lan15.wrap)

    def _outside(self, body: bytes, packet: Packet, peer: Peer) -> None:
        payload = rmcpplus.plain(body, packet)
        if payload is None or not self._gate.outside(peer.counted):
            return
        opening = self._opening.get(packet.kind)
        if opening is not None:
            opening(payload, peer)
        elif packet.kind == Payload.IPMI:
            self._sessionless(payload, peer, lambda answer: rmcpplus.wrap_plain(Payload.IPMI, answer))

    def _sessionless(self, payload: bytes, peer: Peer, wrap: Callable[[bytes], bytes]) -> None:
        """Answer one of the few commands that need no session; all others are dropped."""
        request = message.parse(payload)
        if request is None:
            return
        command = self._table.find(request.netfn, request.command)
        if command is None or command.level is not Level.NONE:
            return
        context = Context(self._bus, LAN_CHANNEL, request.lun, source=peer.address)
        answer = self._table.begin(context, request.netfn, request.command, request.data)
        if isinstance(answer, bytes):
            peer.send(wrap(message.respond(request, answer)))
        elif len(self._tasks) < self._limits.asking:
            self._spawn(self._answer_later(answer, request, peer, wrap), answer)
        else:
            answer.close()

    @staticmethod
    async def _answer_later(
        answer: Coroutine[Any, Any, bytes], request: Request, peer: Peer, wrap: Callable[[bytes], bytes]
    ) -> None:
        peer.send(wrap(message.respond(request, await answer)))

    # --- inside of sessions ---------------------------------------------------------------------------------------

    def _inside(self, body: bytes, packet: Packet, peer: Peer) -> None:
        session = self._sessions.get(packet.session_id)
        if session is None or not self._gate.may_be_checked(peer.counted):
            return
        payload = session.channel.open(body, packet)
        if payload is None:
            self._gate.forged(peer.counted)
            return
        now = time.monotonic()
        session.used, session.peer, session.exchange = now, peer, None
        if packet.kind == Payload.IPMI:
            request = message.parse(payload)
            if request is not None:
                self._request(session, request, peer, now)
        elif packet.kind == Payload.SOL:
            self._sol.received(session, payload)

    def _request(self, session: Session, request: Request, peer: Peer, now: float) -> None:
        """One request; those of a session are worked on one after another, in the order in which they came."""
        if session.running is not None and len(session.waiting) >= self._limits.waiting:
            return
        new, answer = session.repeats.begin(request, now)
        if not new:
            if answer is not None:
                session.send(Payload.IPMI, answer, peer)
        elif session.running is not None:
            session.waiting.append((request, peer))
        else:
            self._work(session, request, peer)

    def _work(self, session: Session, request: Request, peer: Peer) -> None:
        facts = session.facts
        context = Context(self._bus, LAN_CHANNEL, request.lun, facts.level, facts, session.identity, facts.source)
        answer = self._table.begin(context, request.netfn, request.command, request.data)
        if isinstance(answer, bytes):
            self._answered(session, request, peer, context, answer)
            return
        session.running = self._spawn(self._work_on(session, request, peer, context, answer), answer)

    async def _work_on(
        self, session: Session, request: Request, peer: Peer, context: Context, answer: Coroutine[Any, Any, bytes]
    ) -> None:
        """Finish a request that has to wait for something, and then those that came meanwhile."""
        try:
            self._answered(session, request, peer, context, await answer)
        except asyncio.CancelledError:
            session.repeats.forget(request)
            raise
        finally:
            session.running = None
        while session.waiting and session.running is None:
            self._work(session, *session.waiting.popleft())

    @staticmethod
    def _answered(session: Session, request: Request, peer: Peer, context: Context, answer: bytes) -> None:
        payload = message.respond(request, answer)
        session.repeats.answered(request, payload, time.monotonic())
        session.send(Payload.IPMI, payload, peer)
        for each in context.after:
            each()

    def _spawn(self, coroutine: Coroutine[Any, Any, None], inner: Coroutine[Any, Any, bytes]) -> asyncio.Task[None]:
        task = asyncio.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        task.add_done_callback(lambda _: inner.close())  # it may have been cancelled before it began
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a bug: an IPMI request could not be answered", exc_info=error)

    async def close(self) -> None:
        """End what is being worked on."""
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
