"""The actor around a table: it keeps the phase, makes the steps, drives the effects and watches the patience.

Every step is made in one go on the event loop, without waiting, so there is nothing to lock: what takes time (driving
wires) runs beside it and comes back as a fact. A fact that belongs to a phase that was left is not heard any more.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any, Generic, Protocol

from protobuf import Message
from protobuf.wkt import Timestamp
from ulid import ULID

from ubmc.kit.errors import Busy, Refused, UbmcError
from ubmc.services.statemgr.table import (
    BUSY,
    LEVEL_FACTS,
    Effect,
    Fact,
    P,
    R,
    Refusal,
    Step,
    Table,
    Verdict,
)
from ubmc.v1alpha1.event_kind_pb import Severity
from ubmc.v1alpha1.host_pb import Cause
from ubmc.v1alpha1.internal_pb import PowerLevel
from ubmc.v1alpha1.task_pb import Task, TaskChange, TaskState

log = logging.getLogger("ubmc.statemgr")

DRIVE_SECONDS = 70.0
"""For driving wires: the longest press that a board can have, and a margin. A shorter patience goes before."""

_STATES = {
    Verdict.COMPLETED: TaskState.COMPLETED,
    Verdict.FAILED: TaskState.FAILED,
    Verdict.CANCELLED: TaskState.CANCELLED,
}


class Tell(Protocol):
    """How news are told; `Bus.tell` is one."""

    def __call__(
        self, component: str, news: Message[Any], /, *, severity: Severity = ..., cause: Cause | None = ...
    ) -> object:
        """Tell news about a component; never waits."""


Drive = Callable[[Effect, Cause, float], Coroutine[Any, Any, None]]
"""Carries out an effect on the wires within some seconds; raises a `UbmcError` if that fails."""


def hardware() -> Cause:
    """The cause of what nobody asked for."""
    return Cause(kind="hardware")


@dataclass(frozen=True, slots=True)
class Action(Generic[R]):
    """A request that is being carried out."""

    request: R
    cause: Cause
    task: Task


@dataclass(frozen=True, slots=True)
class Taken(Generic[P, R]):
    """A step that was made."""

    event: R | Fact
    before: P
    after: P
    cause: Cause
    verdict: Verdict | None = None
    action: Action[R] | None = None
    """What is under way, or was until this step."""
    waited_seconds: float = 0.0
    """In the phase before."""
    advice: str = ""
    """What went wrong, and what a person can do; only for a failure."""


class Actor(Generic[P, R]):
    """One component in its table."""

    def __init__(
        self,
        name: str,
        table: Table[P, R],
        patience: Mapping[str, float],
        *,
        drive: Drive,
        tell: Tell,
        taken: Callable[[Taken[P, R]], None],
    ) -> None:
        """Make the actor, in the running event loop; nothing has been seen yet.

        Args:
            name: of the component.
            table: what follows from what.
            patience: seconds, by the names that the table uses.
            drive: carries out effects.
            tell: where changes of tasks are told.
            taken: hears of every step, at once; must not raise.
        """
        self.name = name
        self.phase = table.start
        self.level = PowerLevel.UNKNOWN
        self.since = Timestamp.now()
        """When the phase was entered."""
        self.cause = hardware()
        """Why it was."""
        self._table = table
        self._patience = patience
        self._drive = drive
        self._tell = tell
        self._taken = taken
        self._running: Action[R] | None = None
        self._loop = asyncio.get_running_loop()
        self._entered = self._loop.time()
        self._visit = 0  # counts phases entered: facts of an earlier one are stale
        self._timer: asyncio.TimerHandle | None = None
        self._driving: set[asyncio.Task[None]] = set()
        # Timers outlive the call that set them; they must not act in its name.
        self._own_context = contextvars.copy_context()

    @property
    def stable(self) -> bool:
        """Whether the phase waits for nothing."""
        return self.phase in self._table.stable

    @property
    def running(self) -> R | None:
        """The request that is being carried out."""
        return self._running.request if self._running is not None else None

    # --- requests -----------------------------------------------------------------------------------------------

    def request(self, request: R, cause: Cause) -> Task | None:
        """Begin what is requested; the task that tells how it ends, or None for what has no end to wait for.

        Raises:
            Refused: the phase does not allow it.
            Busy: something else is under way.
        """
        outcome = self._table.rows[self.phase].requests[request]
        if isinstance(outcome, Refusal):
            raise Refused(outcome.text.format(name=self.name))
        if outcome is BUSY:
            raise Busy(f"{self.name} is {self.phase.value}: wait until that has ended, or use force-off")
        if not isinstance(outcome, Step):
            return self._running.task if self._running is not None else None
        return self._accept(request, outcome, cause)

    def _accept(self, request: R, step: Step[P], cause: Cause) -> Task | None:
        before, after = self.phase, self._table.target(self.phase, step, self.level)
        if step.verdict is Verdict.CANCELLED:
            self._finish(Verdict.CANCELLED, f"{request.value} took its place")
        task = None
        action = None
        if after is not before or step.verdict is not None:
            task = self._begin(request, cause)
            action = self._running
        self._enter(after, cause)
        if step.verdict is Verdict.COMPLETED:
            self._finish(Verdict.COMPLETED, step.text.format(name=self.name))
        self._taken(Taken(request, before, after, cause, step.verdict, action))
        self._carry_out(step.effect, cause)
        return task

    # --- facts --------------------------------------------------------------------------------------------------

    def see(self, level: PowerLevel, *, mains_away: bool = False, cause: Cause | None = None) -> None:
        """The level is seen to be this (again); `cause` is why, if nothing that we do is."""
        self.level = level
        fact = LEVEL_FACTS[level]
        if fact is Fact.SEEN_OFF and mains_away:
            fact = Fact.MAINS_LOST
        self.learn(fact, cause)

    def learn(self, fact: Fact, cause: Cause | None = None, reason: str = "") -> None:
        """Something is so; `reason` says why, for people."""
        step = self._table.rows[self.phase].facts[fact]
        before, after = self.phase, self._table.target(self.phase, step, self.level)
        action = self._running
        cause = action.cause if action is not None and fact is not Fact.MAINS_LOST else cause or hardware()
        waited = self._loop.time() - self._entered
        advice = step.text.format(name=self.name)
        if reason:
            advice = f"The wires could not be driven: {reason}. {advice}"
        if after is not before:
            self._enter(after, cause)
        if step.verdict is Verdict.COMPLETED:
            self._finish(Verdict.COMPLETED, f"{self.name} is {after.value}")
        elif step.verdict is Verdict.FAILED:
            self._finish(Verdict.FAILED, f"{self.name} is {after.value} after {waited:.0f} s. {advice}")
        if after is not before or step.verdict is not None:
            self._taken(Taken(fact, before, after, cause, step.verdict, action, waited, advice))
        self._carry_out(step.effect, cause)

    # --- phases -------------------------------------------------------------------------------------------------

    def _enter(self, phase: P, cause: Cause) -> None:
        if phase is self.phase:
            return
        self.phase = phase
        self.since = Timestamp.now()
        self.cause = cause
        self._entered = self._loop.time()
        self._visit += 1
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        patience = self._patience_of(phase)
        if patience is not None:
            self._timer = self._loop.call_later(patience, self.learn, Fact.TIMEOUT, context=self._own_context)

    def _patience_of(self, phase: P) -> float | None:
        name = self._table.rows[phase].patience
        return self._patience[name] if name else None

    # --- effects ------------------------------------------------------------------------------------------------

    def _carry_out(self, effect: Effect, cause: Cause) -> None:
        if effect is Effect.LOOK:
            self.see(self.level)
        elif effect is not Effect.NONE:
            task = asyncio.create_task(
                self._drive_wires(effect, cause, self._visit), name=f"{self.name} {effect.value}"
            )
            self._driving.add(task)
            task.add_done_callback(self._driving.discard)

    async def _drive_wires(self, effect: Effect, cause: Cause, visit: int) -> None:
        fact, reason = Fact.DRIVEN, ""
        patience = self._patience_of(self.phase)
        try:
            await self._drive(effect, cause, DRIVE_SECONDS if patience is None else min(patience, DRIVE_SECONDS))
        except UbmcError as error:
            fact, reason = Fact.DRIVE_FAILED, error.message
        except Exception:
            log.exception("a bug: %s could not be driven", self.name)
            fact, reason = Fact.DRIVE_FAILED, "an internal error"
        if visit == self._visit:
            self.learn(fact, reason=reason)

    # --- tasks --------------------------------------------------------------------------------------------------

    def _begin(self, request: R, cause: Cause) -> Task:
        task = Task(
            id=str(ULID()),
            title=f"{self.name}: {request.value}",
            component=self.name,
            state=TaskState.RUNNING,
            start_time=Timestamp.now(),
            user=cause.user,
        )
        self._running = Action(request, cause, task)
        self._tell(self.name, TaskChange(task=task, title=task.title), cause=cause)
        return task

    def _finish(self, verdict: Verdict, message: str) -> None:
        action, self._running = self._running, None
        if action is None:
            return
        action.task.state = _STATES[verdict]
        action.task.message = message
        if verdict is Verdict.COMPLETED:
            action.task.percent_complete = 100
        action.task.end_time = Timestamp.now()
        self._tell(self.name, TaskChange(task=action.task, title=action.task.title), cause=action.cause)

    async def close(self) -> None:
        """Follow nothing any more. What the wires were told goes on by itself; a running task is told cancelled."""
        self._visit += 1
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._finish(Verdict.CANCELLED, "statemgr was stopped; the wires may still do what they were told")
        for task in self._driving:
            task.cancel()
        await asyncio.gather(*self._driving, return_exceptions=True)
