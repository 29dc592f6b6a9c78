"""Redfish resources of a running program as a client sees them: all of them, and what is not as it was."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx

from tests.harness.parts import Parts
from tests.harness.program import Program, until

SYSTEM = "/redfish/v1/Systems/host.0"
CHASSIS = "/redfish/v1/Chassis/chassis.0"
SENSORS = f"{CHASSIS}/Sensors"
RESET = f"{SYSTEM}/Actions/ComputerSystem.Reset"
SOON = 1.0
"""Whatever happens is in Redfish within so many seconds."""
TRIES = 3
"""This machine may be busy, so the best of so many counts."""
PHASE_SECONDS = 0.17
"""Each try begins at another moment between two looks of the BMC, which come twice a second."""
ON_SECONDS = 60.0
LIVE = ("LogServices", "Sessions", "TaskService", "Subscriptions", "JsonSchemas", "Registries")
"""What changes by being looked at, or never."""
ROLLED_UP = ("HealthRollup", "@odata.etag", "Description")
"""What may be another in everything above a part; the description of a control says what it aims at."""

Body = dict[str, Any]


class Door:
    """The Redfish door of a program, and what breaks its machine."""

    def __init__(self, program: Program, client: httpx.Client) -> None:
        self.program = program
        self.client = client
        self.parts = Parts(program)

    def get(self, path: str) -> Body:
        """A resource, which must be there."""
        answer = self.client.get(path)
        assert answer.status_code == 200, answer.text
        body: Body = answer.json()
        return body

    def reset(self, kind: str) -> None:
        """Reset the system; done when it is begun."""
        answer = self.client.post(RESET, json={"ResetType": kind})
        assert answer.status_code in (200, 202, 204), answer.text

    def booted(self) -> None:
        """Power it on, and wait until the operating system runs."""
        if self.get(SYSTEM)["PowerState"] != "On":
            self.reset("On")
        until(lambda: self.get(SYSTEM).get("BootProgress") == {"LastState": "OSRunning"}, ON_SECONDS, "it boots")

    def calm(self) -> None:
        """Wait until nothing moves any more."""
        until(lambda: self.shapes() == self._later(1.0), ON_SECONDS, "it is calm")

    def _later(self, seconds: float) -> dict[str, Any]:
        time.sleep(seconds)
        return self.shapes()

    def shapes(self) -> dict[str, Any]:
        """All resources by their paths."""
        waiting, found = ["/redfish/v1/"], dict[str, Any]()
        while waiting:
            path = waiting.pop().partition("#")[0]
            if path in found or any(name in path for name in LIVE):
                continue
            answer = self.client.get(path)
            assert answer.status_code in (200, 404), f"{path}: {answer.text}"  # it may be pulled out meanwhile
            body = answer.json() if answer.status_code == 200 else None
            found[path] = shape(body)
            waiting += list(links(body))
        return found


def opened(state: Path, *arguments: str) -> Iterator[Door]:
    """A program of its own, and a client that may ask as often as it likes."""
    with Program(state, *arguments) as program:
        program.login()
        answer = program.request("PATCH", "/api/v1alpha1/security-policy", {"requestsPerSecond": 10000})
        assert answer.status_code == 200, answer.text  # everything is read again and again here
        with program.client(headers={"x-auth-token": program.token}) as client:
            yield Door(program, client)


def links(value: Any) -> Iterator[str]:
    """What a body leads to."""
    if isinstance(value, list):
        for each in value:
            yield from links(each)
    elif isinstance(value, dict):
        if set(value) == {"@odata.id"}:
            yield value["@odata.id"]
        for each in value.values():
            yield from links(each)


def shape(value: Any) -> Any:
    """A body as it stays while nothing happens: a measured number is a number, whichever it is, and time goes on."""
    if isinstance(value, list):
        return [shape(each) for each in value]
    if isinstance(value, dict):
        return {name: shape(each) for name, each in value.items() if name not in ROLLED_UP and "Time" not in name}
    return 0 if isinstance(value, (int, float)) and not isinstance(value, bool) else value


def others(before: dict[str, Any], now: dict[str, Any]) -> set[str]:
    """The paths of what is not as it was."""
    return {path for path in before.keys() | now.keys() if before.get(path) != now.get(path)}
