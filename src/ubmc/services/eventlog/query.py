"""Filters, page tokens and cursors: what a request asks for, as SQL and numbers. Pure."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from ubmc.kit.pages import wrong
from ubmc.services.eventlog.record import microseconds
from ubmc.v1alpha1.event_pb import EventFilter

_MAX_DIGITS = 18


@dataclass(frozen=True, slots=True)
class Condition:
    """Which rows are wanted."""

    sql: str
    parameters: tuple[str | int, ...]


def condition(wanted: EventFilter | None) -> Condition:
    """The rows that fulfil everything the filter sets."""
    terms = ["1"]
    parameters: list[str | int] = []

    def add(term: str, *values: str | int) -> None:
        terms.append(term)
        parameters.extend(values)

    if wanted is not None:
        if wanted.severity.value:
            add("severity >= ?", wanted.severity.value)
        for column, name in (("component", wanted.component), ("message_id", wanted.message_id)):
            if name:  # "/" comes right after "."
                term = f"({column} = ? OR ({column} > ? AND {column} < ?))"
                add(term, name, f"{name}.", f"{name}/")
        if wanted.since is not None:
            add("time_us >= ?", microseconds(wanted.since))
        if wanted.until is not None:
            add("time_us < ?", microseconds(wanted.until))
    return Condition(" AND ".join(terms), tuple(parameters))


@dataclass(frozen=True, slots=True)
class Paging:
    """The pages of one query. A token of it says behind which event the next page begins."""

    epoch: str
    wanted: EventFilter | None
    newest_first: bool

    def token(self, last: int) -> str:
        """The token of the page behind the event with this id."""
        return f"{self.epoch}.{last}.{self._digest()}"

    def position(self, token: str) -> int | None:
        """The id behind which the page begins; None for the first page.

        Raises:
            Invalid: the token is not of this query, or the log was rebuilt since.
        """
        if not token:
            return None
        epoch, _, rest = token.partition(".")
        digits, _, digest = rest.partition(".")
        position = _number(digits)
        if position is None or digest != self._digest():
            raise wrong("pageToken", "the token belongs to another query: filter and order stay the same")
        if epoch != self.epoch:
            raise wrong("pageToken", "the log was rebuilt since; begin at the first page again")
        return position

    def _digest(self) -> str:
        wanted = self.wanted.to_binary() if self.wanted is not None else b""
        return hashlib.blake2b(bytes([self.newest_first]) + wanted, digest_size=6).hexdigest()


def cursor(epoch: str, position: int) -> str:
    """Where a watcher resumes after the event with this id."""
    return f"{epoch}:{position}"


def parsed(text: str) -> tuple[str, int]:
    """The log and the id that a cursor of ours names; no log and 0 for any other text."""
    epoch, _, digits = text.partition(":")
    position = _number(digits)
    return (epoch, position) if position is not None else ("", 0)


def resume(text: str, epoch: str, newest: int) -> int:
    """The id behind which a watcher goes on; 0, the oldest event there is, when the cursor is of another log.

    Args:
        text: the cursor; empty means behind the newest event.
        epoch: of this log.
        newest: the id of the newest event of this log.

    Raises:
        Invalid: it is no cursor.
    """
    if not text:
        return newest
    known, _, digits = text.partition(":")
    position = _number(digits)
    if position is None:
        raise wrong("cursor", "give the cursor of the last event received, or none")
    return position if known == epoch and position <= newest else 0


def _number(digits: str) -> int | None:
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) <= _MAX_DIGITS else None
