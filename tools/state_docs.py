"""Writes docs/state.md, the state machines of statemgr drawn from their tables; `--check` says if it is stale."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Any

from ubmc.services.statemgr import chassis, host
from ubmc.services.statemgr.options import PATIENCE
from ubmc.services.statemgr.table import AS_SEEN, HERE, LEVEL_FACTS, Answer, Effect, Fact, Outcome, Refusal, Table

TARGET = Path(__file__).parent.parent / "docs" / "state.md"
AnyTable = Table[Any, Any]

INTRO = """\
# State machines

The tables of [statemgr](statemgr.md), drawn from `src/ubmc/services/statemgr/host.py` and `chassis.py` by
`python tools/state_docs.py`, and checked by the unit tests: what stands here is what runs. For people who want to know
what follows from what.

An arrow says: event, then what we do. A component starts in the phase `unknown` and comes to rest in `unknown`, `off`
or `on`; every other phase waits for something and has a patience. `as seen` is the phase that the level stands for.
Facts that change nothing have no arrow. `busy` is the answer that something else is under way, `joins` that the same
is: then there is one task for both. A forced off takes the place of whatever is under way; that task is cancelled.
"""


def _name(phase: Enum) -> str:
    return phase.name


def _arrows(table: AnyTable) -> Iterator[str]:
    for phase in table.rows:
        for event, step in table.steps(phase):
            does = f" / {step.effect.value}" if step.effect is not Effect.NONE else ""
            verdict = f" ({step.verdict.value})" if step.verdict is not None else ""
            label = f"{event.value}{does}{verdict}"
            if step.to is AS_SEEN:
                yield f"    {_name(phase)} --> as_seen : {label}"
            elif (step.to is not HERE and step.to is not phase) or does or verdict:
                to = phase if step.to is HERE else step.to
                yield f"    {_name(phase)} --> {_name(to)} : {label}"
    for level, phase in table.as_seen.items():
        yield f"    as_seen --> {_name(phase)} : {LEVEL_FACTS[level].value}"


def _diagram(table: AnyTable) -> Iterator[str]:
    yield "```mermaid"
    yield "stateDiagram-v2"
    yield "    direction LR"
    for phase in table.rows:
        yield f'    state "{phase.value}" as {_name(phase)}'
    yield '    state "as seen" as as_seen'
    yield f"    [*] --> {_name(table.start)}"
    yield from _arrows(table)
    yield "```"


def _cell(outcome: Outcome[Any]) -> str:
    if isinstance(outcome, Refusal):
        return "refused"
    if isinstance(outcome, Answer):
        return outcome.value
    parts = []
    if outcome.to is AS_SEEN:
        parts.append("→ as seen")
    elif outcome.to is not HERE:
        parts.append(f"→ {outcome.to.value}")
    if outcome.effect is not Effect.NONE:
        parts.append(outcome.effect.value)
    if outcome.verdict is not None:
        parts.append(outcome.verdict.value)
    return ", ".join(parts) or "·"


def _grid(corner: str, table: AnyTable, columns: list[Any], *, facts: bool) -> Iterator[str]:
    yield f"| {corner} | " + " | ".join(column.value for column in columns) + " |"
    yield "| --- |" + " --- |" * len(columns)
    for phase, row in table.rows.items():
        entries = row.facts if facts else row.requests
        yield f"| {phase.value} | " + " | ".join(_cell(entries[column]) for column in columns) + " |"


def _phases(table: AnyTable, states: dict[Any, Any]) -> Iterator[str]:
    yield "| phase | shown as | patience | if it is over |"
    yield "| --- | --- | --- | --- |"
    for phase, row in table.rows.items():
        patience = f"`{row.patience}`, {PATIENCE[row.patience]:g} s" if row.patience else ""
        advice = row.facts[Fact.TIMEOUT].text if row.patience else ""
        yield f"| {phase.value} | `{states[phase].name}` | {patience} | {advice} |"


def _refusals(table: AnyTable, name: str) -> Iterator[str]:
    said: dict[str, None] = {}
    for row in table.rows.values():
        for outcome in row.requests.values():
            if isinstance(outcome, Refusal):
                said[outcome.text.format(name=name)] = None
    for text in said:
        yield f"- {text}"


def _section(title: str, name: str, table: AnyTable, states: dict[Any, Any]) -> Iterator[str]:
    requests = list(next(iter(table.rows.values())).requests)
    yield from (f"## {title}", "", *_diagram(table), "")
    yield from (*_phases(table, states), "")
    yield from ("### What can be asked for", "", *_grid("phase", table, requests, facts=False), "")
    yield from ("### What can happen", "", *_grid("phase", table, list(Fact), facts=True), "")
    yield from ("### What a refusal says", "", *_refusals(table, name), "")


def render() -> str:
    """The whole document."""
    lines = [INTRO]
    lines += _section("Host", "host.0", host.HOST, dict(host.STATES))
    pressed = ", ".join(f"`{wanted.value}` in the phase `{phase.value}`" for phase, wanted in host.ON_PRESS.items())
    lines += [f"A push of the power button asks for {pressed}.", ""]
    lines += _section("Chassis", "chassis.0", chassis.CHASSIS, dict(chassis.STATES))
    guarded = " and ".join(f"`{request.value}` ({forced})" for request, forced in chassis.GUARDED.items())
    lines += [
        f"Besides, while a host in it is not known to be off, these are refused, naming the forced form: {guarded}."
    ]
    return "\n".join(lines).rstrip() + "\n"


def main() -> int:
    """Write the document, or check it."""
    document = render()
    if "--check" not in sys.argv[1:]:
        TARGET.write_text(document, encoding="utf-8")
        return 0
    if TARGET.exists() and TARGET.read_text(encoding="utf-8") == document:
        return 0
    print(f"{TARGET} is stale: run python tools/state_docs.py", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
