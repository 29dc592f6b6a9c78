"""`ubmc sim` against another maker's server, behind which is the simulated machine."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from connectrpc.code import Code
from connectrpc.errors import ConnectError
from tests.harness.connect import TOKEN, Bmc, Certificate, Server, make_certificate

from ubmc.cli import session
from ubmc.cli.main import cli
from ubmc.client import Pinned
from ubmc.hw.sim.parts.faults import KINDS
from ubmc.hw.sim.plant import Plant, profile_named
from ubmc.kit.errors import Invalid, NotFound
from ubmc.v1alpha1 import simulation_connect
from ubmc.v1alpha1 import simulation_pb as m
from ubmc.v1alpha1.simulation_pb import LoadProfile

Run = Callable[..., Result]


@dataclass
class Simulated(Bmc, simulation_connect.SimulationService):
    """A BMC whose machine is simulated."""

    plant: Plant = field(default_factory=Plant)
    pressed: list[tuple[str, float]] = field(default_factory=list)

    def _now(self) -> m.Simulation:
        state: dict[str, Any] = self.plant.snapshot()
        faults = []
        for one in state["faults"]:
            faults.append(m.Fault(kind=one["kind"], target=one["target"]))
            if one["value"] is not None:
                faults[-1].value = one["value"]
        return m.Simulation(
            time_seconds=state["time_seconds"],
            faults=faults,
            load_profile=LoadProfile[state["load_profile"].upper()],
            ambient_celsius=state["ambient_celsius"],
            mains=state["socket"],
            buttons=state["buttons"],
        )

    async def get_simulation(self, request: Any, ctx: Any) -> m.GetSimulationResponse:
        return m.GetSimulationResponse(simulation=self._now())

    async def list_fault_kinds(self, request: Any, ctx: Any) -> m.ListFaultKindsResponse:
        kinds = [
            m.FaultKind(
                kind=kind.kind,
                description=kind.description,
                takes_value=kind.takes_value,
                targets=list(self.plant.inside.faults.targets(kind)),
            )
            for kind in KINDS
        ]
        return m.ListFaultKindsResponse(fault_kinds=kinds)

    async def inject_fault(self, request: m.InjectFaultRequest, ctx: Any) -> m.InjectFaultResponse:
        fault = request.fault
        assert fault is not None
        try:
            self.plant.inject(fault.kind, fault.target, fault.value if fault.has_field("value") else None)
        except NotFound as error:
            raise ConnectError(Code.NOT_FOUND, error.message) from error
        except Invalid as error:
            raise ConnectError(Code.INVALID_ARGUMENT, error.message) from error
        return m.InjectFaultResponse(simulation=self._now())

    async def clear_fault(self, request: m.ClearFaultRequest, ctx: Any) -> m.ClearFaultResponse:
        self.plant.clear(request.kind, request.target)
        return m.ClearFaultResponse(simulation=self._now())

    async def set_conditions(self, request: m.SetConditionsRequest, ctx: Any) -> m.SetConditionsResponse:
        if request.load_profile:
            percent = request.load_percent if request.has_field("load_percent") else None
            self.plant.set_load(profile_named(request.load_profile.name.lower()), percent)
        if request.has_field("ambient_celsius"):
            self.plant.set_ambient(request.ambient_celsius)
        if request.has_field("mains"):
            self.plant.set_mains(on=request.mains)
        return m.SetConditionsResponse(simulation=self._now())

    async def press_button(self, request: m.PressButtonRequest, ctx: Any) -> m.PressButtonResponse:
        self.pressed.append((request.button, request.seconds))
        return m.PressButtonResponse(simulation=self._now())

    def _applications(self) -> dict[str, Any]:
        app = simulation_connect.SimulationServiceASGIApplication(self)
        return super()._applications() | {app.path.strip("/"): app}


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return make_certificate(tmp_path_factory.mktemp("tls") / "bmc.pem")


@pytest.fixture
def bmc() -> Simulated:
    return Simulated()


@pytest.fixture
def run(bmc: Simulated, certificate: Certificate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """Run `ubmc sim ...` as somebody who has logged in."""
    for name in [name for name in os.environ if name.startswith("UBMC_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    with Server(bmc, certificate) as server:
        pin = Pinned.parse(certificate.fingerprint)
        session.save(session.Stored(url=server.url, user="admin", trust=pin, token=TOKEN))
        yield lambda *args: CliRunner().invoke(cli, ["sim", *args])


def test_faults_are_listed_set_and_cleared(run: Run, bmc: Simulated) -> None:
    listed = run("fault", "list")
    assert listed.exit_code == 0, listed.output
    rows = {line.split()[0]: line for line in listed.stdout.splitlines()}
    assert {kind.kind for kind in KINDS} < set(rows)
    assert "fan.5" in rows["fan-seized"]
    assert run("fault", "set", "intrusion").stdout == "faults: intrusion\n"
    assert run("fault", "set", "sensor-stuck", "cpu0_temp", "--value", "-3.5").exit_code == 0
    assert bmc.plant.inside.faults.active["sensor-stuck", "cpu0_temp"] == -3.5
    result = run("fault", "set", "fan-seized", "fan.1")
    assert result.stdout == "faults: fan-seized fan.1, intrusion, sensor-stuck cpu0_temp=-3.5\n"
    assert run("fault", "clear", "fan-seized", "fan.1").stdout == "faults: intrusion, sensor-stuck cpu0_temp=-3.5\n"
    assert run("fault", "clear").stdout == "faults: none\n"
    assert not bmc.plant.inside.faults.active


def test_a_fault_that_there_is_not_is_4(run: Run) -> None:
    result = run("fault", "set", "fan-seized", "fan.9")
    assert result.exit_code == 4
    assert "fan.0" in result.stderr
    assert run("fault", "set", "intrusion", "--value", "1").exit_code == 2


def test_conditions_are_set(run: Run, bmc: Simulated) -> None:
    assert run("load", "constant", "--percent", "70").stdout == "load constant, ambient 25 \N{DEGREE SIGN}C, mains on\n"
    assert bmc.plant.inside.load.percent == 70.0
    assert run("ambient", "-5").stdout == "load constant, ambient -5 \N{DEGREE SIGN}C, mains on\n"
    assert run("mains", "off").stdout == "load constant, ambient -5 \N{DEGREE SIGN}C, mains off\n"
    assert run("ambient", "61").exit_code == 2
    assert run("load", "nonsense").exit_code == 2


def test_status_for_people_and_programs(run: Run) -> None:
    run("fault", "set", "fan-slow", "fan.0", "--value", "60")
    shown = run("status").stdout
    assert "front-identify-button" in shown
    assert re.search(r"^faults +fan-slow fan.0=60$", shown, re.MULTILINE)
    content = json.loads(run("status", "--json").stdout)
    assert content["simulation"]["faults"] == [{"kind": "fan-slow", "target": "fan.0", "value": 60}]


def test_a_button_is_pressed(run: Run, bmc: Simulated) -> None:
    assert run("press", "front-power-button").stdout == "front-power-button: pressed\n"
    assert run("press", "front-power-button", "--seconds", "5").exit_code == 0
    assert bmc.pressed == [("front-power-button", 0.0), ("front-power-button", 5.0)]
