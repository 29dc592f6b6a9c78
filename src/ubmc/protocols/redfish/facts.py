"""What the resources are made of: the messages of the services, and which of them a builder has looked at.

A builder reads facts through a `View`, which notes what was read. So nobody has to declare what a resource depends on,
and what was built stays good until one of exactly those facts changes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from ubmc.v1alpha1.sensor_pb import Sensor, SensorKind, SensorLevel, SensorQuality
from ubmc.v1alpha1.thermal_pb import CoolingDeviceState, ThermalZoneState

T = TypeVar("T")

Key = tuple[str, str]
"""A kind and a name; the name `*` stands for every one of the kind, `#` for which there are."""
ALL = "*"
WHICH = "#"


class NotFed(Exception):  # noqa: N818 - it is no error: facts come when their service is there
    """A builder needs facts of a kind that nobody has told yet."""

    def __init__(self, kind: str) -> None:
        super().__init__(kind)
        self.kind = kind


@dataclass(frozen=True, slots=True)
class Alarm:
    """How a sensor is, apart from its reading; changes seldom."""

    kind: SensorKind
    component: str
    level: SensorLevel
    quality: SensorQuality


@dataclass(frozen=True, slots=True)
class FanState:
    """How a fan or pump is, apart from its speed."""

    name: str
    state: CoolingDeviceState


@dataclass(frozen=True, slots=True)
class ZoneState:
    """How a thermal zone is, apart from its duty."""

    state: ThermalZoneState
    cooling_devices: tuple[str, ...]


def _alarm(sensor: Sensor) -> Alarm:
    return Alarm(sensor.kind, sensor.component, sensor.level, sensor.quality)


_SEEN: Mapping[str, tuple[str, Callable[[Any], Any]]] = {
    "sensor": ("alarm", _alarm),
    "fan": ("fan-state", lambda device: FanState(device.name, device.state)),
    "zone": ("zone-state", lambda zone: ZoneState(zone.state, tuple(zone.cooling_devices))),
}
"""What of a fact changes seldom is a fact of its own, so that what is made of it alone does not age with every reading
and duty."""


class Facts:
    """All that is known, with a version for everything that can be depended on."""

    def __init__(self) -> None:
        self._rows: dict[str, dict[str, Any]] = {}
        self._versions: dict[Key, int] = {}
        self.revision = 0
        """Counts every change."""

    def fed(self, kind: str) -> bool:
        """Whether this kind is known."""
        return kind in self._rows

    def feed(self, kind: str) -> None:
        """From now on this kind is known, if only that there are none."""
        if kind not in self._rows:
            self._rows[kind] = {}
            self._bump((kind, ALL), (kind, WHICH))
        if kind in _SEEN:
            self.feed(_SEEN[kind][0])

    def lose(self, kind: str) -> None:
        """Nobody tells this kind any more; what was known is forgotten rather than shown as if it held."""
        if self._rows.pop(kind, None) is not None:
            self._bump((kind, ALL), (kind, WHICH))
        if kind in _SEEN:
            self.lose(_SEEN[kind][0])

    def put(self, kind: str, name: str, row: Any) -> None:
        """One fact. Whoever puts it does not change it afterwards."""
        self.feed(kind)
        rows = self._rows[kind]
        if name not in rows:
            self._bump((kind, WHICH))
        rows[name] = row
        self._bump((kind, name), (kind, ALL))
        if kind in _SEEN:
            seldom, look = _SEEN[kind]
            seen = look(row)
            if self._rows[seldom].get(name) != seen:
                self.put(seldom, name, seen)

    def drop(self, kind: str, name: str) -> None:
        """This one is gone."""
        if self._rows.get(kind, {}).pop(name, None) is not None:
            self._bump((kind, name), (kind, ALL), (kind, WHICH))
        if kind in _SEEN:
            self.drop(_SEEN[kind][0], name)

    def keep_only(self, kind: str, names: set[str]) -> None:
        """All others of the kind are gone."""
        for name in [name for name in self._rows.get(kind, {}) if name not in names]:
            self.drop(kind, name)

    def _bump(self, *keys: Key) -> None:
        self.revision += 1
        for key in keys:
            self._versions[key] = self.revision

    def rows(self, kind: str) -> Mapping[str, Any]:
        """All of a kind. Raises `NotFed`."""
        try:
            return self._rows[kind]
        except KeyError:
            raise NotFed(kind) from None

    def version(self, key: Key) -> int:
        """Changes whenever what the key stands for does."""
        return self._versions.get(key, 0)

    def newest(self, keys: frozenset[Key]) -> int:
        """The revision of the last change of any of these."""
        versions = self._versions
        return max((versions.get(key, 0) for key in keys), default=0)


class Table(Generic[T]):
    """The facts of one kind, as one builder sees them."""

    __slots__ = ("_kind", "_read", "_rows")

    def __init__(self, kind: str, rows: Mapping[str, T], read: set[Key]) -> None:
        self._kind = kind
        self._rows = rows
        self._read = read

    def get(self, name: str) -> T | None:
        """One; None if it is not there."""
        self._read.add((self._kind, name))
        self._read.add((self._kind, WHICH))
        return self._rows.get(name)

    def names(self) -> list[str]:
        """Which there are, in the order of people."""
        self._read.add((self._kind, WHICH))
        return sorted(self._rows, key=natural)

    def __iter__(self) -> Iterator[T]:
        self._read.add((self._kind, ALL))
        return iter([self._rows[name] for name in sorted(self._rows, key=natural)])


@dataclass(slots=True)
class View:
    """Facts, and a note of which were read."""

    facts: Facts
    read: set[Key] = field(default_factory=set)
    now: float = 0.0
    """Seconds of the wall clock (Unix); a builder that shows the clock says so in `Resource.volatile`."""
    served: frozenset[str] = frozenset()
    """The templates of all resources that there are."""

    def table(self, kind: str) -> Table[Any]:
        """The facts of a kind. Raises `NotFed`."""
        self.read.add((kind, WHICH))
        return Table(kind, self.facts.rows(kind), self.read)

    def link(self, template: str, **params: str) -> dict[str, str] | None:
        """A reference to a resource, or None where no family serves that template: so no link leads nowhere."""
        return {"@odata.id": template.format(**params)} if template in self.served else None


def given(message: Any, name: str) -> Any:
    """An optional number or switch of a message; None if it is not set (read plainly, it would be 0 or false)."""
    return getattr(message, name) if message.has_field(name) else None


def natural(name: str) -> tuple[tuple[int, str | int], ...]:
    """The order in which people count: `dimm.2` before `dimm.10`."""
    parts: list[tuple[int, str | int]] = []
    digits, text = "", ""
    for letter in name:
        if letter.isdecimal() and letter.isascii():
            digits += letter
            if text:
                parts.append((1, text))
                text = ""
        else:
            text += letter
            if digits:
                parts.append((0, int(digits)))
                digits = ""
    if digits:
        parts.append((0, int(digits)))
    if text:
        parts.append((1, text))
    return tuple(parts)
