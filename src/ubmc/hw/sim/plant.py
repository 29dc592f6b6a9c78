"""The simulated machine itself: a deterministic plant on its own clock.

Nothing here knows the time of day, an event loop or a socket. Time passes in `advance` alone, which jumps from event to
event, so twenty-four hours cost as much as what happens in them. The same seed and the same inputs at the same times
give the same trace, however `advance` is split.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from ubmc.hw.sim.catalogue import standard_machine
from ubmc.hw.sim.parts import panel
from ubmc.hw.sim.parts.chassis import Chassis
from ubmc.hw.sim.parts.host import BootHow, BootSource, Fault, Guest, Host, Timings
from ubmc.hw.sim.parts.inside import Inside
from ubmc.hw.sim.parts.instruments import Outcome
from ubmc.hw.sim.parts.load import Profile
from ubmc.hw.sim.parts.panel import Panel
from ubmc.hw.sim.parts.shell import Shell
from ubmc.hw.sim.shape import Machine
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
    machine: Machine = field(default_factory=standard_machine)


class Plant:
    """A chassis with its supplies, fans and sensors, its front panel and one host."""

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
        self.inside = Inside(self._wires, settings.machine, self.chassis, self.host, settings.seed)
        self.shell = Shell(self._wires, self.host.name, self.host.console, self.host.guest)
        self._parts: tuple[Part, ...] = (self.chassis, self.panel, self.host, self.shell)

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
        self.inside.set_mains(on=on)

    def set_fault(self, fault: Fault, *, on: bool) -> None:
        """Make the host misbehave, or behave again."""
        if on:
            self.inject(fault.value, self.host.name)
        else:
            self.clear(fault.value, self.host.name)

    def inject(self, kind: str, target: str = "", value: float | None = None) -> None:
        """Break something; the kinds are `ubmc.hw.sim.parts.faults.KINDS`.

        Raises:
            NotFound: no such kind or target.
            Invalid: it takes no value or no target, or not this value.
        """
        self.inside.faults.inject(kind, target, value)

    def clear(self, kind: str = "", target: str = "") -> None:
        """Mend all that is of this kind and wrong with this target; empty: any. Raises `NotFound` for the kind."""
        self.inside.faults.clear(kind, target)

    def set_load(self, profile: Profile | None = None, percent: float | None = None) -> None:
        """Let the host compute by a profile; `percent` counts for CONSTANT. None: as it was. Raises `Invalid`."""
        self.inside.set_load(profile, percent)

    def set_ambient(self, celsius: float) -> None:
        """Set the temperature of the room, -20 to 60. Raises `Invalid`."""
        self.inside.set_ambient(celsius)

    def read_sensors(self, names: Iterable[str] | None = None) -> dict[str, Outcome]:
        """What sensors show now (None: all), or why they show nothing. Raises `NotFound`."""
        return self.inside.read_sensors([one.name for one in self.inside.machine.sensors] if names is None else names)

    def set_duty(self, fan: str, percent: float) -> None:
        """Give a fan a duty, 0 to 100 percent. Raises `NotFound`, `Invalid`; `Unavailable` if it takes none."""
        self.inside.set_duty(fan, percent)

    def duty(self, fan: str) -> float:
        """The duty of a fan in percent. Raises `NotFound`."""
        return self.inside.duty(fan)

    def temperatures(self) -> Mapping[str, float]:
        """How warm each node and supply really is, whatever sensors say."""
        return self.inside.temperatures()

    @property
    def buttons(self) -> Sequence[str]:
        """The buttons of the front panel."""
        return (panel.POWER, panel.IDENTIFY)

    def guest(self, what: Guest) -> None:
        """Have the operating system do something by itself. Raises `Refused` if none runs."""
        self.host.guest(what)

    def choose_boot(self, source: BootSource | None, how: BootHow | None = None) -> None:
        """Have the next boot come from there, once; None: from the firmware's own order."""
        self.host.choose_boot(source, how)

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
                    "boot_firmware": self.host.boot_how.firmware,
                    "boot_uri": self.host.boot_how.uri,
                    "faults": sorted(fault.value for fault in self.host.faults),
                    "console_bytes": self.host.console.total_bytes,
                }
            },
            "buttons": list(self.buttons),
            **self.inside.snapshot(),
        }


def fault_named(name: str) -> Fault:
    """The fault of that name. Raises `NotFound`."""
    try:
        return Fault(name)
    except ValueError:
        raise NotFound(f"there is no fault {name!r}; there are {', '.join(f.value for f in Fault)}") from None


def profile_named(name: str) -> Profile:
    """The load profile of that name. Raises `NotFound`."""
    try:
        return Profile(name)
    except ValueError:
        raise NotFound(f"there is no load {name!r}; there are {', '.join(p.value for p in Profile)}") from None


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
