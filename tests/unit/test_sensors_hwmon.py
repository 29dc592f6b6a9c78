"""hwmon sensors on a fake tree: units, faults, and chips that get other numbers."""

from __future__ import annotations

import asyncio
import math
import random
import time
from pathlib import Path

import pytest
from tests.harness.sysfs import FakeSysfs, hanging

from ubmc.hw import hwmon, sysfs
from ubmc.hw.hwmon import Chip
from ubmc.hw.sensors.channels import HwmonChannel
from ubmc.hw.sensors.hwmon import HwmonBus, inputs
from ubmc.hw.sensors.port import Outcome
from ubmc.kit.errors import Invalid, NotFound, UbmcError, Unavailable

RANDOM_INPUTS = 100_000


@pytest.fixture
def tree(tmp_path: Path) -> FakeSysfs:
    return FakeSysfs(tmp_path / "sys")


async def read_once(tree: FakeSysfs, *channels: HwmonChannel) -> list[Outcome]:
    bus = HwmonBus("hwmon", channels, root=tree.root)
    try:
        found = await bus.read(bus.sensors)
        return [found[channel.sensor] for channel in channels]
    finally:
        await bus.close()


@pytest.mark.parametrize(
    ("name", "file", "content", "value"),
    [
        ("temp1", "temp1_input", "-5500", -5.5),
        ("in0", "in0_input", "11980", 11.98),
        ("curr2", "curr2_input", "1500", 1.5),
        ("power1", "power1_input", "250000000", 250.0),
        ("power2", "power2_average", "1000000", 1.0),
        ("energy1", "energy1_input", "36000000", 36.0),
        ("humidity1", "humidity1_input", "45500", 45.5),
        ("fan3", "fan3_input", "8400", 8400.0),
        ("pwm1", "pwm1", "51", 20.0),
        ("intrusion0", "intrusion0_alarm", "1", 1.0),
        ("in0_min_alarm", "in0_min_alarm", "1", 1.0),
        ("fan1_fault", "fan1_fault", "1", 1.0),
    ],
)
async def test_units(tree: FakeSysfs, name: str, file: str, content: str, value: float) -> None:
    tree.hwmon(0, "chip", "soc/chip", {file: content})
    assert await read_once(tree, HwmonChannel("it", "chip", input=name)) == [pytest.approx(value)]


@pytest.mark.parametrize("name", ["temp", "temp1_input", "volt0", "temp1234", "../temp1", "temp1\n"])
def test_an_input_that_hwmon_does_not_have_is_refused_at_once(name: str) -> None:
    with pytest.raises(Invalid, match="no input of hwmon"):
        HwmonBus("hwmon", [HwmonChannel("it", "chip", input=name)])


@pytest.mark.parametrize("channel", [HwmonChannel("it", "chip"), HwmonChannel("it", "chip", "temp1", "CPU")])
def test_input_or_label(channel: HwmonChannel) -> None:
    with pytest.raises(Invalid, match="one of them"):
        HwmonBus("hwmon", [channel])


@pytest.mark.parametrize("name", ["temp1", "fan2"])
async def test_a_fault_is_no_value(tree: FakeSysfs, name: str) -> None:
    chip = tree.hwmon(0, "chip", "soc/chip", {f"{name}_input": 127000, f"{name}_fault": 1})
    [found] = await read_once(tree, HwmonChannel("it", "chip", input=name))
    assert isinstance(found, Unavailable)
    assert f"{name}_fault" in found.message
    (chip / f"{name}_fault").write_text("0\n")
    assert await read_once(tree, HwmonChannel("it", "chip", input=name)) == [127000 / (1000 if name == "temp1" else 1)]


@pytest.mark.parametrize("content", ["", "\n", "nan", "inf", "1_000", "0x10", "twelve", "1 2", "--1", "٣", "9" * 25])
async def test_what_is_no_number_is_no_value(tree: FakeSysfs, content: str) -> None:
    chip = tree.hwmon(0, "chip", "soc/chip", {"temp2_input": 1000})
    (chip / "temp1_input").write_text(content)
    found = await read_once(
        tree, HwmonChannel("bad", "chip", input="temp1"), HwmonChannel("good", "chip", input="temp2")
    )
    assert isinstance(found[0], Unavailable)
    assert found[1] == 1.0


async def test_labels(tree: FakeSysfs) -> None:
    tree.hwmon(0, "coretemp", "soc/cpu", {"temp1_label": "Package id 0", "temp1_input": 40000, "temp2_label": "Core 0"})
    tree.hwmon(1, "twice", "soc/it", {"in1_label": "VCC", "in2_label": "VCC"})
    package, core, wrong, twice = await read_once(
        tree,
        HwmonChannel("package", "coretemp", label="Package id 0"),
        HwmonChannel("core", "coretemp", label="Core 0"),
        HwmonChannel("wrong", "coretemp", label="Package id 1"),
        HwmonChannel("twice", "twice", label="VCC"),
    )
    assert package == 40.0
    assert isinstance(core, NotFound)  # a label, and nothing to read
    assert isinstance(wrong, NotFound)
    assert '"Package id 0"' in wrong.message
    assert isinstance(twice, NotFound)
    assert "in1, in2" in twice.message


async def test_equal_chips_are_told_apart_by_their_device(tree: FakeSysfs) -> None:
    for number, (bus, address) in enumerate([(3, "0048"), (3, "0049"), (13, "0048")]):
        tree.hwmon(number, "lm75", f"soc/i2c-{bus}/{bus}-{address}", {"temp1_input": 1000 * number})
    which: list[str | None] = ["3-0048", "i2c-3/3-0049", "13-0048", "0048", None]
    channels = [HwmonChannel(f"t{i}", "lm75", "temp1", device=part) for i, part in enumerate(which)]
    first, second, third, half, none = await read_once(tree, *channels)
    assert (first, second, third) == (0.0, 1.0, 2.0)
    assert isinstance(half, Unavailable)  # half a name is no name
    assert isinstance(none, Unavailable)
    assert "3-0048, 3-0049, 13-0048" in none.message


async def test_a_chip_or_input_that_is_not_there_says_what_to_do(tree: FakeSysfs) -> None:
    tree.hwmon(0, "chip", "soc/chip", {"temp1_input": 1})
    absent, no_input = await read_once(
        tree, HwmonChannel("a", "nct7802", input="temp1"), HwmonChannel("b", "chip", input="temp2")
    )
    assert isinstance(absent, Unavailable)
    assert "driver" in absent.message
    assert isinstance(no_input, NotFound)
    assert "temp1" in no_input.message


async def test_chips_that_change_places_are_not_mixed_up(tree: FakeSysfs) -> None:
    links = [
        tree.hwmon(number, "lm75", f"soc/i2c-3/3-004{8 + number}", {"temp1_input": 10_000 * (number + 1)})
        for number in (0, 1)
    ]
    channels = [HwmonChannel(f"t{n}", "lm75", "temp1", device=f"3-004{8 + n}") for n in (0, 1)]
    bus = HwmonBus("hwmon", channels, root=tree.root)
    assert await bus.read(bus.sensors) == {"t0": 10.0, "t1": 20.0}
    middle = tree.renumber(links[0], "hwmon9")
    tree.renumber(links[1], "hwmon0")
    tree.renumber(middle, "hwmon1")
    assert await bus.read(bus.sensors) == {"t0": 10.0, "t1": 20.0}
    await bus.close()


async def test_another_chip_under_the_old_number_is_not_taken_for_the_first(tree: FakeSysfs) -> None:
    link = tree.hwmon(0, "cpu", "soc/cpu", {"temp1_input": 10_000})
    bus = HwmonBus("hwmon", [HwmonChannel("t", "cpu", "temp1")], root=tree.root)
    assert await bus.read(["t"]) == {"t": 10.0}
    tree.gone(link)
    tree.hwmon(0, "nvme", "soc/nvme", {"temp1_input": 99_000})
    assert isinstance((await bus.read(["t"]))["t"], Unavailable)
    tree.hwmon(1, "cpu", "soc/cpu", {"temp1_input": 20_000})
    assert await bus.read(["t"]) == {"t": 20.0}
    await bus.close()


async def test_a_driver_that_is_bound_again_is_survived(tree: FakeSysfs) -> None:
    link = tree.hwmon(0, "chip", "soc/chip", {"temp1_label": "CPU", "temp1_input": 10_000})
    bus = HwmonBus("hwmon", [HwmonChannel("t", "chip", label="CPU")], root=tree.root)
    assert await bus.read(["t"]) == {"t": 10.0}
    for number in (0, 4, 0):  # the same number, or another; and the label is at another input now
        tree.gone(link)
        assert isinstance((await bus.read(["t"]))["t"], Unavailable)
        link = tree.hwmon(number, "chip", "soc/chip", {"temp2_label": "CPU", "temp2_input": 1000 * number})
        assert await bus.read(["t"]) == {"t": number}
    await bus.close()


async def test_a_wire_that_is_stuck_delays_no_other(tree: FakeSysfs) -> None:
    stuck = tree.hwmon(0, "stuck", "soc/i2c-1/1-0048", {"temp1_input": 1000, "temp2_input": 2000})
    tree.hwmon(1, "well", "soc/i2c-2/2-0048", {"temp1_input": 3000})
    buses = [HwmonBus(name, [HwmonChannel(name, name, "temp1")], root=tree.root) for name in ("stuck", "well")]
    with hanging(stuck / "temp1_input") as let_go:
        hangs = asyncio.create_task(buses[0].read(["stuck"]))
        slowest = 0.0
        for _ in range(50):
            started = time.monotonic()
            assert await buses[1].read(["well"]) == {"well": 3.0}
            slowest = max(slowest, time.monotonic() - started)
        assert not hangs.done()
        assert slowest < 1.0
        let_go()
        assert await hangs == {"stuck": 0.0}  # what the one who let go wrote
        assert await buses[0].read(["stuck"]) == {"stuck": 1.0}
    for bus in buses:
        await bus.close()


def test_inputs_are_listed_by_type_and_number(tree: FakeSysfs) -> None:
    names = ("temp10_input", "temp2_input", "in1_input", "pwm1", "pwm1_enable", "intrusion0_alarm", "power1_average")
    chip = tree.hwmon(0, "chip", "soc/chip", dict.fromkeys((*names, "temp2_max", "uevent"), 0))
    assert inputs(chip) == ["temp2", "temp10", "in1", "power1", "pwm1", "intrusion0"]


def test_find_sorts_by_number_and_reads_names_that_are_no_text(tree: FakeSysfs) -> None:
    tree.hwmon(0, "x", "soc/x", {})
    (tree.root / "class/hwmon/hwmon0/name").write_bytes(b"\xff\xfe\n")
    (tree.root / "class/hwmon/hwmon5").symlink_to("nowhere")
    chip = tree.hwmon(10, "y", "soc/y", {})
    assert hwmon.find(Chip("y"), tree.root) == chip
    with pytest.raises(Unavailable):
        hwmon.find(Chip("z"), tree.root / "nowhere")


def test_any_content_is_a_finite_number_or_an_error() -> None:
    chance = random.Random(20260801)
    likely = b"0123456789+-. \n\0eExXnaif_"
    numbers = 0
    for _ in range(RANDOM_INPUTS):
        length = chance.randrange(24)
        alphabet = chance.choice((likely, likely[:10], bytes(range(256))))
        content = bytes(chance.choice(alphabet) for _ in range(length))
        try:
            value = sysfs.parse_number(content)
        except ValueError:
            continue
        assert math.isfinite(value)
        assert value == float(content.strip(b" \t\r\n\0"))
        numbers += 1
    assert RANDOM_INPUTS / 10 < numbers < RANDOM_INPUTS


async def test_any_file_of_a_chip_may_say_anything(tree: FakeSysfs) -> None:
    chip = tree.hwmon(0, "chip", "soc/chip", {"temp1_fault": 0, "temp1_input": 0, "temp1_label": "CPU"})
    bus = HwmonBus("hwmon", [HwmonChannel("t", "chip", label="CPU")], root=tree.root)
    chance = random.Random(7)
    for _ in range(200):
        for file in ("name", "temp1_fault", "temp1_input", "temp1_label"):
            good = {"name": b"chip", "temp1_label": b"CPU"}.get(file, b"0")
            (chip / file).write_bytes(chance.choice((good, chance.randbytes(chance.randrange(9)))))
        found = (await bus.read(["t"]))["t"]
        assert isinstance(found, UbmcError) or math.isfinite(found)
    await bus.close()
