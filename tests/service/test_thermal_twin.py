"""The loop of control closed by the simulated board: it settles, does not overshoot, and no single fault burns it."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from tests.harness.twin import HOST, Twin

from ubmc.hw.sim.catalogue import machine_named
from ubmc.services.thermalmgr.fans import FanState
from ubmc.services.thermalmgr.profile import PRESETS, Name, Profile
from ubmc.services.thermalmgr.zone import State

BOARDS = {"sim": "standard", "sim-large": "large"}


def warm(board: str, load: float = 10.0, seconds: float = 120.0, interval: float = 1.0) -> Twin:
    twin = Twin(board, interval=interval)
    twin.load(load)
    twin.power_on()
    twin.run(seconds)
    return twin


@pytest.mark.parametrize("board", BOARDS)
def test_fans_start_in_fail_safe_and_leave_it_when_all_has_been_read(board: str) -> None:
    twin = Twin(board)
    first = twin.control.step(0.0, twin.readings)
    assert {output.state for output in first.zones.values()} == {State.FAIL_SAFE}
    for zone in twin.plan.zones:
        for fan in zone.fans:
            assert first.duties[fan] >= zone.fail_safe_percent
    twin.run(1.0)
    assert twin.step is not None
    assert {output.state for output in twin.step.zones.values()} == {State.NORMAL}, twin.step.zones


@pytest.mark.parametrize("name", [Name.QUIET, Name.BALANCED, Name.AGGRESSIVE])
def test_duty_settles_and_a_step_of_load_does_not_overshoot(name: Name) -> None:
    twin = Twin("sim", interval=1.0)
    twin.profile(PRESETS[name])
    twin.load(10)
    twin.power_on()
    twin.run(120)
    peaks: dict[str, float] = {}

    def see() -> None:
        for node, value in twin.temperatures().items():
            peaks[node] = max(peaks.get(node, 0.0), value)

    for load in (100.0, 50.0):
        twin.load(load)
        twin.run(900, see)
        duties: list[float] = []
        twin.run(200, lambda duties=duties: duties.append(max(twin.duties().values())))  # type: ignore[misc]
        assert max(duties) - min(duties) < 3.0, (load, min(duties), max(duties))
    for node, peak in peaks.items():
        critical = twin.node_limits[node].critical
        assert critical is None or peak < critical, (node, peak)
    assert not twin.tripped


def test_a_large_board_does_the_same() -> None:
    twin = warm("sim-large", seconds=60.0)
    twin.load(100)
    hottest = -999.0

    def see() -> None:
        nonlocal hottest
        hottest = max(hottest, *(v - (twin.node_limits[n].critical or 999.0) for n, v in twin.temperatures().items()))

    twin.run(600, see)
    assert hottest < 0.0
    duties: list[float] = []
    twin.run(120, lambda: duties.append(max(twin.duties().values())))
    assert max(duties) - min(duties) < 3.0


def test_a_day_of_a_web_server() -> None:
    from ubmc.hw.sim.parts.load import Profile as Load

    twin = Twin("sim", interval=1.0)
    twin.plant.set_load(Load.DAY)
    twin.power_on()
    twin.interval = 6.0  # a day of it takes seconds
    moves, last = 0.0, 25.0

    def see() -> None:
        nonlocal moves, last
        now = max(twin.duties().values())
        moves, last = moves + abs(now - last), now
        assert all(value < (twin.node_limits[n].warning or 999.0) for n, value in twin.temperatures().items())

    twin.run(24 * 3600, see)
    assert not twin.tripped
    assert twin.step is not None
    assert {output.state for output in twin.step.zones.values()} == {State.NORMAL}


def one_of_each(names: list[str]) -> list[str]:
    """One of those that differ in a number only."""
    return list({re.sub(r"\d+", "#", name): name for name in reversed(names)}.values())


def faults(board: str) -> Iterator[tuple[str, str, float | None]]:
    machine = machine_named(BOARDS[board])
    twin = Twin(board)
    for name in one_of_each(twin.names):
        yield "sensor-stuck", name, None
        if board == "sim":
            yield "sensor-stuck", name, 20.0
            yield "sensor-stale", name, None
            yield "sensor-nan", name, None
            yield "sensor-range", name, None
    for fan in one_of_each([each.name for each in machine.fans]):
        for kind in ("fan-seized", "fan-slow", "fan-unwritable"):
            yield kind, fan, None
    yield "supply-lost", machine.supplies[0].name, None
    for bus in sorted({each.bus for each in machine.sensors if each.name in twin.names}):
        yield "bus-stuck", bus, None


@pytest.mark.parametrize("board", BOARDS)
def test_no_single_fault_takes_anything_past_fatal_unprotected(board: str) -> None:
    failures = []
    for kind, target, value in faults(board):
        twin = warm(board, seconds=20.0, interval=1.0)
        twin.interval = 2.0 if board == "sim-large" else 1.0
        twin.plant.inject(kind, target, value)
        twin.load(100)
        unprotected: set[str] = set()
        twin.run(200, lambda twin=twin, unprotected=unprotected: unprotected.update(burning(twin)))  # type: ignore[misc]
        failures += [f"{kind} {target} {value}: {node}" for node in unprotected]
    assert not failures


def burning(twin: Twin) -> list[str]:
    """What is past its fatal limit while neither all is cooled nor the power is being cut."""
    assert twin.step is not None
    if twin.tripped or all(duty >= 100.0 for duty in twin.step.duties.values()):
        return []
    return [n for n, degrees in twin.temperatures().items() if degrees >= (twin.node_limits[n].fatal or 999.0)]


@pytest.mark.parametrize(
    ("kind", "state"),
    [("fan-seized", FanState.SEIZED), ("fan-slow", FanState.SLOW), ("fan-unwritable", FanState.UNWRITABLE)],
)
def test_a_fan_that_fails_raises_its_neighbours_until_it_is_well(kind: str, state: FanState) -> None:
    twin = warm("sim", seconds=60.0, interval=0.5)
    assert max(twin.duties().values()) < 50.0
    twin.plant.inject(kind, "fan.2", 35.0 if kind == "fan-slow" else None)
    if kind == "fan-slow":  # it shows when it has to turn faster
        twin.load(100)
        twin.run(90.0)
    twin.run(10.0)
    assert twin.step is not None
    assert twin.step.fans["fan.2"].state is state
    others = {fan: duty for fan, duty in twin.duties().items() if fan != "fan.2"}
    assert set(others.values()) == {100.0}
    assert any("fan.2" in reason for reason in twin.step.zones["cpu"].reasons)
    twin.plant.clear(kind, "fan.2")
    twin.load(10)
    twin.run(60.0)
    assert twin.step.fans["fan.2"].state is FanState.OK
    assert max(twin.duties().values()) < 50.0


def test_a_host_that_is_off_is_no_failure_but_one_that_is_on_is() -> None:
    twin = Twin("sim", interval=0.5)
    twin.run(5.0)
    assert twin.step is not None
    assert not twin.on
    assert {output.state for output in twin.step.zones.values()} == {State.NORMAL}
    twin.run(30.0)
    assert max(twin.duties().values()) <= 25.0
    twin.power_on()
    for name in twin.names:
        twin.gated[name] = ""
    twin.plant.inject("sensor-stale", "cpu0_temp")
    twin.run(0.5)
    assert twin.step.zones["cpu"].state is State.FAIL_SAFE
    assert min(twin.duties().values()) >= 80.0


def test_a_profile_never_reaches_for_a_limit() -> None:
    twin = Twin("sim", interval=1.0)
    twin.profile(Profile(Name.CUSTOM, 30.0))
    twin.load(100)
    twin.power_on()
    twin.run(1200)
    assert twin.step is not None
    for output in twin.step.zones.values():
        for controller in output.controllers:
            if controller.kind == "pid":
                limits = [twin.plan.limits[name].warning for name in controller.sensors]
                assert controller.set_point is not None
                assert controller.set_point <= min(limit for limit in limits if limit is not None) - 2.0
    assert {output.state for output in twin.step.zones.values()} == {State.NORMAL}


def test_when_all_fans_stand_the_host_is_cut_before_anything_is_damaged() -> None:
    twin = warm("sim", load=100.0, seconds=120.0, interval=0.5)
    for fan in twin.plan.fans:
        twin.plant.inject("fan-seized", fan.name)
    twin.run(900)
    assert HOST in twin.tripped
    assert not twin.on
    assert all(value < (twin.node_limits[n].fatal or 999.0) + 3.0 for n, value in twin.temperatures().items())
