"""The simulated machines that exist, by name: `standard`, a server with two processors, and `large`, one with four.

All numbers are chosen, not measured; they are those of no real machine. What was chosen for: idle at 30 % duty is well
below every warning, 50 % is about right for 60 % load, full load at 100 % stays below every warning even with one fan
seized, and full load without fans passes fatal limits within a few minutes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from ubmc.hw.sim.shape import Asset, Fan, Limits, Machine, Node, Rail, Sensor, Shows, Supply
from ubmc.kit.errors import NotFound

FRU_BUS = "sim-fru"
_SPREAD = 0.35
_NONE = Limits()
_EFFICIENCY = ((0.0, 0.60), (0.1, 0.88), (0.2, 0.92), (0.5, 0.945), (1.0, 0.92))
_RAILS = (
    Rail("p12v", 12.1, 0.0015, 6.0, 50.0),
    Rail("p5v", 5.03, 0.004, 1.5, 6.0),
    Rail("p3v3", 3.32, 0.003, 2.0, 7.0),
    Rail("p1v8", 1.805, 0.002, 1.0, 4.0),
    Rail("p1v05", 1.052, 0.001, 2.0, 9.0),
    Rail("p5v_stby", 5.05, 0.01, 0.8, 0.9, standby=True),
)


@dataclass(frozen=True, slots=True)
class _Size:
    """How much of everything a machine has."""

    name: str
    cpus: int
    dimms_per_cpu: int
    drives: int
    fans: int
    supplies: int
    nics: int
    rated_watts: float


def standard_machine() -> Machine:
    """Two processors, 16 memory modules, 8 drives, 6 fans with two rotors each, 2 supplies."""
    return _machine(_Size("standard", 2, 8, 8, 6, 2, 1, 1200.0))


def large_machine() -> Machine:
    """Four processors, 64 memory modules, 72 drives, 20 fans, 6 supplies; 300 sensors."""
    return _machine(_Size("large", 4, 16, 72, 20, 6, 8, 1200.0))


MACHINES: Mapping[str, Callable[[], Machine]] = MappingProxyType({"standard": standard_machine, "large": large_machine})


def machine_named(name: str) -> Machine:
    """The machine of that name. Raises `NotFound`."""
    if name not in MACHINES:
        raise NotFound(f"there is no simulated machine {name!r}; there are {', '.join(MACHINES)}")
    return MACHINES[name]()


def _machine(size: _Size) -> Machine:
    fans = tuple(Fan(f"fan.{n}", 12000.0, 900.0, rotors=2) for n in range(size.fans))
    return Machine(
        name=size.name,
        nodes=tuple(_nodes(size)),
        fans=fans,
        supplies=tuple(Supply(f"psu.{n}", size.rated_watts, _EFFICIENCY) for n in range(size.supplies)),
        rails=_RAILS,
        sensors=tuple(_sensors(size)),
        assets=tuple(_assets(size)),
        air_full=14.0 * size.fans,
        air_still=4.0,
        litres_per_minute=700.0 * size.fans,
    )


def _flow(size: _Size, place: float, spread: float = _SPREAD) -> tuple[float, ...]:
    """The shares of the fans at a place between 0 (left) and 1 (right): near ones blow more."""
    raw = [0.4 + math.exp(-((((n + 0.5) / size.fans - place) / spread) ** 2)) for n in range(size.fans)]
    return tuple(share / sum(raw) for share in raw)


def _nodes(size: _Size) -> Iterator[Node]:
    for n in range(size.cpus):
        flow = _flow(size, (n + 0.5) / size.cpus)
        yield Node(f"cpu{n}", 400.0, 0.25, 5.0, 0.3, flow, 35.0, 200.0, Limits(80.0, 90.0, 100.0))
        yield Node(f"memory{n}", 350.0, 0.1, 2.2, 0.5, flow, 12.0, 50.0, Limits(75.0, 85.0, 95.0))
        yield Node(f"vrm{n}", 60.0, 0.05, 0.9, 0.6, flow, 4.0, 28.0, Limits(95.0, 105.0, 120.0))
    even = _flow(size, 0.5, 10.0)
    for n in range(size.nics):
        flow = _flow(size, 0.9)
        yield Node(f"nic{n}", 80.0, 0.06, 0.55, 0.6, flow, 9.0, 18.0, Limits(85.0, 95.0, 105.0))
    yield Node("storage", 80.0, 0.06, 0.55, 0.4, _flow(size, 0.1), 8.0, 16.0, Limits(85.0, 95.0, 105.0))
    yield Node("board", 70.0, 0.06, 0.45, 0.6, even, 8.0, 12.0, Limits(80.0, 90.0, 100.0))
    share = size.drives / 8
    yield Node(
        "drives", 3000.0 * share, 0.6 * share, 6.5 * share, 0.0, even, 40.0 * share, 70.0 * share,
        Limits(55.0, 60.0, 70.0),
    )  # fmt: skip


def _temperature(
    name: str, bus: str, node: str, limits: Limits, *, offset: float = 0.0, host: bool = True, asset: str = ""
) -> Sensor:
    return Sensor(
        name, Shows.NODE_TEMPERATURE, bus, node, offset=offset, noise=0.25, resolution=0.125, host=host,
        asset=asset, upper=limits, span=(-40.0, 250.0),
    )  # fmt: skip


def _sensors(size: _Size) -> Iterator[Sensor]:
    for n in range(size.cpus):
        yield from _cpu_sensors(n)
    for n in range(size.cpus * size.dimms_per_cpu):
        node, offset = f"memory{n // size.dimms_per_cpu}", -0.5 * (n % size.dimms_per_cpu % 8)
        yield _temperature(f"dimm{n}_temp", "sim-memory", node, Limits(75.0, 85.0, 95.0), offset=offset)
    for n in range(size.drives):
        limits = Limits(55.0, 60.0, 70.0)
        offset, asset = -0.5 * (n % 8), f"drive.{n}"
        yield _temperature(f"drive{n}_temp", "sim-drives", "drives", limits, offset=offset, asset=asset)
    for n in range(size.nics):
        yield _temperature(f"nic{n}_temp", "sim-board", f"nic{n}", Limits(85.0, 95.0, 105.0))
    yield _temperature("storage_temp", "sim-board", "storage", Limits(85.0, 95.0, 105.0))
    yield _temperature("board_temp", "sim-board", "board", Limits(80.0, 90.0, 100.0), host=False)
    for n in range(size.fans):
        yield from _fan_sensors(n)
    for n in range(size.supplies):
        yield from _supply_sensors(n, size.rated_watts)
    for rail in _RAILS:
        volts, host = rail.volts, not rail.standby
        yield Sensor(
            rail.name, Shows.RAIL_VOLTAGE, "sim-board", rail.name, noise=volts * 0.001, resolution=0.001, host=host,
            upper=Limits(volts * 1.05, volts * 1.1), lower=Limits(volts * 0.95, volts * 0.9), span=(0.0, volts * 2),
        )  # fmt: skip
        yield Sensor(
            f"{rail.name}_current", Shows.RAIL_CURRENT, "sim-board", rail.name, noise=0.02, resolution=0.01, host=host,
            upper=Limits(rail.full_amps * 1.2, rail.full_amps * 1.4), span=(0.0, rail.full_amps * 4),
        )  # fmt: skip
    yield from _room_sensors()


def _cpu_sensors(n: int) -> Iterator[Sensor]:
    bus, watts = "sim-cpu", Limits(230.0, 260.0)
    yield _temperature(f"cpu{n}_temp", bus, f"cpu{n}", Limits(80.0, 90.0, 100.0))
    yield _temperature(f"vrm{n}_temp", bus, f"vrm{n}", Limits(95.0, 105.0, 120.0))
    yield Sensor(
        f"cpu{n}_power", Shows.NODE_POWER, bus, f"cpu{n}", noise=1.0, resolution=0.5, host=True, upper=watts,
        span=(0.0, 1000.0),
    )  # fmt: skip
    yield Sensor(
        f"memory{n}_power", Shows.NODE_POWER, bus, f"memory{n}", noise=0.5, resolution=0.5, host=True, span=(0.0, 500.0)
    )
    yield Sensor(f"cpu{n}_load", Shows.LOAD, bus, noise=1.0, resolution=0.1, host=True, span=(0.0, 100.0))


def _fan_sensors(n: int) -> Iterator[Sensor]:
    bus, fan, slow = "sim-fans", f"fan.{n}", Limits(700.0, 400.0)
    for rotor, name in enumerate((f"fan{n}_rpm", f"fan{n}_rear_rpm")):
        yield Sensor(
            name, Shows.ROTOR_SPEED, bus, fan, rotor, noise=20.0, resolution=10.0, lower=slow, span=(0.0, 30000.0)
        )
    yield Sensor(f"fan{n}_duty", Shows.FAN_DUTY, bus, fan, resolution=0.1, span=(0.0, 100.0))


def _supply_sensors(n: int, rated: float) -> Iterator[Sensor]:
    of, bus = f"psu.{n}", "sim-supplies"

    def one(
        what: str, shows: Shows, noise: float, step: float, most: float, upper: Limits, lower: Limits = _NONE
    ) -> Sensor:
        return Sensor(
            f"psu{n}_{what}", shows, bus, of, noise=noise, resolution=step, upper=upper, lower=lower, span=(0.0, most)
        )

    volts = Limits(11.6, 11.2)
    yield one("vin", Shows.SUPPLY_INPUT_VOLTAGE, 1.5, 0.25, 400.0, Limits(253.0, 264.0), Limits(200.0, 180.0))
    yield one("iin", Shows.SUPPLY_INPUT_CURRENT, 0.02, 0.01, 30.0, _NONE)
    yield one("pin", Shows.SUPPLY_INPUT_POWER, 1.0, 0.5, 4000.0, Limits(rated * 1.08, rated * 1.2))
    yield one("vout", Shows.SUPPLY_OUTPUT_VOLTAGE, 0.01, 0.005, 20.0, Limits(12.8, 13.2), volts)
    yield one("iout", Shows.SUPPLY_OUTPUT_CURRENT, 0.1, 0.05, 300.0, Limits(rated / 12.0, rated / 11.0))
    yield one("pout", Shows.SUPPLY_OUTPUT_POWER, 1.0, 0.5, 4000.0, Limits(rated, rated * 1.1))
    yield one("temp", Shows.SUPPLY_TEMPERATURE, 0.25, 0.125, 250.0, Limits(60.0, 70.0, 80.0))
    yield one("fan", Shows.SUPPLY_FAN_SPEED, 30.0, 10.0, 30000.0, _NONE, Limits(1500.0, 1000.0))
    yield Sensor(f"psu{n}_presence", Shows.SUPPLY_PRESENCE, "sim-board", of, span=(0.0, 1.0))


def _room_sensors() -> Iterator[Sensor]:
    bus = "sim-board"
    yield Sensor(
        "inlet_temp", Shows.INLET_TEMPERATURE, bus, noise=0.2, resolution=0.125, upper=Limits(42.0, 47.0, 55.0),
        lower=Limits(5.0, 0.0), span=(-40.0, 125.0),
    )  # fmt: skip
    yield Sensor(
        "outlet_temp", Shows.OUTLET_TEMPERATURE, bus, noise=0.2, resolution=0.125, upper=Limits(70.0, 80.0, 90.0),
        span=(-40.0, 250.0),
    )  # fmt: skip
    yield Sensor("total_power", Shows.TOTAL_POWER, bus, noise=2.0, resolution=1.0, span=(0.0, 10000.0))
    yield Sensor("total_energy", Shows.TOTAL_ENERGY, bus, resolution=1.0)
    yield Sensor(
        "humidity", Shows.HUMIDITY, bus, noise=0.5, resolution=0.1, upper=Limits(80.0, 90.0), lower=Limits(20.0, 8.0),
        span=(0.0, 100.0),
    )  # fmt: skip
    yield Sensor("pressure", Shows.PRESSURE, bus, noise=20.0, resolution=1.0, span=(30000.0, 120000.0))
    yield Sensor("airflow", Shows.AIRFLOW, bus, noise=10.0, resolution=1.0, span=(0.0, 100000.0))
    yield Sensor("intrusion", Shows.INTRUSION, bus, span=(0.0, 1.0))


def _assets(size: _Size) -> Iterator[Asset]:
    yield Asset(
        "chassis.0", "chassis", "", model="Simulated chassis", part_number="SIM-CH-1", serial_number="CH0001",
        fru_bytes=256, fru_writable=True,
    )  # fmt: skip
    yield Asset(
        "board.0", "board", model=f"Simulated board, {size.name}", part_number="SIM-MB-1", serial_number="MB0001",
        version="1.0", fru_bytes=512, fru_writable=True,
    )  # fmt: skip
    for n in range(size.cpus):
        yield Asset(
            f"cpu.{n}", "processor", "board.0", model="Simulated processor", serial_number=f"CP{n:04}",
            location=f"CPU{n}", details=_details(cores="32", threads="64", speed_mhz="2400", architecture="x86_64"),
        )  # fmt: skip
    for n in range(size.cpus * size.dimms_per_cpu):
        cpu, slot = divmod(n, size.dimms_per_cpu)
        yield Asset(
            f"dimm.{n}", "memory", "board.0", model="Simulated memory module", part_number="SIM-DM-32",
            serial_number=f"DM{n:04}", location=f"CPU{cpu}_DIMM{slot}",
            details=_details(capacity_bytes=str(32 << 30), speed_mts="4800"),
        )  # fmt: skip
    for n in range(size.drives):
        yield Asset(
            f"drive.{n}", "drive", model="Simulated drive", serial_number=f"DR{n:04}", location=f"Bay {n}",
            details=_details(capacity_bytes=str(4 * 10**12), media="ssd", protocol="nvme"), pluggable=True,
        )  # fmt: skip
    for n in range(size.fans):
        yield Asset(f"fan.{n}", "fan", model="Simulated fan", part_number="SIM-FN-1", location=f"Fan {n}")
    for n in range(size.supplies):
        yield Asset(
            f"psu.{n}", "power-supply", model="Simulated supply", part_number="SIM-PS-1", serial_number=f"PS{n:04}",
            version="1.2", location=f"Supply {n}", details=_details(rated_watts=f"{size.rated_watts:.0f}"),
            fru_bytes=256, pluggable=True,
        )  # fmt: skip
    for n in range(size.nics):
        yield Asset(
            f"nic.{n}", "network-card", "board.0", model="Simulated network card", serial_number=f"NC{n:04}",
            location=f"Slot {n}", fru_bytes=256, fru_writable=True,
            details=_details(mac_address=f"02:00:00:00:01:{n:02x}", speed_mbps="10000"),
        )  # fmt: skip


def _details(**details: str) -> Mapping[str, str]:
    return MappingProxyType(details)
