"""Open sessions: who they are, in which order they are answered, and how they end."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections import deque
from collections.abc import Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from ubmc.kit.addresses import address_key
from ubmc.kit.errors import UbmcError
from ubmc.protocols.ipmi.message import Request
from ubmc.protocols.ipmi.rakp import Exchange
from ubmc.protocols.ipmi.session import Repeats, SecureChannel
from ubmc.services.ipmisrv.dispatch import SessionFacts
from ubmc.services.ipmisrv.endpoint import Peer
from ubmc.services.ipmisrv.limits import Limits
from ubmc.services.ipmisrv.users import Accounts, Proof

log = logging.getLogger("ubmc.ipmisrv")

HANDLES = 254
"""Session handles are 1 to 254 (Spec table 22-25)."""
RENEW_SECONDS = 20.0
"""A session that is used says so to usermgr this often, which ends it when it hears nothing for a minute."""


class SessionsView(Protocol):
    """What commands may know about all sessions."""

    @property
    def limit(self) -> int:
        """How many there may be."""
        ...

    def active(self) -> Sequence[SessionFacts]:
        """Those that are open, in the order of their handles."""
        ...

    def traffic(self) -> int:
        """How many valid RMCP packets have come since the door was opened."""
        ...


class SessionIdentity:
    """The proof of who a session is, asked anew when it has become old or the level has changed.

    Args:
        users: who can log in.
        facts: of the session.
        proof: from the login.
    """

    def __init__(self, users: Accounts, facts: SessionFacts, proof: Proof) -> None:
        self._users = users
        self._facts = facts
        self._proof = proof
        self._asking = asyncio.Lock()

    @property
    def session(self) -> str:
        """The id of the session as usermgr has it."""
        return self._proof.session

    async def signed(self) -> bytes:
        """The signed principal.

        Raises:
            UbmcError: usermgr is away, or the session has been ended there.
        """
        async with self._asking:
            level = self._facts.level
            if self._proof.level is not level or self._proof.until <= time.monotonic():
                self._proof = await self._users.exchange(
                    self._facts.user, level, self._facts.source, self._proof.session
                )
            return self._proof.signed


@dataclass(slots=True, eq=False)
class Session:
    """One open session."""

    facts: SessionFacts
    channel: SecureChannel = field(repr=False)
    identity: SessionIdentity = field(repr=False)
    exchange: Exchange | None = field(repr=False)
    """How it was opened, for as long as the client may not have heard that it is."""
    peer: Peer
    """Where it last spoke from; what we send unasked goes there."""
    used: float
    """Monotonic seconds."""
    renewed: float
    repeats: Repeats = field(default_factory=Repeats)
    waiting: deque[tuple[Request, Peer]] = field(default_factory=deque)
    running: asyncio.Task[None] | None = None
    closing: dict[object, Callable[[], None]] = field(default_factory=dict)
    """What else ends with it, and how."""

    def send(self, kind: int, payload: bytes, peer: Peer | None = None) -> None:
        """Send a payload, by default to where the session last spoke from."""
        (peer or self.peer).send(self.channel.seal(kind, payload))


class Sessions:
    """All open sessions.

    Args:
        users: who can log in.
        limits: how many there may be.
    """

    def __init__(self, users: Accounts, limits: Limits) -> None:
        self._users = users
        self._limits = limits
        self._by_id: dict[int, Session] = {}
        self._by_handle: dict[int, Session] = {}
        self._last_handle = 0
        self.packets = 0
        """Valid RMCP packets that have come."""
        self._tasks: set[asyncio.Task[None]] = set()

    def __iter__(self) -> Iterator[Session]:
        """The open ones."""
        return iter(tuple(self._by_id.values()))

    @property
    def limit(self) -> int:
        """How many there may be."""
        return self._limits.sessions

    def active(self) -> Sequence[SessionFacts]:
        """Those that are open, in the order of their handles."""
        return [self._by_handle[handle].facts for handle in sorted(self._by_handle)]

    def traffic(self) -> int:
        """How many valid RMCP packets have come since the door was opened."""
        return self.packets

    def get(self, session_id: int) -> Session | None:
        """The session of this id."""
        return self._by_id.get(session_id)

    def by_handle(self, handle: int) -> Session | None:
        """The session of this handle."""
        return self._by_handle.get(handle)

    def room(self, address: str, user: str = "") -> bool:
        """Whether there may be one more."""
        facts = [session.facts for session in self._by_id.values()]
        key = address_key(address)
        return (
            len(facts) < self._limits.sessions
            and sum(address_key(each.source) == key for each in facts) < self._limits.per_address
            and (not user or sum(each.user == user for each in facts) < self._limits.per_user)
        )

    def new_id(self, taken: Callable[[int], bool]) -> int:
        """A session id that nobody can guess; 0 is none."""
        while True:
            session_id = secrets.randbits(32)
            if session_id and session_id not in self._by_id and not taken(session_id):
                return session_id

    def new_handle(self) -> int:
        """The next handle that is free, in turn, so that one is not soon somebody else's."""
        for step in range(1, HANDLES + 1):
            handle = (self._last_handle + step - 1) % HANDLES + 1
            if handle not in self._by_handle:
                self._last_handle = handle
                return handle
        raise RuntimeError("more sessions than handles")

    def add(self, session: Session) -> None:
        """Take it in."""
        self._by_id[session.facts.session_id] = session
        self._by_handle[session.facts.handle] = session

    def close(self, session: Session, why: str, *, told: bool = False) -> None:
        """End a session and all that belongs to it.

        Args:
            session: which.
            why: for the log.
            told: usermgr knows already.
        """
        if self._by_id.pop(session.facts.session_id, None) is None:
            return
        del self._by_handle[session.facts.handle]
        session.waiting.clear()
        for end in tuple(session.closing.values()):
            end()
        if session.running is not None and session.running is not asyncio.current_task():
            session.running.cancel()
        log.info(
            "an IPMI session ended", extra={"user": session.facts.user, "source": session.facts.source, "why": why}
        )
        if not told:
            self._spawn(self._users.end(session.identity.session))

    def close_at_usermgr(self, identifier: str) -> None:
        """End the session that usermgr has ended under its own id."""
        for session in self:
            if session.identity.session == identifier:
                self.close(session, "ended by usermgr", told=True)

    def sweep(self, now: float) -> None:
        """End sessions that have been idle too long, and keep those that are used alive at usermgr."""
        for session in self:
            if now - session.used > self._limits.idle_seconds:
                self.close(session, "idle")
                continue
            if session.exchange is not None and now - session.facts.since > self._limits.half_open_seconds:
                session.exchange = None
            if now - session.renewed > RENEW_SECONDS and session.used > session.renewed:
                session.renewed = now
                self._spawn(self._renew(session))

    async def _renew(self, session: Session) -> None:
        try:
            await session.identity.signed()
        except UbmcError as error:
            if error.name == "unauthenticated":
                self.close(session, "ended by usermgr", told=True)

    def _spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def end_all(self, seconds: float) -> None:
        """End all, and give usermgr some time to hear of it."""
        for session in self:
            self.close(session, "the IPMI door closes")
        if self._tasks:
            _done, late = await asyncio.wait(self._tasks, timeout=seconds)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
