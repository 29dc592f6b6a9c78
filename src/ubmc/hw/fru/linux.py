"""FRU EEPROMs on I2C, by the kernel's drivers at24 and ee1004 (Documentation/ABI/stable/sysfs-bus-nvmem).

The one thing to know: the kernel binds an EEPROM when it finds it, and not again when it is plugged later. So an
address without a driver is offered to at24 at each read; nothing is done to an address that has another driver.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable
from pathlib import Path

from ubmc.hw.fru.worker import Worker
from ubmc.kit.errors import NotFound, Refused, UbmcError, Unavailable

I2C = Path("/sys/bus/i2c")
MAX_BYTES = 65536
PAGE = 32
_GONE = {errno.ENXIO, errno.ENODEV, errno.EREMOTEIO, errno.ETIMEDOUT, errno.ENOENT}
_PROTECTED = {errno.EROFS, errno.EPERM, errno.EACCES}
_NARROW = {128: "24c01", 256: "24c02", 512: "24c04", 1024: "24c08", 2048: "24c16"}
_WIDE = {4096: "24c32", 8192: "24c64", 16384: "24c128", 32768: "24c256", 65536: "24c512"}


def chip_of(size: int, *, wide: bool) -> str | None:
    """The kernel's name of an EEPROM of so many bytes; None if there is none of that size.

    Args:
        size: in bytes.
        wide: its bytes have addresses of 16 bits.
    """
    return (_WIDE if wide else _NARROW).get(size)


class EepromFru:
    """The EEPROM of one unit. Makes and touches nothing until it is read.

    Args:
        name: of the asset.
        bus: the number of the I2C bus, or what gives it: it may change when a multiplexer is bound again.
        address: on that bus.
        size: at most so many bytes are read.
        chip: what to call it when the kernel does not know of it (`24c02`); None: it is in the device tree.
        writable: whether it may be written.
        root: `/sys/bus/i2c`.
    """

    def __init__(
        self,
        name: str,
        bus: int | Callable[[], int],
        address: int,
        *,
        size: int = MAX_BYTES,
        chip: str | None = None,
        writable: bool = False,
        root: Path = I2C,
    ) -> None:
        self._name = name
        self._bus = bus
        self._address = address
        self._size = min(size, MAX_BYTES)
        self._chip = chip
        self._writable = writable
        self._root = root
        self._worker = Worker(f"fru-{name}")

    @property
    def name(self) -> str:
        """The name of the asset."""
        return self._name

    @property
    def writable(self) -> bool:
        """Whether it may be written."""
        return self._writable

    async def read(self) -> bytes:
        """All bytes. Raises `NotFound` and `Unavailable`, as the port says."""
        return await self._worker.run(self._read)

    async def write(self, data: bytes) -> None:
        """Write the pages that differ and read them back. Raises as the port says."""
        if not self._writable:
            raise Refused(f"{self._name}: the board file does not allow to write its FRU storage")
        await self._worker.run(lambda: self._write(bytes(data)))

    async def close(self) -> None:
        """Give the thread back."""
        self._worker.close()

    # --- in the thread --------------------------------------------------------------------------------------------

    def _read(self) -> bytes:
        try:
            fd = os.open(self._file(), os.O_RDONLY | os.O_CLOEXEC)
            try:
                return _read_all(fd, self._size)
            finally:
                os.close(fd)
        except OSError as error:
            raise self._failure(error) from error

    def _write(self, data: bytes) -> None:
        try:
            fd = os.open(self._file(), os.O_RDWR | os.O_CLOEXEC)
            try:
                self._write_pages(fd, data)
            finally:
                os.close(fd)
        except OSError as error:
            raise self._failure(error) from error

    def _write_pages(self, fd: int, data: bytes) -> None:
        size = min(os.fstat(fd).st_size, self._size)
        if len(data) > size:
            raise Refused(f"{self._name}: {len(data)} bytes; its FRU storage has {size}")
        old = _read_all(fd, len(data))
        for start in range(0, len(data), PAGE):
            page = data[start : start + PAGE]
            if page != old[start : start + PAGE]:
                os.pwrite(fd, page, start)
        if _read_all(fd, len(data)) != data:
            raise Unavailable(f"{self._name}: its FRU storage does not keep what was written; is it write-protected?")

    def _file(self) -> Path:
        """The file of the EEPROM, bound first if it is not.

        Raises:
            NotFound: there is no such device.
            Unavailable: there is no such bus, or another driver has the address.
        """
        number = self._bus if isinstance(self._bus, int) else self._bus()
        place = f"{number}-{self._address:04x}"
        folder = self._root / "devices" / place
        file = folder / "eeprom"
        if file.exists():
            return file
        if (folder / "driver").exists():
            driver = (folder / "driver").resolve().name
            raise Unavailable(f"{self._name}: the driver {driver} has {place}, and offers no EEPROM")
        if folder.exists():
            _tell(self._root / "drivers" / "at24" / "bind", place)
        else:
            bus = self._root / "devices" / f"i2c-{number}"
            if not bus.exists():
                raise Unavailable(f"{self._name}: there is no I2C bus {number}")
            if self._chip is not None:
                _tell(bus / "new_device", f"{self._chip} {self._address:#04x}")
        if not file.exists():
            raise NotFound(f"{self._name}: nothing answers at {place}")
        return file

    def _failure(self, error: OSError) -> UbmcError:
        if error.errno in _GONE:
            return NotFound(f"{self._name}: nothing answers at its address ({error.strerror})")
        if error.errno in _PROTECTED:
            return Refused(f"{self._name}: its FRU storage cannot be written ({error.strerror})")
        return Unavailable(f"{self._name}: its FRU storage cannot be used ({error.strerror})")


def _tell(attribute: Path, text: str) -> None:
    """Ask the kernel to bind something; that nothing answers there is an error of the write, and seen by the caller."""
    with contextlib.suppress(OSError):
        fd = os.open(attribute, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(fd, text.encode("ascii"))
        finally:
            os.close(fd)


def _read_all(fd: int, size: int) -> bytes:
    data = b""
    while len(data) < size and (part := os.pread(fd, size - len(data), len(data))):
        data += part
    return data
