"""What can be wrong with the simulated machine, and what is. Each part asks here how it has to misbehave."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from ubmc.kit.errors import Invalid, NotFound


class Into(Enum):
    """What a fault goes into."""

    NOTHING = "nothing"  # it needs no target
    SENSOR = "sensor"
    FAN = "fan"
    SUPPLY = "supply"
    HOST = "host"
    BUS = "bus"
    FRU = "FRU storage"
    ASSET = "asset"


@dataclass(frozen=True, slots=True)
class FaultKind:
    """One way to break it; the value is that of `takes_value`, empty if it takes none."""

    kind: str
    into: Into
    description: str
    takes_value: bool = False


SENSOR_STUCK = "sensor-stuck"
SENSOR_STALE = "sensor-stale"
SENSOR_NAN = "sensor-nan"
SENSOR_RANGE = "sensor-range"
FAN_SEIZED = "fan-seized"
FAN_SLOW = "fan-slow"
FAN_UNWRITABLE = "fan-unwritable"
SUPPLY_LOST = "supply-lost"
SUPPLY_UNPLUGGED = "supply-unplugged"
BUS_STUCK = "bus-stuck"
FRU_DAMAGED = "fru-damaged"
ASSET_UNPLUGGED = "asset-unplugged"
INTRUSION = "intrusion"
FLASH_WRITE = "flash-write"

KINDS: Sequence[FaultKind] = (
    FaultKind(SENSOR_STUCK, Into.SENSOR, "shows one value always: the given one, or that of now", takes_value=True),
    FaultKind(SENSOR_STALE, Into.SENSOR, "does not answer any more, while its neighbours do"),
    FaultKind(SENSOR_NAN, Into.SENSOR, "answers what is no number"),
    FaultKind(SENSOR_RANGE, Into.SENSOR, "shows what it cannot measure: the given value, or 1000000", takes_value=True),
    FaultKind(FAN_SEIZED, Into.FAN, "stands, whatever its duty"),
    FaultKind(FAN_SLOW, Into.FAN, "turns at the given percentage of its speed, or at 50", takes_value=True),
    FaultKind(FAN_UNWRITABLE, Into.FAN, "takes no other duty; it keeps the one that it has"),
    FaultKind(SUPPLY_LOST, Into.SUPPLY, "gives no power, though it has mains"),
    FaultKind(SUPPLY_UNPLUGGED, Into.SUPPLY, "its mains cord is pulled"),
    FaultKind("hang-on", Into.HOST, "power-good never comes; the power sequencer gives up"),
    FaultKind("hang-off", Into.HOST, "the operating system ignores the power button"),
    FaultKind("hang-hard", Into.HOST, "even a held button does not cut the power"),
    FaultKind(BUS_STUCK, Into.BUS, "nothing on it answers"),
    FaultKind(FRU_DAMAGED, Into.FRU, "reads as bytes with wrong checksums"),
    FaultKind(ASSET_UNPLUGGED, Into.ASSET, "is pulled out; a supply gives no power then"),
    FaultKind(INTRUSION, Into.NOTHING, "the lid is open"),
    FaultKind(FLASH_WRITE, Into.NOTHING, "writing flash and FRU storage fails"),
)
_BY_NAME = {kind.kind: kind for kind in KINDS}
Changed = Callable[[FaultKind, str], None]


class Faults:
    """The faults of one machine by kind and target, with the value of each."""

    def __init__(self, targets: Mapping[Into, Sequence[str]], changed: Changed) -> None:
        """Nothing is wrong yet.

        Args:
            targets: what there is, by what faults go into.
            changed: called after a fault came or went.
        """
        self._targets = {into: tuple(names) for into, names in targets.items()}
        self._changed = changed
        self._active: dict[tuple[str, str], float | None] = {}

    @property
    def active(self) -> Mapping[tuple[str, str], float | None]:
        """All that is wrong: values by kind and target."""
        return self._active

    def targets(self, kind: FaultKind) -> Sequence[str]:
        """What a kind can go into."""
        return self._targets.get(kind.into, ())

    def has(self, kind: str, target: str = "") -> bool:
        """Whether this is wrong."""
        return (kind, target) in self._active

    def value(self, kind: str, target: str, otherwise: float) -> float:
        """The value that a fault was given."""
        given = self._active.get((kind, target))
        return otherwise if given is None else given

    def inject(self, kind: str, target: str, value: float | None) -> None:
        """Break something; breaking it again changes the value.

        Raises:
            NotFound: no such kind or target.
            Invalid: it takes no value, or not this one.
        """
        found = self._check(kind, target)
        if value is not None and not found.takes_value:
            raise Invalid(f"the fault {kind} takes no value")
        if value is not None and not math.isfinite(value):
            raise Invalid("the value of a fault is a finite number; for none at all there is sensor-nan")
        if kind == FAN_SLOW and value is not None and not 0.0 <= value <= 100.0:
            raise Invalid(f"the speed of a slow fan is between 0 and 100 percent, not {value}")
        self._active[kind, target] = value
        self._changed(found, target)

    def clear(self, kind: str, target: str) -> None:
        """Mend all that is of this kind (all kinds if empty) and wrong with this target (all targets if empty).

        Raises:
            NotFound: no such kind.
        """
        if kind:
            fault_kind(kind)
        for one, of in [key for key in self._active if kind in {"", key[0]} and target in {"", key[1]}]:
            del self._active[one, of]
            self._changed(_BY_NAME[one], of)

    def _check(self, kind: str, target: str) -> FaultKind:
        found = fault_kind(kind)
        targets = self.targets(found)
        if found.into is Into.NOTHING:
            if target:
                raise Invalid(f"the fault {kind} takes no target")
        elif target not in targets:
            known = ", ".join(targets[:20]) + (", ..." if len(targets) > 20 else "")
            raise NotFound(f"there is no {found.into.value} {target!r} for {kind}; there are {known}")
        return found


def fault_kind(name: str) -> FaultKind:
    """The kind of that name. Raises `NotFound`."""
    if name not in _BY_NAME:
        raise NotFound(f"there is no fault {name!r}; there are {', '.join(_BY_NAME)}")
    return _BY_NAME[name]
