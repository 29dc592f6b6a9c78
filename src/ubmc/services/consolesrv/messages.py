"""Between what consolesrv holds and what the API shows. Pure."""

from __future__ import annotations

from types import MappingProxyType

from protobuf.wkt import FieldMask, Timestamp

from ubmc.hw.console.port import Abilities
from ubmc.hw.console.port import FlowControl as Flow
from ubmc.kit.errors import Invalid, Refused, Violation
from ubmc.services.consolesrv.console import Console
from ubmc.services.consolesrv.plan import Settings
from ubmc.v1alpha1 import console_pb as m
from ubmc.v1alpha1.console_pb import ConsoleLineState, ConsoleSettings, FlowControl

FLOWS = MappingProxyType(
    {
        Flow.NONE: FlowControl.NONE,
        Flow.XON_XOFF: FlowControl.XON_XOFF,
        Flow.RTS_CTS: FlowControl.RTS_CTS,
    }
)
_FLOWS = MappingProxyType({shown: flow for flow, shown in FLOWS.items()})
_NAMES = ("baud_rate", "flow_control", "replay_bytes", "recording", "recording_bytes", "redactions")
_PREFIX = "settings"
LEAST_BAUD_RATE = 50
LEAST_REPLAY_BYTES = 4 * 1024
LEAST_RECORDING_BYTES = 64 * 1024
_STATES = MappingProxyType(
    {None: ConsoleLineState.UNSPECIFIED, True: ConsoleLineState.CONNECTED, False: ConsoleLineState.DISCONNECTED}
)


def console(each: Console) -> m.Console:
    """A console as the API shows it."""
    abilities = each.line.abilities
    shown = m.Console(
        name=each.name,
        kind=each.line.kind,
        line=_STATES[each.connected],
        line_reason=each.reason,
        settings=settings(each.settings, abilities),
        epoch=each.epoch,
        start_offset=each.ring.start,
        end_offset=each.ring.end,
        written_bytes=each.written_bytes,
        lost_bytes=each.lost_bytes,
        writer=each.writer.who.user if each.writer is not None else "",
        attachments=[one.message(writer=one is each.writer) for one in each.attachments.values()],
        has_baud_rate=abilities.baud_rate,
        flow_controls=[FLOWS[flow] for flow in abilities.flow_controls],
        has_break=abilities.sends_break,
        recorded_bytes=each.recorder.size,
        recording_problem=each.recorder.problem,
    )
    if each.ring.last_time:
        shown.last_output_time = Timestamp.from_seconds(each.ring.last_time)
    return shown


def settings(each: Settings, abilities: Abilities) -> ConsoleSettings:
    """Settings as the API shows them."""
    return ConsoleSettings(
        baud_rate=each.baud_rate if abilities.baud_rate else 0,
        flow_control=FLOWS[each.flow_control],
        replay_bytes=each.replay_bytes,
        recording=each.recording,
        recording_bytes=each.recording_bytes,
        redactions=list(each.redactions),
    )


def paths(mask: FieldMask | None, given: ConsoleSettings) -> frozenset[str]:
    """Which settings an update is about.

    Raises:
        Invalid: a path of the mask is not one that can be changed.
    """
    if mask is None or not mask.paths:
        return frozenset(name for name in _NAMES if getattr(given, name))
    found: set[str] = set()
    for path in mask.paths:
        first, _, name = path.partition(".")
        if first != _PREFIX or (name and name not in _NAMES):
            what = f"there is no {path} to change; there are {', '.join(f'{_PREFIX}.{each}' for each in _NAMES)}"
            raise Invalid(what, violations=[Violation("updateMask", "path", what)])
        found |= {name} if name else set(_NAMES)
    return frozenset(found)


def changed(before: Settings, given: ConsoleSettings, wanted: frozenset[str], abilities: Abilities) -> Settings:
    """The settings after an update.

    Raises:
        Invalid: a value is out of range.
        Refused: the line cannot do it.
    """
    values = {name: getattr(before, name) for name in _NAMES}
    values |= {name: getattr(given, name) for name in wanted}
    if "flow_control" in wanted:
        values["flow_control"] = _FLOWS.get(given.flow_control, Flow.NONE)
    made = Settings(**{**values, "redactions": tuple(values["redactions"])})
    if "baud_rate" in wanted and not abilities.baud_rate:
        raise Refused("this line is virtual and has no baud rate")
    if made.flow_control not in abilities.flow_controls:
        able = ", ".join(flow.value for flow in abilities.flow_controls)
        raise Refused(f"this line cannot do that flow control, only: {able}")
    _at_least("baudRate", made.baud_rate, LEAST_BAUD_RATE)
    _at_least("replayBytes", made.replay_bytes, LEAST_REPLAY_BYTES)
    _at_least("recordingBytes", made.recording_bytes, LEAST_RECORDING_BYTES)
    return made


def _at_least(name: str, value: int, least: int) -> None:
    if value < least:
        field = f"console.{_PREFIX}.{name}"
        raise Invalid(f"{field}: must be at least {least}", violations=[Violation(field, "gte", f"at least {least}")])
