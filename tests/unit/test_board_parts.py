"""Mistakes in what a board file says of I2C, sensors, cooling and assets: each found, with its key path, all told."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ubmc.boards.check import check
from ubmc.boards.load import load_board
from ubmc.boards.report import check_report
from ubmc.kit.errors import Invalid

BOARD = """
[board]
name = "x"
vendor = "y"
model = "z"
verified = false

[lines]
kind = "gpio"

[[hosts]]
name = "host.0"
power = { kind = "buttons", button = "b" }

[[chassis]]
name = "chassis.0"
hosts = ["host.0"]
power = { kind = "hosts" }

[[i2c]]
name = "main"
adapter = 3

[[i2c]]
name = "psu"
parent = "main"
mux = 0x70
channel = 1

[[sensors]]
name = "cpu_temp"
kind = "hwmon"
chip = "nct7802"
input = "temp1"
powered_by = "host.0"
upper = { warning = 80, critical = 90, fatal = 100 }

[[sensors]]
name = "fan_speed"
kind = "hwmon"
chip = "nct7802"
input = "fan1"
lower = { warning = 800, critical = 500 }

[[sensors]]
name = "vout"
kind = "pmbus"
bus = "psu"
address = 0x58
command = "READ_VOUT"

[[sensors]]
name = "board_temp"
kind = "smbus"
bus = "main"
address = 0x48
type = "tmp421"
channel = 1

[[sensors]]
name = "psu_there"
kind = "gpio"
line = "psu-there"
states = ["absent", "present"]

[[sensors]]
name = "hottest"
kind = "virtual"
function = "max"
of = ["cpu_temp", "board_temp"]

[[fans]]
name = "fan.0"
kind = "hwmon"
chip = "nct7802"
output = "pwm1"
tachometers = ["fan_speed"]
fail_safe = 80

[[zones]]
name = "cpu"
fans = ["fan.0"]
hosts = ["host.0"]

[[zones.controllers]]
name = "cpu"
kind = "pid"
sensors = ["cpu_temp"]
set_point = 70
kp = 1.5
ki = 0.1

[[assets]]
name = "psu.0"
kind = "power-supply"
parent = "chassis.0"
presence = "psu_there"
fru = { kind = "eeprom", bus = "psu", address = 0x50 }
"""


CPU_SENSOR = "zones[0].controllers[0].sensors[0]"


def mistakes(tmp_path: Path, text: str) -> dict[str, str]:
    file = tmp_path / "board.toml"
    file.write_text(text)
    with pytest.raises(Invalid) as caught:
        load_board(str(file))
    found: dict[str, list[str]] = {}
    for violation in caught.value.violations:
        found.setdefault(violation.field, []).append(violation.message)
    return {path: " | ".join(messages) for path, messages in found.items()}


def test_the_board_itself_is_good(tmp_path: Path) -> None:
    file = tmp_path / "board.toml"
    file.write_text(BOARD)
    good, text, _ = check_report(str(file))
    assert good, text
    assert "2 I2C buses, 6 sensors, 1 fan, 1 zone, 1 asset" in text


TEN = (
    ("verified = false", "verified = false\ncolour = 1", "board.colour"),
    ("adapter = 3", "adapter = 3\nchannel = 2", "i2c[0]"),
    ("warning = 80, critical = 90", "warning = 95, critical = 90", "sensors[0].upper.critical"),
    ('powered_by = "host.0"', 'powered_by = "host.1"', "sensors[0].powered_by"),
    ('command = "READ_VOUT"', 'command = "READ_VOLTS"', "sensors[2].command"),
    ("address = 0x58", "address = 0x50", "assets[0].fru.address"),
    ('of = ["cpu_temp", "board_temp"]', 'of = ["cpu_temp", "hottest"]', "sensors[5].of"),
    ("fail_safe = 80\n", "", "fans[0].fail_safe"),
    ('kind = "pid"', 'kind = "pud"', "zones[0].controllers[0].kind"),
    ('fans = ["fan.0"]', 'fans = ["fan.1"]', "zones[0].fans[0]"),
    ('parent = "chassis.0"', 'parent = "psu.0"', "assets[0].parent"),
)


def test_more_than_ten_mistakes_of_ten_sorts_are_told_at_once(tmp_path: Path) -> None:
    text = BOARD
    wanted = set()
    for old, new, path in TEN:
        assert old in text, old
        text = text.replace(old, new, 1)
        wanted.add(path)
    assert len(wanted) > 10
    found = mistakes(tmp_path, text)
    assert wanted <= found.keys()
    # A fan that no zone names any more is told besides; nothing else is.
    assert found.keys() - wanted == {"fans[0].name"}
    file = tmp_path / "board.toml"
    good, said, data = check_report(str(file))
    assert not good
    assert len(data["mistakes"]) == len(wanted) + 1
    for path in wanted:
        assert f"  {path}: " in said


@pytest.mark.parametrize(
    ("old", "new", "path", "message"),
    [
        # I2C
        ("adapter = 3", 'adapter = ""', "i2c[0].adapter", "number of the adapter"),
        ("adapter = 3", "adapter = -2", "i2c[0].adapter", "no number of an adapter"),
        ("adapter = 3\n", "", "i2c[0]", "write adapter = 3, or where the mux is"),
        ("channel = 1\n", "", "i2c[1]", "write adapter = 3, or where the mux is"),
        ('parent = "main"', 'parent = "mein"', "i2c[1].parent", "did you mean main?"),
        ('parent = "main"', 'parent = "psu"', "i2c[1].parent", "the bus is behind itself: psu behind psu"),
        ("mux = 0x70", "mux = 0x48", "sensors[3].address", "0x48 is taken on main: a mux at i2c[1]"),
        ("address = 0x58", "address = 0x78", "sensors[2].address", "less than or equal to 119"),
        ("address = 0x58", "address = 0x48", "sensors[2].address", "0x48 is taken on main, which the mux"),
        ("address = 0x50", "address = 0x58", "assets[0].fru.address", "a PMBus device at sensors[2]"),
        ('bus = "psu"', 'bus = "pso"', "sensors[2].bus", "did you mean psu?"),
        ("[[sensors]]", '[[i2c]]\nname = "b"\nadapter = 3\n[[sensors]]', "i2c[2].adapter", "i2c[0] is this bus"),
        # sensors
        ('name = "cpu_temp"', 'name = "CPU temp"', "sensors[0].name", "write small letters, digits and _"),
        ('name = "fan_speed"', 'name = "cpu_temp"', "sensors[1].name", "is the name of sensors[0] already"),
        ('input = "temp1"', 'label = "CPU"', "sensors[0].measures", 'is missing; write one of "temperature"'),
        ('input = "temp1"', 'input = "temp1"\nlabel = "CPU"', "sensors[0]", "write input or label, one of them"),
        ('input = "temp1"', 'input = "temp"', "sensors[0].input", "has the wrong form"),
        ('input = "fan1"', 'input = "temp1"', "sensors[1].kind", "reads the same place as sensors[0]"),
        ("fatal = 100", "fatal = 85", "sensors[0].upper.fatal", "fatal (85) must be above critical (90)"),
        ("critical = 500", "critical = 900", "sensors[1].lower.critical", "must be below warning (800)"),
        ("fatal = 100 }", "fatal = 100 }\nlower = { warning = 85 }", "sensors[0].lower", "or no value is normal"),
        (
            "fatal = 100 }",
            "fatal = 100 }\nrange = { minimum = 0, maximum = 95 }",
            "sensors[0].range",
            "the limit 100 is outside of it",
        ),
        ("fatal = 100 }", "fatal = 100 }\nrange = { minimum = 9, maximum = 9 }", "sensors[0].range", "must be less"),
        ("fatal = 100 }", 'fatal = 100 }\ninterval = "5s"\nstale_after = "4s"', "sensors[0]", "longer than interval"),
        ("fatal = 100 }", 'fatal = 100 }\nstates = ["a", "b"]', "sensors[0].states", "this measures temperature"),
        ('command = "READ_VOUT"', 'command = "READ_VOUT"\nformat = "direct"', "sensors[2]", "needs coefficients"),
        ('command = "READ_VOUT"', 'command = "READ_VOUT"\nformat = "vid"', "sensors[2]", "needs vid, the table"),
        ('type = "tmp421"', 'type = "jc42"', "sensors[3]", "a jc42 has no channels"),
        ('type = "tmp421"', 'type = "tmp421"\nmeasures = "voltage"', "sensors[3].measures", "leave measures out"),
        ('states = ["absent", "present"]', 'states = ["absent"]', "sensors[4].states", "two names, of inactive"),
        ('states = ["absent", "present"]', 'states = ["a", "a"]', "sensors[4].states", "has a name twice"),
        ('line = "psu-there"', 'line = "b"', "sensors[4].line", "is used by hosts[0].power.button already"),
        ('of = ["cpu_temp", "board_temp"]', 'of = ["cpu_temp", "vout"]', "sensors[5].of[1]", "vout measures voltage"),
        ('of = ["cpu_temp", "board_temp"]', 'of = ["psu_there"]', "sensors[5].of[0]", "shows states"),
        ('of = ["cpu_temp", "board_temp"]', "of = []", "sensors[5].of", "at least 1 item"),
        ('kind = "virtual"', 'kind = "sim"', "sensors[5].function", "is no key here"),
        # cooling
        ('name = "fan.0"', 'name = "fan0"', "fans[0].name", "write fan.N or pump.N"),
        ("fail_safe = 80", "fail_safe = 10", "fans[0]", "fail_safe must not be less than minimum"),
        ("fail_safe = 80", "fail_safe = 120", "fans[0].fail_safe", "less than or equal to 100"),
        ('output = "pwm1"', 'output = "fan1_target"', "fans[0]", 'control = "rpm" belong together'),
        ("fail_safe = 80", 'fail_safe = 80\ncontrol = "pump"\nminimum = 0', "fans[0]", "a pump must not stand"),
        ('tachometers = ["fan_speed"]', 'tachometers = ["cpu_temp"]', "fans[0].tachometers[0]", "no speed"),
        (
            "fail_safe = 80",
            'fail_safe = 80\n[[fans]]\nname = "fan.1"\nkind="hwmon"\nchip = "nct7802"\noutput = "pwm1"\nfail_safe=90',
            "fans[1].output",
            "drives fans[0] already",
        ),
        (
            "fail_safe = 80",
            'fail_safe = 80\n[[fans]]\nname = "fan.1"\nkind = "sysfs"\npath = "/sys/a"\nfail_safe = 80',
            "fans[1].name",
            "fan.1 is in no zone",
        ),
        ('sensors = ["cpu_temp"]', 'sensors = ["fan_speed"]', "zones[0].controllers[0].sensors[0]", "no temperature"),
        ('sensors = ["cpu_temp"]', 'sensors = ["board_temp"]', CPU_SENSOR, "no upper critical"),
        ('sensors = ["cpu_temp"]', 'sensors = ["cpu_tmp"]', CPU_SENSOR, "did you mean cpu_temp"),
        ('hosts = ["host.0"]\n\n[[zones', 'watched = ["vout"]\n\n[[zones', "zones[0].watched[0]", "no temperature"),
        ("set_point = 70", "set_point = 80", "zones[0].controllers[0].set_point", "not below the limit of cpu_temp"),
        (
            'fans = ["fan.0"]',
            'fans = ["fan.0"]\nmissing_is_acceptable = ["cpu_temp"]',
            "zones[0].missing_is_acceptable",
            "at least one must be needed",
        ),
        (
            'fans = ["fan.0"]',
            'fans = ["fan.0"]\nmissing_is_acceptable = ["board_temp"]',
            "zones[0].missing_is_acceptable[0]",
            "nobody in this zone looks at board_temp",
        ),
        ('fans = ["fan.0"]', 'fans = ["fan.0", "fan.0"]', "zones[0].fans[1]", "stands there already"),
        ('fans = ["fan.0"]', 'fans = ["fan.0"]\nminimum = 90\nmaximum = 80', "zones[0]", "minimum must be less"),
        ('fans = ["fan.0"]', 'fans = ["fan.0"]\nfail_safe = 10', "zones[0]", "fail_safe must not be less"),
        (
            'powered_by = "host.0"',
            'powered_by = "host.0"\ninterval = "2s"',
            "zones[0].controllers[0].sensors[0]",
            "at most every second",
        ),
        (
            "kind = \"pid\"\nsensors = [\"cpu_temp\"]\nset_point = 70\nkp = 1.5\nki = 0.1",
            'kind = "stepwise"\nsensors = ["cpu_temp"]\nsteps = [{ above = 50, duty = 40 }, { above = 45, duty = 50 }]',
            "zones[0].controllers[0]",
            "steps must rise",
        ),
        # assets, and what is simulated
        ('presence = "psu_there"', 'presence = "vout"', "assets[0].presence", "vout measures voltage, no state"),
        ('kind = "power-supply"', 'kind = "powersupply"', "assets[0].kind", "must be one of"),
        (
            'fru = { kind = "eeprom", bus = "psu", address = 0x50 }',
            'fru = { kind = "sim" }',
            "assets[0].fru.kind",
            'lines have kind = "sim"',
        ),
        (
            'kind = "virtual"\nfunction = "max"\nof = ["cpu_temp", "board_temp"]',
            'kind = "sim"\nmeasures = "power"',
            "sensors[5].kind",
            'lines have kind = "sim"',
        ),
    ],
)  # fmt: skip
def test_one_mistake(tmp_path: Path, old: str, new: str, path: str, message: str) -> None:
    assert old in BOARD
    found = mistakes(tmp_path, BOARD.replace(old, new, 1))
    assert path in found, found
    assert message in found[path]


def test_what_the_simulated_machine_does_not_have(tmp_path: Path) -> None:
    text = BOARD.replace('kind = "gpio"\n', 'kind = "sim"\n', 1)
    text += """
[[sensors]]
name = "cpu0_temp"
kind = "sim"
measures = "voltage"
[[sensors]]
name = "other"
kind = "sim"
measures = "temperature"
input = "cpu0_tmp"
[[fans]]
name = "fan.77"
kind = "sim"
fail_safe = 50
[[assets]]
name = "dimm.0"
kind = "memory"
fru = { kind = "sim" }
"""
    found = mistakes(tmp_path, text)
    assert "measures temperature" in found["sensors[6].measures"]
    assert "did you mean cpu0_temp?" in found["sensors[7].input"]
    assert 'no fan "fan.77"' in found["fans[1].name"]
    assert 'no FRU storage "dimm.0"' in found["assets[1].fru"]


def test_channels_of_one_mux_may_hold_the_same_address(tmp_path: Path) -> None:
    text = (
        BOARD
        + """
[[i2c]]
name = "psu1"
parent = "main"
mux = 0x70
channel = 2
[[assets]]
name = "psu.1"
kind = "power-supply"
fru = { kind = "eeprom", bus = "psu1", address = 0x50 }
[[sensors]]
name = "iout"
kind = "pmbus"
bus = "psu"
address = 0x58
command = "READ_IOUT"
"""
    )
    file = tmp_path / "board.toml"
    file.write_text(text)
    assert load_board(str(file)).spec.i2c[2].channel == 2


def test_an_address_behind_two_muxes_is_compared_with_all_in_front(tmp_path: Path) -> None:
    text = (
        BOARD
        + """
[[i2c]]
name = "deep"
parent = "psu"
mux = 0x71
channel = 0
[[assets]]
name = "card.0"
kind = "other"
fru = { kind = "eeprom", bus = "deep", address = 0x48 }
"""
    )
    assert "0x48 is taken on main" in mistakes(tmp_path, text)["assets[1].fru.address"]


KEYS = [
    "kind", "name", "of", "states", "upper", "lower", "critical", "range", "bus", "address", "parent", "mux", "channel",
    "adapter", "fans", "controllers", "sensors", "fru", "presence", "tachometers", "interval", "measures", "watched",
    "machine", "input", "missing_is_acceptable",
]  # fmt: skip
JUNK = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.sampled_from(["", "a", "b", "hwmon", "virtual", "sim", "pmbus", "smbus", "eeprom", "temp1", "state", "pid"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=5),
    max_leaves=20,
)


@given(st.dictionaries(st.sampled_from(["lines", "i2c", "sensors", "fans", "zones", "assets", "hosts"]), JUNK))
def test_the_second_pass_stands_whatever_the_first_one_finds(data: dict[str, object]) -> None:
    for violation in check(data):
        assert violation.field
        assert violation.message
