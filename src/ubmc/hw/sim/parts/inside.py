"""The inside of the simulated machine: climate, load, instruments, faults and stores, wired to its power.

The plant passes everything on that is not a button or a line.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ubmc.hw.sim.catalogue import FRU_BUS
from ubmc.hw.sim.parts import faults
from ubmc.hw.sim.parts.chassis import GOOD as SUPPLY_GOOD
from ubmc.hw.sim.parts.chassis import Chassis
from ubmc.hw.sim.parts.climate import START_PERCENT, Climate
from ubmc.hw.sim.parts.faults import FaultKind, Faults, Into
from ubmc.hw.sim.parts.host import Fault, Host, Stage
from ubmc.hw.sim.parts.instruments import Instruments, Outcome
from ubmc.hw.sim.parts.load import Load, Profile
from ubmc.hw.sim.parts.stores import Stores
from ubmc.hw.sim.shape import Asset, Machine
from ubmc.hw.sim.wires import Change, Wires
from ubmc.kit.errors import Invalid, NotFound, Unavailable

_COLDEST, _HOTTEST = -20.0, 60.0


class Inside:
    """Everything behind the front panel."""

    def __init__(self, wires: Wires, machine: Machine, chassis: Chassis, host: Host, seed: int) -> None:
        self._wires = wires
        self._chassis = chassis
        self._host = host
        self.machine = machine
        self.load = Load(seed)
        self.climate = Climate(machine, self.load.at)
        self._fans = {fan.name: index for index, fan in enumerate(machine.fans)}
        self._supplies = {supply.name: index for index, supply in enumerate(machine.supplies)}
        self._stores = Stores(machine.assets)
        self.faults = Faults(
            {
                Into.SENSOR: [sensor.name for sensor in machine.sensors],
                Into.FAN: list(self._fans),
                Into.SUPPLY: list(self._supplies),
                Into.HOST: [host.name],
                Into.BUS: [*machine.buses, FRU_BUS],
                Into.FRU: self._stores.names,
                Into.ASSET: [asset.name for asset in machine.assets if asset.pluggable],
            },
            self._apply,
        )
        self._instruments = Instruments(machine, self.climate, self.faults, seed)
        for unit in self.climate.units:
            unit.mains = chassis.socket
        self.climate.enabled = wires.get(SUPPLY_GOOD)
        self.climate.changed()
        wires.listen(self._follow)

    def catch_up(self) -> None:
        """Let the climate be that of now."""
        self.climate.catch_up(self._wires.now)

    def read_sensors(self, names: Iterable[str]) -> dict[str, Outcome]:
        """What sensors show. Raises `NotFound` for a name that there is not."""
        self.catch_up()
        return {name: self._instruments.read(name) for name in names}

    def bus_sensors(self, bus: str) -> list[str]:
        """The sensors of a bus. Raises `NotFound`."""
        buses = self.machine.buses
        if bus not in buses:
            raise NotFound(f"there is no bus {bus!r}; there are {', '.join(buses)}")
        return list(buses[bus])

    def set_duty(self, fan: str, percent: float) -> float:
        """Give a fan a duty; returns the one that it has now.

        Raises:
            NotFound: no such fan.
            Invalid: not between 0 and 100 percent.
            Unavailable: it takes none.
        """
        index = self._fan(fan)
        if not 0.0 <= percent <= 100.0:
            raise Invalid(f"a duty is between 0 and 100 percent, not {percent}")
        if self.faults.has(faults.FAN_UNWRITABLE, fan):
            raise Unavailable(f"{fan} does not take its duty")
        if self.climate.duties[index] != percent:
            self.catch_up()
            self.climate.duties[index] = percent
            self.climate.changed()
        return percent

    def duty(self, fan: str) -> float:
        """The duty of a fan in percent. Raises `NotFound`."""
        return self.climate.duties[self._fan(fan)]

    def set_load(self, profile: Profile | None, percent: float | None) -> None:
        """Let the host compute by another profile. Raises `Invalid`."""
        self.catch_up()
        self.load.choose(profile, percent)

    def set_ambient(self, celsius: float) -> None:
        """Let the room have another temperature, between -20 and 60. Raises `Invalid`."""
        if not _COLDEST <= celsius <= _HOTTEST:
            raise Invalid(f"a room has between {_COLDEST:.0f} and {_HOTTEST:.0f} degrees Celsius, not {celsius}")
        self.catch_up()
        self.climate.ambient = celsius

    def set_mains(self, *, on: bool) -> None:
        """Cut mains, or bring it back."""
        self.catch_up()
        for unit in self.climate.units:
            unit.mains = on
        self._chassis.set_mains(on=on)
        self.climate.changed()

    def assets(self) -> list[tuple[Asset, bool]]:
        """All parts, and whether each is there."""
        return [(asset, not self.faults.has(faults.ASSET_UNPLUGGED, asset.name)) for asset in self.machine.assets]

    def read_fru(self, asset: str) -> bytes:
        """The FRU storage of a part.

        Raises:
            NotFound: it has none, or is not plugged in.
            Unavailable: its bus is stuck.
        """
        self._reach(asset)
        return self._stores.read(asset, damaged=self.faults.has(faults.FRU_DAMAGED, asset))

    def write_fru(self, asset: str, data: bytes) -> None:
        """Replace the first bytes of it. Raises as `read_fru`, and `Refused` if it cannot be."""
        self._reach(asset)
        if self.faults.has(faults.FLASH_WRITE):
            raise Unavailable(f"the FRU storage of {asset} does not take what is written")
        self._stores.write(asset, data)

    def temperatures(self) -> dict[str, float]:
        """How warm everything really is, whatever sensors say."""
        self.catch_up()
        nodes = zip(self.machine.nodes, self.climate.temperatures, strict=True)
        units = {unit.supply.name: unit.temperature for unit in self.climate.units}
        return {**{node.name: temperature for node, temperature in nodes}, **units}

    def snapshot(self) -> Mapping[str, object]:
        """All of it in JSON types."""
        temperatures, climate = self.temperatures(), self.climate
        return {
            "machine": self.machine.name,
            "socket": self._chassis.socket,
            "load_profile": self.load.profile.value,
            "load_percent": round(100.0 * climate.load, 3),
            "ambient_celsius": climate.ambient,
            "faults": [
                {"kind": kind, "target": target, "value": value}
                for (kind, target), value in sorted(self.faults.active.items(), key=lambda item: item[0])
            ],
            "temperatures": {name: round(celsius, 3) for name, celsius in temperatures.items()},
            "fans": {
                fan.name: {"duty": climate.duties[index], "rpm": round(climate.rpm(index, 0), 1)}
                for index, fan in enumerate(self.machine.fans)
            },
            "supplies": {
                unit.supply.name: {"works": unit.works, "output_watts": round(unit.output_watts, 1)}
                for unit in climate.units
            },
        }

    def _fan(self, name: str) -> int:
        if name not in self._fans:
            raise NotFound(f"there is no fan {name!r}; there are {', '.join(self._fans)}")
        return self._fans[name]

    def _reach(self, asset: str) -> None:
        if self.faults.has(faults.BUS_STUCK, FRU_BUS):
            raise Unavailable(f"bus {FRU_BUS} is stuck")
        if self.faults.has(faults.ASSET_UNPLUGGED, asset):
            raise NotFound(f"{asset} is not plugged in")

    def _follow(self, change: Change) -> None:
        """Power went or came: what was until now was with the old power."""
        if change.name not in {SUPPLY_GOOD, self._host.good, "mains", f"{self._host.name}.stage"}:
            return
        self.catch_up()
        if change.name == SUPPLY_GOOD:
            self.climate.enabled = bool(change.value)
        elif change.name == self._host.good:
            self.climate.host_on = bool(change.value)
        elif change.name != "mains":
            self.load.enter(Stage(change.value))
        elif change.value:
            self.climate.duties[:] = [START_PERCENT] * len(self.climate.duties)
        self.climate.changed()

    def _apply(self, kind: FaultKind, target: str) -> None:
        """A fault came or went."""
        self.catch_up()
        on = self.faults.has(kind.kind, target)
        if kind.into is Into.HOST:
            (self._host.faults.add if on else self._host.faults.discard)(Fault(kind.kind))
            self._wires.tell(f"fault.{kind.kind}", on)
            return
        if kind.kind == faults.SENSOR_STUCK and on:
            self._instruments.freeze(target)
        elif kind.into is Into.FAN:
            self._apply_to_fan(kind.kind, target, on=on)
        elif target in self._supplies:
            self._apply_to_supply(kind.kind, self._supplies[target], on=on)
        self.climate.changed()
        self._wires.tell(f"fault.{kind.kind}.{target}" if target else f"fault.{kind.kind}", on)

    def _apply_to_fan(self, kind: str, fan: str, *, on: bool) -> None:
        index, climate = self._fans[fan], self.climate
        if kind == faults.FAN_SEIZED:
            (climate.seized.add if on else climate.seized.discard)(index)
        elif kind == faults.FAN_SLOW and on:
            climate.slow[index] = self.faults.value(kind, fan, 50.0) / 100.0
        elif kind == faults.FAN_SLOW:
            climate.slow.pop(index, None)

    def _apply_to_supply(self, kind: str, index: int, *, on: bool) -> None:
        unit = self.climate.units[index]
        if kind == faults.SUPPLY_LOST:
            unit.good = not on
        elif kind == faults.SUPPLY_UNPLUGGED:
            unit.cord = not on
        elif kind == faults.ASSET_UNPLUGGED:
            unit.plugged_in = not on
        self._chassis.set_supplied(
            supplied=any(unit.good and unit.cord and unit.plugged_in for unit in self.climate.units)
        )
