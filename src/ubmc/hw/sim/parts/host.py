"""The simulated host: power sequencing, POST, operating system, and what its buttons do to it.

As on real machines, a button acts on the press, not on the release, once the press has outlasted the debounce time:
  - off: the rails come up, then power-good, POST, boot, operating system;
  - operating system up: ACPI shutdown, the power drops when it is done;
  - in POST or in the firmware's set-up: the power drops at once, as firmware does while no system has taken ACPI over;
  - while the system boots: it is remembered, and the system shuts down as soon as it is up;
  - while the rails come up, or after a panic: nothing, because nobody is there to listen;
  - held for the override time (4 s, "Power Button Override" of the ACPI specification): the power is cut at that mark.
    A line that was left asserted does this too, and never turns the host on again: each press acts once.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum

from ubmc.hw.sim.parts.chassis import GOOD as SUPPLY_GOOD
from ubmc.hw.sim.parts.console import Console
from ubmc.hw.sim.wires import Change, Side, Timers, Wires
from ubmc.kit.errors import Refused


class Stage(Enum):
    """Where the host is."""

    OFF = "off"
    RAILS = "rails"  # voltages come up; power-good is not there yet
    HELD = "held-in-reset"
    POST = "post"
    SETUP = "setup"  # the firmware's set-up screen; only a reset or the power button leaves it
    BOOT = "boot"
    UP = "up"
    STOPPING = "stopping"
    PANICKED = "panicked"


class Fault(Enum):
    """What can be wrong with a host until it is taken back."""

    HANG_ON = "hang-on"  # power-good never comes; the sequencer gives up
    HANG_OFF = "hang-off"  # the operating system ignores the power button
    HANG_HARD = "hang-hard"  # even a held button does not cut the power


class BootSource(Enum):
    """Where a boot comes from."""

    DISK = "disk"  # the firmware's own order begins with it, and it always boots
    PXE = "pxe"
    CD = "cd"
    USB = "usb"
    FIRMWARE_SETUP = "firmware-setup"
    HTTP = "http"
    DIAGNOSTICS = "diagnostics"
    SAFE_MODE = "safe-mode"


@dataclass(frozen=True, slots=True)
class BootHow:
    """What else is asked of a boot; empty: as the host is set up, which is for UEFI."""

    firmware: str = ""
    uri: str = ""


class Guest(Enum):
    """What the operating system does by itself."""

    SHUTDOWN = "shutdown"
    RESET = "reset"
    PANIC = "panic"


@dataclass(frozen=True, slots=True)
class Timings:
    """How long things take, in seconds; all but the first two vary by `jitter` (a share of 1) from run to run."""

    debounce_seconds: float = 0.03
    override_seconds: float = 4.0
    rails_seconds: float = 0.5
    post_seconds: float = 2.0
    boot_seconds: float = 3.0
    shutdown_seconds: float = 2.0
    jitter: float = 0.05


# Progress code, text on the serial line, share of the time of POST.
POST_STEPS = (
    (0x10, "CPU init", 0.10),
    (0x30, "Memory training", 0.50),
    (0x60, "PCI enumeration", 0.25),
    (0xA0, "Boot device selection", 0.15),
)
BOOT_STEPS = (
    (0xE0, "Loading operating system", 0.3),
    (0xE1, "Starting kernel", 0.3),
    (0xE2, "Starting services", 0.4),
)
_LIVE = frozenset({Stage.HELD, Stage.POST, Stage.SETUP, Stage.BOOT, Stage.UP, Stage.STOPPING, Stage.PANICKED})
_OS_RUNS = frozenset({Stage.UP, Stage.STOPPING})
_FIRMWARE = frozenset({Stage.HELD, Stage.POST, Stage.SETUP})


@dataclass(slots=True)
class Host:
    """One host."""

    wires: Wires
    timings: Timings
    rng: random.Random
    number: int = 0
    panel_button: str | None = None  # a front-panel button in parallel to the BMC's line
    stage: Stage = Stage.OFF
    progress: int = 0
    pressed_early: bool = False
    power_ons: int = 0
    boot_next: BootSource | None = None  # asked for; the boot that follows uses it up
    boot_source: BootSource | None = None  # where the last boot came from
    boot_how: BootHow = BootHow()  # and how it went
    _next_how: BootHow = BootHow()
    faults: set[Fault] = field(default_factory=set)
    console: Console = field(default_factory=Console)
    _timers: Timers = field(default_factory=Timers)
    _held: bool = False

    def __post_init__(self) -> None:
        for name in (self.button, self.reset, self.nmi):
            self.wires.add(name, Side.BMC)
        self.wires.add(self.good, Side.MACHINE)
        self.wires.listen(self._follow)

    @property
    def name(self) -> str:
        """The component's name."""
        return f"host.{self.number}"

    @property
    def button(self) -> str:
        """The line of the power button."""
        return f"power-button-{self.number}"

    @property
    def reset(self) -> str:
        """The line of the reset button."""
        return f"reset-button-{self.number}"

    @property
    def nmi(self) -> str:
        """The line of the NMI button."""
        return f"nmi-button-{self.number}"

    @property
    def good(self) -> str:
        """The line of power-good."""
        return f"power-good-{self.number}"

    def next_event(self) -> float:
        """When the host does something by itself."""
        return self._timers.next()

    def step(self, now: float) -> None:
        """Do it."""
        self._timers.run(now)

    def guest(self, what: Guest) -> None:
        """Have the operating system do something by itself.

        Raises:
            Refused: no operating system runs.
        """
        if self.stage not in _OS_RUNS:
            raise Refused(f"{self.name} has no running operating system: it is {self.stage.value}; power it on first")
        self._tell_event(f"guest-{what.value}")
        match what:
            case Guest.SHUTDOWN:
                self._stop()
            case Guest.RESET:
                self._post()
            case Guest.PANIC:
                self._panic()

    def choose_boot(self, source: BootSource | None, how: BootHow | None = None) -> None:
        """Have the next boot, and only that, come from there; None: from the own order, as all others."""
        self.boot_next = source
        self._next_how = how or BootHow()
        self.wires.tell(f"{self.name}.boot_next", "" if source is None else source.value)

    def _follow(self, change: Change) -> None:
        if change.name == SUPPLY_GOOD and not change.value:
            self._timers.cancel("press", "override", "reset", "nmi")
            if self.stage is not Stage.OFF:
                self._off("power-lost")
        elif change.name in {self.button, self.panel_button}:
            self._follow_button()
        elif change.name == self.reset:
            self._follow_reset(active=bool(change.value))
        elif change.name == self.nmi:
            self._edge("nmi", self._nmi_acts, active=bool(change.value))

    def _follow_button(self) -> None:
        panel = self.panel_button is not None and self.wires.get(self.panel_button)
        held = self.wires.get(self.button) or panel
        if held == self._held:
            return
        self._held = held
        self._edge("press", self._press_acts, active=held)
        if held:
            self._timers.at("override", self.wires.now + self.timings.override_seconds, self._override_acts)
        else:
            self._timers.cancel("override")

    def _follow_reset(self, *, active: bool) -> None:
        self._edge("reset", self._reset_acts, active=active)
        if not active and self.stage is Stage.HELD:
            self._post()

    def _edge(self, name: str, acts: Callable[[], None], *, active: bool) -> None:
        self._timers.cancel(name)
        if active:
            self._timers.at(name, self.wires.now + self.timings.debounce_seconds, acts)

    def _press_acts(self) -> None:
        if self.stage is Stage.OFF and self.wires.get(SUPPLY_GOOD):
            self._enter(Stage.RAILS)
            self._after(self.timings.rails_seconds, self._rails_up)
        elif self.stage is Stage.UP and Fault.HANG_OFF not in self.faults:
            self._tell_event("acpi-shutdown")
            self._stop()
        elif self.stage in _FIRMWARE and Fault.HANG_HARD not in self.faults:
            self._off("stopped")
        elif self.stage is Stage.BOOT:
            self.pressed_early = True

    def _override_acts(self) -> None:
        if self.stage is not Stage.OFF and Fault.HANG_HARD not in self.faults:
            self._off("forced-off")

    def _reset_acts(self) -> None:
        if self.stage in _LIVE:
            self._timers.cancel("stage")
            self._tell_event("reset")
            self._enter(Stage.HELD)

    def _nmi_acts(self) -> None:
        if self.stage in _OS_RUNS:
            self._tell_event("nmi")
            self._panic()

    def _rails_up(self) -> None:
        if Fault.HANG_ON in self.faults:
            self._off("power-fault")
            return
        self.power_ons += 1
        self.wires.set(self.good, active=True)
        if self.wires.get(self.reset):
            self._enter(Stage.HELD)
        else:
            self._post()

    def _post(self) -> None:
        self._enter(Stage.POST)
        self._walk(POST_STEPS, self.timings.post_seconds, 0, self._boot)

    def _boot(self) -> None:
        source = self.boot_source = self.boot_next or BootSource.DISK
        how = self.boot_how = self._next_how
        if self.boot_next is not None or how != BootHow():
            self.choose_boot(None)
        self.console.line(" ".join(word for word in ("booting from", source.value, how.uri, how.firmware) if word))
        if source is BootSource.FIRMWARE_SETUP:
            self._enter(Stage.SETUP)
            return
        self._enter(Stage.BOOT)
        self.pressed_early = False
        self._walk(BOOT_STEPS, self.timings.boot_seconds, 0, self._up)

    def _walk(
        self, steps: tuple[tuple[int, str, float], ...], seconds: float, at: int, then: Callable[[], None]
    ) -> None:
        if at == len(steps):
            then()
            return
        code, text, share = steps[at]
        self.progress = code
        self.wires.tell(f"{self.name}.progress", code)
        self.console.line(f"[{code:02X}] {text}")
        self._after(seconds * share, lambda: self._walk(steps, seconds, at + 1, then))

    def _up(self) -> None:
        self._enter(Stage.UP)
        if self.pressed_early and Fault.HANG_OFF not in self.faults:
            self._tell_event("acpi-shutdown")
            self._stop()

    def _stop(self) -> None:
        self._enter(Stage.STOPPING)
        self.console.line("Stopping services, powering off")
        self._after(self.timings.shutdown_seconds, lambda: self._off("stopped"))

    def _panic(self) -> None:
        self._timers.cancel("stage")
        self._enter(Stage.PANICKED)
        self.console.line("Kernel panic - not syncing")

    def _off(self, why: str) -> None:
        self._timers.cancel("stage")
        self.progress = 0
        self._tell_event(why)
        self._enter(Stage.OFF)
        self.wires.set(self.good, active=False)

    def _after(self, seconds: float, do: Callable[[], None]) -> None:
        spread = 1.0 + self.timings.jitter * (2.0 * self.rng.random() - 1.0)
        self._timers.at("stage", self.wires.now + seconds * spread, do)

    def _enter(self, stage: Stage) -> None:
        self.stage = stage
        self.wires.tell(f"{self.name}.stage", stage.value)

    def _tell_event(self, what: str) -> None:
        self.wires.tell(f"{self.name}.event", what)
