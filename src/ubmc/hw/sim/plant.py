"""The simulated machine itself: a deterministic plant on its own clock.

Nothing here knows the time of day, an event loop or a socket. Time passes in `advance` alone, which jumps from event to
event, so twenty-four hours cost as much as what happens in them. The same seed and the same inputs at the same times
give the same trace, however `advance` is split.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from ubmc.hw.sim.parts import panel
from ubmc.hw.sim.parts.chassis import Chassis
from ubmc.hw.sim.parts.host import BootSource, Fault, Guest, Host, Timings
from ubmc.hw.sim.parts.panel import Panel
from ubmc.hw.sim.wires import Listener, Part, Side, Wires
from ubmc.kit.errors import Invalid, NotFound

LONGEST_PRESS_SECONDS = 3600.0


@dataclass(frozen=True, slots=True)
class Settings:
    """What this machine is like."""

    seed: int = 0
    timings: Timings = field(default_factory=Timings)
    supply_enabled: bool = True  # level of `psu-enable` before anybody drives it
    front_wired: bool = False  # the front power button is in parallel to the BMC's line


class Plant:
    """A chassis with its supply, its front panel and one host."""

    def __init__(self, settings: Settings | None = None) -> None:
        self.settings = settings = settings or Settings()
        self._wires = Wires()
        self.chassis = Chassis(self._wires, enabled=settings.supply_enabled)
        self.host = Host(
            self._wires,
            settings.timings,
            random.Random(settings.seed),  # noqa: S311 - physics, not secrets
            panel_button=panel.POWER if settings.front_wired else None,
        )
        self.panel = Panel(self._wires, wired_to=self.host.button if settings.front_wired else None)
        self._parts: tuple[Part, ...] = (self.chassis, self.panel, self.host)

    @property
    def now_seconds(self) -> float:
        """Plant time."""
        return self._wires.now

    @property
    def lines(self) -> Mapping[str, Side]:
        """All lines, and who drives each."""
        return self._wires.sides

    def next_event_seconds(self) -> float | None:
        """Plant time of the next thing that happens by itself, if any."""
        due = min(part.next_event() for part in self._parts)
        return None if math.isinf(due) else due

    def advance(self, to_seconds: float) -> None:
        """Let time pass until `to_seconds` (plant time); a time that is over already changes nothing."""
        while (due := min(part.next_event() for part in self._parts)) <= to_seconds:
            self._wires.now = max(due, self._wires.now)
            for part in self._parts:
                part.step(self._wires.now)
        self._wires.now = max(to_seconds, self._wires.now)

    def drive(self, line: str, *, active: bool) -> None:
        """Set a line that the BMC drives. Raises `NotFound`, or `Invalid` for a line that the machine drives."""
        self._wires.drive(line, active=active)

    def read(self, line: str) -> bool:
        """The level of any line. Raises `NotFound`."""
        return self._wires.get(line)

    def press(self, button: str, seconds: float) -> None:
        """A person presses a front-panel button for that long.

        Raises:
            NotFound: no such button.
            Invalid: not between 0 and 3600 seconds.
        """
        if not 0.0 < seconds <= LONGEST_PRESS_SECONDS:
            raise Invalid(f"a press takes more than 0 and at most {LONGEST_PRESS_SECONDS:.0f} seconds, not {seconds}")
        self.panel.press(button, seconds)

    def set_mains(self, *, on: bool) -> None:
        """Cut mains, or bring it back."""
        self.chassis.set_mains(on=on)

    def set_fault(self, fault: Fault, *, on: bool) -> None:
        """Make the host misbehave, or behave again."""
        faults = self.host.faults
        if on == (fault in faults):
            return
        (faults.add if on else faults.discard)(fault)
        self._wires.tell(f"fault.{fault.value}", on)

    def guest(self, what: Guest) -> None:
        """Have the operating system do something by itself. Raises `Refused` if none runs."""
        self.host.guest(what)

    def choose_boot(self, source: BootSource | None) -> None:
        """Have the next boot come from there, once; None: from the firmware's own order."""
        self.host.choose_boot(source)

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Call `listener` with every change from now on; it must not raise. Returns how to stop it."""
        return self._wires.listen(listener)

    def snapshot(self) -> dict[str, object]:
        """Everything there is to know, in JSON types."""
        return {
            "time_seconds": self.now_seconds,
            "mains": self.chassis.mains,
            "mains_cycles": self.chassis.mains_cycles,
            "lines": dict(self._wires.levels),
            "hosts": {
                self.host.name: {
                    "stage": self.host.stage.value,
                    "progress": self.host.progress,
                    "power_ons": self.host.power_ons,
                    "boot_next": None if self.host.boot_next is None else self.host.boot_next.value,
                    "boot_source": None if self.host.boot_source is None else self.host.boot_source.value,
                    "faults": sorted(fault.value for fault in self.host.faults),
                    "console_bytes": self.host.console.total_bytes,
                }
            },
        }


def fault_named(name: str) -> Fault:
    """The fault of that name. Raises `NotFound`."""
    try:
        return Fault(name)
    except ValueError:
        raise NotFound(f"there is no fault {name!r}; there are {', '.join(f.value for f in Fault)}") from None


def boot_source_named(name: str) -> BootSource:
    """Where a boot can come from, by name. Raises `NotFound`."""
    try:
        return BootSource(name)
    except ValueError:
        raise NotFound(f"it cannot boot from {name!r}; it can from {', '.join(s.value for s in BootSource)}") from None


def guest_named(name: str) -> Guest:
    """What a guest can do, by name. Raises `NotFound`."""
    try:
        return Guest(name)
    except ValueError:
        raise NotFound(f"a guest cannot {name!r}; it can {', '.join(g.value for g in Guest)}") from None
