"""What is told of a console: who came and went, who wrote, and what was seen in its bytes."""

from __future__ import annotations

from typing import Any, Protocol

from protobuf import Message

from ubmc.protocols import console as frames
from ubmc.services.consolesrv.attachment import Attachment, Who
from ubmc.services.consolesrv.sights import Seen
from ubmc.v1alpha1.console_pb import (
    ConsoleAttach,
    ConsoleDetach,
    ConsoleSight,
    ConsoleSighting,
    ConsoleTakeOver,
    ConsoleWrite,
)
from ubmc.v1alpha1.console_rpc import ConsoleService
from ubmc.v1alpha1.event_kind_pb import Severity
from ubmc.v1alpha1.host_pb import Cause
from ubmc.v1alpha1.system_pb import AuditedCall

TOLD = (ConsoleAttach, ConsoleDetach, ConsoleTakeOver, ConsoleWrite, ConsoleSighting)


class Tell(Protocol):
    """How news are told."""

    def __call__(
        self, component: str, news: Message[Any], *, severity: Severity = ..., cause: Cause | None = ...
    ) -> object:
        """Tell it; never waits."""


class News:
    """Tells of one console."""

    def __init__(self, name: str, tell: Tell) -> None:
        self._name = name
        self._tell = tell

    def attached(self, who: Who) -> None:
        """Somebody came."""
        self._by(who.user, ConsoleAttach(name=self._name, user=who.user, door=who.door, source=who.source))

    def detached(self, attachment: Attachment) -> None:
        """Somebody left."""
        who = attachment.who
        news = ConsoleDetach(name=self._name, user=who.user, door=who.door, source=who.source)
        news.read_bytes, news.written_bytes = attachment.read_bytes, attachment.written_bytes
        self._by(who.user, news)

    def taken(self, user: str, source: str, before: str) -> None:
        """The right to write went from one to another."""
        self._by(user, ConsoleTakeOver(name=self._name, user=user, before=before, source=source))

    def wrote(self, who: Who) -> None:
        """Somebody wrote, for the first time."""
        self._by(who.user, ConsoleWrite(name=self._name, user=who.user, door=who.door, source=who.source))

    def signalled(self, who: Who, signal: frames.Break | frames.SysRq, outcome: str) -> None:
        """Somebody wanted to send a BREAK or a SysRq: in the audit trail as the call that does the same."""
        token = ConsoleService.SendConsoleBreak if isinstance(signal, frames.Break) else ConsoleService.SendConsoleSysRq
        record = AuditedCall(user=who.user, source=who.source, outcome=outcome, target=self._name)
        record.method = f"{token.short}.{token.method}"
        self._by(who.user, record)

    def seen(self, seen: Seen) -> None:
        """Something was seen."""
        news = ConsoleSighting(name=self._name, sight=seen.sight, progress=seen.progress, text=seen.text)
        grave = seen.sight is ConsoleSight.PANIC
        self._tell(self._name, news, severity=Severity.CRITICAL if grave else Severity.UNSPECIFIED)

    def _by(self, user: str, news: Message[Any]) -> None:
        self._tell(self._name, news, cause=Cause(kind="user", user=user))
