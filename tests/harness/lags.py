"""How much later than the API Redfish shows the states of host and chassis.

A stream tells when the API knew of a state; a reader that does nothing else tells from when on Redfish showed it. What
Redfish has to show is written down here, and not taken from what makes it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from types import MappingProxyType, TracebackType
from typing import Any, Self

from tests.harness.parts import Stream
from tests.harness.program import Program, until
from tests.harness.resources import CHASSIS, ON_SECONDS, SOON, SYSTEM, TRIES, Body, Door

API = "/api/v1alpha1"
BLINK_SECONDS = 0.1
"""What the API says for a shorter time than that need not be seen by who asks."""

POWER: Mapping[str, tuple[str | None, str]] = MappingProxyType(
    {
        "UNKNOWN": (None, "UnavailableOffline"),
        "OFF": ("Off", "StandbyOffline"),
        "POWERING_ON": ("PoweringOn", "Starting"),
        "ON": ("On", "Enabled"),
        "POWERING_OFF": ("PoweringOff", "Enabled"),
        "RESTARTING": ("PoweringOn", "Starting"),
    }
)
"""`PowerState` and `Status/State` of a system (DSP0268, ComputerSystem and Status)."""
PROGRESS: Mapping[str, str] = MappingProxyType(
    {
        "NONE": "None",
        "PRIMARY_PROCESSOR_INITIALIZATION": "PrimaryProcessorInitializationStarted",
        "HARDWARE_INITIALIZATION": "BusInitializationStarted",
        "MEMORY_INITIALIZATION": "MemoryInitializationStarted",
        "PCI_RESOURCE_CONFIG": "PCIResourceConfigStarted",
        "HARDWARE_INITIALIZATION_COMPLETE": "SystemHardwareInitializationComplete",
        "SETUP_ENTERED": "SetupEntered",
        "OS_BOOT_STARTED": "OSBootStarted",
        "OS_RUNNING": "OSRunning",
    }
)
BOXES: Mapping[str, str | None] = MappingProxyType(
    {
        "UNKNOWN": None,
        "OFF": "Off",
        "POWERING_ON": "PoweringOn",
        "ON": "On",
        "POWERING_OFF": "PoweringOff",
        "CYCLING": "PoweringOff",
    }
)
BOOT_MODES = MappingProxyType({"DISABLED": "Disabled", "ONCE": "Once", "CONTINUOUS": "Continuous"})
FAILED, TRIPPED = "Ubmc.1.0.HostPowerActionFailed", "Ubmc.1.0.ThermalTripped"


def word(text: str, prefix: str) -> str:
    return text.removeprefix(f"{prefix}_")


def system_of(host: Mapping[str, Any]) -> object:
    """What Redfish has to show of a host."""
    power, state = POWER[word(host["state"], "HOST_STATE")]
    override = host.get("bootOverride", {})
    wrong = [TRIPPED] * bool(host.get("tripReason")) + [FAILED] * bool(host.get("powerFailure"))
    return (
        power,
        state,
        PROGRESS.get(word(host.get("bootProgress", ""), "BOOT_PROGRESS")),
        BOOT_MODES.get(word(override.get("mode", "BOOT_OVERRIDE_MODE_DISABLED"), "BOOT_OVERRIDE_MODE"), "Disabled"),
        bool(host.get("watchdog", {}).get("running")),
        "Critical" if TRIPPED in wrong else "Warning" if wrong else "OK",
        tuple(wrong),
    )


def system_shown(body: Body) -> object:
    """The same of the system."""
    return (
        body["PowerState"],
        body["Status"]["State"],
        body.get("BootProgress", {}).get("LastState"),
        body["Boot"]["BootSourceOverrideEnabled"],
        body["HostWatchdogTimer"]["FunctionEnabled"],
        body["Status"]["Health"],
        tuple(each["MessageId"] for each in body["Status"].get("Conditions", ())),
    )


def box_of(chassis: Mapping[str, Any]) -> object:
    """What Redfish has to show of a chassis."""
    return BOXES[word(chassis["state"], "CHASSIS_STATE")], bool(chassis.get("identify"))


def box_shown(body: Body) -> object:
    """The same of the chassis."""
    return body["PowerState"], body["LocationIndicatorActive"]


class Told(Stream):
    """A watch of the API, with the moment at which each update came."""

    def __init__(self, program: Program, path: str) -> None:
        super().__init__(program, path)
        self.moments: list[float] = []

    def _take(self, line: str) -> None:
        if line.startswith("data: "):
            self.moments.append(time.monotonic())
        super()._take(line)

    def after(self, moment: float) -> list[tuple[float, dict[str, Any]]]:
        """What came after a moment."""
        pairs = list(zip(list(self.moments), list(self.updates), strict=False))
        return [pair for pair in pairs if pair[0] >= moment]


class Shown:
    """One resource, read again and again by a thread; what it showed, from when on."""

    def __init__(self, program: Program, path: str, look: Callable[[Body], object]) -> None:
        self._program = program
        self._path = path
        self._look = look
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._read)
        self.seen: list[tuple[float, object]] = []

    def __enter__(self) -> Self:
        self._thread.start()
        until(lambda: self.seen, 10, self._path)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ending.set()
        self._thread.join(15)
        assert not self._thread.is_alive()

    def _read(self) -> None:
        with self._program.client(headers={"x-auth-token": self._program.token}) as client:
            while not self._ending.wait(0.01):
                answer = client.get(self._path)
                if answer.status_code != 200:
                    continue
                now = self._look(answer.json())
                if not self.seen or self.seen[-1][1] != now:
                    self.seen.append((time.monotonic(), now))

    def lag(self, moment: float, wanted: object) -> float:
        """How long after a moment it showed something; 0 if it did already then.

        Raises:
            AssertionError: it never did.
        """
        seen = list(self.seen)
        before = [what for at, what in seen if at <= moment]
        if before and before[-1] == wanted:
            return 0.0
        # It may have come first here, and be over when the API's own update arrives.
        found = [at for at, what in seen if at > moment - SOON and what == wanted]
        assert found, f"{self._path} never showed {wanted}, as the API did, but {[what for _, what in seen]}"
        return max(found[0] - moment, 0.0)


class Seen:
    """What the API said while something went on, and how much later Redfish did."""

    def __init__(self, hosts: Told, boxes: Told, system: Shown, box: Shown, began: float) -> None:
        self.states = _steady([(at, system_of(update["host"])) for at, update in hosts.after(began)])
        self.boxes = _steady([(at, box_of(update["chassis"])) for at, update in boxes.after(began)])
        self.lags = [(system.lag(at, what), what) for at, what in self.states]
        self.lags += [(box.lag(at, what), what) for at, what in self.boxes]

    @property
    def slowest(self) -> float:
        return max((lag for lag, _ in self.lags), default=0.0)

    @property
    def powers(self) -> list[object]:
        """The power states of the host, each once."""
        found = [what[0] for _, what in self.states if isinstance(what, tuple)]
        return [each for index, each in enumerate(found) if index == 0 or found[index - 1] != each]

    def said(self, place: int) -> set[object]:
        """All that was said at one place of `system_of`."""
        return {what[place] for _, what in self.states if isinstance(what, tuple)}


def _steady(told: list[tuple[float, object]]) -> list[tuple[float, object]]:
    """Without what is as before, and without what was over at once."""
    told = _changes(told)
    ends = [*(at for at, _ in told[1:]), float("inf")]
    return _changes([(at, what) for (at, what), end in zip(told, ends, strict=False) if end - at >= BLINK_SECONDS])


def _changes(told: list[tuple[float, object]]) -> list[tuple[float, object]]:
    return [pair for index, pair in enumerate(told) if index == 0 or told[index - 1][1] != pair[1]]


def watched(door: Door, act: Callable[[], object], ended: Callable[[], object], seconds: float = ON_SECONDS) -> Seen:
    """Do something, wait until the API says that it is through, and until Redfish has had its second."""
    program = door.program
    with (
        Told(program, "hosts:watch") as hosts,
        Told(program, "chassis:watch") as boxes,
        Shown(program, SYSTEM, system_shown) as system,
        Shown(program, CHASSIS, box_shown) as box,
    ):
        until(lambda: hosts.updates and boxes.updates, 10, "snapshots")
        began = time.monotonic()
        act()
        until(ended, seconds, "it is through")
        until(lambda: time.monotonic() - max([began, *hosts.moments[-1:], *boxes.moments[-1:]]) > 2 * SOON, 20, "quiet")
        return Seen(hosts, boxes, system, box, began)


def quickest(once: Callable[[], Seen]) -> Seen:
    """The best of three."""
    took = []
    for _ in range(TRIES):
        seen = once()
        if seen.slowest < SOON:
            return seen
        took.append([each for each in seen.lags if each[0] >= SOON])
    raise AssertionError(f"later than the API: {took}")


def host(door: Door) -> dict[str, Any]:
    return door.program.host()


def is_now(door: Door, state: str, progress: str = "") -> bool:
    now = host(door)
    return now["state"] == f"HOST_STATE_{state}" and progress in now.get("bootProgress", "")


def power(door: Door, action: str) -> None:
    answer = door.program.power(action)
    assert answer.status_code == 200, answer.text


def update(door: Door, **fields: Any) -> None:
    answer = door.program.request("PATCH", f"{API}/hosts/host.0", fields)
    assert answer.status_code == 200, answer.text


def bring(door: Door, *, on: bool) -> None:
    """Have the host on with its system up, or off."""
    if on:
        until(lambda: is_now(door, "ON") or door.program.power("ON").status_code == 200, ON_SECONDS, "it may be on")
        until(lambda: is_now(door, "ON", "OS_RUNNING"), ON_SECONDS, "it runs")
    elif not is_now(door, "OFF"):
        power(door, "FORCE_OFF")
        until(lambda: is_now(door, "OFF"), ON_SECONDS, "it is off")
