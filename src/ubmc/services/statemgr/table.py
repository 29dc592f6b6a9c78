"""What the tables of hosts and chassis are made of. Pure data: no clock, no hardware, no bus.

A table says for every phase and every event what follows: a `Step`, a `Refusal`, `BUSY` or `JOIN`. Events are requests
(somebody wants something; each kind of component has its own) and facts (something is so; the same for all).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType
from typing import Generic, TypeVar

from ubmc.v1alpha1.internal_pb import PowerLevel

P = TypeVar("P", bound=Enum)  # phases of one kind of component
R = TypeVar("R", bound=Enum)  # requests to it


class Fact(Enum):
    """What happens, asked for or not."""

    SEEN_ON = "power is seen on"
    SEEN_OFF = "power is seen off"
    SEEN_UNKNOWN = "power cannot be read"
    MAINS_LOST = "mains is lost, and power with it"
    DRIVEN = "the wires were driven"
    DRIVE_FAILED = "the wires could not be driven"
    TIMEOUT = "patience is over"


class Effect(Enum):
    """What a step makes us do."""

    NONE = "nothing"
    LOOK = "look at the level again"
    """The level that the phase waits for may be there already, so that no change of it will come."""
    DRIVE_ON = "drive on"
    SOFT_OFF = "ask to shut down"
    FORCE_OFF = "cut"
    RESET = "reset"
    NMI = "interrupt"


class Verdict(Enum):
    """What a step says about the task that runs."""

    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    """The request that makes the step takes its place."""


class Where(Enum):
    """Targets of a step that are no phase of their own."""

    HERE = "stay"
    AS_SEEN = "as the level says"


HERE = Where.HERE
AS_SEEN = Where.AS_SEEN


@dataclass(frozen=True, slots=True)
class Step(Generic[P]):
    """Go somewhere, do something, and judge the running task.

    A request that goes to another phase, or has a verdict, begins a task; `COMPLETED` then ends this very task.
    """

    to: P | Where
    effect: Effect = Effect.NONE
    verdict: Verdict | None = None
    text: str = ""
    """For people: how it ended, or what they can do about it. `{name}` is the component."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """The state does not allow it. The text says which state, and what to do. `{name}` is the component."""

    text: str


class Answer(Enum):
    """Answers to requests besides steps and refusals."""

    BUSY = "busy"
    JOIN = "joins"


BUSY = Answer.BUSY
"""Something else is under way."""
JOIN = Answer.JOIN
"""The same is under way already: whoever asks gets the task that runs."""

Outcome = Step[P] | Refusal | Answer

LEVEL_FACTS = MappingProxyType(
    {PowerLevel.ON: Fact.SEEN_ON, PowerLevel.OFF: Fact.SEEN_OFF, PowerLevel.UNKNOWN: Fact.SEEN_UNKNOWN}
)


@dataclass(frozen=True, slots=True)
class Row(Generic[P, R]):
    """Everything that can happen in one phase."""

    requests: Mapping[R, Outcome[P]]
    facts: Mapping[Fact, Step[P]]
    patience: str = ""
    """Which patience bounds the phase; only a phase that ends by itself has one."""


@dataclass(frozen=True, slots=True)
class Table(Generic[P, R]):
    """A whole state machine."""

    rows: Mapping[P, Row[P, R]]
    as_seen: Mapping[PowerLevel, P]
    """The phase that each level stands for; a component starts in that of UNKNOWN."""

    @property
    def start(self) -> P:
        """Where a component begins: nothing has been seen yet."""
        return self.as_seen[PowerLevel.UNKNOWN]

    @property
    def stable(self) -> frozenset[P]:
        """The phases that wait for nothing."""
        return frozenset(self.as_seen.values())

    def target(self, phase: P, step: Step[P], level: PowerLevel) -> P:
        """The phase to which a step leads from `phase` while the level is this."""
        if isinstance(step.to, Where):
            return phase if step.to is HERE else self.as_seen[level]
        return step.to

    def steps(self, phase: P) -> Iterator[tuple[R | Fact, Step[P]]]:
        """All steps that can be made in a phase, each with its event."""
        for request, outcome in self.rows[phase].requests.items():
            if isinstance(outcome, Step):
                yield request, outcome
        yield from self.rows[phase].facts.items()
