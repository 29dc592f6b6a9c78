"""inventorymgr on a real bus, with FRU storage in files and a machine whose parts come and go."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from protobuf.wkt import FieldMask
from tests.harness.bus import BusWorld

from ubmc.hw.fru.file import FileFru
from ubmc.hw.fru.port import FruStore
from ubmc.hw.inventory.port import AssetFacts, AssetReader, Kind, Source
from ubmc.kit.bus import Bus
from ubmc.kit.database import Database
from ubmc.kit.errors import Denied, Invalid, NotFound, Refused, Unavailable
from ubmc.kit.service import Service, on, rpc
from ubmc.protocols import fru
from ubmc.protocols.fru import Area, Fru, InfoArea
from ubmc.services.eventlog.service import EventLog
from ubmc.services.inventorymgr.plan import AssetPlan, Options
from ubmc.services.inventorymgr.service import InventoryManager
from ubmc.services.ipc.permissions import ProcessSpec
from ubmc.v1alpha1.inventory_pb import (
    Asset,
    AssetAdded,
    AssetChanged,
    AssetKind,
    AssetRemoved,
    AssetSource,
    GetAssetRequest,
    ListAssetsRequest,
    ReadFruRequest,
    UpdateAssetRequest,
    WatchAssetsRequest,
    WriteFruRequest,
)
from ubmc.v1alpha1.inventory_pb import Fru as WireFru
from ubmc.v1alpha1.inventory_rpc import InventoryService
from ubmc.v1alpha1.sensor_pb import (
    ListSensorsRequest,
    ListSensorsResponse,
    Sensor,
    SensorKind,
    SensorQuality,
    SensorQualityChange,
    SensorStateChange,
)
from ubmc.v1alpha1.sensor_rpc import SensorService

OPTIONS = Options(poll_seconds=0.05, fru_seconds=0.1, presence_seconds=0.05)
PSU = AssetFacts("psu.0", Kind.POWER_SUPPLY, parent="chassis.0", model="from the board file", location="left bay")
PLANS = [
    AssetPlan(AssetFacts("chassis.0", Kind.CHASSIS, manufacturer="Example", model="Box")),
    AssetPlan(PSU),
    AssetPlan(AssetFacts("fan.0", Kind.FAN, parent="chassis.0"), presence="fan0_presence"),
]


def content(serial: str = "SN1", **more: str) -> bytes:
    texts = {
        "manufacturer": "Acme",
        "name": "P750",
        "part_number": "PN",
        "version": "2",
        "serial_number": serial,
    } | more
    fields = tuple(fru.encode_text(texts.get(name, "")) for name in fru.FIELDS[Area.PRODUCT])
    return fru.build(Fru({Area.PRODUCT: InfoArea(Area.PRODUCT, fields)}))


class Machine(AssetReader):
    """A machine that tells of its parts."""

    def __init__(self) -> None:
        self.parts: list[AssetFacts] = [
            AssetFacts("dimm.0", Kind.MEMORY, parent="host.0", serial_number="D0", details={"capacity_bytes": "1024"})
        ]
        self.away = False

    @property
    def source(self) -> Source:
        return Source.SIMULATION

    async def read(self) -> Sequence[AssetFacts]:
        if self.away:
            raise Unavailable("the machine is away")
        return list(self.parts)

    async def close(self) -> None:
        return


class Worn(FileFru):
    """Storage in a file that takes only a part of what is written, and then says so."""

    takes: Sequence[int] = ()
    """How many bytes of each of the next writes."""

    async def write(self, data: bytes) -> None:
        if self.takes:
            taken, *self.takes = self.takes
            await super().write(data[:taken])
            raise Unavailable("psu.0: its FRU storage does not keep what was written")
        await super().write(data)


@dataclass
class Opened:
    """FRU storage in files, and the machine."""

    folder: Path
    machine: Machine
    writable: bool = True
    frus: Mapping[str, FruStore] = field(default_factory=dict)
    readers: Sequence[AssetReader] = ()
    store: Worn | None = None
    """That of psu.0, as it was opened last."""

    def open(self) -> Opened:
        store = self.store = Worn("psu.0", self.folder / "psu.0", size=256, writable=self.writable)
        return replace(self, frus={"psu.0": store}, readers=[self.machine])

    async def close(self) -> None:
        for store in self.frus.values():
            await store.close()


class Senses(Service):
    """A sensor of presence."""

    name = "sensormon"
    tells = (SensorStateChange, SensorQualityChange)

    def __init__(self) -> None:
        self.state, self.quality = "present", SensorQuality.GOOD

    @rpc(SensorService.ListSensors)
    async def list_sensors(self, request: ListSensorsRequest) -> ListSensorsResponse:
        assert request.kind == SensorKind.STATE
        sensor = Sensor(name="fan0_presence", states=["absent", "present"], state=self.state, quality=self.quality)
        return ListSensorsResponse(sensors=[sensor])


class Ear(Service):
    """Hears the events."""

    name = "ear"

    def __init__(self) -> None:
        self.heard: list[str] = []

    @on(AssetAdded)
    async def added(self, news: AssetAdded) -> None:
        self.heard.append(f"+{news.name} {news.description}")

    @on(AssetRemoved)
    async def removed(self, news: AssetRemoved) -> None:
        self.heard.append(f"-{news.name} {news.description}")

    @on(AssetChanged)
    async def changed(self, news: AssetChanged) -> None:
        self.heard.append(f"{news.name}: {news.what}")


@dataclass
class World:
    world: BusWorld
    door: Bus
    managers: Bus
    opened: Opened
    senses: Senses
    ear: Ear
    expendable: Database
    precious: Database
    running: asyncio.Task[None] | None = None

    @property
    def psu(self) -> Path:
        return self.opened.folder / "psu.0"

    async def start(self, options: Options = OPTIONS) -> None:
        manager = InventoryManager(PLANS, self.opened.open, self.expendable, self.precious, options=options)
        self.running = await self.world.run(self.managers, manager)

    async def stop(self) -> None:
        assert self.running is not None
        self.running.cancel()
        await asyncio.gather(self.running, return_exceptions=True)

    async def get(self, name: str = "psu.0") -> Asset:
        answer = await self.door.forward(InventoryService.GetAsset, GetAssetRequest(name=name), self.world.call("anna"))
        assert answer.asset is not None
        return answer.asset

    async def names(self, **filters: object) -> list[str]:
        request = ListAssetsRequest(**filters)  # type: ignore[arg-type]
        answer = await self.door.forward(InventoryService.ListAssets, request, self.world.call("anna", "ReadOnly"))
        return [asset.name for asset in answer.assets]

    async def update(self, asset: Asset, *paths: str, role: str = "Administrator") -> Asset:
        request = UpdateAssetRequest(asset=asset, update_mask=FieldMask(paths=list(paths)) if paths else None)
        answer = await self.door.forward(InventoryService.UpdateAsset, request, self.world.call("anna", role))
        assert answer.asset is not None
        return answer.asset

    async def write(self, data: bytes) -> None:
        request = WriteFruRequest(name="psu.0", data=data)
        await self.door.forward(InventoryService.WriteFru, request, self.world.call("anna"))

    async def read(self) -> bytes:
        request = ReadFruRequest(name="psu.0")
        return (await self.door.forward(InventoryService.ReadFru, request, self.world.call("anna"))).data

    async def hears(self, what: str) -> None:
        await self.until(lambda: any(what in each for each in self.ear.heard), what)

    async def until(self, holds: Callable[[], object], what: str = "") -> None:
        try:
            async with asyncio.timeout(30):
                while not holds():
                    await asyncio.sleep(0.005)
        except TimeoutError:
            pytest.fail(f"not seen: {what}; heard {self.ear.heard}")

    async def rounds(self) -> None:
        """Time for several looks at everything."""
        await asyncio.sleep(0.4)


@contextlib.asynccontextmanager
async def world(folder: Path, *, writable: bool = True, storage: bytes | None = None) -> AsyncIterator[World]:
    opened = Opened(folder, Machine(), writable)
    (folder / "psu.0").write_bytes(content() if storage is None else storage)
    expendable, precious = Database(folder / "expendable.db"), Database(folder / "precious.db")
    expendable.open()
    precious.open()
    specs = (
        ProcessSpec("managers", (InventoryManager, EventLog, Senses, Ear)),
        ProcessSpec("websrv", (), door=True),
    )
    try:
        async with BusWorld(*specs) as made:
            senses, ear = Senses(), Ear()
            managers = await made.place("managers", EventLog(expendable, made.schema), senses, ear)
            door = await made.place("websrv")
            w = World(made, door, managers, opened, senses, ear, expendable, precious)
            await w.start()
            yield w
            await w.stop()
    finally:
        expendable.close()
        precious.close()


async def test_assets_are_made_of_all_sources(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        assert await w.names() == ["chassis.0", "dimm.0", "fan.0", "psu.0"]
        assert await w.names(parent="chassis.0") == ["fan.0", "psu.0"]
        assert await w.names(kind=AssetKind.MEMORY) == ["dimm.0"]
        psu = await w.get()
        assert (psu.manufacturer, psu.model, psu.serial_number, psu.version) == ("Acme", "P750", "SN1", "2")
        assert (psu.location, psu.parent, psu.source) == ("left bay", "chassis.0", AssetSource.FRU)
        assert psu.present
        assert psu.fru_writable
        assert not psu.faults
        assert psu.fru is not None
        assert psu.fru.product_part_number == "PN"
        dimm = await w.get("dimm.0")
        assert (dimm.serial_number, dimm.details["capacity_bytes"]) == ("D0", "1024")
        assert dimm.source == AssetSource.SIMULATION
        chassis = await w.get("chassis.0")
        assert (chassis.model, chassis.source) == ("Box", AssetSource.BOARD)
        with pytest.raises(NotFound, match=r"chassis\.0, dimm\.0"):
            await w.get("psu.7")


async def test_news_of_a_sensor_have_the_parts_looked_at_at_once(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await w.stop()
        await w.start(Options(poll_seconds=3600.0, fru_seconds=3600.0, presence_seconds=3600.0))
        w.senses.state = "absent"
        w.senses.bus.tell("fan.0", SensorStateChange(name="fan0_presence", previous="present", current="absent"))
        await w.hears("-fan.0")
        w.opened.machine.parts.clear()
        told = SensorQualityChange(name="dimm0_temp", previous=SensorQuality.GOOD, current=SensorQuality.FAILED)
        w.senses.bus.tell("dimm.0", told)
        await w.hears("-dimm.0")


async def test_presence_is_told_on_the_edge_and_remembered_over_restarts(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await w.rounds()
        assert w.ear.heard == []  # the first start of all tells nothing
        part = w.opened.machine.parts.pop()
        await w.hears("-dimm.0 memory, serial number D0")
        assert "dimm.0" not in await w.names()
        w.opened.machine.parts.append(part)
        await w.hears("+dimm.0")
        w.senses.state = "absent"
        await w.hears("-fan.0 fan")
        assert not (await w.get("fan.0")).present
        w.senses.quality = SensorQuality.FAILED  # nobody can know: as it was
        await w.rounds()
        assert not (await w.get("fan.0")).present
        stored = w.psu.read_bytes()
        w.psu.unlink()
        await w.hears("-psu.0 power supply Acme P750, serial number SN1")
        absent = await w.get()
        assert not absent.present
        assert (absent.serial_number, absent.model, absent.fru) == ("", "from the board file", None)
        with pytest.raises(Refused, match="not there"):
            await w.read()
        w.psu.write_bytes(stored)
        await w.hears("+psu.0 power supply Acme P750, serial number SN1")

        await w.stop()
        w.ear.heard.clear()
        w.opened.machine.parts.clear()
        w.psu.write_bytes(content("SN2"))
        await w.start()  # what changed meanwhile is told, and nothing else
        await w.rounds()
        assert sorted(w.ear.heard) == [
            "-dimm.0 memory, serial number D0",
            "psu.0: it was replaced: serial number SN2, before it SN1",
        ]


async def test_a_source_that_is_away_takes_nothing_with_it(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with world(tmp_path) as w:
        w.opened.machine.away = True
        await w.rounds()
        assert "dimm.0" in await w.names()
        await w.stop()
        await w.start()
        await w.rounds()
        assert "dimm.0" not in await w.names()  # nobody has told of it since the start
        w.opened.machine.away = False
        await w.rounds()
        assert "dimm.0" in await w.names()
        assert w.ear.heard == []
        assert caplog.text.count("a source of inventory fails") == 2  # once in each life


async def test_damage_is_listed_told_once_and_no_crash(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        damaged = bytearray(content())
        damaged[12] ^= 0xFF
        w.psu.write_bytes(damaged)
        await w.hears("psu.0: its data is damaged: FRU storage, at byte ")
        psu = await w.get()
        assert any("checksum" in fault for fault in psu.faults)
        assert psu.present
        with pytest.raises(Refused, match="damaged"):
            await w.update(Asset(name="psu.0", fru=WireFru(product_version="3")), "fru.product_version")
        w.psu.write_bytes(b"\x00")
        await w.rounds()
        for junk in (b"", b"\xff" * 256, b"\x01" * 256, bytes(range(256))):
            w.psu.write_bytes(junk)
            await w.rounds()
            assert (await w.get()).faults
        w.psu.write_bytes(content())
        await w.hears("psu.0: its data is right again")
        assert not (await w.get()).faults


async def test_hostile_texts_stay_texts(tmp_path: Path) -> None:
    hostile = b"\x1b]0;x\x07<b>'\r\n"
    fields = (fru.Field(fru.Encoding.TEXT, hostile),) + (fru.Field(fru.Encoding.TEXT),) * 6
    storage = fru.build(Fru({Area.PRODUCT: InfoArea(Area.PRODUCT, fields)}))
    async with world(tmp_path, storage=storage) as w:
        psu = await w.get()
        assert psu.manufacturer == "\\x1b]0;x\\x07<b>'\\r\\n"
        assert psu.fru is not None
        assert psu.fru.product_manufacturer == psu.manufacturer
        # What is shown escaped and comes back unchanged is not stored escaped.
        await w.update(
            Asset(name="psu.0", fru=WireFru(product_manufacturer=psu.manufacturer, product_version="9")),
            "fru.product_manufacturer",
            "fru.product_version",
        )
        assert hostile in w.psu.read_bytes()
        w.opened.machine.parts.append(AssetFacts("../../etc", Kind.OTHER))
        w.opened.machine.parts.append(
            AssetFacts("nic.0", Kind.NETWORK_CARD, model="\u202egnp.exe", manufacturer="x" * 999)
        )
        await w.hears("+nic.0")
        assert "../../etc" not in await w.names()
        nic = await w.get("nic.0")
        assert nic.model == "\\u202egnp.exe"
        assert len(nic.manufacturer) == 256


async def test_fields_of_the_storage_are_changed(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        new = Asset(name="psu.0", fru=WireFru(product_serial_number="SN9", board_custom=["a", "b"]))
        psu = await w.update(new, "fru.product_serial_number", "fru.board_custom")
        assert psu.serial_number == "SN9"
        assert psu.fru is not None
        assert psu.fru.board_custom == ["a", "b"]
        assert fru.parse(w.psu.read_bytes()).fru.info[Area.PRODUCT].text("serial_number") == "SN9"
        await w.hears("psu.0: its FRU storage was changed: board_custom, product_serial_number")
        await w.rounds()
        assert not any("replaced" in each for each in w.ear.heard)
        for path in ("serial_number", "fru", "fru.colour", "name"):
            with pytest.raises(Invalid, match="only asset_tag and the fields of fru"):
                await w.update(new, path)
        with pytest.raises(Invalid, match="the same"):
            await w.update(new, "asset_tag", "fru.product_asset_tag")
        with pytest.raises(Refused, match="storage has 256"):
            await w.update(Asset(name="psu.0", fru=WireFru(board_custom=["x" * 60] * 5)), "fru.board_custom")
        with pytest.raises(NotFound, match="no FRU storage"):
            await w.update(Asset(name="fan.0", fru=WireFru(product_version="1")), "fru.product_version")
        with pytest.raises(Denied):
            await w.update(new, role="ReadOnly")


async def test_an_asset_tag_is_kept_in_the_storage_or_else_by_the_bmc(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        assert (await w.update(Asset(name="psu.0", asset_tag="T-1"))).asset_tag == "T-1"
        assert fru.parse(w.psu.read_bytes()).fru.info[Area.PRODUCT].text("asset_tag") == "T-1"
        await w.hears('psu.0: its asset tag is now "T-1"')
        assert (await w.update(Asset(name="psu.0", asset_tag="日本"))).asset_tag == "日本"  # no FRU can say that
        assert (await w.update(Asset(name="fan.0", asset_tag="F"), "asset_tag")).asset_tag == "F"
        with pytest.raises(Invalid, match="control characters"):
            await w.update(Asset(name="fan.0", asset_tag="a\x1bb"))
        await w.stop()
        await w.start()
        assert (await w.get()).asset_tag == "日本"
        assert (await w.get("fan.0")).asset_tag == "F"
        assert (await w.update(Asset(name="psu.0", asset_tag="T-2"))).asset_tag == "T-2"  # in the storage again
        w.psu.write_bytes(content("another"))
        await w.hears("replaced")
        assert (await w.get()).asset_tag == ""
        assert (await w.update(Asset(name="fan.0", asset_tag=""))).asset_tag == ""


async def test_a_tag_that_the_bmc_keeps_belongs_to_one_part(tmp_path: Path) -> None:
    async with world(tmp_path, writable=False) as w:
        assert not (await w.get()).fru_writable
        assert (await w.update(Asset(name="psu.0", asset_tag="mine"))).asset_tag == "mine"
        assert w.psu.read_bytes() == content()
        w.psu.write_bytes(content("SN2"))
        await w.hears("replaced")
        assert (await w.get()).asset_tag == ""
        with pytest.raises(Refused, match="cannot be written"):
            await w.write(content())


async def test_a_write_that_fails_changes_nothing(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        assert w.opened.store is not None
        before, told = w.psu.read_bytes(), len(w.ear.heard)
        both = Asset(name="psu.0", asset_tag="T-9", fru=WireFru(product_version="3"))
        for taken in (0, 40, 256):
            w.opened.store.takes = [taken]
            with pytest.raises(Unavailable, match="does not keep"):
                await w.update(both, "asset_tag", "fru.product_version")
            assert w.psu.read_bytes().rstrip(b"\xff") == before.rstrip(b"\xff"), "the tag without the version"
        psu = await w.get()
        assert (psu.asset_tag, psu.version, list(psu.faults)) == ("", "2", [])
        w.opened.store.takes = [16, 0]
        with pytest.raises(Unavailable):
            await w.update(Asset(name="psu.0", fru=WireFru(product_manufacturer="Best")), "fru.product_manufacturer")
        assert (await w.get()).faults, "what is torn for good is told with the answer"
        await w.write(content())
        await w.rounds()
        assert not any("replaced" in each for each in w.ear.heard[told:])
        assert not any("asset tag" in each for each in w.ear.heard[told:])


async def test_whole_storage_is_read_and_written(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        assert await w.read() == content().ljust(256, b"\xff")
        await w.write(content("SN7"))
        assert (await w.get()).serial_number == "SN7"
        await w.hears("psu.0: its FRU storage was written")
        assert (await w.read()).startswith(content("SN7"))
        broken = bytearray(content())
        broken[-1] ^= 1
        with pytest.raises(Invalid, match="checksum of the product area"):
            await w.write(bytes(broken))
        with pytest.raises(Invalid, match="blank"):
            await w.write(bytes(64))
        with pytest.raises(Refused, match="storage has 256"):
            await w.write(content() + bytes(256))
        assert (await w.get()).serial_number == "SN7"


async def test_watchers_get_a_snapshot_then_changes_and_resume(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        call = w.world.call("anna", "ReadOnly", seconds=30)
        watching = w.door.watch(InventoryService.WatchAssets, WatchAssetsRequest(), call)
        first = [await anext(watching) for _ in range(4)]
        assert {each.asset.name for each in first if each.asset} == {"chassis.0", "psu.0", "fan.0", "dimm.0"}
        assert all(each.snapshot for each in first)
        w.opened.machine.parts.clear()
        gone = await anext(watching)
        await watching.aclose()
        assert gone.asset is not None
        assert (gone.asset.name, gone.asset.present, gone.snapshot) == ("dimm.0", False, False)
        resumed = w.door.watch(InventoryService.WatchAssets, WatchAssetsRequest(cursor=first[-1].cursor), call)
        again = await anext(resumed)
        await resumed.aclose()
        assert again.asset == gone.asset


async def test_pages_stay_within_what_the_bus_takes(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        w.opened.machine.parts = [
            AssetFacts(f"dimm.{number}", Kind.MEMORY, details={f"k{index}": "v" * 250 for index in range(64)})
            for number in range(60)
        ]
        await w.hears("+dimm.59")
        names, token = [], ""
        while True:
            request = ListAssetsRequest(page_token=token, kind=AssetKind.MEMORY)
            answer = await w.door.forward(InventoryService.ListAssets, request, w.world.call())
            names += [asset.name for asset in answer.assets]
            token = answer.next_page_token
            if not token:
                break
        assert names == [f"dimm.{number}" for number in range(60)]
