"""Golden bytes of sensors and their records (IPMI 2.0, chapters 35, 36.3 and 43)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ubmc.protocols.ipmi import scale as scales
from ubmc.protocols.ipmi import sdr, sensor
from ubmc.protocols.ipmi.codes import Code, Completion
from ubmc.protocols.ipmi.scale import Scale
from ubmc.protocols.ipmi.sdr import Analog, Discrete, Entity, EventType, Place, SensorType, Unit
from ubmc.protocols.ipmi.sensor import Enabled

CELSIUS = Scale(m=1, signed=True)
OFFSET = Scale(m=1, b=-40)

# --- scales -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("low", "high", "limits", "scale"),
    [
        (-40, 125, (80, 90, 100), Scale(m=1, signed=True)),
        (-20, 150, (105, 120), Scale(m=125, exponent=-2, signed=True)),
        (800, 1100, (), Scale(m=125, b=80, b_exponent=3, exponent=-2)),
        (0, 30000, (500, 1000), Scale(m=125)),
        (0, 24, (10.8, 13.2), Scale(m=1, exponent=-1)),
        (0, 3.6, (3.0, 3.135), Scale(m=15, exponent=-3)),
        (30, 120, (), Scale(m=5, exponent=-1)),
    ],
)
def test_scales(low: float, high: float, limits: tuple[float, ...], scale: Scale) -> None:
    chosen = scales.choose(low, high, limits)
    assert chosen == scale
    for limit in limits:
        assert chosen.value(chosen.raw(limit)) == pytest.approx(limit, abs=1e-9)


def test_a_scale_is_that_of_the_specification() -> None:
    """y = (M x + B 10^K1) 10^K2."""
    scale = Scale(m=-3, b=12, b_exponent=2, exponent=-1)
    assert scale.value(10) == pytest.approx((-3 * 10 + 12 * 100) * 0.1)


@given(
    low=st.floats(-1e5, 1e5, allow_nan=False),
    span=st.floats(1e-2, 1e6, allow_nan=False),
    part=st.floats(0, 1, allow_nan=False),
)
def test_what_a_sensor_can_show_is_right_to_a_step(low: float, span: float, part: float) -> None:
    scale = scales.choose(low, low + span)
    value = low + span * part
    assert abs(scale.value(scale.raw(value)) - value) <= scale.step * 0.51 + 1e-9
    assert scale.step <= max(span, abs(low)) / 127 * 4
    assert -512 <= scale.m <= 511
    assert -512 <= scale.b <= 511
    assert -8 <= scale.exponent <= 7
    assert -8 <= scale.b_exponent <= 7


def test_what_lies_beyond_is_shown_at_the_end() -> None:
    assert (OFFSET.raw(-100), OFFSET.raw(1000)) == (0, 255)
    assert (CELSIUS.raw(-200), CELSIUS.raw(-1), CELSIUS.raw(1000)) == (0x80, 0xFF, 0x7F)
    assert (CELSIUS.value(0x80), CELSIUS.value(0xFF), CELSIUS.value(0x7F)) == (-128, -1, 127)


# --- records ----------------------------------------------------------------------------------------------------------


def test_full_record() -> None:
    """A temperature with three upper limits; every byte by table 43-1."""
    place = Place(lun=0, number=7, entity=Entity.PROCESSOR, instance=1, name="cpu0_temp")
    record = sdr.analog(
        1,
        Analog(
            place=place,
            kind=SensorType.TEMPERATURE,
            unit=Unit.CELSIUS,
            scale=CELSIUS,
            thresholds=(None, None, None, 80, 90, 100),
            hysteresis=2,
        ),
    )
    assert record == bytes.fromhex(
        "0100 51 01 34"  # id, version, type, length
        "20 00 07"  # owner, lun, number
        "03 01 7f 69 01 01"  # entity, instance, initialisation, capabilities, temperature, threshold
        "800a 807a 3838"  # events; the same, upper limits compared with; readable, settable
        "80 01 00 00"  # two's complement, degrees C; linear
        "01 01 00 00 00 00"  # M 1, tolerance 1; B 0; no accuracy; exponents
        "00 00 00 00 7f 80"  # no nominal readings; maximum, minimum
        "64 5a 50 00 00 00"  # upper non-recoverable, critical, non-critical, lower ones
        "02 02 00 00 00"  # hysteresis, reserved, OEM
        "c9" + b"cpu0_temp".hex()
    )


def test_full_record_of_a_percentage_without_limits() -> None:
    place = Place(lun=3, number=1, entity=Entity.FAN, instance=1, name="fan0_duty")
    scale = Scale(m=4, exponent=-1)
    record = sdr.analog(
        2,
        Analog(place, SensorType.OTHER, Unit.UNSPECIFIED, scale, (None,) * 6, modifier=sdr.PERCENT),
    )
    assert record[5:8] == bytes.fromhex("20 03 01")
    assert record[11] == 0x41  # auto re-arm, events of the whole sensor; neither limits nor hysteresis
    assert record[14:20] == bytes(6)
    assert record[20:22] == bytes.fromhex("01 00")
    assert record[24:30] == bytes.fromhex("04 01 00 00 00 f0")  # K2 = -1


def test_compact_record() -> None:
    place = Place(lun=0, number=9, entity=Entity.POWER_SUPPLY, instance=2, name="psu1_presence")
    record = sdr.discrete(3, Discrete(place, SensorType.POWER_SUPPLY, EventType.SENSOR_SPECIFIC, 0x0001))
    assert record == bytes.fromhex(
        "0300 51 02 2820 00 090a 02 67 41 08 6f0100 0100 0100c0 00 0001 00 00 00 00 00 00 00cd" + b"psu1_presence".hex()
    )


def test_event_only_record() -> None:
    place = Place(lun=0, number=0xF3, entity=Entity.OPERATING_SYSTEM, instance=1, name="host_os")
    record = sdr.event_only(5, place, SensorType.OS_STOP, EventType.SENSOR_SPECIFIC)
    assert record == bytes.fromhex("0500 51 03 1320 00 f3 23 01 20 6f 0100 00 00c7" + b"host_os".hex())


def test_locators() -> None:
    place = Place(lun=0, number=0, entity=Entity.SYSTEM_CHASSIS, instance=1, name="chassis_0")
    assert sdr.fru(4, 0, place) == bytes.fromhex("0400 51 11 1420 00 80 00 00 10 00 17 01 00c9" + b"chassis_0".hex())
    bmc = Place(lun=0, number=0, entity=Entity.MANAGEMENT, instance=1, name="bmc.0")
    assert sdr.controller(5, 0x8F, bmc) == bytes.fromhex(
        "0500 51 12 1020 00 00 8f 00 00 00 06 01 00c5" + b"bmc.0".hex()
    )


# --- commands ---------------------------------------------------------------------------------------------------------


def test_a_reading_that_is_not_there_has_its_bit() -> None:
    assert sensor.analog_reading(None, 0, Enabled()) == bytes.fromhex("00 e0 c0")
    assert sensor.analog_reading(0, 0, Enabled()) == bytes.fromhex("00 c0 c0")
    assert sensor.analog_reading(0x5F, 0x18, Enabled(events=False)) == bytes.fromhex("5f 40 d8")
    assert sensor.discrete_reading(None, Enabled()) == bytes.fromhex("00 e0 00 80")
    assert sensor.discrete_reading(0x0102, Enabled()) == bytes.fromhex("00 c0 02 81")


def test_passed_limits_are_all_up_to_the_level() -> None:
    watched = [True] * 6
    assert sensor.passed_limits(2, upper=True, watched=watched) == 0b011000
    assert sensor.passed_limits(1, upper=False, watched=watched) == 0b000001
    assert sensor.passed_limits(3, upper=True, watched=[True] * 5 + [False]) == 0b011000
    assert sensor.passed_limits(0, upper=True, watched=watched) == 0


def test_thresholds_both_ways() -> None:
    limits = (None, 5.0, None, 80.0, 90.0, None)
    assert sensor.thresholds(limits, CELSIUS) == bytes.fromhex("1a 00 05 00 50 5a 00")
    wanted = sensor.new_thresholds(bytes.fromhex("18 00 00 00 51 5b 00"), CELSIUS)
    assert wanted == {"upper_warning": 81.0, "upper_critical": 91.0}
    for mask in (b"\x00", b"\x40"):
        with pytest.raises(Completion) as refused:
            sensor.new_thresholds(mask + bytes(6), CELSIUS)
        assert refused.value.code == Code.INVALID_FIELD


def test_hysteresis_both_ways() -> None:
    assert sensor.hysteresis(2.0, Scale(m=5, exponent=-1)) == bytes.fromhex("04 04")
    assert sensor.new_hysteresis(bytes.fromhex("07 ff 03 03"), CELSIUS) == 3.0
    assert sensor.new_hysteresis(bytes.fromhex("07 ff 03 ff"), CELSIUS) == 3.0
    with pytest.raises(Completion):
        sensor.new_hysteresis(bytes.fromhex("07 ff 03 04"), CELSIUS)


def test_events_of_limits() -> None:
    """Lower ones going low: 0, 2, 4; upper ones going high: 7, 9, 11."""
    assert sensor.events_of(0b111111) == 1 << 0 | 1 << 2 | 1 << 4 | 1 << 7 | 1 << 9 | 1 << 11
    assert sensor.event_enables(Enabled(), sensor.events_of(0b011000)) == bytes.fromhex("c0 8002 8002")
    assert sensor.event_enables(Enabled(events=False), 0x0280) == bytes.fromhex("40 0000 0000")
    assert sensor.event_status(Enabled(), 0x0280) == bytes.fromhex("c0 8002 0000")
    assert sensor.event_status(Enabled(), None) == bytes.fromhex("e0 0000 0000")


def test_enables_of_the_whole_sensor_only() -> None:
    assert Enabled.parse(b"\xc0") == Enabled()
    assert Enabled.parse(bytes.fromhex("40 0000 0000")) == Enabled(events=False)
    with pytest.raises(Completion):
        Enabled.parse(bytes.fromhex("d0 8002 0000"))


def test_factors() -> None:
    assert sensor.reading_factors(10, OFFSET) == bytes.fromhex("0b 01 01 d8 c0 00 00")
