"""`ubmc board probe`: what is found in a fake tree, and the draft of a board file."""

from __future__ import annotations

import json
import tomllib
from dataclasses import asdict
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.harness.sysfs import FakeSysfs

from ubmc.boards.check import check
from ubmc.boards.probe import (
    GpioChip,
    HwmonChip,
    I2cAdapter,
    I2cDevice,
    IioDevice,
    Input,
    Named,
    Survey,
    survey,
)
from ubmc.boards.probe_draft import draft
from ubmc.boards.probe_text import survey_text
from ubmc.boards.report import check_report
from ubmc.boards.spec import BoardSpec
from ubmc.cli.main import cli

LINES = "\0".join(["", "fan-fault", "power-button-0", "power-good-0", ""])


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A small board."""
    tree = FakeSysfs(tmp_path / "sys")
    tree.write("firmware/devicetree/base/model", "Example BMC\0")
    tree.write("firmware/devicetree/base/compatible", "acme,example\0aspeed,ast2600\0")
    bus = tree.adapter(1, "1e78a080.i2c-bus")
    tree.i2c_device(bus, 0x4D, "w83773g", driver="w83773g")
    mux = tree.i2c_device(bus, 0x70, "pca9548", driver="pca954x")
    tree.i2c_device(tree.mux_channel(mux, 2, 11), 0x50, "24c64")
    tree.mux_channel(mux, 10, 12, links=False)
    tree.hwmon(0, "nct7802", "soc/1-0028", {"temp1_input": 41500, "temp1_label": "CPU", "fan1_input": 4200, "pwm1": 99})
    tree.hwmon(1, "lm75", "soc/3-0048", {"temp1_input": 25000, "temp1_fault": 1})
    tree.hwmon(
        10, "lm75", "soc/3-0049", {"temp1_input": 26000, "in0_input": "x", "fan2_target": 1, "intrusion0_alarm": 0}
    )
    tree.iio(
        0, "1e6e9000.adc", "soc/adc", {"in_voltage0_raw": 1000, "in_voltage0_scale": 2, "in_voltage0_label": "P12V"}
    )
    tree.write("devices/soc/gpiochip0/of_node/gpio-line-names", LINES)
    tree.link(tree.root / "bus/gpio/devices/gpiochip0", tree.root / "devices/soc/gpiochip0")
    for led, trigger in (("green:power", "none [timer]"), ("power2", ""), ("identify", "[none]"), ("amber fault", "")):
        tree.write(f"class/leds/{led}/trigger", trigger)
    tree.write("class/watchdog/watchdog0/identity", "aspeed_wdt\n")
    tree.write("class/watchdog/watchdog0/timeout", "30\n")
    for tty, kind in (("ttyS10", "4"), ("ttyS2", "0"), ("ttyS4", "4")):
        tree.write(f"class/tty/{tty}/type", f"{kind}\n")
        tree.write(f"class/tty/{tty}/device/uevent", "")
    tree.write("class/tty/tty0/dev", "4:0\n")
    return tmp_path


def test_everything_is_found(root: Path) -> None:
    found = survey(root)
    assert (found.vendor, found.model) == ("acme", "Example BMC")
    assert [(bus.number, bus.parent, bus.mux, bus.channel) for bus in found.i2c] == [
        (1, None, None, None),
        (11, 1, 0x70, 2),
        (12, 1, 0x70, 10),
    ]
    assert found.i2c[0].devices == (I2cDevice(0x4D, "w83773g", "w83773g"), I2cDevice(0x70, "pca9548", "pca954x"))
    assert found.i2c[1].devices == (I2cDevice(0x50, "24c64", ""),)
    assert [(chip.folder, chip.name, chip.device) for chip in found.hwmon] == [
        ("hwmon0", "nct7802", "1-0028"),
        ("hwmon1", "lm75", "3-0048"),
        ("hwmon10", "lm75", "3-0049"),
    ]
    assert found.hwmon[0].inputs == (Input("temp1", "CPU", 41.5, ""), Input("fan1", "", 4200.0, ""))
    assert [chip.outputs for chip in found.hwmon] == [("pwm1",), (), ("fan2_target",)]
    assert found.hwmon[1].inputs[0].value is None
    assert "broken" in found.hwmon[1].inputs[0].problem
    assert found.iio == (IioDevice("iio:device0", "1e6e9000.adc", "", (Input("voltage0", "P12V", 2.0, ""),)),)
    assert found.gpio[0].lines == {1: "fan-fault", 2: "power-button-0", 3: "power-good-0"}
    assert Named("green:power", "trigger timer") in found.leds
    assert found.watchdogs == (Named("watchdog0", "aspeed_wdt, timeout 30 s"),)
    assert [tty.name for tty in found.ttys] == ["ttyS4", "ttyS10"]


def test_text_shows_the_tree_of_buses_and_values_with_units(root: Path) -> None:
    lines = survey_text(survey(root)).splitlines()
    at = lines.index("  i2c-1: 1e78a080.i2c-bus")
    assert lines[at + 1 : at + 6] == [
        "    0x4d w83773g (driver w83773g)",
        "    0x70 pca9548 (driver pca954x)",
        "    i2c-11: i2c-1-mux (chan_id 2), mux 0x70 channel 2",
        "      0x50 24c64 (no driver)",
        "    i2c-12: i2c-1-mux (chan_id 10), mux 0x70 channel 10",
    ]
    for line in ('    temp1 "CPU": 41.5 C', "    fan1: 4200 RPM", '    voltage0 "P12V": 2 V', "      2 power-button-0"):
        assert line in lines


def test_the_draft_is_a_good_board_file(root: Path) -> None:
    text = draft(survey(root))
    file = root / "board.toml"
    file.write_text(text)
    good, told, _ = check_report(str(file))
    assert good, told
    board = tomllib.loads(text)
    assert board["board"] == {"name": "example-bmc", "vendor": "acme", "model": "Example BMC", "verified": False}
    assert board["hosts"][0]["power"] == {"kind": "buttons", "button": "power-button-0", "good": "power-good-0"}
    assert board["i2c"] == [
        {"name": "i2c-1", "adapter": "1e78a080.i2c-bus"},
        {"name": "i2c-11", "parent": "i2c-1", "mux": 0x70, "channel": 2},
        {"name": "i2c-12", "parent": "i2c-1", "mux": 0x70, "channel": 10},
    ]
    names = {sensor["name"]: sensor for sensor in board["sensors"]}
    assert names["nct7802_cpu"]["input"] == "temp1"
    assert names["lm75_3_0048_temp1"]["device"] == "3-0048"
    assert names["lm75_3_0049_intrusion0"]["states"][0] == "closed"
    assert names["x_1e6e9000_adc_p12v"] == {
        "name": "x_1e6e9000_adc_p12v", "kind": "iio", "device": "1e6e9000.adc", "input": "voltage0"
    }  # fmt: skip
    [fan] = board["fans"]
    assert (fan["output"], fan["tachometers"], fan["fail_safe"]) == ("pwm1", ["nct7802_fan1"], 100)
    assert board["zones"][0]["fans"] == ["fan.0"]
    assert [led["role"] for led in board["leds"]] == ["power", "identify", "status"]
    assert board["watchdog"] == {"device": "/dev/watchdog0"}


def test_nothing_there_is_a_good_board_file_too(tmp_path: Path) -> None:
    found = survey(tmp_path)
    assert survey_text(found).count("none") == 7
    assert not check(tomllib.loads(draft(found)))


WORDS = st.text(max_size=70) | st.sampled_from(["", "lm75", "power-button", "CPU", "é\x7f\x00\"'\\", "3-0048"])
INPUTS = st.lists(
    st.builds(
        Input,
        st.sampled_from(["temp1", "temp2", "in0", "fan1", "intrusion0"]),
        WORDS,
        st.none() | st.floats(-1e9, 1e9),
        WORDS,
    ),
    max_size=4,
    unique_by=lambda each: each.name,
).map(tuple)
CHANNELS = st.lists(
    st.builds(
        Input, st.sampled_from(["voltage0", "temp", "voltage0-voltage1", "temp_object"]), WORDS, st.none(), WORDS
    ),
    max_size=3,
    unique_by=lambda each: each.name,
).map(tuple)
OUTPUTS = st.lists(st.sampled_from(["pwm1", "pwm2", "fan1_target"]), unique=True).map(tuple)
ADAPTERS = st.lists(
    st.builds(
        I2cAdapter, st.integers(0, 9), WORDS, st.none() | st.integers(0, 9), st.none() | st.integers(0x70, 0x77),
        st.none() | st.integers(0, 7), st.just(()),
    ),
    max_size=5,
    unique_by=lambda each: each.number,
)  # fmt: skip


def consistent(buses: list[I2cAdapter]) -> tuple[I2cAdapter, ...]:
    """As the kernel has them: who is behind a mux has a higher number, and each channel is there once."""
    behind: set[tuple[int | None, int | None, int | None]] = set()
    kept = []
    for bus in buses:
        mux = (bus.parent, bus.mux, bus.channel)
        if bus.parent is None or (bus.parent < bus.number and mux not in behind):
            kept.append(bus)
            behind.add(mux)
    return tuple(kept)


SURVEYS = st.builds(
    Survey,
    vendor=WORDS,
    model=WORDS,
    i2c=ADAPTERS.map(consistent),
    hwmon=st.lists(st.builds(HwmonChip, WORDS, WORDS, WORDS, INPUTS, OUTPUTS), max_size=4).map(tuple),
    iio=st.lists(st.builds(IioDevice, WORDS, WORDS, WORDS, CHANNELS), max_size=3).map(tuple),
    gpio=st.lists(
        st.builds(GpioChip, WORDS, WORDS, st.dictionaries(st.integers(0, 9), WORDS, max_size=4)), max_size=2
    ).map(tuple),
    leds=st.lists(st.builds(Named, WORDS, WORDS), max_size=4, unique_by=lambda each: each.name).map(tuple),
    watchdogs=st.just(()),
    ttys=st.just(()),
)


@settings(max_examples=150, deadline=None)
@given(found=SURVEYS)
def test_whatever_is_found_drafts_a_board_file_without_mistakes(found: Survey) -> None:
    data = tomllib.loads(draft(found))
    BoardSpec.model_validate(data)
    mistakes = [mistake for mistake in check(data) if mistake.rule != "address"]  # a mux at one address before another
    assert mistakes == []
    assert survey_text(found)
    json.dumps(asdict(found))


def test_the_command(root: Path, tmp_path: Path) -> None:
    run = CliRunner()
    before = sorted(path for path in root.rglob("*"))
    text = run.invoke(cli, ["board", "probe", "--root", str(root)])
    assert (text.exit_code, "hwmon chips" in text.stdout) == (0, True)
    toml = run.invoke(cli, ["board", "probe", "--root", str(root), "--toml"])
    assert tomllib.loads(toml.stdout)["board"]["vendor"] == "acme"
    document = run.invoke(cli, ["--json", "board", "probe", "--root", str(root), "--toml"])
    data = json.loads(document.stdout)
    assert data["i2c"][1]["mux"] == 0x70
    assert tomllib.loads(data["toml"]) == tomllib.loads(toml.stdout)
    assert sorted(path for path in root.rglob("*")) == before
    assert run.invoke(cli, ["board", "probe", "--root", str(tmp_path / "nowhere")]).exit_code == 2
