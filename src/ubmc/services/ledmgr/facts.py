"""What ledmgr knows about the machine: power, identify, and everything that is wrong. No I/O.

News and answers are put in; for each light comes out which conditions hold. A trouble concerns a light if it is in what
the light stands for: a chassis light tells all that is in the chassis and the BMC's own services, a host light its host
and what all share (fans, supplies, zones), a light of the BMC its services.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType

from ubmc.services.ledmgr.pattern import CHASSIS_POWER, HOST_POWER, Condition
from ubmc.v1alpha1.chassis_pb import Chassis, ChassisState
from ubmc.v1alpha1.event_kind_pb import Severity
from ubmc.v1alpha1.host_pb import Host, HostState
from ubmc.v1alpha1.led_pb import LedRole
from ubmc.v1alpha1.sensor_pb import Sensor, SensorLevel, SensorQuality
from ubmc.v1alpha1.system_pb import ServiceHealth, ServiceState
from ubmc.v1alpha1.thermal_pb import CoolingDevice, CoolingDeviceState, ThermalZone, ThermalZoneState

WARNING, CRITICAL = Severity.WARNING, Severity.CRITICAL

LEVELS: Mapping[SensorLevel, Severity] = MappingProxyType(
    {SensorLevel.WARNING: WARNING, SensorLevel.CRITICAL: CRITICAL, SensorLevel.FATAL: CRITICAL}
)
QUALITIES: Mapping[SensorQuality, Severity] = MappingProxyType(
    {SensorQuality.STALE: WARNING, SensorQuality.IMPLAUSIBLE: WARNING, SensorQuality.FAILED: WARNING}
)
DEVICES: Mapping[CoolingDeviceState, Severity] = MappingProxyType(
    {
        CoolingDeviceState.SLOW: WARNING,
        CoolingDeviceState.ABSENT: WARNING,
        CoolingDeviceState.SEIZED: CRITICAL,
        CoolingDeviceState.UNWRITABLE: CRITICAL,
    }
)
ZONES: Mapping[ThermalZoneState, Severity] = MappingProxyType(
    {ThermalZoneState.FAIL_SAFE: WARNING, ThermalZoneState.OVERHEATED: CRITICAL}
)
SERVICES: Mapping[ServiceState, Severity] = MappingProxyType(
    {ServiceState.FAILED: WARNING, ServiceState.DEGRADED: CRITICAL}
)


class Source(Enum):
    """Who tells a kind of trouble."""

    LEVEL = "level"
    QUALITY = "quality"
    DEVICE = "device"
    ZONE = "zone"
    TRIP = "trip"
    SERVICE = "service"


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something that is wrong."""

    severity: Severity
    component: str
    """Where it is: `host.0`, `psu.0`; empty where nobody says."""
    text: str


@dataclass(frozen=True, slots=True)
class Duty:
    """What one light is there for."""

    led: str
    role: str
    """`power`, `identify`, `status` or `fault`."""
    component: str
    """`host.0`, `chassis.0`, `bmc.0`; empty for the only one that there is."""

    @property
    def kind(self) -> LedRole:
        """The role as the schema has it."""
        return LedRole[self.role.upper()]


class Facts:
    """What is known."""

    def __init__(self) -> None:
        self.hosts: dict[str, HostState] = {}
        self.chassis: dict[str, ChassisState] = {}
        self.identify: dict[str, bool] = {}
        self.members: dict[str, tuple[str, ...]] = {}
        self.sensors: dict[str, str] = {}
        """The component of each sensor."""
        self.health_known = False
        self._troubles: dict[Source, dict[str, Trouble]] = {source: {} for source in Source}

    # --- whole answers ------------------------------------------------------------------------------------------

    def take_hosts(self, hosts: Iterable[Host]) -> None:
        """All hosts."""
        self.hosts = {host.name: host.state for host in hosts}

    def take_chassis(self, all_chassis: Iterable[Chassis]) -> None:
        """All chassis."""
        found = list(all_chassis)
        self.chassis = {chassis.name: chassis.state for chassis in found}
        self.identify = {chassis.name: chassis.identify for chassis in found}
        self.members = {chassis.name: tuple(chassis.hosts) for chassis in found}

    @property
    def failing(self) -> frozenset[str]:
        """The sensors that cannot be believed."""
        return frozenset(self._troubles[Source.QUALITY])

    def take_sensors(self, sensors: Iterable[Sensor]) -> None:
        """All sensors."""
        self._troubles[Source.LEVEL].clear()
        self._troubles[Source.QUALITY].clear()
        self.sensors.clear()
        for sensor in sensors:
            self.sensors[sensor.name] = sensor.component
            self.level(sensor.name, sensor.level)
            self.quality(sensor.name, sensor.quality, sensor.quality_reason)

    def take_devices(self, devices: Iterable[CoolingDevice]) -> None:
        """All fans and pumps."""
        self._troubles[Source.DEVICE].clear()
        for device in devices:
            self.device(device.name, device.state)

    def take_zones(self, zones: Iterable[ThermalZone]) -> None:
        """All thermal zones."""
        self._troubles[Source.ZONE].clear()
        for zone in zones:
            self.zone(zone.name, zone.state, "; ".join(zone.reasons))

    def take_services(self, services: Iterable[ServiceHealth]) -> None:
        """All services of the BMC."""
        self._troubles[Source.SERVICE].clear()
        for service in services:
            self.service(service.name, service.state)
        self.health_known = True

    # --- single news --------------------------------------------------------------------------------------------

    def host(self, name: str, state: HostState) -> None:
        """A host changed; one that has power again is not held off by its trip any more."""
        self.hosts[name] = state
        if HOST_POWER.get(state) is Condition.ON or state is HostState.POWERING_ON:
            self._troubles[Source.TRIP].pop(name, None)

    def level(self, name: str, level: SensorLevel) -> None:
        """How far a sensor is from normal."""
        self._set(Source.LEVEL, name, LEVELS.get(level), self.sensors.get(name, ""), f"{name} is {_word(level)}")

    def quality(self, name: str, quality: SensorQuality, reason: str = "") -> None:
        """How far a sensor can be believed."""
        text = f"{name} is {_word(quality)}" + (f": {reason}" if reason else "")
        self._set(Source.QUALITY, name, QUALITIES.get(quality), self.sensors.get(name, ""), text)

    def device(self, name: str, state: CoolingDeviceState) -> None:
        """How a fan or pump is."""
        self._set(Source.DEVICE, name, DEVICES.get(state), "", f"{name} is {_word(state)}")

    def zone(self, name: str, state: ThermalZoneState, reason: str = "") -> None:
        """What a thermal zone does."""
        text = f"zone {name} is {_word(state)}" + (f": {reason}" if reason else "")
        self._set(Source.ZONE, name, ZONES.get(state), "", text)

    def trip(self, host: str, reason: str) -> None:
        """A host was powered off because it was too hot."""
        self._set(Source.TRIP, host, CRITICAL, host, f"{host} was powered off because it is too hot: {reason}")

    def service(self, name: str, state: ServiceState) -> None:
        """How a service of the BMC is."""
        self._set(Source.SERVICE, name, SERVICES.get(state), "", f"the service {name} is {_word(state)}")

    def _set(self, source: Source, name: str, severity: Severity | None, component: str, text: str) -> None:
        if severity is None:
            self._troubles[source].pop(name, None)
        else:
            self._troubles[source][name] = Trouble(severity, component, text)

    # --- what a light makes of it -------------------------------------------------------------------------------

    def holding(self, duty: Duty, *, identifies: bool) -> dict[Condition, str]:
        """The conditions that hold for a light, each with its reason.

        Args:
            duty: what the light is there for.
            identifies: it shows identify too.
        """
        holding: dict[Condition, str] = {}
        component = self.whose(duty)
        if identifies and (asked := self._identify(component)) is not None:
            holding[Condition.IDENTIFY if asked else Condition.QUIET] = ""
        if duty.kind is LedRole.POWER:
            power = self._power(component)
            if power is not None:
                holding[power[0]] = power[1]
        elif duty.kind is not LedRole.IDENTIFY and self.health_known:
            holding |= self._health(component)
        return holding

    def whose(self, duty: Duty) -> str:
        """The component of a light: as said, else the first host for a power light, the first chassis for others."""
        if duty.component:
            return duty.component
        known: Iterable[str] = self.hosts if duty.kind is LedRole.POWER else self.chassis
        return next(iter(known), "")

    def home(self, component: str) -> str:
        """The chassis in which a component is; empty if that is not known."""
        if component.startswith("chassis."):
            return component
        homes = [chassis for chassis, hosts in self.members.items() if component in hosts]
        return homes[0] if homes else "" if component.startswith("host.") else next(iter(self.members), "")

    def _identify(self, component: str) -> bool | None:
        return self.identify.get(self.home(component))

    def _power(self, component: str) -> tuple[Condition, str] | None:
        if component in self.hosts:
            host = self.hosts[component]
            return HOST_POWER.get(host, Condition.OFF), f"{component} is {_word(host)}"
        if component in self.chassis:
            chassis = self.chassis[component]
            return CHASSIS_POWER.get(chassis, Condition.OFF), f"{component} is {_word(chassis)}"
        return None

    def _health(self, component: str) -> dict[Condition, str]:
        """The worst that concerns a component, or that all is well."""
        found = [
            trouble
            for source, troubles in self._troubles.items()
            for trouble in troubles.values()
            if self._concerns(component, source, trouble)
        ]
        for severity, condition in ((CRITICAL, Condition.CRITICAL), (WARNING, Condition.WARNING)):
            texts = sorted(trouble.text for trouble in found if trouble.severity is severity)
            if texts:
                return {condition: texts[0] + (f" (and {len(found) - 1} more)" if len(found) > 1 else "")}
        return {Condition.WELL: ""}

    def _concerns(self, component: str, source: Source, trouble: Trouble) -> bool:
        kind = component.partition(".")[0]
        if source is Source.SERVICE:
            return kind != "host"
        if kind == "bmc":
            return trouble.component == component
        place = trouble.component
        if place.startswith("host.") and kind == "host":
            return place == component
        if place.startswith(("host.", "chassis.")):
            home = self.home(place)
            return not home or home == self.home(component)
        return not place.startswith("bmc.") or kind == "chassis"


def _word(value: Enum) -> str:
    """`POWERING_ON` as `powering on`; a number that this program has no name for stays one."""
    name: str | None = value.name
    return (
        name.lower().replace("_", " ") if name and value.value else "unknown" if not value.value else str(value.value)
    )
