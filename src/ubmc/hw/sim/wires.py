"""The wires between the parts of the simulated machine, and what is told of them.

Everything here lives on the plant's own clock: no wall clock, no I/O, no randomness.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from ubmc.kit.errors import Invalid, NotFound


class Side(Enum):
    """Who drives a wire."""

    BMC = "bmc"
    MACHINE = "machine"


@dataclass(frozen=True, slots=True)
class Change:
    """Something in the machine is different from `at_seconds` (plant time) on."""

    at_seconds: float
    name: str
    value: bool | int | str


Listener = Callable[[Change], None]


class Part(Protocol):
    """A piece of the machine with a behaviour in time.

    A part with continuous physics steps on a grid of its own, so that how `advance` is split never shows.
    """

    def next_event(self) -> float:
        """Plant time of the next thing that happens by itself; `math.inf` for nothing."""

    def step(self, now: float) -> None:
        """Do all that is due at `now`; afterwards `next_event` is later than `now`."""


class Wires:
    """Every wire of the machine with its level, and the news channel of all parts.

    Changes are delivered in the order in which they happened, to listeners in the order in which they came.
    """

    def __init__(self) -> None:
        self.now = 0.0
        self._sides: dict[str, Side] = {}
        self._levels: dict[str, bool] = {}
        self._listeners: list[Listener] = []
        self._untold: deque[Change] = deque()
        self._telling = False

    def add(self, name: str, side: Side, *, active: bool = False) -> None:
        """Make a wire; names are unique within the machine."""
        self._sides[name] = side
        self._levels[name] = active

    @property
    def sides(self) -> Mapping[str, Side]:
        """Who drives what."""
        return self._sides

    @property
    def levels(self) -> Mapping[str, bool]:
        """The levels now."""
        return self._levels

    def get(self, name: str) -> bool:
        """The level of a wire. Raises `NotFound`."""
        self.side(name)
        return self._levels[name]

    def side(self, name: str) -> Side:
        """Who drives a wire. Raises `NotFound`."""
        if name not in self._sides:
            raise NotFound(f"there is no line {name!r}; the machine has {', '.join(sorted(self._sides))}")
        return self._sides[name]

    def drive(self, name: str, *, active: bool) -> None:
        """Set the level of a wire from the BMC's side.

        Raises:
            NotFound: no such wire.
            Invalid: the machine drives it.
        """
        if self.side(name) is not Side.BMC:
            raise Invalid(f"line {name!r} is driven by the machine; the BMC can only read it")
        self.set(name, active=active)

    def set(self, name: str, *, active: bool) -> None:
        """Set the level of a wire from within the machine; tells it if it is new."""
        if self._levels[name] != active:
            self._levels[name] = active
            self.tell(name, active)

    def tell(self, name: str, value: bool | int | str) -> None:
        """Tell every listener, after what is being told already."""
        self._untold.append(Change(self.now, name, value))
        if self._telling:
            return
        self._telling = True
        try:
            while self._untold:
                change = self._untold.popleft()
                for listener in tuple(self._listeners):
                    listener(change)
        finally:
            self._telling = False

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Call `listener` with every change from now on; it must not raise. Returns how to stop it."""
        self._listeners.append(listener)

        def stop() -> None:
            if listener in self._listeners:
                self._listeners.remove(listener)

        return stop


class Timers:
    """Named things that a part will do at a time; one name is one timer."""

    def __init__(self) -> None:
        self._due: dict[str, tuple[float, int, Callable[[], None]]] = {}
        self._count = 0

    def at(self, name: str, due: float, do: Callable[[], None]) -> None:
        """Do this at plant time `due`, instead of what `name` was going to do."""
        self._count += 1
        self._due[name] = (due, self._count, do)

    def cancel(self, *names: str) -> None:
        """Do not do these, if they were going to be done."""
        for name in names:
            self._due.pop(name, None)

    def next(self) -> float:
        """When the earliest is due; `math.inf` for none."""
        return min((due for due, _, _ in self._due.values()), default=math.inf)

    def run(self, now: float) -> None:
        """Do what is due at `now`, earliest first."""
        while self.next() <= now:
            name = min(self._due, key=lambda key: self._due[key][:2])
            _, _, do = self._due.pop(name)
            do()
