"""FRU storage of the simulated machine: bytes that a factory would have written, and what became of them.

The layout is that of the "IPMI Platform Management FRU Information Storage Definition", v1.0 revision 1.3: common
header (section 8), chassis area (10), board area (11), product area (12). It is written here a second time on purpose:
what reads it is `ubmc.protocols.fru`, and one must not check itself.
"""

from __future__ import annotations

from collections.abc import Sequence

from ubmc.hw.sim.shape import Asset
from ubmc.kit.errors import NotFound, Refused

_AREA_VERSION = 1
_ENGLISH = 0
_RACK_MOUNT = 0x17  # chassis type of SMBIOS, section 7.4.1
_END = 0xC1
_ASCII = 0xC0
_MADE_MINUTES = 14_900_000  # since the first of January 1996: in the year 2024


class Stores:
    """The storage of all parts."""

    def __init__(self, assets: Sequence[Asset]) -> None:
        self._assets = {asset.name: asset for asset in assets if asset.fru_bytes}
        self._bytes: dict[str, bytes] = {}

    @property
    def names(self) -> Sequence[str]:
        """Which assets have storage."""
        return tuple(self._assets)

    def read(self, name: str, *, damaged: bool) -> bytes:
        """All bytes of one. Raises `NotFound`."""
        data = self._bytes.get(name) or image(self._find(name))
        if damaged:
            return bytes(byte ^ 0x55 if place % 7 == 0 else byte for place, byte in enumerate(data))
        return data

    def write(self, name: str, data: bytes) -> None:
        """Replace the first bytes.

        Raises:
            NotFound: no such storage.
            Refused: it is write-protected, or smaller than that.
        """
        asset = self._find(name)
        if not asset.fru_writable:
            raise Refused(f"the FRU storage of {name} is write-protected")
        if len(data) > asset.fru_bytes:
            raise Refused(f"the FRU storage of {name} takes {asset.fru_bytes} bytes, not {len(data)}")
        self._bytes[name] = data + self.read(name, damaged=False)[len(data) :]

    def _find(self, name: str) -> Asset:
        if name not in self._assets:
            raise NotFound(f"{name} has no FRU storage; there is that of {', '.join(self._assets)}")
        return self._assets[name]


def image(asset: Asset) -> bytes:
    """What a factory writes into the storage of such a part, padded to its size."""
    chassis = board = product = b""
    if asset.kind == "chassis":
        chassis = _area(bytes([_RACK_MOUNT]), (asset.part_number, asset.serial_number))
    if asset.kind in {"board", "network-card"}:
        made = bytes([_ENGLISH]) + _MADE_MINUTES.to_bytes(3, "little")
        board = _area(made, (asset.manufacturer, asset.model, asset.serial_number, asset.part_number, ""))
    names = (asset.manufacturer, asset.model, asset.part_number, asset.version, asset.serial_number, "", "")
    product = _area(bytes([_ENGLISH]), names)
    header, body = bytearray([_AREA_VERSION, 0]), b""
    for area in (chassis, board, product):
        header.append((8 + len(body)) // 8 if area else 0)
        body += area
    header += bytes(2)
    return (bytes([*header, _checksum(header)]) + body).ljust(asset.fru_bytes, b"\xff")


def _area(start: bytes, texts: Sequence[str]) -> bytes:
    fields = b"".join(bytes([_ASCII | len(text)]) + text.encode("ascii") for text in texts) + bytes([_END])
    length = -(-(2 + len(start) + len(fields) + 1) // 8)
    area = (bytes([_AREA_VERSION, length]) + start + fields).ljust(8 * length - 1, b"\0")
    return area + bytes([_checksum(area)])


def _checksum(data: bytes | bytearray) -> int:
    return -sum(data) & 0xFF
