"""One table of commands, and the rules that hold for all of them before a handler sees its request.

The order is: known at all (C1h) -> at this LUN (C2h) -> allowed here (before a session, from the guest; D4h) ->
privilege (D4h) -> length (C7h) -> handler. A handler gets the bytes after the command and returns the bytes after the
completion code.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Protocol

from ubmc.kit import call as calls
from ubmc.kit import tracing
from ubmc.kit.bus import Bus
from ubmc.kit.call import Call
from ubmc.kit.errors import FACES, UbmcError
from ubmc.kit.tracing import Trace
from ubmc.protocols.ipmi.codes import Code, Completion, Group, Level, NetFn
from ubmc.rpc import Req, Res, Unary

log = logging.getLogger("ubmc.ipmisrv")

CALL_SECONDS = 4.0
"""For each call that a handler makes."""
COMMAND_SECONDS = 5.0
"""For a command in all: clients give up after 5 to 20 s and repeat themselves meanwhile."""
LONGEST = 240
"""More bytes than fit into any request (Spec table 6-9 has 32 to 255 for a message)."""


@dataclass(slots=True)
class SessionFacts:
    """What handlers may know about a session."""

    handle: int
    """1 to 254, as in Get Session Info (Spec table 22-25)."""
    session_id: int
    """The one that the managed system chose (Spec section 6.12.8)."""
    remote_id: int
    user: str
    user_id: int
    source: str
    """The address of the remote console."""
    port: int
    limit: Level
    """The highest level it may ask for: the smaller of the user's, the channel's and what was asked for."""
    level: Level = Level.USER
    """The level it has now (Spec section 22.18, Set Session Privilege Level)."""
    since: float = 0.0
    """Monotonic seconds."""
    cipher_suite: int = 17


class Identity(Protocol):
    """Whose permission a session has; it is asked anew before each call, because proofs live for seconds."""

    async def signed(self) -> bytes:
        """The signed principal, limited to the session's level.

        Raises:
            UbmcError: usermgr is away, or the session has been ended there.
        """
        ...


@dataclass(slots=True)
class Context:
    """Where a request came from, and what may be done for it."""

    bus: Bus
    channel: int
    """LAN_CHANNEL or SYSTEM_INTERFACE."""
    lun: int = 0
    level: Level = Level.NONE
    """The privilege level that counts for this request; NONE before a session."""
    session: SessionFacts | None = None
    identity: Identity | None = field(default=None, repr=False)
    source: str = ""
    """The network address; `guest` for the guest."""
    host: str = "host.0"
    """Which host it is about: IPMI knows one, and a guest is its own."""
    clock: Callable[[], float] = time.monotonic
    after: list[Callable[[], None]] = field(default_factory=list)
    """What is done once the answer has been sent: a session that closes itself is still answered."""

    @property
    def inband(self) -> bool:
        """It came from the guest."""
        return self.session is None and self.level is not Level.NONE

    async def ask(self, token: Unary[Req, Res], request: Req, *, timeout: float = CALL_SECONDS, key: str = "") -> Res:
        """Make a call: as the session's user; for the guest as the IPMI door itself, whose calls the bus limits.

        Raises:
            UbmcError: what the service answered.
            Completion: D4h, there is nobody for whom it could be made.
        """
        call = await self.call(timeout, key)
        if call.principal is None:
            return await self.bus.ask(token, request, timeout=timeout, key=key)
        marked = calls.current.set(call)  # so that news told meanwhile name the cause
        try:
            return await self.bus.forward(token, request, call)
        finally:
            calls.current.reset(marked)

    async def call(self, timeout: float = CALL_SECONDS, key: str = "") -> Call:
        """Whose call it is: of the session's user, or of the guest, who is nobody.

        Raises:
            UbmcError: who it is cannot be proven now.
            Completion: D4h, there is no session.
        """
        if self.identity is None and not self.inband:
            raise Completion(Code.INSUFFICIENT_PRIVILEGE, "there is no session")
        signed = await self.identity.signed() if self.identity is not None else b""
        principal = self.bus.verifier.verify(signed) if signed else None
        trace = tracing.current.get() or Trace.new()
        return Call(self.clock() + timeout, trace, key, self.source, signed, principal)


Handler = Callable[[Context, bytes], Awaitable[bytes] | bytes]
"""One that waits for nothing is a plain function and answers at once; every other is a coroutine function."""

_READS = ("Get ", "Read ", "Reserve ")
"""How the specification begins the names of commands that change nothing."""
_OK = b"\x00"
_BUG = bytes((Code.UNSPECIFIED,))


@dataclass(frozen=True, slots=True)
class Command:
    """One command of IPMI, as Spec appendix G has it."""

    netfn: int
    """The network function of the request, even."""
    number: int
    name: str
    """As the specification calls it."""
    level: Level
    """The lowest privilege level (Spec table G-1). NONE: also before a session."""
    handler: Handler = field(repr=False)
    shortest: int = 0
    """Bytes after the command; for a group extension, after the byte that names the group."""
    longest: int = 0
    """At most so many; less than `shortest` means: exactly `shortest`."""
    inband: bool = False
    """The guest may, by default; a policy can allow it more."""
    calls: str = ""
    """The RPC behind it, for the documentation."""
    group: int | None = None
    """The defining body, for `NetFn.GROUP`; the byte is taken off the request and put before the answer."""

    @property
    def key(self) -> tuple[int, int, int | None]:
        """By which it is found."""
        return self.netfn, self.number, self.group

    @property
    def changes(self) -> bool:
        """Whether it may change something, by its name."""
        return not self.name.startswith(_READS)


class Table:
    """All commands that are answered.

    Raises `ValueError` if two commands have the same number.
    """

    def __init__(self, commands: Iterable[Command], *, guest_may: Callable[[Command], bool] | None = None) -> None:
        """Make it.

        Args:
            commands: what is answered.
            guest_may: the policy for commands of the guest; by default what each command says of itself.
        """
        found: dict[tuple[int, int, int | None], Command] = {}
        for command in commands:
            if command.key in found:
                raise ValueError(f"{command.name} and {found[command.key].name} have the same number")
            found[command.key] = command
        self._commands: Mapping[tuple[int, int, int | None], Command] = MappingProxyType(found)
        self._guest_may = guest_may or (lambda command: command.inband)

    def __iter__(self) -> Iterator[Command]:
        """The commands in the order of their numbers."""
        return iter(sorted(self._commands.values(), key=lambda each: (each.netfn, each.group or 0, each.number)))

    def find(self, netfn: int, number: int, group: int | None = None) -> Command | None:
        """The command of these numbers."""
        return self._commands.get((netfn, number, group))

    def allowed(self, command: Command, level: Level, *, inband: bool) -> bool:
        """Whether somebody of this level may."""
        return self._guest_may(command) if inband else level >= command.level

    def begin(self, context: Context, netfn: int, number: int, data: bytes) -> bytes | Coroutine[Any, Any, bytes]:
        """The answer to a request, completion code and data; or what to await for it. Raises only when cancelled."""
        prefix = b""
        try:
            group = None
            if netfn == NetFn.GROUP:
                if not data:
                    return bytes((Code.LENGTH_INVALID,))
                group, prefix, data = data[0], data[:1], data[1:]
            command = self._commands.get((netfn, number, group))
            if command is None:
                raise Completion(Code.INVALID_COMMAND)
            self._admit(command, context, len(data))
            answer = command.handler(context, data)
        except (Completion, UbmcError) as error:
            return _code(error) + prefix + _data(error)
        except Exception:
            log.exception("a bug: an IPMI command failed", extra={"netfn": netfn, "command": number})
            return _BUG + prefix
        if isinstance(answer, bytes):
            return _OK + prefix + answer
        return _finish(answer, prefix, command)

    async def answer(self, context: Context, netfn: int, number: int, data: bytes) -> bytes:
        """The answer to a request: completion code and data. Never raises but when cancelled."""
        answer = self.begin(context, netfn, number, data)
        return answer if isinstance(answer, bytes) else await answer

    def _admit(self, command: Command, context: Context, length: int) -> None:
        if context.lun and command.netfn != NetFn.SENSOR:  # only sensors are numbered anew on each
            raise Completion(Code.INVALID_FOR_LUN)
        if not self.allowed(command, context.level, inband=context.inband):
            raise Completion(Code.INSUFFICIENT_PRIVILEGE)
        if not command.shortest <= length <= max(command.shortest, command.longest):
            raise Completion(Code.LENGTH_INVALID)


async def _finish(answer: Awaitable[bytes], prefix: bytes, command: Command) -> bytes:
    try:
        with tracing.span(f"ipmi {command.name}", Trace.new()):
            async with asyncio.timeout(COMMAND_SECONDS):
                return _OK + prefix + await answer
    except (Completion, UbmcError, TimeoutError) as error:
        return _code(error) + prefix + _data(error)
    except Exception:
        log.exception("a bug: an IPMI command failed", extra={"netfn": command.netfn, "command": command.number})
        return _BUG + prefix


def _data(error: Completion | UbmcError | TimeoutError) -> bytes:
    """What follows the completion code."""
    return error.data if isinstance(error, Completion) else b""


def _code(error: Completion | UbmcError | TimeoutError) -> bytes:
    """The completion code of what a handler raised."""
    match error:
        case Completion():
            return bytes((error.code,))
        case UbmcError():
            return bytes((FACES[error.name].ipmi,))
        case _:
            return bytes((Code.TIMEOUT,))


__all__ = [
    "Code",
    "Command",
    "Completion",
    "Context",
    "Group",
    "Handler",
    "Identity",
    "Level",
    "NetFn",
    "SessionFacts",
    "Table",
]
