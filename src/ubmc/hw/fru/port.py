"""The port for FRU storage: the bytes of an EEPROM (or of what stands for one). What they mean is `protocols.fru`."""

from __future__ import annotations

from typing import Protocol


class FruStore(Protocol):
    """The storage of one field-replaceable unit."""

    @property
    def name(self) -> str:
        """The name of the asset that it belongs to: `psu.0`."""

    @property
    def writable(self) -> bool:
        """Whether `write` can work."""

    async def read(self) -> bytes:
        """All bytes, at most 64 KiB.

        Raises:
            NotFound: the unit is not plugged.
            Unavailable: it cannot be read.
        """

    async def write(self, data: bytes) -> None:
        """Replace the first bytes and read them back.

        Raises:
            NotFound: the unit is not plugged.
            Refused: it cannot be written, or takes no more than its size.
            Unavailable: it does not keep what was written.
        """

    async def close(self) -> None:
        """Give it back."""
