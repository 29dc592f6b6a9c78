"""What can break in the simulated machine, and where in Redfish it shows: a table, with a row for each way."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from tests.harness.resources import CHASSIS, SENSORS, SYSTEM, Body

SUPPLY = f"{CHASSIS}/PowerSubsystem/PowerSupplies/psu.1"
FAN = f"{CHASSIS}/ThermalSubsystem/Fans/fan.2"
DRIVE = f"{CHASSIS}/Drives/drive.3"
CARD = f"{SYSTEM}/EthernetInterfaces/nic.0"


@dataclass(frozen=True)
class Case:
    """One fault, and where it has to show and may show."""

    kind: str
    target: str
    path: str
    shows: Callable[[Body, Body], object]
    """Whether the body shows it, given what it was before."""
    also: str = ""
    """A pattern of the other resources that have a part in it."""
    value: float | None = None
    follows: float = 1.5
    """Seconds within which the rest follows from it: limits of fans and supplies have to be passed for a while."""
    provoke: tuple[str, Body] | None = None
    """A call of the API that lets the BMC see it; before that nobody can know."""
    calm: tuple[str, Body] | None = None
    """The call that ends that."""


def _reading(body: Body) -> float:
    return float(body["Reading"] or 0.0)


def _speed(body: Body) -> float:
    return float(body["SpeedPercent"]["SpeedRPM"] or 0.0)


def _nothing(_before: Body, now: Body) -> bool:
    return now["Reading"] is None


def _warned(_before: Body, now: Body) -> bool:
    return bool(now["Status"]["Health"] == "Warning")


def _critical(_before: Body, now: Body) -> bool:
    return bool(now["Status"]["Health"] == "Critical")


def _kept_its_duty(before: Body, now: Body) -> bool:
    """It is told to turn faster, and what is shown is the duty that it has."""
    change = abs(now["SpeedPercent"]["Reading"] - before["SpeedPercent"]["Reading"])
    return _critical(before, now) and change < 5


INLET = r"Sensors/air_rise|EnvironmentMetrics|Thermal|ThermalSubsystem.*|Controls/.*"
COOLED = r"Thermal|ThermalSubsystem.*|Controls/.*|Sensors/fan.*|EnvironmentMetrics"
POWERED = r"Power|PowerSubsystem.*|Thermal|ThermalSubsystem.*|Sensors/psu1_.*|EnvironmentMetrics"
BOARD = (
    r"Sensors/.*|Thermal|ThermalSubsystem.*|Controls/.*|Power|PowerSubsystem.*|EnvironmentMetrics|Assembly"
    r"|EthernetInterfaces/.*|Storage/.*|"
)

CASES = (
    Case("sensor-nan", "inlet_temp", f"{SENSORS}/inlet_temp", _nothing, INLET),
    Case("sensor-stale", "inlet_temp", f"{SENSORS}/inlet_temp", _nothing, INLET),
    Case("sensor-range", "inlet_temp", f"{SENSORS}/inlet_temp", _nothing, INLET),
    Case(
        "sensor-stuck",
        "cpu0_temp",
        f"{SENSORS}/cpu0_temp",
        lambda _before, now: (now["Reading"], now["Status"]["Health"]) == (95, "Critical"),
        f"{COOLED}|Processors/cpu.0",
        95.0,
    ),
    Case(
        "bus-stuck", "sim-cpu", f"{SENSORS}/cpu0_temp", _nothing, rf"{COOLED}|Sensors/.*|Processors/.*|Power|Assembly|"
    ),
    Case("bus-stuck", "sim-memory", f"{SENSORS}/dimm3_temp", _nothing, rf"{COOLED}|Sensors/dimm.*|Memory/.*"),
    Case(
        "bus-stuck",
        "sim-drives",
        f"{SENSORS}/drive0_temp",
        _nothing,
        f"{COOLED}|Sensors/drive._temp|Drives/.*|SimpleStorage/.*",
    ),
    Case("bus-stuck", "sim-board", f"{SENSORS}/inlet_temp", _nothing, BOARD),
    Case("bus-stuck", "sim-fans", f"{SENSORS}/fan2_rpm", _nothing, COOLED),
    Case("bus-stuck", "sim-supplies", f"{SENSORS}/psu1_vout", _nothing, rf"{POWERED}|Sensors/.*"),
    Case("bus-stuck", "sim-fru", SUPPLY, _warned, r"Power|PowerSubsystem.*|Assembly|EthernetInterfaces/.*|"),
    Case("fru-damaged", "chassis.0", CHASSIS, _warned),
    Case(
        "fru-damaged",
        "board.0",
        f"{CHASSIS}/Assembly",
        lambda _before, now: now["Assemblies"][0]["Status"]["Health"] == "Warning",
    ),
    Case("fru-damaged", "psu.1", SUPPLY, _warned, "Power|PowerSubsystem.*"),
    Case("fru-damaged", "nic.0", CARD, _warned),
    Case("fan-seized", "fan.2", FAN, lambda before, now: _speed(now) < _speed(before) / 2, COOLED, follows=7.0),
    Case("fan-slow", "fan.2", FAN, lambda before, now: _speed(now) < _speed(before) * 0.8, COOLED, 30.0),
    Case(
        "fan-unwritable",
        "fan.2",
        FAN,
        _kept_its_duty,
        COOLED,
        provoke=("thermal-zones/system:setManualDuty", {"dutyPercent": 60, "durationSeconds": 60}),
        calm=("thermal-zones/system:clearManualDuty", {}),
    ),
    Case(
        "supply-lost",
        "psu.1",
        f"{SENSORS}/psu1_vout",
        lambda before, now: _reading(now) < _reading(before) / 2,
        POWERED,
        follows=3.0,
    ),
    Case("supply-unplugged", "psu.1", SUPPLY, _critical, POWERED),
    Case("asset-unplugged", "psu.1", SUPPLY, lambda _before, now: now["Status"]["State"] == "Absent", POWERED),
    Case(
        "asset-unplugged",
        "drive.3",
        f"{CHASSIS}/Drives",
        lambda _before, now: {"@odata.id": DRIVE} not in now["Members"],
        f"{COOLED}|Sensors/drive3_temp|Drives/drive.3|SimpleStorage/.*|Storage/.*|",
    ),
    Case(
        "intrusion",
        "",
        CHASSIS,
        lambda _before, now: now["PhysicalSecurity"]["IntrusionSensor"] == "HardwareIntrusion",
    ),
)


@dataclass(frozen=True)
class Hang:
    """A fault of the host that shows when its power is to be changed."""

    kind: str
    on: bool
    """Whether the host is on when it is asked."""
    reset: str
    """What it is asked."""
    way: str
    """The power state while it is waited for."""
    after: tuple[str, str, str]
    """`PowerState`, `BootProgress/LastState` and `Status/State` when that is given up."""
    advice: str
    """What a person can do."""
    besides: str = ""
    """What else has to be broken: a system that hears the button shuts down while it is held."""


HANGS = (
    Hang("hang-on", False, "On", "PoweringOn", ("Off", "None", "StandbyOffline"), "check supply and board"),
    Hang("hang-off", True, "GracefulShutdown", "PoweringOff", ("On", "OSRunning", "Enabled"), "use force-off"),
    Hang(
        "hang-hard", True, "ForceOff", "PoweringOff", ("On", "OSRunning", "Enabled"), "take the chassis off", "hang-off"
    ),
)
FLASH = "flash-write"
"""It shows in the answer of whoever writes."""
STALE = "sensor-stale"
"""It is tried on a sensor of every sort."""
TRIED: Mapping[str, frozenset[str]] = MappingProxyType(
    {kind: frozenset(case.target for case in CASES if case.kind == kind) for kind in (*(case.kind for case in CASES),)}
    | {hang.kind: frozenset({"host.0"}) for hang in HANGS}
    | {FLASH: frozenset({""})}
)
"""What is injected into what."""
