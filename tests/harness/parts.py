"""Sensors, zones, fans, lights and assets of a running program, as a client sees them; streams that can be resumed."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from types import TracebackType
from typing import Any, Self

import httpx

from tests.harness.program import Program, until
from tests.harness.truth import Plant

API = "/api/v1alpha1"


class Parts:
    """What a program answers about the parts of its machine, and how to break them."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.plant = Plant(program.state)

    # --- reading ------------------------------------------------------------------------------------------------------

    def sensor(self, name: str) -> dict[str, Any]:
        """A sensor."""
        return dict(self.program.get(f"{API}/sensors/{name}")["sensor"])

    def quality(self, name: str) -> str:
        """Of a sensor, without the prefix; GOOD for example."""
        return str(self.sensor(name).get("quality", "")).removeprefix("SENSOR_QUALITY_")

    def level(self, name: str) -> str:
        """Of a sensor, without the prefix; NORMAL for example."""
        return str(self.sensor(name).get("level", "")).removeprefix("SENSOR_LEVEL_")

    def sensors(self) -> dict[str, dict[str, Any]]:
        """All sensors by name."""
        return {each["name"]: each for each in self._all("sensors", "sensors")}

    def zone(self, name: str) -> dict[str, Any]:
        """A zone."""
        return dict(self.program.get(f"{API}/thermal-zones/{name}")["thermalZone"])

    def zone_state(self, name: str) -> str:
        """Of a zone, without the prefix; NORMAL for example."""
        return str(self.zone(name)["state"]).removeprefix("THERMAL_ZONE_STATE_")

    def fan(self, name: str) -> dict[str, Any]:
        """A cooling device."""
        return dict(self.program.get(f"{API}/cooling-devices/{name}")["coolingDevice"])

    def led(self, name: str) -> dict[str, Any]:
        """A light."""
        return dict(self.program.get(f"{API}/leds/{name}")["led"])

    def asset(self, name: str) -> dict[str, Any]:
        """An asset."""
        return dict(self.program.get(f"{API}/assets/{name}")["asset"])

    def _all(self, path: str, field: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        token = ""
        while True:
            page = self.program.get(f"{API}/{path}?pageSize=1000&pageToken={token}")
            found += page[field]
            token = page.get("nextPageToken", "")
            if not token:
                return found

    # --- events -------------------------------------------------------------------------------------------------------

    def newest(self) -> int:
        """The id of the newest event."""
        return int(self.program.get(f"{API}/events:log")["log"].get("newestId", 0))

    def events(self, after: int, message_id: str = "", component: str = "") -> list[dict[str, Any]]:
        """Events behind an id, the oldest first."""
        query = f"&filter.messageId={message_id}&filter.component={component}"
        return [event for event in self.program.events(query) if int(event["id"]) > after]

    # --- breaking -----------------------------------------------------------------------------------------------------

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """Ask for something that must work."""
        answer = self.program.request("POST", f"{API}/{path}", body)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def inject(self, kind: str, target: str = "", value: float | None = None) -> None:
        """Break something, by RPC."""
        fault: dict[str, Any] = {"kind": kind, "target": target}
        if value is not None:
            fault["value"] = value
        self.post("simulation:injectFault", {"fault": fault})

    def mend(self, kind: str = "", target: str = "") -> None:
        """Mend it; everything unless something is named."""
        self.post("simulation:clearFault", {"kind": kind, "target": target})

    def thresholds(self, name: str, **limits: float) -> dict[str, Any]:
        """Change limits of a sensor."""
        answer = self.program.request("PATCH", f"{API}/sensors/{name}/thresholds", limits)
        assert answer.status_code == 200, answer.text
        return dict(answer.json()["sensor"])

    # --- the host -----------------------------------------------------------------------------------------------------

    def on(self) -> None:
        """Power the host on, and wait until its sensors are read and its zones are well."""
        if self.program.host()["state"] != "HOST_STATE_ON":
            until(lambda: self.program.power("ON").status_code == 200, why="host.0 may be powered on")
        self.program.wait_state("ON")
        until(lambda: self.quality("cpu0_temp") == "GOOD", why="cpu0_temp is good")
        self.calm()

    def off(self) -> None:
        """Cut the power of the host."""
        if self.program.host()["state"] != "HOST_STATE_OFF":
            assert self.program.power("FORCE_OFF").status_code == 200
        self.program.wait_state("OFF")

    def calm(self) -> None:
        """Wait until all zones are well."""
        until(lambda: all(self.zone_state(zone) == "NORMAL" for zone in ("cpu", "memory", "system")), why="zones")

    def restart(self) -> None:
        """End the program as Ctrl-C does, and start it again; the machine goes on."""
        assert self.program.stop() == 0
        self.program.start()
        self.program.login()


class Stream:
    """A watch over server-sent events, read by a thread until the block ends."""

    def __init__(self, program: Program, path: str, cursor: str = "") -> None:
        self._program = program
        self._path = f"{API}/{path}"
        self._cursor = cursor
        self._thread = threading.Thread(target=self._read)
        self._opened = threading.Event()
        self._socket: socket.socket | None = None
        self.status = 0
        self.updates: list[dict[str, Any]] = []
        self.cursor = cursor
        """That of the last update that came."""

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._opened.wait(10)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._socket is not None:
            with contextlib.suppress(OSError):
                socket.socket.shutdown(
                    self._socket, socket.SHUT_RDWR
                )  # the thread reads from it: it must not be closed
        self._thread.join(10)
        assert not self._thread.is_alive()

    def wait(self, what: Any, seconds: float = 45.0, why: str = "") -> dict[str, Any]:
        """Wait for an update of which something is true."""
        found = until(lambda: [each for each in list(self.updates) if what(each)], seconds, why or "an update")
        return dict(found[0])

    def _read(self) -> None:
        headers = {"authorization": f"Bearer {self._program.token}"}
        if self._cursor:
            headers["last-event-id"] = self._cursor
        with self._program.client(headers=headers) as client, contextlib.suppress(httpx.HTTPError):
            client.timeout = httpx.Timeout(10, read=None)
            with client.stream("GET", self._path) as stream:
                self._socket = stream.extensions["network_stream"].get_extra_info("socket")
                self.status = stream.status_code
                self._opened.set()
                for line in stream.iter_lines():
                    self._take(line)

    def _take(self, line: str) -> None:
        if line.startswith("id: "):
            self.cursor = line.removeprefix("id: ").strip()
        if line.startswith("data: "):
            self.updates.append(json.loads(line.removeprefix("data: ")))


def seconds_until(what: Any, limit: float) -> float:
    """How long it takes until something is true."""
    begun = time.monotonic()
    with contextlib.suppress(AssertionError):
        until(what, limit)
    return time.monotonic() - begun
