"""The simulated front panel: two buttons that people press, and four lights that the BMC drives.

The power button goes to the BMC, which decides. With `wired` it also is in parallel to the BMC's own button line, as on
many boards: then a person's press acts on the host directly, and the BMC's own press shows on the button's input.
"""

from __future__ import annotations

from ubmc.hw.sim.wires import Change, Side, Timers, Wires
from ubmc.kit.errors import NotFound

POWER = "front-power-button"
IDENTIFY = "front-identify-button"
LIGHTS = ("power-led", "identify-led", "status-led", "fault-led")


class Panel:
    """Front-panel buttons and lights."""

    def __init__(self, wires: Wires, *, wired_to: str | None) -> None:
        self._wires = wires
        self._timers = Timers()
        self._wired_to = wired_to
        self._pressed = dict.fromkeys((POWER, IDENTIFY), False)
        for name in self._pressed:
            wires.add(name, Side.MACHINE)
        for name in LIGHTS:
            wires.add(name, Side.BMC)
        wires.listen(self._follow)

    def press(self, name: str, seconds: float) -> None:
        """A person presses a button and lets go `seconds` later. Raises `NotFound`."""
        if name not in self._pressed:
            raise NotFound(f"there is no front-panel button {name!r}; there are {', '.join(self._pressed)}")
        self._set(name, pressed=True)
        self._timers.at(name, self._wires.now + seconds, lambda: self._set(name, pressed=False))

    def next_event(self) -> float:
        """When somebody lets go."""
        return self._timers.next()

    def step(self, now: float) -> None:
        """Let go."""
        self._timers.run(now)

    def _set(self, name: str, *, pressed: bool) -> None:
        self._pressed[name] = pressed
        self._settle()

    def _follow(self, change: Change) -> None:
        if change.name == self._wired_to:
            self._settle()

    def _settle(self) -> None:
        for name, pressed in self._pressed.items():
            driven = name == POWER and self._wired_to is not None and self._wires.get(self._wired_to)
            self._wires.set(name, active=pressed or driven)
