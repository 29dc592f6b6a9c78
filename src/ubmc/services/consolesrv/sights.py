"""What is seen in the bytes of a console: how far a boot has come, a login prompt, a panic. Pure.

What the host writes is hostile: lines are bounded, escape sequences are taken out, and patterns come from the board
file alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from ubmc.v1alpha1.console_pb import ConsoleSight
from ubmc.v1alpha1.host_pb import BootProgress

LONGEST_LINE = 256
LONGEST_TEXT = 120
QUIET_SECONDS = 5.0
"""The same thing seen again within so long is not told again."""

# ECMA-48 sections 5.4 (control sequences) and 5.6 (strings), and two-character escapes.
_ESCAPES = re.compile(
    rb"\x1b(?:\[[0-?]*[ -/]*[@-~]|[\]PX^_][^\x07\x1b]{0,200}(?:\x07|\x1b\\)|[ -/]*[0-~])"
    rb"|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]"
)
_ENDS = re.compile(rb"[\r\n]+")


@dataclass(frozen=True, slots=True)
class SightPlan:
    """What to look for."""

    sight: ConsoleSight
    pattern: str
    """A regular expression; it is looked for in each line, also in one that has not ended yet."""
    progress: BootProgress = BootProgress.UNSPECIFIED


@dataclass(frozen=True, slots=True)
class Seen:
    """Something was seen."""

    sight: ConsoleSight
    progress: BootProgress
    """How far the boot has come, if this shows it."""
    text: str


class Watcher:
    """Looks at the bytes of one console as they come."""

    def __init__(self, plans: Iterable[SightPlan]) -> None:
        self._plans = tuple((plan, re.compile(plan.pattern.encode())) for plan in plans)
        self._line = b""
        self._found: set[SightPlan] = set()  # in the line that has not ended
        self._told: dict[SightPlan, float] = {}

    def feed(self, data: bytes, now: float) -> Iterator[Seen]:
        """Look at bytes; `now` is in monotonic seconds."""
        *lines, rest = _ENDS.split(self._line + data)
        for line in lines:
            yield from self._look(line[:LONGEST_LINE], now)
            self._found.clear()
        self._line = rest[-LONGEST_LINE:]
        if rest:
            yield from self._look(self._line, now)

    def forget(self) -> None:
        """What comes next has nothing to do with what came before."""
        self._line = b""
        self._found.clear()
        self._told.clear()

    def _look(self, line: bytes, now: float) -> Iterator[Seen]:
        clean = _ESCAPES.sub(b"", line)
        due: list[SightPlan] = []
        for plan, pattern in self._plans:
            if plan in self._found or not pattern.search(clean):
                continue
            self._found.add(plan)
            if now - self._told.get(plan, -QUIET_SECONDS) >= QUIET_SECONDS:
                due.append(plan)
            self._told[plan] = now
        text = clean.strip()[:LONGEST_TEXT].decode("utf-8", "replace")
        for sight, progress in _joined(due):
            yield Seen(sight, progress, text)


def _joined(due: Iterable[SightPlan]) -> list[tuple[ConsoleSight, BootProgress]]:
    """What to tell of one line: a login prompt that shows that the system runs is one thing, not two."""
    found = [(plan.sight, plan.progress) for plan in due]
    boots = [each for each in found if each[0] is ConsoleSight.BOOT_PROGRESS]
    others = [each for each in found if each[0] is not ConsoleSight.BOOT_PROGRESS]
    if not (boots and others):
        return found
    return [*boots[:-1], (others[0][0], boots[-1][1]), *others[1:]]
