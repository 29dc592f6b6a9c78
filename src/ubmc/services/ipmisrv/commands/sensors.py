"""Sensors and events (Spec chapters 29, 30 and 35). Readings come from memory; limits are sensormon's."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable

from protobuf.wkt import FieldMask

from ubmc.protocols.ipmi import pef, sel, sensor
from ubmc.protocols.ipmi.codes import BMC_ADDRESS, REMOTE_CONSOLE, Code, Completion, Level, NetFn
from ubmc.protocols.ipmi.scale import Scale
from ubmc.protocols.ipmi.sdr import SensorType
from ubmc.protocols.ipmi.sensor import Enabled
from ubmc.services.ipmisrv.commands.ground import Ground
from ubmc.services.ipmisrv.commands.own import changing
from ubmc.services.ipmisrv.commands.repository import OWN_STATES, Entry
from ubmc.services.ipmisrv.dispatch import Command, Context
from ubmc.v1alpha1.access_pb import Privilege
from ubmc.v1alpha1.host_pb import HostState
from ubmc.v1alpha1.sensor_pb import Sensor, SensorThresholds, UpdateSensorThresholdsRequest
from ubmc.v1alpha1.sensor_rpc import SensorService

CALLS = (SensorService.UpdateSensorThresholds,)
DISABLED = "sensor_events"
"""The section of the settings that says which sensors tell no events."""
_POWER_ON, _SOFT_OFF = 0x0001, 0x0040  # offsets 00h and 06h (Spec table 42-3, type 22h)
AddEvent = Callable[[Context, bytes, str], Awaitable[int]]
_EVENT, _SET_ENABLE = "Platform Event Message", "Set Sensor Event Enable"


class SensorCommands:
    """The commands.

    Args:
        ground: what all stand on.
        add: writes the bytes 3 to 16 of a record into the event log, for the command of this name.
        newest: the id and the time of the newest record of the event log.
    """

    def __init__(self, ground: Ground, add: AddEvent, newest: Callable[[], tuple[int, int]]) -> None:
        self._ground = ground
        self._add = add
        self._newest = newest

    def commands(self) -> Iterable[Command]:
        """The table of them (Spec table G-1)."""
        net, user, op = NetFn.SENSOR, Level.USER, Level.OPERATOR
        watch, update = "SensorService.WatchSensors", "SensorService.UpdateSensorThresholds"
        events = "news IpmiPlatformEvent"
        return (
            Command(net, 0x00, "Set Event Receiver", Level.ADMINISTRATOR, _set_receiver, 2),
            Command(net, 0x01, "Get Event Receiver", user, lambda _c, _d: bytes((BMC_ADDRESS, 0)), inband=True),
            Command(net, 0x02, _EVENT, op, self._event, 7, 8, calls=events),
            Command(net, 0x10, "Get PEF Capabilities", user, lambda _c, _d: pef.CAPABILITIES, inband=True),
            Command(net, 0x11, "Arm PEF Postpone Timer", Level.ADMINISTRATOR, lambda _c, _d: b"\x00", 1),
            Command(net, 0x12, "Set PEF Configuration Parameters", Level.ADMINISTRATOR, _set_pef, 1, 40),
            Command(net, 0x13, "Get PEF Configuration Parameters", op, _get_pef, 3, inband=True),
            Command(net, 0x15, "Get Last Processed Event ID", op, self._last_processed, inband=True),
            Command(net, 0x23, "Get Sensor Reading Factors", user, self._factors, 2, inband=True),
            Command(net, 0x24, "Set Sensor Hysteresis", op, self._set_hysteresis, 4, calls=update),
            Command(net, 0x25, "Get Sensor Hysteresis", user, self._hysteresis, 2, inband=True, calls=watch),
            Command(net, 0x26, "Set Sensor Thresholds", op, self._set_thresholds, 8, calls=update),
            Command(net, 0x27, "Get Sensor Thresholds", user, self._thresholds, 1, inband=True, calls=watch),
            Command(net, 0x28, _SET_ENABLE, op, self._set_enables, 2, 6),
            Command(net, 0x29, "Get Sensor Event Enable", user, self._enables, 1, inband=True),
            Command(net, 0x2A, "Re-arm Sensor Events", op, self._rearm, 2, 6),
            Command(net, 0x2B, "Get Sensor Event Status", user, self._status, 1, inband=True, calls=watch),
            Command(net, 0x2D, "Get Sensor Reading", user, self._reading, 1, inband=True, calls=watch),
            Command(net, 0x2F, "Get Sensor Type", user, self._type, 1, inband=True),
        )

    # --- which one ------------------------------------------------------------------------------------------------

    def _entry(self, context: Context, number: int) -> Entry:
        entry = self._ground.repository().entry(context.lun, number)
        if entry is None:
            raise Completion(Code.NOT_PRESENT)
        return entry

    def _analog(self, context: Context, number: int) -> tuple[Entry, Scale, Sensor]:
        """A sensor that measures, as it is now.

        Raises:
            Completion: CBh, there is none; CDh, it does not measure; C0h, it is not known now.
        """
        entry = self._entry(context, number)
        if entry.scale is None:
            raise Completion(Code.ILLEGAL_FOR_TYPE)
        return entry, entry.scale, self._ground.facts.sensors.get(entry.name)

    def disabled(self) -> frozenset[str]:
        """The sensors that tell no events."""
        return frozenset(self._ground.settings.section(DISABLED).get("names", []))

    def _enabled(self, entry: Entry) -> Enabled:
        return Enabled(events=entry.name not in self.disabled())

    # --- reading --------------------------------------------------------------------------------------------------

    def _reading(self, context: Context, data: bytes) -> bytes:
        entry = self._entry(context, data[0])
        enabled = self._enabled(entry)
        known = self._ground.named_sensor(entry.name)
        if entry.scale is not None:
            if known is None:
                return sensor.analog_reading(None, 0, enabled)
            return sensor.analog_reading(entry.raw(known), entry.passed(known), enabled)
        return sensor.discrete_reading(self._states(entry, known, context), enabled)

    def _states(self, entry: Entry, known: Sensor | None, context: Context) -> int | None:
        if entry.name not in OWN_STATES:
            return entry.states(known) if known is not None else None
        host = self._ground.facts.hosts.known.get(context.host)
        if entry.kind is not SensorType.ACPI_POWER:
            return 0
        if host is None or host.state is HostState.UNKNOWN:
            return None
        return _SOFT_OFF if host.state in (HostState.OFF, HostState.POWERING_ON) else _POWER_ON

    def _status(self, context: Context, data: bytes) -> bytes:
        entry = self._entry(context, data[0])
        known = self._ground.named_sensor(entry.name)
        enabled = self._enabled(entry)
        if entry.scale is None:
            return sensor.event_status(enabled, self._states(entry, known, context))
        if known is None or entry.raw(known) is None:
            return sensor.event_status(enabled, None)
        return sensor.event_status(enabled, sensor.events_of(entry.passed(known)))

    def _type(self, context: Context, data: bytes) -> bytes:
        entry = self._entry(context, data[0])
        return bytes((entry.kind, entry.event))

    def _factors(self, context: Context, data: bytes) -> bytes:
        _entry, scale, _known = self._analog(context, data[0])
        return sensor.reading_factors(data[1], scale)

    def _thresholds(self, context: Context, data: bytes) -> bytes:
        entry, scale, known = self._analog(context, data[0])
        return sensor.thresholds(entry.limits(known), scale)

    def _hysteresis(self, context: Context, data: bytes) -> bytes:
        entry, scale, known = self._analog(context, data[0])
        amount = known.thresholds.hysteresis if known.thresholds is not None else 0.0
        return sensor.hysteresis(amount * (entry.quantity.factor if entry.quantity is not None else 1.0), scale)

    # --- limits ---------------------------------------------------------------------------------------------------

    async def _set_thresholds(self, context: Context, data: bytes) -> bytes:
        entry, scale, _known = self._analog(context, data[0])
        factor = entry.quantity.factor if entry.quantity is not None else 1.0
        wanted = sensor.new_thresholds(data[1:], scale)
        limits = SensorThresholds(**{name: value / factor for name, value in wanted.items()})
        await self._update(context, entry, limits, list(wanted))
        return b""

    async def _set_hysteresis(self, context: Context, data: bytes) -> bytes:
        entry, scale, _known = self._analog(context, data[0])
        factor = entry.quantity.factor if entry.quantity is not None else 1.0
        limits = SensorThresholds(hysteresis=sensor.new_hysteresis(data, scale) / factor)
        await self._update(context, entry, limits, ["hysteresis"])
        return b""

    async def _update(self, context: Context, entry: Entry, limits: SensorThresholds, fields: list[str]) -> None:
        request = UpdateSensorThresholdsRequest(name=entry.name, thresholds=limits, update_mask=FieldMask(paths=fields))
        changed = (await context.ask(SensorService.UpdateSensorThresholds, request)).sensor
        if changed is not None:
            self._ground.facts.sensors.put(changed.name, changed)  # it is read back before the stream tells

    # --- events ---------------------------------------------------------------------------------------------------

    def _events(self, entry: Entry) -> int:
        if entry.scale is None:
            return OWN_STATES.get(entry.name, entry.all_states())
        known = self._ground.facts.sensors.known.get(entry.name)
        limits = entry.limits(known) if known is not None else [None] * 6
        return sensor.events_of(sum(1 << bit for bit, limit in enumerate(limits) if limit is not None))

    def _enables(self, context: Context, data: bytes) -> bytes:
        entry = self._entry(context, data[0])
        return sensor.event_enables(self._enabled(entry), self._events(entry))

    async def _set_enables(self, context: Context, data: bytes) -> bytes:
        """Whether a sensor tells events to IPMI; cooling and the event log of the BMC watch it all the same."""
        entry = self._entry(context, data[0])
        wanted = Enabled.parse(data[1:])
        if not wanted.scanning:
            raise Completion(Code.INVALID_FIELD, "cooling needs its sensors; scanning cannot be turned off")
        if wanted.events is (entry.name not in self.disabled()):
            return b""
        async with changing(context, _SET_ENABLE, Privilege.CONFIGURE_COMPONENTS, entry.name):
            names = self.disabled() - {entry.name} if wanted.events else self.disabled() | {entry.name}
            await self._ground.settings.keep(DISABLED, {"names": sorted(names)})
        return b""

    def _rearm(self, context: Context, data: bytes) -> bytes:
        """All sensors re-arm themselves; so nothing is left to be done."""
        self._entry(context, data[0])
        return b""

    async def _event(self, context: Context, data: bytes) -> bytes:
        record = sel.platform_event(data, inband=context.inband, software=REMOTE_CONSOLE)
        await self._add(context, record, _EVENT)
        return b""

    def _last_processed(self, _context: Context, _data: bytes) -> bytes:
        return pef.last_processed(*self._newest())


def _set_receiver(_context: Context, data: bytes) -> bytes:
    """Events go to the BMC itself, and nowhere else (Spec section 29.1)."""
    if (data[0], data[1] & 0x03) != (BMC_ADDRESS, 0):
        raise Completion(Code.INVALID_FIELD)
    return b""


def _get_pef(_context: Context, data: bytes) -> bytes:
    revision = bytes((pef.REVISION,))
    return revision if data[0] & 0x80 else revision + pef.parameter(data[0] & 0x7F, data[1] & 0x7F, data[2])


def _set_pef(_context: Context, data: bytes) -> bytes:
    pef.check_set(data[0] & 0x7F, data[1:])
    return b""
