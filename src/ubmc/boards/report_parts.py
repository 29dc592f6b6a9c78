"""The lines of `ubmc board show` for I2C, sensors, cooling and assets."""

from __future__ import annotations

from collections.abc import Iterator

from ubmc.boards.kinds import format_duration
from ubmc.boards.quantities import quantities_of
from ubmc.boards.spec import BoardSpec
from ubmc.boards.spec_assets import AssetSpec, EepromFruSpec
from ubmc.boards.spec_sensors import LimitsSpec


def show_wires(spec: BoardSpec) -> Iterator[str]:
    """The I2C buses."""
    for bus in spec.i2c:
        if bus.mux is None:
            yield f"{bus.name}: I2C adapter {bus.adapter}"
        else:
            yield f"{bus.name}: I2C channel {bus.channel} of the mux at {bus.mux:#x} on {bus.parent}"


def show_sensors(spec: BoardSpec) -> Iterator[str]:
    """The sensors: what each measures, where it is read, and its limits."""
    known = quantities_of(spec.sensors)
    for sensor in spec.sensors:
        parts = [known[sensor.name].value, sensor.place]
        parts += [f"{side} {text}" for side in ("upper", "lower") if (text := _limits(getattr(sensor, side)))]
        if sensor.powered_by:
            parts.append(f"with the power of {sensor.powered_by}")
        yield f"{sensor.name}: {', '.join(parts)}"


def _limits(limits: LimitsSpec) -> str:
    given = (limits.warning, limits.critical, limits.fatal)
    if all(limit is None for limit in given):
        return ""
    return "/".join("-" if limit is None else f"{limit:g}" for limit in given)


def show_cooling(spec: BoardSpec) -> Iterator[str]:
    """The fans, and the zones that drive them."""
    for fan in spec.fans:
        duties = f"at least {fan.minimum:g} %, fail-safe {fan.fail_safe:g} %"
        yield f"{fan.name}: {fan.control.value}, {fan.place}, {duties}"
    for zone in spec.zones:
        cut = f", cuts {', '.join(zone.hosts)} after {format_duration(zone.trip_after)}" if zone.hosts else ""
        yield f"{zone.name}: {', '.join(zone.fans)}, {zone.minimum:g} to {zone.maximum:g} %{cut}"
        for controller in zone.controllers:
            yield f"  {controller.name:<12} {controller.kind}, {', '.join(controller.sensors)}"


def show_assets(spec: BoardSpec) -> Iterator[str]:
    """The parts of the machine."""
    for asset in spec.assets:
        parts = [asset.kind.value]
        if asset.parent:
            parts.append(f"in {asset.parent}")
        parts += _storage(asset)
        yield f"{asset.name}: {', '.join(parts)}"


def _storage(asset: AssetSpec) -> list[str]:
    if isinstance(asset.fru, EepromFruSpec):
        return [f"FRU on {asset.fru.bus} at {asset.fru.address:#x}"]
    return ["FRU"] if asset.fru else []
