"""What a zone does when those of its sensors fail that may, and how far a profile may go."""

from __future__ import annotations

import math

import pytest

from ubmc.kit.readings import Quality, Reading, Readings
from ubmc.services.thermalmgr.plan import (
    FanPlan,
    MarginPlan,
    PidPlan,
    SensorLimits,
    StepwisePlan,
    ThermalPlan,
    ZonePlan,
)
from ubmc.services.thermalmgr.profile import Name, Profile, set_point, shift
from ubmc.services.thermalmgr.zone import State, Zone

LIMITS = {name: SensorLimits(critical=90.0) for name in ("one", "other", "inlet")}
STEPS = ((40.0, 40.0), (60.0, 90.0))


def _zone(*controllers: PidPlan | StepwisePlan) -> Zone:
    zone = ZonePlan("z", ("fan.0",), controllers, missing_is_acceptable=frozenset({"one"}), watched=("inlet",))
    return Zone(zone, ThermalPlan((zone,), (FanPlan("fan.0"),), LIMITS))


def _table(**good: float) -> Readings:
    table = Readings()
    table.put({name: Reading(math.nan, Quality.FAILED, 0.0) for name in LIMITS if name not in good})
    table.put({name: Reading(value, Quality.GOOD, 1.0) for name, value in good.items()})
    return table


@pytest.mark.parametrize(
    "controller", [StepwisePlan("c", ("one",), STEPS), PidPlan("c", ("one",), 60.0, 2.0, 0.02)], ids=["step", "pid"]
)
def test_the_only_sensor_of_a_controller_is_never_excused(controller: PidPlan | StepwisePlan) -> None:
    output = _zone(controller).cycle(1.0, _table(inlet=25.0))
    assert output.state is State.FAIL_SAFE
    assert output.duties["fan.0"] >= 85.0


def test_one_of_several_is_excused() -> None:
    output = _zone(StepwisePlan("c", ("one", "other"), STEPS)).cycle(1.0, _table(inlet=25.0, other=45.0))
    assert output.state is State.NORMAL
    assert output.duties["fan.0"] == 40.0


def test_no_profile_comes_near_to_a_critical_limit_where_there_is_no_warning() -> None:
    far = Profile(Name.CUSTOM, 30.0)
    assert set_point(PidPlan("c", ("one",), 70.0, 1.0, 0.1), far, LIMITS) == 88.0
    assert shift(StepwisePlan("c", ("one",), STEPS), far, LIMITS) == 28.0
    assert set_point(MarginPlan("c", ("one",), 20.0, 1.0, 0.1), far, LIMITS) == -2.0
