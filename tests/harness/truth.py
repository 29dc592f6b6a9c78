"""How the machine really is, asked past our program: the plant itself, or QEMU by a second control socket."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

from ubmc.hw.sim.process import request


class Plant:
    """The simulated machine of a state directory."""

    def __init__(self, state: Path) -> None:
        self._directory = state / "machine" / "sim"

    def control(self, **what: Any) -> dict[str, Any]:
        """Ask the machine for something, as nobody but a test can."""
        return dict(request(self._directory, what))

    def snapshot(self) -> dict[str, Any]:
        """Everything."""
        state = self.control(do="state")["state"]
        assert isinstance(state, dict)
        return state

    def on(self) -> bool:
        """Whether power-good is active."""
        return bool(self.snapshot()["lines"]["power-good-0"])

    def line(self, name: str) -> bool:
        """The level of a line."""
        return bool(self.snapshot()["lines"][name])


class SecondQmp:
    """QEMU's other control socket."""

    def __init__(self, state: Path, host: str = "host.0") -> None:
        self._path = state / "machine" / host / "qmp-second.sock"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(10)
        self._socket.connect(str(self._path))
        self._file = self._socket.makefile("rw")
        self.events: list[dict[str, Any]] = []
        self._read()
        self.execute("qmp_capabilities")

    def _read(self) -> dict[str, Any]:
        return dict(json.loads(self._file.readline()))

    def execute(self, command: str, **arguments: Any) -> Any:
        """Run a command; events that come meanwhile are kept in `events`."""
        self._file.write(json.dumps({"execute": command, "arguments": arguments}) + "\n")
        self._file.flush()
        while True:
            message = self._read()
            if "return" in message:
                return message["return"]
            if "error" in message:
                raise AssertionError(message["error"])
            if "event" in message:
                self.events.append(message)

    def status(self) -> str:
        """`running`, `shutdown`, ..."""
        return str(self.execute("query-status")["status"])

    def close(self) -> None:
        """Hang up."""
        self._file.close()
        self._socket.close()
