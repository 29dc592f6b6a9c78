"""All sensors of the board together: virtual ones, power and presence, what changed, and the table of readings.

No I/O and no tasks: pollers bring outcomes in, news and readings go out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from ubmc.kit.errors import Invalid, UbmcError
from ubmc.kit.readings import Readings
from ubmc.services.sensormon.changes import Changes
from ubmc.services.sensormon.plan import Limits, Options, SensorPlan
from ubmc.services.sensormon.sensor import News, Power, Sensor
from ubmc.services.sensormon.virtual import combine, ordered, users
from ubmc.v1alpha1.sensor_pb import SensorKind

Tell = Callable[[Sensor, News], None]


class Table:
    """The sensors of the board.

    Args:
        plans: all sensors.
        limits: changed limits by sensor; the others have those of their plans.
        options: how patient to be.
        readings: the table that thermalmgr reads, and where the power of the hosts is found.
        tell: called with each piece of news.
        now: monotonic seconds.

    Raises:
        Invalid: the plans contradict each other.
    """

    def __init__(
        self,
        plans: Sequence[SensorPlan],
        limits: Mapping[str, Limits],
        options: Options,
        readings: Readings,
        tell: Tell,
        now: float,
    ) -> None:
        self.sensors = {plan.name: Sensor(plan, limits.get(plan.name, plan.limits), options, now) for plan in plans}
        self.changes = Changes()
        self._readings = readings
        self._tell = tell
        self._virtuals = ordered(plans)
        self._users = users(self._virtuals)
        if len(self.sensors) < len(plans):
            raise Invalid("two sensors have the same name")
        for plan in plans:
            _check(plan, self.sensors)
        self.changes.mark(self.sensors)  # so each has its place in a snapshot

    def can_be_read(self, name: str, now: float) -> bool:
        """Whether it makes sense to read this sensor now."""
        sensor = self.sensors[name]
        return sensor.can_be_read(self._power(sensor.plan), now)

    def take(self, outcomes: Mapping[str, float | UbmcError], now: float) -> None:
        """Take a round of readings of known sensors, read at `now` (monotonic seconds)."""
        changed = []
        for name, outcome in outcomes.items():
            sensor = self.sensors[name]
            before = sensor.shown
            self._say(sensor, sensor.take(outcome, self._power(sensor.plan), now))
            if sensor.shown != before:
                changed.append(name)
        made = self._make(outcomes, changed, now)
        self._publish((*outcomes, *made), changed)

    def tick(self, now: float) -> None:
        """Look at power, age and patience of all, whatever the wires do."""
        changed = []
        for name, sensor in self.sensors.items():
            before = sensor.shown
            self._say(sensor, sensor.tick(self._power(sensor.plan), now))
            if sensor.shown != before:
                changed.append(name)
        if changed:
            made = self._make(tuple(changed), changed, now)
            self._publish((*changed, *made), changed)

    def change(self, name: str, limits: Limits) -> None:
        """Give a sensor other limits."""
        self.sensors[name].change(limits)
        self.changes.mark((name,))

    def _make(self, sources: Iterable[str], changed: list[str], now: float) -> list[str]:
        """Make the virtual sensors again that any of these is a source of; which they are."""
        wanted = {user for source in sources for user in self._users.get(source, ())}
        made = []
        for plan in self._virtuals if wanted else ():
            if plan.name not in wanted or plan.virtual is None:
                continue
            found = combine(plan.virtual, [self.sensors[source].reading for source in plan.virtual.sources])
            if found is None:
                continue
            sensor = self.sensors[plan.name]
            before = sensor.shown
            self._say(sensor, sensor.take_made(*found, self._power(plan), now))
            made.append(plan.name)
            if sensor.shown != before:
                changed.append(plan.name)
        return made

    def _publish(self, taken: Iterable[str], changed: Iterable[str]) -> None:
        rows = ((name, self.sensors[name].reading) for name in taken)
        self._readings.put({name: reading for name, reading in rows if reading is not None})
        self.changes.mark(changed)

    def _say(self, sensor: Sensor, news: Iterable[News]) -> None:
        for each in news:
            self._tell(sensor, each)

    def _power(self, plan: SensorPlan) -> Power:
        if plan.present_sensor:
            presence = self.sensors[plan.present_sensor]
            if presence.state and presence.state != plan.present_state:
                return Power(False, f"{plan.present_sensor} is {presence.state}")
        if not plan.powered_by:
            return _ON
        on = self._readings.power(plan.powered_by)
        return _ON if on else Power(on, f"{plan.powered_by} has no power")


_ON = Power()


def _check(plan: SensorPlan, sensors: Mapping[str, Sensor]) -> None:
    """What the board file cannot have said.

    Raises:
        Invalid: it has.
    """
    if (plan.kind is SensorKind.STATE) != bool(plan.states):
        raise Invalid(f"{plan.name}: a sensor of the kind STATE has states, and no other has")
    if bool(plan.bus) == (plan.virtual is not None):
        raise Invalid(f"{plan.name}: a sensor is read on a bus, or is virtual")
    if plan.present_sensor and (
        plan.present_sensor not in sensors or sensors[plan.present_sensor].plan.kind is not SensorKind.STATE
    ):
        raise Invalid(f"{plan.name}: {plan.present_sensor} is no sensor of the kind STATE")
