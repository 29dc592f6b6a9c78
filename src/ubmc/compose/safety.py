"""What runs in the safety process, and how the guardian makes fans safe without it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from ubmc.boards import build
from ubmc.boards.build_sensors import build_fans, build_sensors
from ubmc.boards.spec import BoardSpec, LineChassisSpec
from ubmc.compose.program import Program, machine_folder, safety_folder
from ubmc.hw.fans import recipes
from ubmc.hw.gpio.port import Release
from ubmc.hw.power.port import Power
from ubmc.hw.sensors.port import SensorBus
from ubmc.kit.errors import Invalid
from ubmc.kit.process import Place
from ubmc.kit.readings import Readings, Trip
from ubmc.kit.service import Service
from ubmc.plans.safety import sensor_plans, thermal_plan
from ubmc.services.operator.plan import SafeFans
from ubmc.services.powermgr.service import Cooling, MakePower, PowerManager
from ubmc.services.sensormon.plan import Options as SensorOptions
from ubmc.services.sensormon.service import SensorMonitor
from ubmc.services.thermalmgr.service import Shared, ThermalManager


def safety(program: Program, place: Place) -> Sequence[Service]:
    """The services of the safety process."""
    spec, folder = program.board.spec, machine_folder(program.state)
    kept = safety_folder(program.state)
    readings, trip = Readings(), Trip()
    ensure = partial(build.ensure_machines, spec, folder)
    services: list[Service] = [_power_manager(program, place, Cooling(readings, trip, kept / "trip.json"))]
    if spec.sensors:
        buses = {bus.name: _again(build_sensors, bus.name, spec, folder) for bus in build_sensors(spec, folder)}
        options = SensorOptions(thresholds_file=kept / "thresholds.json")
        services.append(SensorMonitor(sensor_plans(spec), buses, readings, options, prepare=ensure))
    thermal = thermal_plan(spec)
    if thermal is not None:
        services.append(
            ThermalManager(
                thermal,
                lambda: {fan.name: fan for fan in build_fans(spec, folder)},
                Shared(readings, trip, place.cooling),
                kept / "thermal.json",
                prepare=ensure,
            )
        )
    return services


def _again(
    build_all: Callable[[BoardSpec, Path], Sequence[SensorBus]], name: str, spec: BoardSpec, folder: Path
) -> Callable[[], SensorBus]:
    """How to make one wire, each time anew: one that was closed is not opened again."""
    return lambda: next(bus for bus in build_all(spec, folder) if bus.name == name)


def _power_manager(program: Program, place: Place, cooling: Cooling) -> PowerManager:
    spec, folder = program.board.spec, machine_folder(program.state)

    def keep_all(keep: Callable[[Release], None], releases: tuple[Release, ...]) -> None:
        for release in releases:
            keep(release)

    def host(name: str) -> MakePower:
        return lambda keep: build.build_power(spec, name, folder, reopened=partial(keep_all, keep))

    def chassis(name: str) -> MakePower:
        def make(keep: Callable[[Release], None]) -> Power:
            power = build.build_chassis_power(spec, name, folder, reopened=partial(keep_all, keep))
            if power is None:
                raise Invalid(f"{name} has no supply of its own")
            return power

        return make

    return PowerManager(
        {each.name: host(each.name) for each in spec.hosts},
        {each.name: chassis(each.name) for each in spec.chassis if isinstance(each.power, LineChassisSpec)},
        place.guard,
        partial(build.ensure_machines, spec, folder),
        cooling=cooling,
    )


def safe_fans(program: Program) -> SafeFans | None:
    """How the guardian makes the fans of a board safe, known before anybody drives them."""
    spec = program.board.spec
    if not spec.fans:
        return None
    thermal = thermal_plan(spec)
    asked: dict[str, float] = {}
    for zone in thermal.zones if thermal is not None else ():
        asked |= {name: max(asked.get(name, 0.0), zone.fail_safe_percent) for name in zone.fans}
    known = [fan.recipe() for fan in build_fans(spec, machine_folder(program.state))]
    return SafeFans(
        recipes.apply,
        tuple(replace(each, failsafe_percent=max(each.failsafe_percent, asked.get(each.name, 0.0))) for each in known),
    )
