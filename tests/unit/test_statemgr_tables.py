"""What must hold for every table of statemgr, and what each of the two says in particular."""

from __future__ import annotations

from enum import Enum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ubmc.services.statemgr import chassis, host
from ubmc.services.statemgr.chassis import CHASSIS, GUARDED, ChassisPhase, ChassisRequest
from ubmc.services.statemgr.host import HOST, HostPhase, HostRequest
from ubmc.services.statemgr.options import PATIENCE
from ubmc.services.statemgr.table import (
    AS_SEEN,
    BUSY,
    HERE,
    JOIN,
    LEVEL_FACTS,
    Effect,
    Fact,
    Outcome,
    Refusal,
    Step,
    Table,
    Verdict,
)
from ubmc.v1alpha1.chassis_pb import ChassisPowerAction, ChassisState
from ubmc.v1alpha1.host_pb import HostPowerAction, HostState
from ubmc.v1alpha1.internal_pb import PowerLevel

AnyTable = Table[Any, Any]
TABLES = pytest.mark.parametrize(
    ("table", "phases", "requests"),
    [
        pytest.param(HOST, HostPhase, HostRequest, id="host"),
        pytest.param(CHASSIS, ChassisPhase, ChassisRequest, id="chassis"),
    ],
)
DRIVES = frozenset(Effect) - {Effect.NONE, Effect.LOOK}


def successors(table: AnyTable, phase: Enum) -> set[Enum]:
    return {table.target(phase, step, level) for _, step in table.steps(phase) for level in LEVEL_FACTS}


def reachable(table: AnyTable, start: Enum) -> set[Enum]:
    seen: set[Enum] = set()
    todo = {start}
    while todo:
        phase = todo.pop()
        seen.add(phase)
        todo |= successors(table, phase) - seen
    return seen


@TABLES
def test_every_event_has_an_entry_in_every_phase(table: AnyTable, phases: type[Enum], requests: type[Enum]) -> None:
    assert set(table.rows) == set(phases)
    for row in table.rows.values():
        assert set(row.requests) == set(requests)
        assert set(row.facts) == set(Fact)


@TABLES
def test_every_phase_is_reachable_and_off_from_every_phase(
    table: AnyTable, phases: type[Enum], requests: type[Enum]
) -> None:
    assert reachable(table, table.start) == set(phases)
    off = table.as_seen[PowerLevel.OFF]
    for phase in phases:
        assert off in reachable(table, phase)


@TABLES
def test_who_waits_has_a_patience_and_gives_up(table: AnyTable, phases: type[Enum], requests: type[Enum]) -> None:
    for phase, row in table.rows.items():
        if phase in table.stable:
            assert not row.patience
            continue
        assert row.patience in PATIENCE
        if row.patience == host.REST:  # what it waits for is that the time is over
            step = row.facts[Fact.TIMEOUT]
            assert (step.to, step.effect, step.verdict) == (HostPhase.REBOOTING_UP, Effect.DRIVE_ON, None)
            continue
        for fact in (Fact.TIMEOUT, Fact.DRIVE_FAILED):
            step = row.facts[fact]
            assert step.to is AS_SEEN
            assert step.verdict is Verdict.FAILED
            assert step.text


@TABLES
def test_power_that_may_be_on_can_always_be_cut(table: AnyTable, phases: type[Enum], requests: type[Enum]) -> None:
    off = table.as_seen[PowerLevel.OFF]
    force_off = requests["FORCE_OFF"]
    for phase, row in table.rows.items():
        outcome = row.requests[force_off]
        if phase is off:  # never press a button on what is off
            assert isinstance(outcome, Step)
            assert (outcome.to, outcome.effect, outcome.verdict) == (HERE, Effect.NONE, Verdict.COMPLETED)
        elif outcome is JOIN:
            assert any(
                isinstance(step, Step) and step.effect is Effect.FORCE_OFF and step.to is phase
                for other in table.rows.values()
                for step in other.requests.values()
            )
        else:
            assert isinstance(outcome, Step)
            assert outcome.effect is Effect.FORCE_OFF
            assert outcome.verdict is (None if phase in table.stable else Verdict.CANCELLED)


@TABLES
def test_nothing_is_driven_on_a_thing_that_is_off_but_on(
    table: AnyTable, phases: type[Enum], requests: type[Enum]
) -> None:
    for _, step in table.steps(table.as_seen[PowerLevel.OFF]):
        assert step.effect in {Effect.NONE, Effect.DRIVE_ON}


@TABLES
def test_lost_power_is_believed(table: AnyTable, phases: type[Enum], requests: type[Enum]) -> None:
    off = table.as_seen[PowerLevel.OFF]
    for phase, row in table.rows.items():
        lost = row.facts[Fact.MAINS_LOST]
        assert table.target(phase, lost, PowerLevel.OFF) is off
        assert lost.effect is Effect.NONE
        assert (lost.verdict is None) == (phase in table.stable)
    for level, phase in table.as_seen.items():
        for stable in table.stable:
            assert table.target(stable, table.rows[stable].facts[LEVEL_FACTS[level]], level) is phase


@TABLES
def test_nothing_happens_by_itself_while_power_cannot_be_read(
    table: AnyTable, phases: type[Enum], requests: type[Enum]
) -> None:
    unknown = table.rows[table.as_seen[PowerLevel.UNKNOWN]]
    assert all(step.effect is Effect.NONE for step in unknown.facts.values())
    accepted = {request for request, outcome in unknown.requests.items() if not isinstance(outcome, Refusal)}
    assert accepted == ({HostRequest.FORCE_OFF} if table is HOST else {ChassisRequest.ON, ChassisRequest.FORCE_OFF})


@TABLES
def test_facts_drive_only_what_was_asked_for(table: AnyTable, phases: type[Enum], requests: type[Enum]) -> None:
    for phase, row in table.rows.items():
        for step in row.facts.values():
            if step.effect in DRIVES:
                assert phase not in table.stable
                assert step.effect is Effect.DRIVE_ON


@TABLES
def test_refusals_name_the_component_and_its_state(table: AnyTable, phases: type[Enum], requests: type[Enum]) -> None:
    for row in table.rows.values():
        for outcome in row.requests.values():
            if isinstance(outcome, Refusal):
                assert "x.0" in outcome.text.format(name="x.0")
                assert "{" not in outcome.text.format(name="x.0")


@TABLES
def test_who_waits_is_busy_for_all_but_a_forced_off(table: AnyTable, phases: type[Enum], requests: type[Enum]) -> None:
    for phase, row in table.rows.items():
        if phase not in table.stable:
            others = {outcome for request, outcome in row.requests.items() if request is not requests["FORCE_OFF"]}
            assert others == {BUSY}


@TABLES
@given(data=st.data())
def test_a_running_task_is_judged_before_rest(
    table: AnyTable, phases: type[Enum], requests: type[Enum], data: st.DataObject
) -> None:
    """Whatever happens in whatever order: at rest no task runs, and on the way one does."""
    phase: Enum = table.start
    level = PowerLevel.UNKNOWN
    running = False
    for _ in range(data.draw(st.integers(1, 30))):
        event = data.draw(st.sampled_from([*requests, *Fact]))
        outcome: Outcome[Any]
        if isinstance(event, Fact):
            level = {fact: each for each, fact in LEVEL_FACTS.items()}.get(event, level)
            level = PowerLevel.OFF if event is Fact.MAINS_LOST else level
            outcome = table.rows[phase].facts[event]
        else:
            outcome = table.rows[phase].requests[event]
        if not isinstance(outcome, Step):
            continue
        target = table.target(phase, outcome, level)
        begins = not isinstance(event, Fact) and (target is not phase or outcome.verdict is not None)
        if begins:
            assert not running or outcome.verdict is Verdict.CANCELLED
            running = outcome.verdict is not Verdict.COMPLETED
        elif outcome.verdict is not None:
            assert running
            running = False
        phase = target
        assert running == (phase not in table.stable)


def test_every_state_of_the_schema_is_shown_and_every_action_can_be_asked() -> None:
    assert set(host.STATES) == set(HostPhase)
    assert set(host.STATES.values()) == set(HostState) - {HostState.UNSPECIFIED}
    asked = set(HostPowerAction) - {HostPowerAction.UNSPECIFIED}
    assert set(host.REQUESTS) == asked - {HostPowerAction.PUSH_POWER_BUTTON}  # what that means is in ON_PRESS
    assert set(chassis.STATES) == set(ChassisPhase)
    assert set(chassis.STATES.values()) == set(ChassisState) - {ChassisState.UNSPECIFIED}
    assert set(chassis.REQUESTS) == set(ChassisPowerAction) - {ChassisPowerAction.UNSPECIFIED}


def test_data_about_requests_is_complete() -> None:
    assert set(host.NEEDS) == set(HostRequest)
    assert set(host.ACTIONS) == set(HostRequest)
    assert set(host.WIRES) == DRIVES
    assert set(HostRequest) - {HostRequest.NMI} == (host.UPWARDS | host.DOWNWARDS)
    assert not host.UPWARDS & host.DOWNWARDS
    for row in HOST.rows.values():
        for request, outcome in row.requests.items():
            if isinstance(outcome, Step) and outcome.effect in DRIVES:
                assert host.WIRES[outcome.effect] in host.NEEDS[request]


def test_unforced_chassis_actions_are_guarded() -> None:
    assert set(GUARDED) == {ChassisRequest.OFF, ChassisRequest.CYCLE}


@pytest.mark.parametrize(
    ("path", "end"),
    [
        ([HostRequest.ON, Fact.SEEN_ON], HostPhase.ON),
        ([Fact.SEEN_ON, HostRequest.GRACEFUL_OFF, Fact.DRIVEN, Fact.SEEN_OFF], HostPhase.OFF),
        ([Fact.SEEN_ON, HostRequest.REBOOT, Fact.SEEN_OFF, Fact.SEEN_ON], HostPhase.ON),
        ([Fact.SEEN_ON, HostRequest.REBOOT, HostRequest.FORCE_OFF, Fact.SEEN_OFF], HostPhase.OFF),
        ([Fact.SEEN_ON, HostRequest.FORCE_RESTART, Fact.SEEN_OFF], HostPhase.OFF),
        ([Fact.SEEN_ON, HostRequest.FORCE_CYCLE, Fact.SEEN_OFF, Fact.SEEN_ON], HostPhase.ON),
        ([Fact.SEEN_ON, HostRequest.REBOOT, Fact.MAINS_LOST], HostPhase.OFF),
        ([Fact.SEEN_ON, HostRequest.NMI], HostPhase.ON),
    ],
)
def test_ways_through_the_host_table(path: list[HostRequest | Fact], end: HostPhase) -> None:
    phase = HostPhase.OFF
    for event in path:
        row = HOST.rows[phase]
        step = row.facts[event] if isinstance(event, Fact) else row.requests[event]
        assert isinstance(step, Step)
        phase = HOST.target(phase, step, PowerLevel.UNKNOWN)
    assert phase is end
