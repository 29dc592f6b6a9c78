"""An I2C bus of the Linux kernel, through `/dev/i2c-N` (Documentation/i2c/dev-interface.rst).

An address is taken with I2C_SLAVE, which the kernel refuses when a driver has it. I2C_SLAVE_FORCE is not known here:
two masters of one device break each other's pages and pointers.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from ubmc.hw.i2c.port import I2cBus
from ubmc.kit.errors import Invalid, Refused, UbmcError, Unavailable

# linux/i2c-dev.h
I2C_SLAVE = 0x0703
I2C_FUNCS = 0x0705
I2C_RDWR = 0x0707
I2C_PEC = 0x0708
I2C_SMBUS = 0x0720
# linux/i2c.h
FUNC_I2C = 0x00000001
FUNC_PEC = 0x00000008
READ, WRITE = 1, 0
BYTE_DATA, WORD_DATA, BLOCK_DATA = 2, 3, 5
M_RD = 0x0001
_MOST_BYTES = 8192


class SmbusData(ctypes.Union):
    """`union i2c_smbus_data`: a byte, a word, or a block with its length in front."""

    _fields_ = (("byte", ctypes.c_uint8), ("word", ctypes.c_uint16), ("block", ctypes.c_uint8 * 34))


class SmbusCall(ctypes.Structure):
    """`struct i2c_smbus_ioctl_data`."""

    _fields_ = (
        ("read_write", ctypes.c_uint8),
        ("command", ctypes.c_uint8),
        ("size", ctypes.c_uint32),
        ("data", ctypes.POINTER(SmbusData)),
    )


class Message(ctypes.Structure):
    """`struct i2c_msg`."""

    _fields_ = (
        ("addr", ctypes.c_uint16),
        ("flags", ctypes.c_uint16),
        ("len", ctypes.c_uint16),
        ("buf", ctypes.c_void_p),
    )


class Messages(ctypes.Structure):
    """`struct i2c_rdwr_ioctl_data`."""

    _fields_ = (("msgs", ctypes.POINTER(Message)), ("nmsgs", ctypes.c_uint32))


Ioctl = Callable[[int, int, Any], Any]


class LinuxI2cBus(I2cBus):
    """The adapter with one number."""

    def __init__(self, number: int, *, devices: Path = Path("/dev"), ioctl: Ioctl = fcntl.ioctl) -> None:
        """Open it.

        Args:
            number: of the adapter; `ubmc.hw.i2c.topology.resolve` finds it.
            devices: where `i2c-N` is.
            ioctl: `fcntl.ioctl`, or a kernel of the tests' own.

        Raises:
            Unavailable: there is no such device, or no permission for it.
        """
        self._name = f"i2c-{number}"
        self._ioctl = ioctl
        self._functions: int | None = None
        path = devices / self._name
        try:
            self._fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except PermissionError as error:
            raise Unavailable(f"no permission for {path}; run as root or join its group (i2c)") from error
        except OSError as error:
            raise Unavailable(f"{path}: {error.strerror}; is the kernel's i2c-dev loaded?") from error

    @property
    def name(self) -> str:
        """The name of the bus, such as `i2c-3`."""
        return self._name

    def __enter__(self) -> Self:
        """The bus itself; closed at the end."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        self.close()

    def read_byte(self, address: int, command: int, *, pec: bool = False) -> int:
        """Read a byte register."""
        return int(self._smbus(address, READ, command, BYTE_DATA, SmbusData(), pec=pec).byte)

    def read_word(self, address: int, command: int, *, pec: bool = False) -> int:
        """Read a word register."""
        return int(self._smbus(address, READ, command, WORD_DATA, SmbusData(), pec=pec).word)

    def read_block(self, address: int, command: int, *, pec: bool = False) -> bytes:
        """Read a block of at most 32 bytes."""
        block = bytes(self._smbus(address, READ, command, BLOCK_DATA, SmbusData(), pec=pec).block)
        return block[1 : 1 + min(block[0], 32)]

    def write_byte(self, address: int, command: int, value: int, *, pec: bool = False) -> None:
        """Write a byte register."""
        self._smbus(address, WRITE, command, BYTE_DATA, SmbusData(byte=value), pec=pec)

    def transfer(self, address: int, write: bytes, read: int) -> bytes:
        """Write bytes, then read so many after a repeated start."""
        if not (write or read) or len(write) > _MOST_BYTES or not 0 <= read <= _MOST_BYTES:
            raise Invalid(f"a transfer has 1 to {_MOST_BYTES} bytes each way, not {len(write)} and {read}")
        self._take(address, pec=False)  # I2C_RDWR itself does not ask whether a driver has the address
        if not self._has(FUNC_I2C):
            raise Unavailable(f"{self._name} speaks SMBus only")
        out, into = ctypes.create_string_buffer(write, len(write) or 1), ctypes.create_string_buffer(read or 1)
        parts = [Message(address, 0, len(write), ctypes.addressof(out))] if write else []
        parts += [Message(address, M_RD, read, ctypes.addressof(into))] if read else []
        messages = (Message * len(parts))(*parts)
        self._ask(address, I2C_RDWR, Messages(ctypes.cast(messages, ctypes.POINTER(Message)), len(parts)))
        return into.raw[:read]

    def close(self) -> None:
        """Give the bus back; more than once is no error."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _smbus(self, address: int, direction: int, command: int, size: int, data: SmbusData, *, pec: bool) -> SmbusData:
        self._take(address, pec=pec)
        self._ask(address, I2C_SMBUS, SmbusCall(direction, command, size, ctypes.pointer(data)))
        return data

    def _take(self, address: int, *, pec: bool) -> None:
        if not 0x08 <= address <= 0x77:
            raise Invalid(f"{address:#04x} is no address of a device; they are 0x08 to 0x77")
        if pec and not self._has(FUNC_PEC):
            raise Unavailable(f"{self._name} cannot do packet error codes (PEC); leave pec out")
        self._ask(address, I2C_SLAVE, address)
        self._ask(address, I2C_PEC, int(pec))

    def _has(self, function: int) -> bool:
        if self._functions is None:
            found = ctypes.c_ulong()
            self._ask(None, I2C_FUNCS, found)
            self._functions = found.value
        return bool(self._functions & function)

    def _ask(self, address: int | None, request: int, argument: object) -> None:
        if self._fd < 0:
            raise Unavailable(f"{self._name} is closed")
        try:
            self._ioctl(self._fd, request, argument)
        except OSError as error:
            raise self._failure(address, request, error) from error

    def _failure(self, address: int | None, request: int, error: OSError) -> UbmcError:
        """What the kernel said (Documentation/i2c/fault-codes.rst), and what a person can do."""
        where = self._name if address is None else f"{self._name}, {address:#04x}"
        match error.errno:
            case errno.EBUSY if request == I2C_SLAVE:
                return Refused(f"{where}: a driver of the kernel has this device; read it as hwmon instead")
            case errno.ENXIO | errno.EREMOTEIO | errno.ENODEV:
                return Unavailable(f"{where}: no device answers there")
            case errno.EBADMSG:
                return Unavailable(f"{where}: the packet error code is wrong")
            case errno.ETIMEDOUT | errno.EAGAIN | errno.EBUSY:
                return Unavailable(f"{where}: the bus is stuck or busy ({error.strerror})")
        return Unavailable(f"{where}: {error.strerror}")
