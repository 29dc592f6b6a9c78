"""The SDR repository and the FRU devices (Spec chapters 33 and 34)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ubmc.protocols import fru as codec
from ubmc.protocols.fru import FIELDS, Area, Fru, InfoArea, encode_text
from ubmc.protocols.ipmi import sel, storage
from ubmc.protocols.ipmi.codes import Code, Completion, Level, NetFn
from ubmc.services.ipmisrv.commands.ground import Ground
from ubmc.services.ipmisrv.commands.repository import FruDevice
from ubmc.services.ipmisrv.dispatch import Command, Context
from ubmc.v1alpha1.inventory_pb import Asset, ReadFruRequest, WriteFruRequest
from ubmc.v1alpha1.inventory_rpc import InventoryService

CALLS = (InventoryService.ReadFru, InventoryService.WriteFru)
_DRAFT_SECONDS = 120.0
_READ_SECONDS = 10.0
_RACK_MOUNT = 0x17  # chassis type (SMBIOS 3.7, table 17)


class Reservation:
    """The number by which a client notices that what it reads in parts is not the same any more (Spec section 31.4).

    The specification lets each reservation cancel the one before. Then whoever reserves again and again would keep all
    others from clearing or reading anything. So as long as nothing has changed everybody gets the same number.
    """

    def __init__(self) -> None:
        self._number = 0
        self._good = False

    def reserve(self) -> bytes:
        """The one that holds, or a new one."""
        if not self._good:
            self._number = self._number % 0xFFFF + 1
            self._good = True
        return self._number.to_bytes(2, "little")

    def cancel(self) -> None:
        """What was reserved has changed."""
        self._good = False

    def check(self, data: bytes, *, needed: bool) -> None:
        """Check the number of a request; 0 will do where none is needed.

        Raises:
            Completion: C5h, it is not the one that holds.
        """
        number = int.from_bytes(data, "little")
        if (number or needed) and not (self._good and number == self._number):
            raise Completion(Code.RESERVATION_CANCELLED)


@dataclass(slots=True)
class Content:
    """The bytes of a FRU device, as they were read or are being written."""

    data: bytes
    read: float
    """Monotonic seconds."""
    asset: Asset | None
    """What was known of it then."""
    draft: bool = False
    """It was written in part, and is no whole FRU yet."""

    def good(self, now: float, asset: Asset | None) -> bool:
        """Whether it can be shown at the monotonic time `now`."""
        if self.draft:
            return now - self.read < _DRAFT_SECONDS
        return now - self.read < _READ_SECONDS and self.asset is asset


class StorageCommands:
    """The commands.

    Args:
        ground: what all stand on.
    """

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._reservation = Reservation()
        self._digest = 0
        self._contents: dict[int, Content] = {}

    def commands(self) -> Iterable[Command]:
        """The table of them (Spec table G-1)."""
        net, user, admin = NetFn.STORAGE, Level.USER, Level.ADMINISTRATOR
        read, write = "InventoryService.ReadFru", "InventoryService.WriteFru"
        watch = "SensorService.WatchSensors, InventoryService.WatchAssets"
        return (
            Command(net, 0x10, "Get FRU Inventory Area Info", user, self._fru_info, 1, inband=True, calls=read),
            Command(net, 0x11, "Read FRU Data", user, self._read_fru, 4, inband=True, calls=read),
            Command(net, 0x12, "Write FRU Data", admin, self._write_fru, 4, 240, calls=write),
            Command(net, 0x20, "Get SDR Repository Info", user, self._info, inband=True, calls=watch),
            Command(net, 0x21, "Get SDR Repository Allocation Info", user, self._allocation, inband=True),
            Command(net, 0x22, "Reserve SDR Repository", user, self._reserve, inband=True),
            Command(net, 0x23, "Get SDR", user, self._sdr, 6, inband=True, calls=watch),
            Command(net, 0x28, "Get SDR Repository Time", user, self._time, inband=True),
        )

    # --- SDR ------------------------------------------------------------------------------------------------------

    def _records(self) -> tuple[bytes, ...]:
        repository = self._ground.repository()
        if repository.digest != self._digest:
            self._digest = repository.digest
            self._reservation.cancel()
        return repository.records

    def _info(self, _context: Context, _data: bytes) -> bytes:
        count = len(self._records())
        return storage.repository_info(count, self._ground.sdr_time, 0)

    def _allocation(self, _context: Context, _data: bytes) -> bytes:
        return storage.repository_allocation(len(self._records()))

    def _reserve(self, _context: Context, _data: bytes) -> bytes:
        self._records()
        return self._reservation.reserve()

    def _time(self, _context: Context, _data: bytes) -> bytes:
        return self._ground.now().to_bytes(4, "little")

    def _sdr(self, _context: Context, data: bytes) -> bytes:
        records = self._records()
        record_id, offset, count = int.from_bytes(data[2:4], "little"), data[4], data[5]
        self._reservation.check(data[:2], needed=offset != 0)
        position = {storage.FIRST: 1, storage.LAST: len(records)}.get(record_id, record_id)
        if not 1 <= position <= len(records):
            raise Completion(Code.NOT_PRESENT)
        following = position + 1 if position < len(records) else storage.LAST
        return sel.part(records[position - 1], following, offset, count)

    # --- FRU ------------------------------------------------------------------------------------------------------

    def _device(self, number: int) -> FruDevice:
        devices = self._ground.frus()
        if number >= len(devices):
            raise Completion(Code.NOT_PRESENT)
        return devices[number]

    async def _content(self, context: Context, number: int) -> Content:
        device = self._device(number)
        asset = self._ground.facts.assets.known.get(device.asset)
        kept, now = self._contents.get(number), context.clock()
        if kept is not None and kept.good(now, asset):
            return kept
        if asset is not None and asset.fru is not None:
            answer = await context.ask(InventoryService.ReadFru, ReadFruRequest(name=device.asset))
            data = answer.data
        elif number == 0:
            data = self._made(asset)
        else:
            raise Completion(Code.NOT_PRESENT)
        content = Content(data, now, asset)
        self._contents[number] = content
        return content

    def _made(self, asset: Asset | None) -> bytes:
        """The FRU of a system that has no storage for one, made of what is known."""
        host = self._ground.facts.assets.known.get(self._ground.options.host)
        known = asset if asset is not None and asset.serial_number else host
        if known is None:
            raise Completion(Code.NOT_PRESENT)
        texts = {
            "manufacturer": known.manufacturer,
            "product": known.model,
            "name": known.model,
            "part_number": known.part_number,
            "version": known.version,
            "serial_number": known.serial_number,
            "asset_tag": known.asset_tag,
        }
        return codec.build(Fru(info={area: _area(area, texts) for area in FIELDS}))

    async def _fru_info(self, context: Context, data: bytes) -> bytes:
        return storage.fru_info(len((await self._content(context, data[0])).data))

    async def _read_fru(self, context: Context, data: bytes) -> bytes:
        content = await self._content(context, data[0])
        return storage.fru_part(content.data, int.from_bytes(data[1:3], "little"), data[3])

    async def _write_fru(self, context: Context, data: bytes) -> bytes:
        """A FRU comes in parts, but is only ever written whole: when all checksums are right."""
        device = self._device(data[0])
        asset = self._ground.facts.assets.known.get(device.asset)
        if asset is None or asset.fru is None or not asset.fru_writable:
            raise Completion(storage.FRU_WRITE_PROTECTED)
        content = await self._content(context, data[0])
        offset, part = int.from_bytes(data[1:3], "little"), data[3:]
        if offset + len(part) > len(content.data):
            raise Completion(Code.OUT_OF_RANGE)
        changed = content.data[:offset] + part + content.data[offset + len(part) :]
        if changed != content.data or content.draft:
            content = Content(changed, context.clock(), asset, draft=True)
            self._contents[data[0]] = content
            if not codec.parse(changed).faults:
                await context.ask(InventoryService.WriteFru, WriteFruRequest(name=device.asset, data=changed))
                content.draft = False
        return bytes((len(part),))


def _area(area: Area, texts: Mapping[str, str]) -> InfoArea:
    fields = tuple(encode_text(texts.get(name, "")) for name in FIELDS[area])
    return InfoArea(area, fields, chassis_type=_RACK_MOUNT if area is Area.CHASSIS else 0)
