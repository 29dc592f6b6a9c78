"""Opening sessions: from an Open Session Request to the session, without telling strangers who has an account.

Whoever asks with a name that we do not know gets the same messages in the same time as anybody else, made with a key
that nobody has; whether the name or the secret was wrong never shows. What is not understood is not answered.

RAKP 2 lets a client find out by itself that its secret is wrong (and lets anybody try secrets against it at home, which
is a flaw of the protocol). Most clients then just stop. So a session that is not opened to its end counts as a wrong
secret too, unless the same client comes in meanwhile.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any

from ubmc.kit.addresses import address_key
from ubmc.kit.errors import Denied, Exhausted, UbmcError
from ubmc.protocols.ipmi import rakp
from ubmc.protocols.ipmi.cipher import Sealer, Suite
from ubmc.protocols.ipmi.codes import Level
from ubmc.protocols.ipmi.rakp import Exchange, Rakp1, Rakp3, Status
from ubmc.protocols.ipmi.rmcpplus import Payload, wrap_plain
from ubmc.protocols.ipmi.session import SecureChannel
from ubmc.services.ipmisrv.dispatch import SessionFacts
from ubmc.services.ipmisrv.endpoint import Peer
from ubmc.services.ipmisrv.limits import Limits
from ubmc.services.ipmisrv.sessions import Session, SessionIdentity, Sessions
from ubmc.services.ipmisrv.users import Accounts, Known

log = logging.getLogger("ubmc.ipmisrv")

ANSWER_SECONDS = 0.01
"""RAKP 2 and RAKP 4 come so long after what they answer, however quickly the account was found."""
_LEVELS = (Level.USER, Level.OPERATOR, Level.ADMINISTRATOR)


@dataclass(slots=True, eq=False)
class HalfOpen:
    """A session that is being opened."""

    request: rakp.OpenRequest
    system_id: int
    suite: Suite
    address: str
    until: float
    """Monotonic seconds."""
    rakp1: Rakp1 | None = None
    exchange: Exchange | None = field(default=None, repr=False)
    known: Known | None = None
    """Whose name it is; None also if it is nobody's."""
    busy: bool = False
    """It is being worked on, so what comes again meanwhile is dropped."""


class Handshake:
    """The half-open sessions.

    Args:
        users: who can log in.
        sessions: where those that are open go.
        limits: how many there may be.
        suites: the cipher suites that may be used, the best first.
        guid: the 16 bytes of Get System GUID.
    """

    def __init__(
        self, users: Accounts, sessions: Sessions, limits: Limits, suites: Sequence[Suite], guid: Callable[[], bytes]
    ) -> None:
        self._users = users
        self._sessions = sessions
        self._limits = limits
        self._suites = tuple(suites)
        self._guid = guid
        self._half: OrderedDict[int, HalfOpen] = OrderedDict()  # by our session id, the oldest first
        self._tasks: set[asyncio.Task[None]] = set()
        self._counting: set[asyncio.Task[None]] = set()
        self._came_in: OrderedDict[tuple[str, str], float] = OrderedDict()  # when, by name and address
        self._secret = secrets.token_bytes(32)

    def __len__(self) -> int:
        """How many are being opened."""
        return len(self._half)

    # --- Open Session ---------------------------------------------------------------------------------------------

    def open(self, payload: bytes, peer: Peer) -> None:
        """Answer an Open Session Request (Spec section 13.17)."""
        request = rakp.parse_open(payload)
        if request is None:
            return
        answer = self._open(request, peer)
        peer.send(wrap_plain(Payload.OPEN_SESSION_RESPONSE, answer))

    def _open(self, request: rakp.OpenRequest, peer: Peer) -> bytes:
        level = Level.ADMINISTRATOR if request.role == 0 else request.role
        if level not in _LEVELS:
            return rakp.refusal(request.tag, Status.INVALID_ROLE, request.console_id)
        suite, status = rakp.choose(request, self._suites)
        if suite is None:
            return rakp.refusal(request.tag, status, request.console_id)
        if not self._sessions.room(peer.address):
            return rakp.refusal(request.tag, Status.NO_RESOURCES, request.console_id)
        half = self._again(request, peer)
        if half is None:
            self._make_room(peer.counted)
            system_id = self._sessions.new_id(self._half.__contains__)
            until = time.monotonic() + self._limits.half_open_seconds
            half = self._half[system_id] = HalfOpen(request, system_id, suite, peer.address, until)
        return rakp.open_response(request, Level(level), half.system_id, half.suite)

    def _again(self, request: rakp.OpenRequest, peer: Peer) -> HalfOpen | None:
        """The one that was made for the same request, if the answer to that was lost."""
        for half in reversed(self._half.values()):
            same = half.request._replace(tag=request.tag) == request and half.address == peer.address
            if same and half.rakp1 is None:
                return half
        return None

    def _make_room(self, counted: str) -> None:
        """The oldest of the address makes way, or the oldest of all: who is in earnest needs milliseconds.

        That is no failed login of theirs: whoever sends enough requests from anywhere could make anybody fail.
        """
        own = [half.system_id for half in self._half.values() if address_key(half.address) == counted]
        if len(own) >= self._limits.half_open_per_address:
            del self._half[own[0]]
        elif len(self._half) >= self._limits.half_open:
            self._half.popitem(last=False)

    # --- RAKP 1 and 2 ---------------------------------------------------------------------------------------------

    def rakp1(self, payload: bytes, peer: Peer) -> None:
        """Answer a RAKP message 1 (Spec section 13.20)."""
        message = rakp.parse_rakp1(payload)
        if message is None:
            return
        half = self._half.get(message.system_id)
        if half is None or half.busy or half.address != peer.address:
            return
        status = self._refused(message)
        if status is not Status.OK:
            peer.send(wrap_plain(Payload.RAKP_2, rakp.refusal(message.tag, status, half.request.console_id)))
        elif half.rakp1 is None:
            self._work(half, self._look_up(half, message, peer))
        elif half.exchange is not None and half.rakp1._replace(tag=message.tag) == message:
            self._work(half, self._answer_again(half, message, peer))

    @staticmethod
    def _refused(message: Rakp1) -> Status:
        """What is wrong with a message, whoever sends it."""
        if len(message.name) > rakp.LONGEST_NAME:
            return Status.INVALID_NAME_LENGTH
        return Status.OK if message.level == 0 or message.level in _LEVELS else Status.INVALID_ROLE

    async def _look_up(self, half: HalfOpen, message: Rakp1, peer: Peer) -> None:
        due = time.monotonic() + ANSWER_SECONDS
        try:
            half.known = await self._users.find(message.name, peer.address)
        except UbmcError as error:
            log.warning("nobody can log in over IPMI now", extra={"error": error.message})
            refusal = rakp.refusal(message.tag, Status.NO_RESOURCES, half.request.console_id)
            peer.send(wrap_plain(Payload.RAKP_2, refusal))
            return
        key = half.known.key if half.known is not None else self._nobodys_key(message.name)
        half.rakp1 = message
        half.exchange = Exchange(
            suite=half.suite,
            console_id=half.request.console_id,
            system_id=half.system_id,
            console_random=message.random,
            system_random=secrets.token_bytes(rakp.RANDOM),
            guid=self._guid(),
            role=message.role,
            name=message.name,
            key=key,
        )
        answer = wrap_plain(Payload.RAKP_2, rakp.rakp2(message.tag, half.exchange))
        await _until(due)
        peer.send(answer)

    async def _answer_again(self, half: HalfOpen, message: Rakp1, peer: Peer) -> None:
        assert half.exchange is not None
        await asyncio.sleep(ANSWER_SECONDS)
        peer.send(wrap_plain(Payload.RAKP_2, rakp.rakp2(message.tag, half.exchange)))

    def _nobodys_key(self, name: bytes) -> bytes:
        """A key for a name without an account, as constant as that of an account, and known to nobody."""
        return hmac.digest(self._secret, name, "sha256")[: rakp.LONGEST_KEY]

    # --- RAKP 3 and 4 ---------------------------------------------------------------------------------------------

    def rakp3(self, payload: bytes, peer: Peer) -> None:
        """Answer a RAKP message 3 (Spec section 13.22)."""
        message = rakp.parse_rakp3(payload)
        if message is None:
            return
        half = self._half.get(message.system_id)
        if half is None:
            self._again_open(message, peer)
        elif half.exchange is not None and not half.busy and half.address == peer.address:
            self._work(half, self._finish(half, message, half.exchange, peer))

    def _again_open(self, message: Rakp3, peer: Peer) -> None:
        """Say once more that a session is open, to a client that did not hear it."""
        session = self._sessions.get(message.system_id)
        if session is None or session.exchange is None or message.status != Status.OK:
            return
        if hmac.compare_digest(session.exchange.code_3(), message.code):
            answer = rakp.rakp4(message.tag, session.exchange, session.exchange.sik())
            peer.send(wrap_plain(Payload.RAKP_4, answer))

    async def _finish(self, half: HalfOpen, message: Rakp3, exchange: Exchange, peer: Peer) -> None:
        due = time.monotonic() + ANSWER_SECONDS
        del self._half[half.system_id]  # there is one try
        right = message.status == Status.OK and hmac.compare_digest(exchange.code_3(), message.code)
        if not right or half.known is None:
            await self._refuse(half, message, peer, due)
            return
        try:
            session = await self._make(half, half.known, exchange, peer)
        except Denied:
            status = Status.UNAUTHORIZED_ROLE
        except Exhausted:
            status = Status.NO_RESOURCES_FOR_ROLE
        except UbmcError as error:
            log.warning("nobody can log in over IPMI now", extra={"error": error.message})
            status = Status.NO_RESOURCES
        else:
            self._sessions.add(session)
            self._remember(session)
            sik = exchange.sik()
            await _until(due)
            peer.send(wrap_plain(Payload.RAKP_4, rakp.rakp4(message.tag, exchange, sik)))
            return
        peer.send(wrap_plain(Payload.RAKP_4, rakp.refusal(message.tag, status, half.request.console_id)))

    def _remember(self, session: Session) -> None:
        self._came_in[session.facts.user, session.facts.source] = session.facts.since
        if len(self._came_in) > self._limits.half_open:
            self._came_in.popitem(last=False)

    async def _refuse(self, half: HalfOpen, message: Rakp3, peer: Peer, due: float) -> None:
        """A wrong secret, or nobody's name. A client that found out by RAKP 2 says so and wants no answer."""
        failed = asyncio.create_task(self._users.failed(half.known.name if half.known else "", peer.address))
        await _until(due)
        if message.status == Status.OK:
            refusal = rakp.refusal(message.tag, Status.INVALID_INTEGRITY_CHECK, half.request.console_id)
            peer.send(wrap_plain(Payload.RAKP_4, refusal))
        await failed

    async def _make(self, half: HalfOpen, known: Known, exchange: Exchange, peer: Peer) -> Session:
        limit = Level(exchange.role & 0x0F or known.level)
        if limit > known.level:
            raise Denied("this account may not have that privilege level")
        if not self._sessions.room(peer.address, known.name):
            raise Exhausted("there are too many IPMI sessions")
        proof = await self._users.exchange(known.name, Level.USER, peer.address)
        if not self._sessions.room(peer.address, known.name):  # others have come in meanwhile
            await self._users.end(proof.session)
            raise Exhausted("there are too many IPMI sessions")
        now = time.monotonic()
        facts = SessionFacts(
            handle=self._sessions.new_handle(),
            session_id=half.system_id,
            remote_id=half.request.console_id,
            user=known.name,
            user_id=known.user_id,
            source=peer.address,
            port=peer.port,
            limit=limit,
            since=now,
            cipher_suite=half.suite.id,
        )
        channel = SecureChannel(Sealer(half.suite, *exchange.keys(exchange.sik())), half.request.console_id)
        identity = SessionIdentity(self._users, facts, proof)
        log.info("an IPMI session began", extra={"user": facts.user, "source": facts.source, "level": limit.name})
        return Session(facts, channel, identity, exchange, peer, used=now, renewed=now)

    # --- work in the background ------------------------------------------------------------------------------------

    def _work(self, half: HalfOpen, coroutine: Coroutine[Any, Any, None]) -> None:
        if len(self._tasks) >= self._limits.asking:
            coroutine.close()  # too many at once: the client sends it again
            return
        half.busy = True
        task = asyncio.create_task(self._worked(half, coroutine))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(lambda _: coroutine.close())  # it may have been cancelled before it began

    @staticmethod
    async def _worked(half: HalfOpen, coroutine: Coroutine[Any, Any, None]) -> None:
        try:
            await coroutine
        except Exception:
            log.exception("a bug: an IPMI session could not be opened")
        finally:
            half.busy = False

    def sweep(self, now: float) -> None:
        """Forget those that took too long."""
        while self._half and next(iter(self._half.values())).until <= now:
            self._given_up(self._half.popitem(last=False)[1])

    def _given_up(self, half: HalfOpen) -> None:
        """Count one that got RAKP 2 and did not go on."""
        if half.exchange is None or len(self._counting) >= self._limits.asking:
            return
        name = half.known.name if half.known is not None else ""
        if self._came_in.get((name, half.address), 0.0) < half.until - self._limits.half_open_seconds:
            task = asyncio.create_task(self._users.failed(name, half.address))
            self._counting.add(task)
            task.add_done_callback(self._counting.discard)

    async def close(self) -> None:
        """Forget all."""
        self._half.clear()
        for task in (*self._tasks, *self._counting):
            task.cancel()
        await asyncio.gather(*self._tasks, *self._counting, return_exceptions=True)


async def _until(due: float) -> None:
    await asyncio.sleep(max(0.0, due - time.monotonic()))
