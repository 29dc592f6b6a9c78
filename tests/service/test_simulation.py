"""The service simulation on a real bus, with the simulated machine itself."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import orjson
import pytest
from protobuf import Message
from tests.harness.bus import BusWorld

from ubmc.hw.sim.control import Control
from ubmc.hw.sim.inprocess import InProcessMachine
from ubmc.kit.bus import Bus
from ubmc.kit.call import Call
from ubmc.kit.errors import Denied, Invalid, NotFound, Unavailable
from ubmc.kit.service import Service, on
from ubmc.kit.tracing import Trace
from ubmc.rpc import Unary
from ubmc.services.ipc.permissions import EVENTS_STREAM, ProcessSpec
from ubmc.services.simulation.service import PROFILES, Simulation
from ubmc.v1alpha1 import simulation_pb as m
from ubmc.v1alpha1.simulation_pb import LoadProfile
from ubmc.v1alpha1.simulation_rpc import SimulationService


class Listener(Service):
    """Takes the news, as the event log does."""

    name = "eventlog"
    keeps_log = True

    def __init__(self) -> None:
        self.told: list[str] = []

    async def setup(self) -> None:
        config = {"name": EVENTS_STREAM, "subjects": ["event.>"], "storage": "memory", "max_bytes": 1 << 20}
        subject = f"$JS.API.STREAM.CREATE.{EVENTS_STREAM}"
        call = Call(time.monotonic() + 5, Trace.new())
        answer = orjson.loads(await self.bus.request(subject, orjson.dumps(config), call, "the stream"))
        assert "error" not in answer, answer

    @on(m.SimulationChange)
    async def follow(self, change: m.SimulationChange) -> None:
        self.told.append(change.what)


@dataclass
class World:
    bus: BusWorld
    machine: InProcessMachine
    door: Bus
    listener: Listener

    async def ask(self, method: Unary[Any, Any], request: Message[Any], role: str = "Operator") -> Any:
        return await self.door.forward(method, request, self.bus.call(role.lower(), role))

    async def until_told(self, *what: str) -> None:
        """News come in the order in which they were told."""
        async with asyncio.timeout(30):
            while len(self.listener.told) < len(what):
                await asyncio.sleep(0.005)
        assert self.listener.told == list(what)
        self.listener.told.clear()


@contextlib.asynccontextmanager
async def world() -> AsyncIterator[World]:
    machine = InProcessMachine()
    try:
        specs = (
            ProcessSpec("managers", (Simulation,)),
            ProcessSpec("log", (Listener,)),
            ProcessSpec("websrv", (), door=True),
        )
        async with BusWorld(*specs) as bus:
            listener = Listener()
            await bus.place("log", listener)
            await bus.place("managers", Simulation(Control(machine.dial)))
            yield World(bus, machine, await bus.place("websrv"), listener)
    finally:
        machine.close()


async def test_faults_are_injected_listed_told_and_cleared() -> None:
    async with world() as w:
        kinds = (await w.ask(SimulationService.ListFaultKinds, m.ListFaultKindsRequest())).fault_kinds
        stuck = next(kind for kind in kinds if kind.kind == "sensor-stuck")
        assert stuck.takes_value
        assert "cpu0_temp" in stuck.targets
        for kind, target, value in (("sensor-stuck", "cpu0_temp", 99.5), ("fan-seized", "fan.1", None)):
            fault = m.Fault(kind=kind, target=target)
            if value is not None:
                fault.value = value
            answer = await w.ask(SimulationService.InjectFault, m.InjectFaultRequest(fault=fault))
            assert fault in answer.simulation.faults
        assert ("fan-seized", "fan.1") in w.machine.plant.inside.faults.active
        await w.until_told("fault sensor-stuck of cpu0_temp injected", "fault fan-seized of fan.1 injected")
        answer = await w.ask(SimulationService.ClearFault, m.ClearFaultRequest(kind="fan-seized"))
        assert [fault.kind for fault in answer.simulation.faults] == ["sensor-stuck"]
        answer = await w.ask(SimulationService.ClearFault, m.ClearFaultRequest())
        assert not answer.simulation.faults
        assert not w.machine.plant.inside.faults.active
        await w.until_told("fault fan-seized of fan.1 cleared", "fault sensor-stuck of cpu0_temp cleared")


async def test_conditions_are_set_and_what_is_absent_stays() -> None:
    async with world() as w:
        request = m.SetConditionsRequest(load_profile=LoadProfile.CONSTANT)
        request.load_percent = 0.0
        request.ambient_celsius = -5.0
        now = (await w.ask(SimulationService.SetConditions, request)).simulation
        assert (now.load_profile, now.ambient_celsius, now.mains) == (LoadProfile.CONSTANT, -5.0, True)
        assert w.machine.plant.inside.load.percent == 0.0
        off = m.SetConditionsRequest()
        off.mains = False
        now = (await w.ask(SimulationService.SetConditions, off)).simulation
        assert (now.load_profile, now.ambient_celsius, now.mains) == (LoadProfile.CONSTANT, -5.0, False)
        assert not w.machine.plant.chassis.mains
        await w.until_told("load constant 0 percent", "ambient -5 degrees Celsius", "mains off")
        for profile in PROFILES:
            answer = await w.ask(SimulationService.SetConditions, m.SetConditionsRequest(load_profile=profile))
            assert answer.simulation.load_profile is profile


async def test_a_button_is_pressed() -> None:
    async with world() as w:
        now = (await w.ask(SimulationService.GetSimulation, m.GetSimulationRequest(), "ReadOnly")).simulation
        assert "front-power-button" in now.buttons
        request = m.PressButtonRequest(button="front-power-button", seconds=60.0)
        await w.ask(SimulationService.PressButton, request)
        assert w.machine.plant.read("front-power-button")
        with pytest.raises(NotFound, match="front-power-button"):
            await w.ask(SimulationService.PressButton, m.PressButtonRequest(button="nonsense"))


async def test_who_may_only_look_breaks_nothing() -> None:
    async with world() as w:
        fault = m.Fault(kind="intrusion")
        with pytest.raises(Denied):
            await w.ask(SimulationService.InjectFault, m.InjectFaultRequest(fault=fault), "ReadOnly")
        with pytest.raises(Denied):
            await w.ask(SimulationService.SetConditions, m.SetConditionsRequest(), "ReadOnly")
        assert not w.machine.plant.inside.faults.active


async def test_what_is_wrong_is_said_and_a_machine_that_is_away_too() -> None:
    async with world() as w:
        for fault, error in (
            (m.Fault(kind="nonsense"), NotFound),
            (m.Fault(kind="fan-seized", target="fan.77"), NotFound),
            (m.Fault(kind="fan-seized", target="fan.0", value=3.0), Invalid),
        ):
            with pytest.raises(error):
                await w.ask(SimulationService.InjectFault, m.InjectFaultRequest(fault=fault))
        w.machine.unplug()
        with pytest.raises(Unavailable):
            await w.ask(SimulationService.GetSimulation, m.GetSimulationRequest())
