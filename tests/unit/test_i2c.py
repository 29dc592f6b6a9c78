"""I2C: which adapter a bus is, and what is said to the kernel."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.harness.i2c import I2cKernel
from tests.harness.sysfs import FakeSysfs

from ubmc.hw.i2c import linux
from ubmc.hw.i2c.linux import LinuxI2cBus
from ubmc.hw.i2c.topology import I2cPlace, Mux, adapters, resolve
from ubmc.kit.errors import Invalid, Refused, Unavailable


@pytest.fixture
def tree(tmp_path: Path) -> FakeSysfs:
    return FakeSysfs(tmp_path / "sys")


# --- topology --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("adapter", ["1", "i2c-1", "1e78a080.i2c-bus"])
def test_an_adapter_by_number_or_name(tree: FakeSysfs, adapter: str) -> None:
    tree.adapter(1, "1e78a080.i2c-bus")
    tree.adapter(12, "1e78a100.i2c-bus", device="soc/other")
    assert resolve(I2cPlace(adapter), tree.root) == 1
    assert list(adapters(tree.root)) == [(1, "1e78a080.i2c-bus"), (12, "1e78a100.i2c-bus")]


@pytest.mark.parametrize("links", [True, False])
def test_a_channel_of_a_mux_behind_a_mux(tree: FakeSysfs, links: bool) -> None:
    root = tree.adapter(1, "root")
    first = tree.i2c_device(root, 0x70, "pca9548")
    tree.mux_channel(first, 1, 20, links=links)
    second = tree.i2c_device(tree.mux_channel(first, 2, 21, links=links), 0x71, "pca9546")
    tree.mux_channel(second, 0, 30, links=links)
    assert resolve(I2cPlace("root", (Mux(0x70, 1),)), tree.root) == 20
    assert resolve(I2cPlace("1", (Mux(0x70, 2), Mux(0x71, 0))), tree.root) == 30


def test_what_is_not_there_says_what_to_do(tree: FakeSysfs) -> None:
    root = tree.adapter(1, "root")
    tree.adapter(2, "twin", device="soc/a")
    tree.adapter(3, "twin", device="soc/b")
    mux = tree.i2c_device(root, 0x70, "pca9548")
    tree.i2c_device(root, 0x71, "pca9548")
    tree.mux_channel(mux, 0, 9)
    for place, words in (
        (I2cPlace("7"), "no I2C adapter 7"),
        (I2cPlace("nothing"), 'called "nothing"'),
        (I2cPlace("twin"), "2, 3"),
        (I2cPlace("1", (Mux(0x72, 0),)), "no mux at 0x72"),
        (I2cPlace("1", (Mux(0x71, 0),)), "no driver has the mux"),
        (I2cPlace("1", (Mux(0x70, 5),)), "no channel 5"),
    ):
        with pytest.raises(Unavailable, match=words):
            resolve(place, tree.root)
    assert str(I2cPlace("1", (Mux(0x70, 5),))) == "i2c-1, mux 0x70 channel 5"


def test_a_bus_that_is_renumbered_is_found_again(tree: FakeSysfs) -> None:
    mux = tree.i2c_device(tree.adapter(1, "root"), 0x70, "pca9548")
    place = I2cPlace("root", (Mux(0x70, 3),))
    with pytest.raises(Unavailable):
        resolve(place, tree.root)
    for number in (8, 12):
        tree.mux_channel(mux, 3, number)
        assert resolve(place, tree.root) == number
        (mux / "channel-3").unlink()
        (tree.root / f"bus/i2c/devices/i2c-{number}").unlink()


# --- the bus ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def kernel(tmp_path: Path) -> I2cKernel:
    made = I2cKernel(tmp_path / "i2c-3")
    made.devices[0x58] = {0x20: 0x17, 0x8B: 0x1234, 0x99: b"ACME"}
    return made


def opened(kernel: I2cKernel, tmp_path: Path) -> LinuxI2cBus:
    return LinuxI2cBus(3, devices=tmp_path, ioctl=kernel.ioctl)


def test_registers(kernel: I2cKernel, tmp_path: Path) -> None:
    with opened(kernel, tmp_path) as bus:
        assert bus.name == "i2c-3"
        assert bus.read_byte(0x58, 0x20) == 0x17
        assert bus.read_word(0x58, 0x8B, pec=True) == 0x1234
        assert bus.read_block(0x58, 0x99) == b"ACME"
        bus.write_byte(0x58, 0x00, 5)
    assert kernel.devices[0x58][0x00] == 5
    assert [entry[3] for entry in kernel.log] == [False, True, False, False]
    with pytest.raises(Unavailable, match="closed"):
        bus.read_byte(0x58, 0x20)


def test_a_transfer_reads_at_an_address_that_was_written(kernel: I2cKernel, tmp_path: Path) -> None:
    kernel.devices[0x50] = {0: bytes(range(256)) * 2}
    with opened(kernel, tmp_path) as bus:
        assert bus.transfer(0x50, b"\x01\x10", 4) == b"\x10\x11\x12\x13"
        for write, read in ((b"", 0), (b"", 9000), (bytes(9000), 0), (b"", -1)):
            with pytest.raises(Invalid):
                bus.transfer(0x50, write, read)


def test_an_address_that_a_driver_has_is_left_alone(kernel: I2cKernel, tmp_path: Path) -> None:
    kernel.drivers.add(0x58)
    kernel.devices[0x58][0] = b"secret"
    with opened(kernel, tmp_path) as bus:
        for call in (
            lambda: bus.read_word(0x58, 0x8B),
            lambda: bus.write_byte(0x58, 0, 1),
            lambda: bus.transfer(0x58, b"", 6),
        ):
            with pytest.raises(Refused, match="driver of the kernel"):
                call()
    assert kernel.log == []


@pytest.mark.parametrize("address", [-1, 0, 0x07, 0x78, 0x458])
def test_what_is_no_address_is_not_spoken_to(kernel: I2cKernel, tmp_path: Path, address: int) -> None:
    with opened(kernel, tmp_path) as bus, pytest.raises(Invalid):
        bus.read_byte(address, 0)
    assert kernel.log == []


def test_what_the_kernel_says_becomes_an_error_of_ours(kernel: I2cKernel, tmp_path: Path) -> None:
    with opened(kernel, tmp_path) as bus:
        with pytest.raises(Unavailable, match=r"i2c-3, 0x59: no device answers"):
            bus.read_byte(0x59, 0)
        with pytest.raises(Unavailable, match="no device answers"):
            bus.read_byte(0x58, 0x77)
        kernel.stuck = True
        with pytest.raises(Unavailable, match="stuck or busy"):
            bus.read_byte(0x58, 0x20)


def test_an_adapter_without_error_codes_or_plain_transfers(tmp_path: Path) -> None:
    kernel = I2cKernel(tmp_path / "i2c-3", functions=0)
    kernel.devices[0x58] = {0x20: 1}
    with opened(kernel, tmp_path) as bus:
        assert bus.read_byte(0x58, 0x20) == 1
        with pytest.raises(Unavailable, match="leave pec out"):
            bus.read_byte(0x58, 0x20, pec=True)
        with pytest.raises(Unavailable, match="SMBus only"):
            bus.transfer(0x58, b"\0", 1)


def test_no_device_file(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="i2c-dev"):
        LinuxI2cBus(7, devices=tmp_path)


def test_a_device_file_that_is_no_adapter(tmp_path: Path) -> None:
    (tmp_path / "i2c-3").touch()
    with LinuxI2cBus(3, devices=tmp_path) as bus, pytest.raises(Unavailable, match="Inappropriate ioctl"):
        bus.read_byte(0x58, 0)


def test_force_is_not_known() -> None:
    assert "0x0706" not in Path(linux.__file__).read_text()
