"""Sensors, FRU devices and events of the BMC as IPMI shows them."""

from __future__ import annotations

import pytest
from protobuf.wkt import Timestamp

from ubmc.protocols.ipmi.sdr import Entity, EventType, SensorType
from ubmc.services.ipmisrv.commands import events, repository
from ubmc.services.ipmisrv.commands.repository import Repository, fru_devices, short_names
from ubmc.v1alpha1.event_pb import Event
from ubmc.v1alpha1.inventory_pb import Asset, Fru
from ubmc.v1alpha1.sensor_pb import Sensor, SensorKind, SensorLevel, SensorQuality, SensorSide, SensorThresholds

GOOD = SensorQuality.GOOD


def temperature(name: str = "cpu0_temp", value: float = 50.0) -> Sensor:
    limits = SensorThresholds(upper_warning=80.0, upper_critical=90.0, hysteresis=2.0)
    return Sensor(
        name=name, kind=SensorKind.TEMPERATURE, component="cpu.0", value=value, quality=GOOD, thresholds=limits
    )


def presence(state: str = "present") -> Sensor:
    return Sensor(
        name="psu0_presence",
        kind=SensorKind.STATE,
        component="psu.0",
        state=state,
        states=["absent", "present"],
        quality=GOOD,
    )


def built(*sensors: Sensor) -> Repository:
    made = Repository([each.name for each in sensors], "bmc.0", 0x8F)
    made.build({each.name: each for each in sensors}, ())
    return made


# --- sensors ----------------------------------------------------------------------------------------------------------


def test_numbers_are_those_of_the_board_file_whatever_is_known() -> None:
    made = Repository(["a_temp", "b_temp", "c_temp"], "bmc.0", 0)
    sensors = {name: temperature(name) for name in ("c_temp", "a_temp")}
    made.build(sensors, ())
    numbers = {name: entry.place.number for name in sensors if (entry := made.named(name)) is not None}
    assert numbers == {"a_temp": 1, "c_temp": 3}
    made.build({**sensors, "b_temp": temperature("b_temp")}, ())
    found = made.named("b_temp")
    assert found is not None
    assert (found.place.lun, found.place.number) == (0, 2)
    assert made.entry(0, 3) is made.named("c_temp")


def test_three_hundred_sensors_go_on_on_the_next_lun() -> None:
    names = [f"s{number}_temp" for number in range(300)]
    made = built(*(temperature(name) for name in names))
    last, first = made.named("s299_temp"), made.named("s239_temp")
    assert last is not None
    assert first is not None
    assert (first.place.lun, first.place.number) == (1, 1)
    assert (last.place.lun, last.place.number) == (1, 61)
    assert len(made.records) == 300 + 3 + 6 + 1


def test_records_are_numbered_and_end_with_the_controller() -> None:
    made = built(temperature(), presence())
    ids = [int.from_bytes(record[:2], "little") for record in made.records]
    assert ids == list(range(1, len(ids) + 1))
    assert [record[3] for record in made.records] == [0x01, *[0x02] * 4, *[0x03] * 6, 0x12]
    assert all(record[4] == len(record) - 5 for record in made.records)


def test_whatever_is_told_of_the_host_has_a_name_and_no_reading() -> None:
    made = built(temperature())
    named = {(record[10], record[7]): record[17:] for record in made.records if record[3] == 0x03}
    for kind in events._NEWS:
        record = bytes.fromhex(recorded(event("Host.News", kind=kind), temperature()))
        if record[10] != SensorType.WATCHDOG:
            assert named[record[10], record[11]]
            assert made.entry(0, record[11]) is None
    assert named[SensorType.OS_STOP, 0xF3] == b"host_os"


def test_a_sensor_keeps_its_scale_when_its_limits_change() -> None:
    made = built(temperature())
    before = made.named("cpu0_temp")
    hotter = temperature()
    hotter.thresholds = SensorThresholds(upper_critical=200.0)
    digest = made.digest
    made.build({"cpu0_temp": hotter}, ())
    after = made.named("cpu0_temp")
    assert before is not None
    assert after is not None
    assert after.scale == before.scale
    assert made.digest != digest


def test_energy_has_no_byte() -> None:
    assert built(Sensor(name="total_energy", kind=SensorKind.ENERGY, value=1e9)).named("total_energy") is None


def test_readings_that_are_not_there() -> None:
    entry = built(temperature()).named("cpu0_temp")
    assert entry is not None
    assert entry.raw(temperature(value=50.0)) == 50
    for quality in (SensorQuality.UNAVAILABLE, SensorQuality.STALE, SensorQuality.FAILED):
        gone = temperature(value=0.0)
        gone.quality = quality
        assert entry.raw(gone) is None


def test_passed_limits() -> None:
    entry = built(temperature()).named("cpu0_temp")
    assert entry is not None
    hot = temperature(value=95.0)
    hot.level, hot.side = SensorLevel.CRITICAL, SensorSide.UPPER
    assert entry.passed(hot) == 0b011000


@pytest.mark.parametrize(
    ("sensor", "kind", "event", "states"),
    [
        (presence(), SensorType.POWER_SUPPLY, EventType.SENSOR_SPECIFIC, 0x0001),
        (presence("absent"), SensorType.POWER_SUPPLY, EventType.SENSOR_SPECIFIC, 0x0000),
        (
            Sensor(name="intrusion", kind=SensorKind.STATE, component="chassis.0", states=["closed", "open"]),
            SensorType.CHASSIS_INTRUSION,
            EventType.SENSOR_SPECIFIC,
            None,
        ),
        (
            Sensor(
                name="fan0_presence",
                kind=SensorKind.STATE,
                component="fan.0",
                state="absent",
                states=["absent", "present"],
                quality=GOOD,
            ),
            SensorType.FAN,
            EventType.PRESENCE,
            0x0001,
        ),
        (
            Sensor(
                name="mode",
                kind=SensorKind.STATE,
                state="c",
                states=["a", "b", "c"],
                level=SensorLevel.CRITICAL,
                quality=GOOD,
            ),
            SensorType.OTHER,
            EventType.SEVERITY,
            0x0004,
        ),
    ],
)
def test_sensors_with_states(sensor: Sensor, kind: SensorType, event: EventType, states: int | None) -> None:
    entry = built(sensor).named(sensor.name)
    assert entry is not None
    assert (entry.kind, entry.event, entry.states(sensor)) == (kind, event, states)


def test_names_are_cut_and_stay_different() -> None:
    names = short_names(["fan_speed_average", "cpu0_temp", "a_very_long_sensor_name_1", "a_very_long_sensor_name_2"])
    assert names["cpu0_temp"] == "cpu0_temp"
    assert names["fan_speed_average"] == "fan_speed_averag"
    assert all(len(name) <= 16 for name in names.values())
    assert len(set(names.values())) == 4


def test_components_are_entities() -> None:
    assert repository.entity_of("cpu.1") == (Entity.PROCESSOR, 2)
    assert repository.entity_of("chassis.0") == (Entity.SYSTEM_CHASSIS, 1)
    assert repository.entity_of("odd") == (Entity.UNSPECIFIED, 1)


def test_fru_devices_begin_with_the_system() -> None:
    assets = {
        "chassis.0": Asset(name="chassis.0"),
        "board.0": Asset(name="board.0", fru=Fru()),
        "dimm.0": Asset(name="dimm.0"),
        "psu.0": Asset(name="psu.0", fru=Fru()),
    }
    found = fru_devices(list(assets), assets, "chassis.0")
    assert [(device.number, device.asset) for device in found] == [(0, "chassis.0"), (1, "board.0"), (2, "psu.0")]


# --- events -----------------------------------------------------------------------------------------------------------


def event(message_id: str, number: int = 7, **arguments: str) -> Event:
    return Event(id=number, message_id=message_id, time=Timestamp(seconds=0x65000000), arguments=arguments)


def recorded(told: Event, *sensors: Sensor) -> str:
    kept = events.kept(told)
    assert kept is not None
    known = {each.name: each for each in sensors}
    return events.record(kept, built(*sensors), known, 0.0).hex(" ")


def crossing(previous: str, current: str, side: str = "UPPER") -> Event:
    return event(
        "Sensor.ThresholdCrossed",
        name="cpu0_temp",
        previous=f"SENSOR_LEVEL_{previous}",
        current=f"SENSOR_LEVEL_{current}",
        side=f"SENSOR_SIDE_{side}",
        value="91.5",
        threshold="90",
    )


@pytest.mark.parametrize(
    ("told", "tail"),
    [
        (crossing("WARNING", "CRITICAL"), "01 01 01 59 5c 5a"),
        (crossing("NORMAL", "WARNING"), "01 01 01 57 5c 5a"),
        (crossing("CRITICAL", "WARNING"), "01 01 81 59 5c 5a"),
        (crossing("WARNING", "UNSPECIFIED", "LOWER"), "01 01 81 50 5c 5a"),
    ],
)
def test_limits_are_asserted_and_deasserted(told: Event, tail: str) -> None:
    assert recorded(told, temperature()) == f"07 00 02 00 00 00 65 20 00 04 {tail}"


@pytest.mark.parametrize(
    ("told", "tail"),
    [
        (event("Host.StateChanged", current="HOST_STATE_ON"), "22 f0 6f 00 ff ff"),
        (event("Host.StateChanged", current="HOST_STATE_OFF"), "22 f0 6f 06 ff ff"),
        (event("Host.News", kind="HOST_NEWS_KIND_WATCHDOG_EXPIRED"), "23 f1 6f 00 ff ff"),
        (event("Host.News", kind="HOST_NEWS_KIND_PANICKED"), "20 f3 6f 01 ff ff"),
        (event("Host.News", kind="HOST_NEWS_KIND_GUEST_SHUTDOWN"), "20 f3 6f 03 ff ff"),
        (event("Host.News", kind="HOST_NEWS_KIND_GUEST_RESET"), "1d f4 6f 02 ff ff"),
        (event("Host.News", kind="HOST_NEWS_KIND_BUTTON_PRESSED"), "14 f5 6f 00 ff ff"),
        (event("Host.News", kind="HOST_NEWS_KIND_NMI_SENT"), "13 f6 6f 00 ff ff"),
        (event("Thermal.Tripped"), "07 f7 6f 01 ff ff"),
        (event("EventLog.Cleared", cleared="3"), "10 f2 6f 02 ff ff"),
        (event("Sensor.StateChanged", name="psu0_presence", previous="present", current="absent"), "08 01 ef 00 ff ff"),
        (
            event(
                "Sensor.QualityChanged",
                name="psu0_presence",
                previous="SENSOR_QUALITY_GOOD",
                current="SENSOR_QUALITY_FAILED",
            ),
            "08 01 0a 04 ff ff",  # the type of its SDR, by which clients find its name
        ),
        (
            event(
                "Sensor.QualityChanged",
                name="psu0_presence",
                previous="SENSOR_QUALITY_FAILED",
                current="SENSOR_QUALITY_GOOD",
            ),
            "08 01 8a 04 ff ff",
        ),
        (
            event("Sensor.QualityChanged", name="no_sdr", previous="", current="SENSOR_QUALITY_FAILED"),
            "28 f8 6f 04 ff ff",
        ),
    ],
)
def test_other_events(told: Event, tail: str) -> None:
    assert recorded(told, presence()) == f"07 00 02 00 00 00 65 20 00 04 {tail}"


@pytest.mark.parametrize(
    "told",
    [
        event("Session.Login", user="admin"),
        event("Host.StateChanged", current="HOST_STATE_POWERING_ON"),
        event("Host.News", kind="HOST_NEWS_KIND_BOARD_CHANGED"),
        event("Sensor.StateChanged", name="psu0_presence", previous="", current="present"),
        event("Sensor.QualityChanged", previous="SENSOR_QUALITY_GOOD", current="SENSOR_QUALITY_UNAVAILABLE"),
        event("Ipmi.PlatformEvent", record="zz"),
        event("Ipmi.PlatformEvent", record="02"),
    ],
)
def test_what_has_no_record(told: Event) -> None:
    assert events.kept(told) is None


def test_a_record_that_was_written_comes_back_with_its_id_and_our_time() -> None:
    body = "02 00000000 8100 04 04 30 01 57 ffff".replace(" ", "")
    assert recorded(event("Ipmi.PlatformEvent", 65536, record=body)) == (
        "02 00 02 00 00 00 65 81 00 04 04 30 01 57 ff ff"
    )
