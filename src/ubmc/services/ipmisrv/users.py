"""What the IPMI door asks usermgr: secrets of accounts, proofs of who somebody is, and that a login failed."""

from __future__ import annotations

import contextlib
import logging
import time
from dataclasses import dataclass, field
from typing import Protocol

from ubmc.kit.bus import Bus
from ubmc.kit.errors import NotFound, UbmcError
from ubmc.protocols.ipmi.codes import Level
from ubmc.v1alpha1.session_pb import EndIpmiSessionRequest, ExchangeIpmiRequest, ReportIpmiFailureRequest
from ubmc.v1alpha1.session_rpc import SessionService
from ubmc.v1alpha1.user_pb import GetIpmiKeyRequest
from ubmc.v1alpha1.user_rpc import UserService

log = logging.getLogger("ubmc.ipmisrv")

CALLS = (
    UserService.GetIpmiKey,
    SessionService.ExchangeIpmi,
    SessionService.EndIpmiSession,
    SessionService.ReportIpmiFailure,
)


@dataclass(frozen=True, slots=True)
class Known:
    """An account that can use IPMI now."""

    name: str
    key: bytes = field(repr=False)
    user_id: int
    level: Level
    """The highest privilege level that it may have."""


@dataclass(frozen=True, slots=True)
class Proof:
    """A signed principal, limited to a privilege level."""

    signed: bytes = field(repr=False)
    session: str
    """The id of the session as usermgr has it."""
    level: Level
    until: float
    """Monotonic seconds at which it is to be asked anew."""


class Accounts(Protocol):
    """Who can log in."""

    async def find(self, name: bytes, address: str) -> Known | None:
        """The account of a name; None for whatever reason there is none that could log in from there now.

        Raises:
            UbmcError: it cannot be said now.
        """
        ...

    async def exchange(self, name: str, level: Level, address: str, session: str = "") -> Proof:
        """Open a session of an account, or prove anew who has one.

        Args:
            name: the account.
            level: what the proof is good for.
            address: where it is used from.
            session: the one that there is; empty: a new one.

        Raises:
            UbmcError: the answer is no, or cannot be given now.
        """
        ...

    async def end(self, session: str) -> None:
        """End a session."""
        ...

    async def failed(self, name: str, address: str) -> None:
        """Count a failed login; no name: of nobody."""
        ...


class Users:
    """Usermgr, as the IPMI door sees it."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def find(self, name: bytes, address: str) -> Known | None:
        """As `Accounts` says."""
        try:
            asked = name.decode("ascii")
            request = GetIpmiKeyRequest(name=asked or "-", source=address)  # no account is called so
            answer = await self._bus.ask(UserService.GetIpmiKey, request)
        except (NotFound, UnicodeDecodeError):
            return None
        return Known(asked, answer.key, answer.ipmi_user_id, Level(answer.privilege_level))

    async def exchange(self, name: str, level: Level, address: str, session: str = "") -> Proof:
        """As `Accounts` says."""
        began = time.monotonic()
        request = ExchangeIpmiRequest(name=name, privilege_level=level, source=address, session=session)
        answer = await self._bus.ask(SessionService.ExchangeIpmi, request)
        return Proof(answer.principal, answer.session, level, began + answer.keep_seconds)

    async def end(self, session: str) -> None:
        """As `Accounts` says; should usermgr be away, the session ends there by its own limits."""
        with contextlib.suppress(UbmcError):
            await self._bus.ask(SessionService.EndIpmiSession, EndIpmiSessionRequest(session=session))

    async def failed(self, name: str, address: str) -> None:
        """As `Accounts` says."""
        try:
            await self._bus.ask(SessionService.ReportIpmiFailure, ReportIpmiFailureRequest(name=name, source=address))
        except UbmcError as error:
            log.warning("a failed IPMI login could not be counted", extra={"error": error.message})
