"""The port for an I2C bus: SMBus transfers with devices that no kernel driver has.

All calls block, a few milliseconds as a rule and up to the adapter's timeout (1 s) when the bus is stuck: they belong
on the worker thread of the bus. There is no quick write and no scan, on purpose: both can change what a device holds.
"""

from __future__ import annotations

from typing import Protocol


class I2cBus(Protocol):
    """One bus, open. Addresses have seven bits; words are SMBus words, the low byte first on the wire.

    Every call raises:
        Refused: a driver of the kernel has the address; read it through that driver.
        Unavailable: the device or the bus does not answer.
    """

    @property
    def name(self) -> str:
        """The name of the bus, such as `i2c-3`."""

    def read_byte(self, address: int, command: int, *, pec: bool = False) -> int:
        """Read a byte register."""

    def read_word(self, address: int, command: int, *, pec: bool = False) -> int:
        """Read a word register."""

    def read_block(self, address: int, command: int, *, pec: bool = False) -> bytes:
        """Read a block (SMBus block read: the device says how many bytes, at most 32)."""

    def write_byte(self, address: int, command: int, value: int, *, pec: bool = False) -> None:
        """Write a byte register."""

    def transfer(self, address: int, write: bytes, read: int) -> bytes:
        """Write bytes, then read so many after a repeated start; at least one of both, at most 8192 bytes each."""

    def close(self) -> None:
        """Give the bus back."""
