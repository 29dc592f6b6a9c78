"""A board with IPMI for these tests, and the other door by which the truth is seen."""

from __future__ import annotations

import secrets
import shlex
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx

from tests.harness.program import Program, until
from tests.ipmi import clients
from tests.ipmi.clients import Login, Said

API = "/api/v1alpha1"
OWNER = """
[ipmi]
listen = [{listen}]
cipher_suites = [17, 3]
"""


@dataclass
class Board:
    """A running program with IPMI."""

    program: Program
    login: Login
    folder: Path
    listens: Callable[[Path], bool] = lambda _state: True
    """Whether the host, which is on, hears its power button."""
    lacks: Mapping[str, str] = field(default_factory=dict)
    """What boards of this kind do not have, and why."""
    whole: str = "chassis.0"
    """The asset that is FRU 0."""

    # --- by IPMI --------------------------------------------------------------------------------------------------

    def say(self, command: str, typed: str = "", **changes: Any) -> Said:
        """Run a client's command; `{folder}` is a folder for its files, `{entry}` the newest of the event log."""
        login = replace(self.login, **changes) if changes else self.login
        if "{entry}" in command:
            command = command.replace("{entry}", self.entry())
        return clients.run(login, shlex.split(command.replace("{folder}", str(self.folder))), typed)

    def entry(self) -> str:
        """The newest entry of the event log."""
        listed = clients.run(self.login, ("ipmitool", "sel", "list"))
        assert listed.code == 0, listed.text
        return f"0x{listed.text.splitlines()[-1].partition('|')[0].strip()}"

    # --- by the other door ----------------------------------------------------------------------------------------

    def rest(self, path: str) -> Any:
        """What REST says."""
        answer = self.program.request("GET", f"{API}/{path}")
        if answer.status_code == 401:
            self.program.login()
            answer = self.program.request("GET", f"{API}/{path}")
        assert answer.status_code == 200, answer.text
        return answer.json()

    def do(self, method: str, path: str, body: dict[str, Any]) -> Any:
        """Have REST do something."""
        answer = self.program.request(method, f"{API}/{path}", body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def host(self) -> dict[str, Any]:
        """The host."""
        return dict(self.rest("hosts/host.0")["host"])

    def started(self) -> str:
        """When the BMC started; empty while it cannot be asked."""
        try:
            return str(self.rest("management-controllers/bmc.0")["managementController"]["startTime"])
        except (httpx.HTTPError, AssertionError):
            return ""

    def chassis(self) -> dict[str, Any]:
        """The chassis."""
        return dict(self.rest("chassis/chassis.0")["chassis"])

    def sensor(self, name: str) -> dict[str, Any]:
        """A sensor."""
        return dict(self.rest(f"sensors/{name}")["sensor"])

    def asset(self, name: str) -> dict[str, Any]:
        """An asset."""
        return dict(self.rest(f"assets/{name}")["asset"])

    def state(self, wanted: str) -> bool:
        """Wait until the host is in a state."""
        self.program.wait_state(wanted, 60.0)
        return True

    def power(self, wanted: str) -> None:
        """Bring the host to `ON` or `OFF`."""

        def settled() -> bool:
            state = self.host()["state"].removeprefix("HOST_STATE_")
            if state != wanted and state in ("ON", "OFF"):
                self.program.power("ON" if wanted == "ON" else "FORCE_OFF")
            return bool(state == wanted)

        until(settled, 60.0, f"the host is {wanted}")

    def awake(self) -> None:
        """Have the host on, and its operating system hear the power button."""
        self.power("ON")
        until(lambda: self.listens(self.program.state), 60.0, "the guest is up")


def alone() -> str:
    """An address of this machine whose port 623 we may have; empty: we may not."""
    address = f"127.{secrets.randbelow(254) + 1}.{secrets.randbelow(254) + 1}.1"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as tried:
        try:
            tried.bind((address, 623))
        except OSError:
            return ""
    return address


def free_port() -> int:
    """A UDP port that nobody has."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running(folder: Path, *, board: str = "sim", **more: Any) -> Iterator[Board]:
    """A board with IPMI, cipher suites 17 and 3, and an IPMI secret for `admin`.

    Args:
        folder: for its files.
        board: its board file.
        more: of `Board`.
    """
    port, address = free_port(), alone()
    listen = [f"127.0.0.1:{port}", *([f"{address}:623"] if address else [])]
    owner = folder / "ubmc.toml"
    owner.write_text(OWNER.format(listen=", ".join(f'"{each}"' for each in listen)))
    with Program(folder / "state", "--config", str(owner), board=board) as program:
        program.login()
        answer = program.request("POST", f"{API}/users/admin:resetIpmiSecret", {})
        assert answer.status_code == 200, answer.text
        login = Login(port, "admin", answer.json()["secret"], folder, alone=address)
        found = Board(program, login, folder, **more)
        until(lambda: found.say("ipmitool mc info").code == 0, 30.0, "IPMI answers")
        until(lambda: found.say("ipmitool sdr info").code == 0, 30.0, "the sensors are known")
        yield found
