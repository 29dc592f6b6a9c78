"""IIO channels on a fake tree: raw, scale and offset, and how a device is named."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.harness.sysfs import FakeSysfs

from ubmc.hw.sensors.channels import IioChannel
from ubmc.hw.sensors.iio import IioBus, inputs
from ubmc.hw.sensors.port import Outcome
from ubmc.kit.errors import NotFound, Unavailable


@pytest.fixture
def tree(tmp_path: Path) -> FakeSysfs:
    return FakeSysfs(tmp_path / "sys")


async def read_once(tree: FakeSysfs, device: str, name: str) -> Outcome:
    bus = IioBus("iio", [IioChannel("it", device, name)], root=tree.root)
    try:
        return (await bus.read(["it"]))["it"]
    finally:
        await bus.close()


@pytest.mark.parametrize(
    ("name", "files", "value"),
    [
        ("voltage0", {"in_voltage0_raw": 1000, "in_voltage0_scale": "1.807128906"}, 1.807128906),
        ("voltage0", {"in_voltage0_raw": 1000, "in_voltage_scale": 2, "in_voltage0_offset": -500}, 1.0),
        ("voltage0", {"in_voltage0_raw": 1000, "in_voltage_scale": 2, "in_voltage_offset": 500}, 3.0),
        ("voltage12", {"in_voltage12_raw": 1800}, 1.8),
        ("voltage0", {"in_voltage0_input": 3300, "in_voltage0_raw": 1, "in_voltage0_scale": 7}, 3.3),
        ("current1", {"in_current1_raw": 250, "in_current1_scale": 2}, 0.5),
        ("power0", {"in_power0_raw": 1500, "in_power0_scale": 1}, 1.5),
        ("energy0", {"in_energy0_input": 12}, 12.0),
        ("temp", {"in_temp_input": 21500}, 21.5),
        ("temp_object", {"in_temp_object_raw": 15000, "in_temp_scale": 20, "in_temp_offset": -13657.5}, 26.85),
        ("humidityrelative", {"in_humidityrelative_raw": 500, "in_humidityrelative_scale": 100}, 50.0),
        ("pressure", {"in_pressure_input": "101.325000"}, 101325.0),
    ],
)
async def test_units(tree: FakeSysfs, name: str, files: dict[str, object], value: float) -> None:
    tree.iio(0, "adc", "soc/adc", files)
    assert await read_once(tree, "adc", name) == pytest.approx(value)


async def test_a_device_is_named_by_name_label_or_path(tree: FakeSysfs) -> None:
    tree.iio(0, "ads1015", "soc/i2c-1/1-0048", {"in_voltage0_raw": 1000, "label": "rails"})
    tree.iio(1, "ads1015", "soc/i2c-1/1-0049", {"in_voltage0_raw": 2000})
    assert await read_once(tree, "rails", "voltage0") == 1.0
    assert await read_once(tree, "1-0049", "voltage0") == 2.0
    twice = await read_once(tree, "ads1015", "voltage0")
    assert isinstance(twice, Unavailable)
    assert "there are 2" in twice.message
    assert isinstance(await read_once(tree, "adc", "voltage0"), Unavailable)
    wrong = await read_once(tree, "rails", "voltage7")
    assert isinstance(wrong, NotFound)
    assert "voltage0" in wrong.message


async def test_a_broken_scale_is_no_value(tree: FakeSysfs) -> None:
    tree.iio(0, "adc", "soc/adc", {"in_voltage0_raw": 1000, "in_voltage0_scale": "nan"})
    assert isinstance(await read_once(tree, "adc", "voltage0"), Unavailable)


async def test_a_device_that_is_bound_again_is_survived(tree: FakeSysfs) -> None:
    link = tree.iio(0, "adc", "soc/adc", {"in_voltage0_raw": 1000})
    bus = IioBus("iio", [IioChannel("it", "adc", "voltage0")], root=tree.root)
    assert await bus.read(["it"]) == {"it": 1.0}
    tree.gone(link)
    assert isinstance((await bus.read(["it"]))["it"], Unavailable)
    tree.iio(3, "adc", "soc/adc", {"in_voltage0_raw": 1000, "in_voltage0_scale": 2})
    assert await bus.read(["it"]) == {"it": 2.0}
    await bus.close()


def test_inputs_are_listed_by_kind_and_number(tree: FakeSysfs) -> None:
    files = ("in_voltage10_raw", "in_voltage2_raw", "in_voltage_scale", "in_temp_input", "in_accel_x_raw")
    assert inputs(tree.iio(0, "adc", "soc/adc", dict.fromkeys(files, 0))) == ["temp", "voltage2", "voltage10"]
