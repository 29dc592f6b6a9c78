"""What reports are made of, in memory: the latest readings, the reports, and triggers on their way to fire. No I/O.

Time is given by who calls; times here are seconds of one monotonic clock.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from protobuf.wkt import Timestamp

from ubmc.services.telemetry import report_rules as rules
from ubmc.services.telemetry.report_rules import Watch
from ubmc.v1alpha1.report_pb import Report, ReportAction, ReportDefinition, ReportKind, ReportValue, Trigger
from ubmc.v1alpha1.sensor_pb import Sensor

SOON_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class Fired:
    """A reading passed a threshold of a trigger."""

    trigger: str
    sensor: Sensor
    threshold: str
    limit: float


@dataclass(slots=True)
class _Armed:
    """A trigger and what it watches."""

    trigger: Trigger
    watches: dict[str, list[tuple[str, Watch]]] = field(default_factory=dict)  # by sensor, with the threshold's name


class Gathering:
    """Readings in, reports and fired triggers out."""

    def __init__(self) -> None:
        self.sensors: dict[str, Sensor] = {}
        self.reports: dict[str, Report] = {}
        self._definitions: dict[str, ReportDefinition] = {}
        self._due: dict[str, float] = {}
        self._said: dict[str, dict[str, tuple[float | None, str]]] = {}
        self._sequences: dict[str, int] = {}
        self._armed: dict[str, _Armed] = {}

    # --- what is wanted -----------------------------------------------------------------------------------------

    def define(self, definition: ReportDefinition, now: float, *, soon: bool = False) -> None:
        """Make reports by this definition from now on; a change of it begins anew.

        Args:
            definition: what is wanted.
            now: seconds of the clock.
            soon: make the first of the periodic ones as soon as readings should be there, not after a whole interval.
        """
        self.forget(definition.name)
        self._definitions[definition.name] = definition
        if definition.enabled and definition.kind is ReportKind.PERIODIC and definition.interval is not None:
            seconds = definition.interval.to_seconds()
            self._due[definition.name] = now + (min(seconds, SOON_SECONDS) if soon else seconds)

    def forget(self, name: str) -> None:
        """Make no reports by the definition of this name any more, and forget what there is."""
        for kept in (self._definitions, self._due, self._said, self.reports):
            kept.pop(name, None)

    def arm(self, trigger: Trigger) -> None:
        """Let a trigger act from now on; a change of it begins anew."""
        self.disarm(trigger.name)
        if trigger.enabled:
            self._armed[trigger.name] = _Armed(trigger)
            for sensor in self.sensors.values():
                self._watch(sensor, float("-inf"), (trigger.name,))

    def disarm(self, name: str) -> None:
        """Let a trigger act no more."""
        self._armed.pop(name, None)

    def fault(self, definition: ReportDefinition) -> str:
        """Why no reports can be made, for people; empty if they can."""
        if definition.enabled and self.sensors and not rules.matching(definition.sensors, self.sensors):
            return "this board has no sensor of these names"
        return ""

    # --- what comes ---------------------------------------------------------------------------------------------

    def learn(self, sensors: Iterable[Sensor], now: float) -> tuple[list[str], list[Fired]]:
        """Take readings; which definitions are to be reported because of them, and which triggers fire."""
        fired: list[Fired] = []
        changed: set[str] = set()
        for sensor in sensors:
            before = self.sensors.get(sensor.name)
            self.sensors[sensor.name] = sensor
            if before is None or rules.says(rules.reading(before)) != rules.says(rules.reading(sensor)):
                changed.add(sensor.name)
            fired += self._watch(sensor, now, tuple(self._armed))
        return [
            name
            for name, each in self._definitions.items()
            if each.enabled and each.kind is ReportKind.ON_CHANGE and rules.matching(each.sensors, changed)
        ], fired

    def lose(self) -> None:
        """The readings cannot be believed any more."""
        self.sensors.clear()
        for armed in self._armed.values():
            for watching in armed.watches.values():
                for _, watch in watching:
                    watch.since = None

    def due(self, now: float) -> tuple[list[str], list[Fired]]:
        """The periodic definitions whose time has come, and triggers that have waited for long enough."""
        come = [name for name, when in self._due.items() if when <= now]
        for name in come:
            interval = self._definitions[name].interval
            step = interval.to_seconds() if interval is not None else 1.0
            self._due[name] = max(self._due[name] + step, now)
        fired = [
            Fired(armed.trigger.name, self.sensors[name], threshold, watch.limit)
            for armed in self._armed.values()
            for name, watching in armed.watches.items()
            for threshold, watch in watching
            if name in self.sensors and watch.look(now)
        ]
        return come, fired

    def next_due(self) -> float | None:
        """When `due` has something to say by itself; None if never."""
        waiting = [
            watch.due
            for armed in self._armed.values()
            for watching in armed.watches.values()
            for _, watch in watching
            if watch.due is not None
        ]
        return min([*self._due.values(), *waiting], default=None)

    def _watch(self, sensor: Sensor, now: float, triggers: tuple[str, ...]) -> list[Fired]:
        fired = []
        value = rules.value_of(sensor)
        for name in triggers:
            armed = self._armed[name]
            if sensor.name not in armed.watches:
                armed.watches[sensor.name] = self._ways(armed.trigger, sensor.name)
            for threshold, watch in armed.watches[sensor.name]:
                if watch.see(value, now):
                    fired.append(Fired(name, sensor, threshold, watch.limit))
        return fired

    @staticmethod
    def _ways(trigger: Trigger, sensor: str) -> list[tuple[str, Watch]]:
        if not rules.matching(trigger.sensors, (sensor,)):
            return []
        thresholds = ((name, getattr(trigger, name)) for name in rules.THRESHOLDS)
        return [(name, watch) for name, each in thresholds if each is not None for watch in rules.watches(each)]

    # --- reports ------------------------------------------------------------------------------------------------

    def report(self, name: str) -> Report | None:
        """Make a report now; None if its definition does not want one, or is not there."""
        definition = self._definitions.get(name)
        if definition is None or not definition.enabled:
            return None
        values = self._values(definition)
        before = self.reports.get(name)
        sequence = self._sequences[name] = self._sequences.get(name, 0) + 1
        made = Report(
            name=name,
            sequence=sequence,
            time=Timestamp.now(),
            values=rules.updated(definition, before.values if before is not None else (), values),
        )
        if ReportAction.LOG in definition.actions:
            self.reports[name] = made
        return made

    def _values(self, definition: ReportDefinition) -> list[ReportValue]:
        names = rules.matching(definition.sensors, self.sensors)[: rules.MAX_VALUES]
        values = [rules.reading(self.sensors[name]) for name in names]
        said = self._said.setdefault(definition.name, {})
        if definition.suppress_repeated:
            values = [each for each in values if said.get(each.sensor) != rules.says(each)]
        said.update((each.sensor, rules.says(each)) for each in values)
        return values
