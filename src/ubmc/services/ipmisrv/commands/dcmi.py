"""DCMI: power, asset tag, identifier, temperatures."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable

from protobuf.wkt import FieldMask

from ubmc.protocols.ipmi import dcmi
from ubmc.protocols.ipmi.codes import LAN_CHANNEL, Code, Completion, Group, Level, NetFn
from ubmc.protocols.ipmi.dcmi import Place, Power, TextDraft
from ubmc.protocols.ipmi.sdr import Entity, SensorType
from ubmc.services.ipmisrv.commands.ground import Ground
from ubmc.services.ipmisrv.commands.repository import Entry
from ubmc.services.ipmisrv.dispatch import Command, Context
from ubmc.v1alpha1.inventory_pb import Asset, UpdateAssetRequest
from ubmc.v1alpha1.inventory_rpc import InventoryService
from ubmc.v1alpha1.network_pb import Network, UpdateNetworkRequest
from ubmc.v1alpha1.network_rpc import NetworkService
from ubmc.v1alpha1.sensor_pb import Sensor, SensorKind, SensorQuality

CALLS = (InventoryService.UpdateAsset, NetworkService.UpdateNetwork)
_SEL_ENTRIES = 4095
_TEMPERATURE_SECONDS = 1
_ENTITIES = {
    Place.INLET: Entity.AIR_INLET,
    Place.CPU: Entity.PROCESSOR,
    Place.BOARD: Entity.SYSTEM_BOARD,
}
_SYSTEM_POWER, _ENHANCED = 0x01, 0x02
_LONGEST_SECONDS = max(dcmi.PERIODS.values())


class PowerHistory:
    """The power of the system since we look, and that of the last minutes second by second."""

    def __init__(self) -> None:
        self._recent: deque[tuple[float, float]] = deque()
        self._lowest = self._highest = self._sum = 0.0
        self._count = 0
        self._since = 0.0

    def add(self, watts: float, now: float) -> None:
        """Take a reading; `now` is monotonic."""
        if not self._count:
            self._lowest = self._highest = watts
            self._since = now
        self._lowest, self._highest = min(self._lowest, watts), max(self._highest, watts)
        self._sum += watts
        self._count += 1
        self._recent.append((now, watts))
        while self._recent[0][0] < now - _LONGEST_SECONDS:
            self._recent.popleft()

    def over(self, current: float, now: float, seconds: float | None) -> Power:
        """Power over the last seconds; None: since we look."""
        if seconds is None and not self._count:
            return Power(current, current, current, current, int(time.time()), 0.0)
        if seconds is None:
            period, average = now - self._since, self._sum / self._count
            return Power(current, self._lowest, self._highest, average, int(time.time()), period)
        watts = [each for at, each in self._recent if at >= now - seconds] or [current]
        return Power(current, min(watts), max(watts), sum(watts) / len(watts), int(time.time()), seconds)


class DcmiCommands:
    """The commands.

    Args:
        ground: what all stand on.
    """

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._tag = TextDraft(dcmi.ASSET_TAG_BYTES)
        self._identifier = TextDraft(dcmi.IDENTIFIER_BYTES)
        self._history = PowerHistory()

    def commands(self) -> Iterable[Command]:
        """The table of them (DCMI 1.5, section 6)."""
        user, op, admin = Level.USER, Level.OPERATOR, Level.ADMINISTRATOR
        watch, tag, name = "SensorService.WatchSensors", "InventoryService.UpdateAsset", "NetworkService.UpdateNetwork"
        rows = (
            (0x01, "Get DCMI Capabilities Info", user, self._capabilities, 1, 1, ""),
            (0x02, "Get Power Reading", user, self._power, 3, 3, watch),
            (0x03, "Get Power Limit", user, _no_limit, 2, 2, ""),
            (0x06, "Get Asset Tag", user, self._asset_tag, 2, 2, "InventoryService.WatchAssets"),
            (0x07, "Get DCMI Sensor Info", user, self._sensors, 4, 4, watch),
            (0x08, "Set Asset Tag", op, self._set_asset_tag, 2, 18, tag),
            (0x09, "Get Management Controller Identifier String", user, self._name, 2, 2, ""),
            (0x0A, "Set Management Controller Identifier String", admin, self._set_name, 2, 18, name),
            (0x10, "Get Temperature Readings", user, self._temperatures, 4, 4, watch),
            (0x13, "Get DCMI Configuration Parameters", user, self._configuration, 2, 2, ""),
        )
        return tuple(
            Command(
                NetFn.GROUP,
                number,
                called,
                level,
                handler,
                shortest,
                longest,
                inband=not called.startswith("Set"),
                calls=calls,
                group=Group.DCMI,
            )
            for number, called, level, handler, shortest, longest, calls in rows
        )

    def _capabilities(self, _context: Context, data: bytes) -> bytes:
        return dcmi.capabilities(
            data[0],
            power=self._ground.facts.sensors.fresh and bool(self._power_sensors()),
            lan_channel=LAN_CHANNEL,
            sel_entries=_SEL_ENTRIES,
            temperature_seconds=_TEMPERATURE_SECONDS,
        )

    # --- power ----------------------------------------------------------------------------------------------------

    def _power_sensors(self) -> list[Sensor]:
        """Whose readings add up to the power of the system: one of the chassis, else what its supplies take in."""
        power = [each for each in self._ground.facts.sensors.known.values() if each.kind is SensorKind.POWER]
        whole = [each for each in power if each.component.startswith("chassis.")]
        if whole:
            return sorted(whole, key=lambda each: (bool(each.sources), each.name))[:1]
        taken = [each for each in power if each.component.startswith("psu.") and "in" in each.name.partition("_")[2]]
        return taken or [each for each in power if each.component.startswith("psu.")]

    def _watts(self) -> float | None:
        """The power now; None: it is not known."""
        sensors = self._power_sensors()
        if not sensors or any(each.quality is not SensorQuality.GOOD for each in sensors):
            return None
        return sum(each.value for each in sensors)

    def sample(self) -> None:
        """Take note of the power; to be called every second."""
        if self._ground.facts.sensors.fresh and (watts := self._watts()) is not None:
            self._history.add(watts, time.monotonic())

    def _power(self, context: Context, data: bytes) -> bytes:
        if data[0] not in (_SYSTEM_POWER, _ENHANCED) or (data[0] == _ENHANCED and data[1] not in dcmi.PERIODS):
            raise Completion(Code.INVALID_FIELD)
        self._ground.facts.sensors.all()
        if not self._power_sensors():
            raise Completion(Code.INVALID_COMMAND, "nothing on this board measures its power")
        watts = self._watts()
        if watts is None:
            raise Completion(Code.NOT_IN_THIS_STATE, "there is no reading of the power now")
        seconds = dcmi.PERIODS[data[1]] if data[0] == _ENHANCED else None
        return dcmi.power_reading(self._history.over(watts, context.clock(), seconds))

    # --- texts ----------------------------------------------------------------------------------------------------

    def _tag_now(self) -> bytes:
        asset = self._ground.facts.assets.get(self._ground.options.system)
        return asset.asset_tag.encode("latin-1", "replace")[: dcmi.ASSET_TAG_BYTES]

    def _asset_tag(self, _context: Context, data: bytes) -> bytes:
        return dcmi.text_part(self._tag_now(), data[0], data[1])

    async def _set_asset_tag(self, context: Context, data: bytes) -> bytes:
        text = self._tag.take(data, self._tag_now())
        asset = Asset(name=self._ground.options.system, asset_tag=text.rstrip(b"\0").decode("latin-1"))
        request = UpdateAssetRequest(asset=asset, update_mask=FieldMask(paths=["asset_tag"]))
        changed = (await context.ask(InventoryService.UpdateAsset, request)).asset
        if changed is not None:
            self._ground.facts.assets.put(changed.name, changed)  # it is read back before the stream tells
        return bytes((len(text),))

    def _name_now(self) -> bytes:
        network = self._ground.facts.network
        return (network.host_name if network is not None else "").encode("ascii", "replace") + b"\0"

    def _name(self, _context: Context, data: bytes) -> bytes:
        return dcmi.text_part(self._name_now(), data[0], data[1])

    async def _set_name(self, context: Context, data: bytes) -> bytes:
        """It is the host name of the BMC, which it also tells to a DHCP server; it ends with a zero."""
        text = self._identifier.take(data, self._name_now())
        if b"\0" in text:
            name = text.split(b"\0", 1)[0].decode("ascii", "replace")
            request = UpdateNetworkRequest(network=Network(host_name=name), update_mask=FieldMask(paths=["host_name"]))
            answer = await context.ask(NetworkService.UpdateNetwork, request)
            self._ground.facts.network = answer.network or self._ground.facts.network
        return bytes((len(text),))

    # --- temperatures ---------------------------------------------------------------------------------------------

    def _found(self, data: bytes) -> list[tuple[Entry, Sensor]]:
        """The temperature sensors that a request is about (DCMI 1.5, tables 6-13 and 6-22)."""
        if data[0] != SensorType.TEMPERATURE:
            raise Completion(Code.INVALID_FIELD)
        entity = _ENTITIES[Place(data[1])] if data[1] in tuple(Place) else data[1]
        repository = self._ground.repository()
        found: list[tuple[Entry, Sensor]] = []
        for name, sensor in self._ground.facts.sensors.all().items():
            entry = repository.named(name)
            if entry is not None and entry.kind is SensorType.TEMPERATURE and entry.place.entity == entity:
                found.append((entry, sensor))
        found.sort(key=lambda each: (each[0].place.instance, each[0].record_id))
        if data[2]:
            return found[data[2] - 1 : data[2]]
        return found

    def _sensors(self, _context: Context, data: bytes) -> bytes:
        found = self._found(data)
        start = max(0, data[3] - 1) if not data[2] else 0
        return dcmi.sensors(len(found), [entry.record_id for entry, _ in found[start:]])

    def _temperatures(self, _context: Context, data: bytes) -> bytes:
        found = self._found(data)
        start = max(0, data[3] - 1) if not data[2] else 0
        readings = [
            (start + number, sensor.value)
            for number, (_entry, sensor) in enumerate(found[start:], 1)
            if sensor.quality is SensorQuality.GOOD
        ]
        return dcmi.temperatures(len(found), readings)

    @staticmethod
    def _configuration(_context: Context, data: bytes) -> bytes:
        return dcmi.configuration(data[0], dhcp_identifier=True)


def _no_limit(_context: Context, _data: bytes) -> bytes:
    raise Completion(dcmi.NO_POWER_LIMIT, "no power limit is set", dcmi.NO_POWER_LIMIT_DATA)
