"""Sensors, fans, FRU storage and parts of the simulated machine over its socket, on virtual time."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.unit.test_sim_lines import say, virtual

from ubmc.hw.fans.port import Fan
from ubmc.hw.fru.port import FruStore
from ubmc.hw.inventory.port import AssetReader, Kind, Source
from ubmc.hw.sensors.port import SensorBus
from ubmc.hw.sim import recipe
from ubmc.hw.sim.assets import SimAssets
from ubmc.hw.sim.catalogue import large_machine
from ubmc.hw.sim.control import Control
from ubmc.hw.sim.fans import SimFan
from ubmc.hw.sim.frus import SimFru
from ubmc.hw.sim.inprocess import InProcessMachine
from ubmc.hw.sim.plant import Plant, Settings
from ubmc.hw.sim.port import Twin
from ubmc.hw.sim.sensors import SimSensors
from ubmc.hw.sim.session import Session
from ubmc.kit.errors import Invalid, NotFound, Refused, Unavailable
from ubmc.protocols.fru import Area, parse

NOWHERE = Path("/nonexistent/sim.sock")


@contextlib.asynccontextmanager
async def machine_of(plant: Plant | None = None) -> AsyncIterator[InProcessMachine]:
    machine = InProcessMachine(plant)
    try:
        yield machine
    finally:
        machine.close()


def sensors(machine: InProcessMachine, bus: str) -> SimSensors:
    names = machine.plant.inside.bus_sensors(bus)
    return SimSensors(bus, {f"my_{name}": name for name in names}, machine.dial)


@virtual
async def test_a_bus_is_read_in_one_exchange_under_the_names_of_the_board() -> None:
    async with machine_of() as machine:
        bus: SensorBus = sensors(machine, "sim-board")
        await asyncio.sleep(100)
        values = await bus.read(["my_inlet_temp", "my_humidity", "my_p5v"])
        assert values["my_inlet_temp"] == machine.plant.read_sensors(["inlet_temp"])["inlet_temp"]
        assert values["my_humidity"] == pytest.approx(45.0, abs=0.6)
        assert isinstance(values["my_p5v"], Unavailable), "the host is off"
        assert list(values) == ["my_inlet_temp", "my_humidity", "my_p5v"]
        assert "my_p12v" in bus.sensors
        assert bus.name == "sim-board"
        await bus.close()
        with pytest.raises(Unavailable):
            await bus.read(["my_inlet_temp"])


@virtual
async def test_all_sensors_of_a_large_machine_can_be_read() -> None:
    async with machine_of(Plant(Settings(machine=large_machine()))) as machine:
        count = 0
        for name in machine.plant.inside.machine.buses:
            bus = sensors(machine, name)
            count += len(await bus.read(bus.sensors))
            await bus.close()
        assert count == 300


@virtual
async def test_a_sensor_that_fails_takes_no_other_with_it() -> None:
    async with machine_of() as machine:
        bus = SimSensors("sim-board", {"a": "inlet_temp", "b": "outlet_temp", "c": "nonsense"}, machine.dial)
        machine.act(lambda plant: plant.inject("sensor-nan", "inlet_temp"))
        values = await bus.read(["a", "b", "c"])
        assert isinstance(values["a"], float)
        assert math.isnan(values["a"])
        assert isinstance(values["b"], float)
        assert isinstance(values["c"], NotFound)
        machine.act(lambda plant: plant.inject("sensor-stale", "inlet_temp"))
        assert isinstance((await bus.read(["a"]))["a"], Unavailable)
        await bus.close()


@virtual
async def test_a_stuck_bus_delays_no_other_and_comes_back() -> None:
    async with machine_of() as machine:
        stuck, free = sensors(machine, "sim-fans"), sensors(machine, "sim-board")
        await stuck.read(["my_fan0_rpm"])
        machine.act(lambda plant: plant.inject("bus-stuck", "sim-fans"))
        loop = asyncio.get_running_loop()
        began = loop.time()
        waiting = asyncio.create_task(stuck.read(["my_fan0_rpm"]))
        await asyncio.sleep(0)
        await free.read(["my_inlet_temp"])
        assert loop.time() == began
        with pytest.raises(Unavailable, match="did not answer"):
            await waiting
        assert loop.time() - began == pytest.approx(0.5)
        machine.act(lambda plant: plant.clear("bus-stuck"))
        assert isinstance((await stuck.read(["my_fan0_rpm"]))["my_fan0_rpm"], float)
        await stuck.close()
        await free.close()


@virtual
async def test_a_machine_that_went_away_is_found_again() -> None:
    async with machine_of() as machine:
        bus = sensors(machine, "sim-board")
        await bus.read(["my_inlet_temp"])
        machine.unplug()
        with pytest.raises(Unavailable):
            await bus.read(["my_inlet_temp"])
        machine.plug()
        assert isinstance((await bus.read(["my_inlet_temp"]))["my_inlet_temp"], float)
        machine.unplug()
        machine.plug()  # between two reads
        assert isinstance((await bus.read(["my_inlet_temp"]))["my_inlet_temp"], float)
        await bus.close()


@virtual
async def test_cancelling_a_read_leaves_the_bus_usable() -> None:
    async with machine_of() as machine:
        bus = sensors(machine, "sim-fans")
        machine.act(lambda plant: plant.inject("bus-stuck", "sim-fans"))
        reading = asyncio.create_task(bus.read(["my_fan0_rpm"]))
        await asyncio.sleep(0.1)
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
        machine.act(lambda plant: plant.clear())
        assert isinstance((await bus.read(["my_fan0_rpm"]))["my_fan0_rpm"], float)
        await bus.close()


@virtual
async def test_another_machine_than_the_board_asks_for_is_said() -> None:
    async with machine_of() as machine:
        bus = SimSensors("sim-of-another", {"a": "a"}, machine.dial)
        with pytest.raises(Unavailable, match="another machine"):
            await bus.read(["a"])
        await bus.close()
        session = Session(machine.dial)
        with pytest.raises(Unavailable, match="machine end"):
            await session.ask({"do": "what a later release asks"})
        await session.close()


@virtual
async def test_fans_are_set_by_several_at_once() -> None:
    async with machine_of() as machine:
        fans: list[Fan] = [
            SimFan(f"fan.{n}", f"fan.{n}", machine.dial, socket=NOWHERE, failsafe_percent=70.0) for n in range(6)
        ]
        again = SimFan("fan.0", "fan.0", machine.dial, socket=NOWHERE, failsafe_percent=70.0)
        assert await fans[0].get() == 30.0
        await asyncio.gather(*(fan.set(40.0 + n) for n, fan in enumerate(fans)))
        assert [machine.plant.duty(f"fan.{n}") for n in range(6)] == [40.0, 41.0, 42.0, 43.0, 44.0, 45.0]
        await again.set(55.5)
        assert await fans[0].get() == 55.5
        machine.act(lambda plant: plant.inject("fan-unwritable", "fan.0"))
        with pytest.raises(Unavailable, match=r"fan\.0"):
            await fans[0].set(100.0)
        await fans[1].set(100.0)
        for wrong in (-0.1, 100.1, math.nan):
            with pytest.raises(Invalid):
                await fans[1].set(wrong)
        nobody = SimFan("fan.9", "fan.9", machine.dial, socket=NOWHERE, failsafe_percent=70.0)
        with pytest.raises(Unavailable, match=r"fan\.9"):
            await nobody.get()
        for fan in (*fans, again, nobody):
            await fan.close()


@virtual
async def test_a_recipe_is_plain_data_and_says_when_it_fails() -> None:
    async with machine_of() as machine:
        fan = SimFan("fan.0", "fan.1", machine.dial, socket=NOWHERE, failsafe_percent=70.0)
        made = fan.recipe()
        assert (made.name, made.kind, made.failsafe_percent) == ("fan.0", "sim", 70.0)
        assert made.place == {"socket": str(NOWHERE), "fan": "fan.1"}
        with pytest.raises(OSError, match="No such file"):
            recipe.apply(made.place, 70.0)
        await fan.close()


@virtual
async def test_storage_is_read_and_written() -> None:
    async with machine_of() as machine:
        board: FruStore = SimFru("board.0", machine.dial, writable=True)
        before = await board.read()
        assert before == machine.plant.inside.read_fru("board.0")
        await board.write(b"\x01\x02")
        assert await board.read() == b"\x01\x02" + before[2:]
        with pytest.raises(Refused):
            await board.write(bytes(513))
        supply = SimFru("psu.0", machine.dial, writable=False)
        with pytest.raises(Refused, match="protected"):
            await supply.write(b"x")
        machine.act(lambda plant: plant.inject("asset-unplugged", "psu.0"))
        with pytest.raises(NotFound, match="plugged"):
            await supply.read()
        machine.act(lambda plant: plant.inject("bus-stuck", "sim-fru"))
        with pytest.raises(Unavailable, match="did not answer"):
            await board.read()
        await board.close()
        await supply.close()


@virtual
async def test_storage_of_the_factory_is_what_our_parser_reads() -> None:
    async with machine_of() as machine:
        for asset in machine.plant.inside.machine.assets:
            if not asset.fru_bytes:
                continue
            found = parse(machine.plant.inside.read_fru(asset.name))
            assert found.faults == (), asset.name
            stored = [one.data.decode("ascii") for one in found.fru.info[Area.PRODUCT].fields]
            expected = [asset.manufacturer, asset.model, asset.part_number, asset.version, asset.serial_number]
            assert stored[:5] == expected
        machine.act(lambda plant: plant.inject("fru-damaged", "psu.0"))
        assert parse(machine.plant.inside.read_fru("psu.0")).faults


@virtual
async def test_parts_are_told() -> None:
    async with machine_of(Plant(Settings(machine=large_machine()))) as machine:
        reader: AssetReader = SimAssets(machine.dial)
        assert reader.source is Source.SIMULATION
        found = {asset.name: asset for asset in await reader.read()}
        assert found["dimm.63"].kind is Kind.MEMORY
        assert found["dimm.63"].details["capacity_bytes"] == str(32 << 30)
        assert found["psu.0"].present
        machine.act(lambda plant: plant.inject("asset-unplugged", "psu.0"))
        found = {asset.name: asset for asset in await reader.read()}
        assert not found["psu.0"].present
        await reader.close()


@virtual
async def test_the_control_is_the_port_of_the_service() -> None:
    async with machine_of() as machine:
        twin: Twin = Control(machine.dial)
        await twin.inject("sensor-stuck", "cpu0_temp", 99.0)
        await twin.set_load("constant", 70.0)
        await twin.set_ambient(31.0)
        await twin.set_mains(on=False)
        now = await twin.conditions()
        assert [(one.kind, one.target, one.value) for one in now.faults] == [("sensor-stuck", "cpu0_temp", 99.0)]
        assert (now.load_profile, now.ambient_celsius, now.mains) == ("constant", 31.0, False)
        kinds = {kind.kind: kind for kind in await twin.fault_kinds()}
        assert kinds["fan-slow"].takes_value
        assert "fan.0" in kinds["fan-seized"].targets
        assert kinds["intrusion"].targets == ()
        await twin.clear()
        assert (await twin.conditions()).faults == ()
        with pytest.raises(NotFound, match="waves"):
            await twin.set_load("nonsense")
        with pytest.raises(Invalid):
            await twin.set_ambient(61.0)


@virtual
async def test_wrong_requests_are_refused_with_a_reason() -> None:
    async with machine_of() as machine:
        wrong = [
            ('{"do":"read","bus":"nonsense"}', "not_found"),
            ('{"do":"read","bus":"sim-cpu","sensors":3}', "invalid"),
            ('{"do":"read","bus":3}', "invalid"),
            ('{"do":"fan","fan":"fan.0","percent":"x"}', "invalid"),
            ('{"do":"fan","fan":"fan.0","percent":NaN}', "invalid"),
            ('{"do":"fan","fan":"fan.0","percent":true}', "invalid"),
            ('{"do":"fru-write","asset":"board.0","data":"x"}', "invalid"),
            ('{"do":"ambient"}', "invalid"),
            ('{"do":"inject","kind":"sensor-stuck","target":"cpu0_temp","value":"x"}', "invalid"),
        ]
        answers = await say(machine, b'{"control":{"do":"state"}}\n')
        assert answers[0]["state"]["machine"] == "standard"
        lines = b"".join(f'{{"control":{control}}}\n'.encode() for control, _ in wrong)
        answers = await say(machine, b'{"control":{"do":"state"}}\n' + lines)
        assert [answer.get("error") for answer in answers[1:]] == [word for _, word in wrong]
