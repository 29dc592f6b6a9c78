"""FRU storage: EEPROMs by sysfs, on a tree of files, and plain files."""

from __future__ import annotations

import asyncio
import errno
import os
from pathlib import Path

import pytest

from ubmc.hw.fru.file import FileFru
from ubmc.hw.fru.linux import EepromFru, chip_of
from ubmc.hw.fru.port import FruStore
from ubmc.kit.errors import NotFound, Refused, Unavailable


def tree(root: Path, content: bytes = bytes(range(256)), *, bus: int = 3) -> Path:
    """A bus with a bound EEPROM at address 50h; gives its file."""
    folder = root / "devices" / f"{bus}-0050"
    folder.mkdir(parents=True)
    (root / "devices" / f"i2c-{bus}").mkdir(exist_ok=True)
    (folder / "eeprom").write_bytes(content)
    return folder / "eeprom"


async def test_an_eeprom_is_read_up_to_its_size(tmp_path: Path) -> None:
    tree(tmp_path)
    store: FruStore = EepromFru("psu.0", 3, 0x50, root=tmp_path)
    small = EepromFru("psu.0", lambda: 3, 0x50, size=100, root=tmp_path)
    assert await store.read() == bytes(range(256))
    assert await small.read() == bytes(range(100))
    assert (store.name, store.writable) == ("psu.0", False)
    await store.close()
    await small.close()


async def test_a_large_eeprom_is_cut_at_64_kib(tmp_path: Path) -> None:
    tree(tmp_path, bytes(100_000))
    store = EepromFru("psu.0", 3, 0x50, size=10**6, root=tmp_path)
    assert len(await store.read()) == 65536
    await store.close()


async def test_only_pages_that_differ_are_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tree(tmp_path)
    store = EepromFru("psu.0", 3, 0x50, writable=True, root=tmp_path)
    written: list[tuple[int, int]] = []
    real = os.pwrite

    def pwrite(fd: int, data: bytes, offset: int) -> int:
        written.append((offset, len(data)))
        return real(fd, data, offset)

    monkeypatch.setattr(os, "pwrite", pwrite)
    new = bytearray(range(250))
    new[40] = new[249] = 0xEE
    await store.write(bytes(new))
    assert file.read_bytes() == bytes(new) + bytes(range(250, 256))
    assert written == [(32, 32), (224, 26)]
    with pytest.raises(Refused, match="257 bytes; its FRU storage has 256"):
        await store.write(bytes(257))
    await store.close()


async def test_what_is_not_kept_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree(tmp_path)
    store = EepromFru("psu.0", 3, 0x50, writable=True, root=tmp_path)
    monkeypatch.setattr(os, "pwrite", lambda fd, data, offset: len(data))  # the write-protect pin
    with pytest.raises(Unavailable, match="write-protected"):
        await store.write(b"new content")
    await store.close()


async def test_writing_needs_leave(tmp_path: Path) -> None:
    file = tree(tmp_path)
    store = EepromFru("psu.0", 3, 0x50, root=tmp_path)
    with pytest.raises(Refused, match="board file"):
        await store.write(b"x")
    assert file.read_bytes() == bytes(range(256))
    await store.close()


async def test_what_is_absent_is_not_found_and_offered_to_the_kernel(tmp_path: Path) -> None:
    folder = tmp_path / "devices"
    store = EepromFru("psu.0", 3, 0x50, chip="24c02", root=tmp_path)
    with pytest.raises(Unavailable, match="no I2C bus 3"):
        await store.read()
    (folder / "i2c-3").mkdir(parents=True)
    (folder / "i2c-3" / "new_device").touch()
    with pytest.raises(NotFound, match="nothing answers at 3-0050"):
        await store.read()
    assert (folder / "i2c-3" / "new_device").read_text() == "24c02 0x50"
    (folder / "3-0050").mkdir()  # known to the kernel, and without a driver
    (tmp_path / "drivers" / "at24").mkdir(parents=True)
    (tmp_path / "drivers" / "at24" / "bind").touch()
    with pytest.raises(NotFound):
        await store.read()
    assert (tmp_path / "drivers" / "at24" / "bind").read_text() == "3-0050"
    (folder / "3-0050" / "eeprom").write_bytes(b"here")
    assert await store.read() == b"here"
    await store.close()


async def test_an_address_with_another_driver_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "devices" / "3-0050").mkdir(parents=True)
    (tmp_path / "drivers" / "lm75").mkdir(parents=True)
    (tmp_path / "drivers" / "at24").mkdir()
    (tmp_path / "drivers" / "at24" / "bind").touch()
    (tmp_path / "devices" / "3-0050" / "driver").symlink_to(tmp_path / "drivers" / "lm75")
    store = EepromFru("psu.0", 3, 0x50, root=tmp_path)
    with pytest.raises(Unavailable, match="the driver lm75"):
        await store.read()
    assert (tmp_path / "drivers" / "at24" / "bind").read_text() == ""
    await store.close()


@pytest.mark.parametrize(
    ("number", "error"),
    [(errno.ETIMEDOUT, NotFound), (errno.ENXIO, NotFound), (errno.EIO, Unavailable), (errno.EROFS, Refused)],
)
async def test_errors_of_the_kernel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, error: type[Exception]
) -> None:
    tree(tmp_path)
    store = EepromFru("psu.0", 3, 0x50, root=tmp_path)

    def pread(fd: int, size: int, offset: int) -> bytes:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "pread", pread)
    with pytest.raises(error, match=r"psu\.0"):
        await store.read()
    await store.close()


async def test_who_gives_up_leaves_the_storage_usable(tmp_path: Path) -> None:
    fifo = tree(tmp_path)
    fifo.unlink()
    os.mkfifo(fifo)  # opening it hangs until somebody writes
    store = EepromFru("psu.0", 3, 0x50, root=tmp_path)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await store.read()
    waiting = asyncio.create_task(store.read())
    await asyncio.sleep(0.02)
    assert not waiting.done()
    moved = fifo.rename(tmp_path / "moved")
    fifo.write_bytes(b"again")
    os.close(await asyncio.to_thread(os.open, moved, os.O_WRONLY))  # now the open that hung returns
    try:
        async with asyncio.timeout(30):
            assert await waiting == b"again"
    finally:
        await store.close()


@pytest.mark.parametrize(
    ("size", "wide", "chip"), [(256, False, "24c02"), (8192, True, "24c64"), (300, False, None), (256, True, None)]
)
def test_names_of_chips(size: int, wide: bool, chip: str | None) -> None:
    assert chip_of(size, wide=wide) == chip


async def test_a_plain_file(tmp_path: Path) -> None:
    store: FruStore = FileFru("host.0", tmp_path / "fru", size=16)
    with pytest.raises(NotFound, match=r"there is no .*fru"):
        await store.read()
    with pytest.raises(NotFound):
        await store.write(b"x")
    (tmp_path / "fru").write_bytes(b"abcdef")
    assert await store.read() == b"abcdef" + b"\xff" * 10
    await store.write(b"XY")
    assert await store.read() == b"XYcdef" + b"\xff" * 10
    assert [each.name for each in tmp_path.iterdir()] == ["fru"]
    with pytest.raises(Refused, match="17 bytes"):
        await store.write(bytes(17))
    await store.close()
    closed = FileFru("host.0", tmp_path / "fru", writable=False)
    with pytest.raises(Refused):
        await closed.write(b"x")
    await closed.close()
    folder = FileFru("host.0", tmp_path)
    with pytest.raises(Unavailable):
        await folder.read()
    await folder.close()
