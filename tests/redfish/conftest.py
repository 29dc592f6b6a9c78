"""One simulated board for all tests of this folder, and other people's clients to use it with."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.harness.program import ADMIN_PASSWORD, Program
from tests.harness.truth import Plant
from tests.redfish import judges
from tests.redfish.judges import CHECKOUT, Door

CLIENT_SECONDS = 120.0


@dataclass
class Bmc:
    """The board, how other people's clients get in, and how it really is."""

    program: Program
    door: Door
    folder: Path
    plant: Plant
    said: list[str] = field(default_factory=list)

    def rest(self, path: str) -> Any:
        """What our REST API says."""
        answer = self.program.request("GET", f"/api/v1alpha1/{path}")
        assert answer.status_code == 200, answer.text
        return answer.json()

    def post(self, path: str, body: dict[str, Any]) -> Any:
        """Have our REST API do something."""
        answer = self.program.request("POST", f"/api/v1alpha1/{path}", body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def redfish(self, path: str) -> Any:
        """What Redfish says."""
        answer = self.program.request("GET", f"/redfish/v1{path}")
        assert answer.status_code == 200, answer.text
        return answer.json()

    def run(self, program: str, *arguments: str, folder: Path | None = None, fails: bool = False) -> str:
        """Run a client's program; what it said."""
        done = judges.run(self.door, program, arguments, folder or self.folder, CLIENT_SECONDS)
        told = done.stdout + done.stderr
        assert (done.returncode != 0) == fails, f"{program} {' '.join(arguments)}: {done.returncode}\n{told}"
        return told

    def tool(self, program: str, *arguments: str, fails: bool = False) -> str:
        """Run one of the Tacklebox."""
        with_credentials = ["-u", self.door.user, "-p", self.door.password, "-r", self.door.url, *arguments]
        return self.run(f"{program}.py", *with_credentials, fails=fails)

    def guest(self, module: str, arguments: Sequence[str] = ()) -> str:
        """Run one of the programs in guests/ with the judges' Python."""
        given = {"UBMC_URL": self.door.url, "UBMC_USER": self.door.user, "UBMC_PASSWORD": self.door.password}
        environment = {**judges.environment(), **given, "UBMC_TOKEN": self.program.token, "PYTHONPATH": str(CHECKOUT)}
        command = [str(judges.installed() / "python"), "-m", f"tests.redfish.guests.{module}", *arguments]
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=CLIENT_SECONDS,
            check=False,
        )
        assert done.returncode == 0, f"{module}:\n{done.stdout}\n{done.stderr}"
        return done.stdout


@pytest.fixture(scope="package")
def bmc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bmc]:
    """The board, switched on."""
    judges.installed()
    folder = tmp_path_factory.mktemp("redfish")
    state = folder / "state"
    with Program(state) as program:
        program.login()
        made = Bmc(program, Door(program.url, "admin", ADMIN_PASSWORD), folder, Plant(state))
        yield made


@pytest.fixture
def shared() -> Path:
    """DMTF's schemas and profiles."""
    if not judges.SHARED.is_dir():
        pytest.skip(judges.MISSING)
    return judges.SHARED


@pytest.fixture
def network() -> None:
    """Whether a network namespace can be made."""
    probe = subprocess.run(["unshare", "--net", "true"], capture_output=True, check=False, timeout=10)
    if os.geteuid() != 0 or probe.returncode != 0:
        pytest.skip("a network namespace of our own needs root: it is for the Protocol Validator's multicast")
