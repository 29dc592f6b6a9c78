"""A kernel of our own behind `/dev/i2c-N`: what the ioctl calls of `linux/i2c-dev.h` do, with devices of registers."""

from __future__ import annotations

import ctypes
import errno
import os
import threading
from pathlib import Path
from typing import Any

from ubmc.hw.i2c import linux

_DEADLINE_SECONDS = 30.0


class I2cKernel:
    """One adapter. `devices` holds the registers of each address: bytes, words, or blocks."""

    def __init__(self, path: Path, *, functions: int = linux.FUNC_I2C | linux.FUNC_PEC) -> None:
        path.touch()
        self.devices: dict[int, dict[int, int | bytes]] = {}
        self.silent: set[int] = set()
        self.drivers: set[int] = set()
        """Addresses that a driver has."""
        self.stuck = False
        """Every transfer times out."""
        self.goes = threading.Event()
        """While it is not set, transfers hang."""
        self.goes.set()
        self.log: list[tuple[Any, ...]] = []
        self._functions = functions
        self._slave = -1
        self._pec = False

    def ioctl(self, fd: int, request: int, argument: Any) -> int:
        """As `fcntl.ioctl`."""
        os.fstat(fd)  # it must be open
        match request:
            case linux.I2C_FUNCS:
                argument.value = self._functions
            case linux.I2C_SLAVE:
                if argument in self.drivers:
                    raise OSError(errno.EBUSY, "Device or resource busy")
                self._slave = argument
            case linux.I2C_PEC:
                self._pec = bool(argument)
            case linux.I2C_SMBUS:
                self._smbus(argument)
            case linux.I2C_RDWR:
                self._messages(argument)
            case _:
                raise OSError(errno.ENOTTY, "Inappropriate ioctl for device")
        return 0

    def _registers(self, address: int) -> dict[int, int | bytes]:
        assert self.goes.wait(_DEADLINE_SECONDS)
        if self.stuck:
            raise OSError(errno.ETIMEDOUT, "Connection timed out")
        if address in self.silent or address not in self.devices:
            raise OSError(errno.ENXIO, "No such device or address")
        return self.devices[address]

    def _smbus(self, call: linux.SmbusCall) -> None:
        data = call.data.contents
        write = call.read_write == linux.WRITE
        self.log.append(("write" if write else "read", self._slave, call.command, self._pec))
        registers = self._registers(self._slave)
        if write:
            assert call.size == linux.BYTE_DATA
            registers[call.command] = data.byte
            return
        if call.command not in registers:
            raise OSError(errno.EREMOTEIO, "Remote I/O error")
        found = registers[call.command]
        if call.size == linux.BLOCK_DATA:
            assert isinstance(found, bytes)
            data.block[0] = len(found)
            for index, byte in enumerate(found[:32]):
                data.block[index + 1] = byte
            return
        assert isinstance(found, int)
        if call.size == linux.BYTE_DATA:
            data.byte = found & 0xFF
        else:
            data.word = found & 0xFFFF

    def _messages(self, call: linux.Messages) -> None:
        """An EEPROM: what is written is an address, what is read begins there."""
        offset = 0
        for index in range(call.nmsgs):
            message = call.msgs[index]
            content = self._registers(message.addr)[0]
            assert isinstance(content, bytes)
            if message.flags & linux.M_RD:
                ctypes.memmove(message.buf, content[offset : offset + message.len], message.len)
            else:
                offset = int.from_bytes(ctypes.string_at(message.buf, message.len), "big")
