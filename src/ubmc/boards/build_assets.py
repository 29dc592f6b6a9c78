"""From assets of a board to what tells of them: FRU storage, the simulated machine, virtual machines."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType

from ubmc.boards.build import host_directory, sim_directory, virtual_machine
from ubmc.boards.spec import BoardSpec, QemuSpec, SimLinesSpec
from ubmc.boards.spec_assets import EepromFruSpec, SimFruSpec
from ubmc.boards.wiring import place_of
from ubmc.hw.fru.port import FruStore
from ubmc.hw.inventory.port import AssetFacts, AssetReader, Source
from ubmc.kit.errors import Unavailable

_NUMBERS_A_HOST = 16  # so many processors, drives and cards a virtual machine can have, at most
_IDENTITY = "identity.json"


@dataclass(frozen=True, slots=True)
class AssetSources:
    """What tells of the parts of a board: FRU storage by the name of its asset, and readers."""

    frus: Mapping[str, FruStore]
    readers: Sequence[AssetReader]

    async def close(self) -> None:
        """Give all back."""
        for fru in self.frus.values():
            await fru.close()
        for reader in self.readers:
            await reader.close()


def build_asset_sources(spec: BoardSpec, machine_dir: Path) -> AssetSources:
    """All that tells of the parts of a board; nothing is opened here.

    Args:
        spec: the board.
        machine_dir: the folder of all machines of this board, absolute.

    Raises:
        Invalid: the folder's path cannot work.
    """
    return AssetSources(build_frus(spec, machine_dir), build_asset_readers(spec, machine_dir))


def build_frus(spec: BoardSpec, machine_dir: Path) -> Mapping[str, FruStore]:
    """The FRU storage of the assets that have one, by the name of the asset. Arguments and errors as above."""
    found: dict[str, FruStore] = {}
    for asset in spec.assets:
        match asset.fru:
            case EepromFruSpec() as fru:
                found[asset.name] = _build_eeprom(spec, asset.name, fru)
            case SimFruSpec():
                found[asset.name] = _build_sim_fru(spec, asset.name, machine_dir)
    return MappingProxyType(found)


def _build_eeprom(spec: BoardSpec, name: str, fru: EepromFruSpec) -> FruStore:
    from ubmc.hw.fru.linux import EepromFru, chip_of
    from ubmc.hw.i2c.topology import resolve

    chip = chip_of(fru.size, wide=fru.wide)
    bus = partial(resolve, place_of(spec, fru.bus))
    return EepromFru(name, bus, fru.address, size=fru.size, chip=chip, writable=fru.writable)


def _build_sim_fru(spec: BoardSpec, name: str, machine_dir: Path) -> FruStore:
    from ubmc.hw.sim.catalogue import machine_named
    from ubmc.hw.sim.dial import unix_dial
    from ubmc.hw.sim.frus import SimFru

    machine = machine_named(spec.lines.machine.value if isinstance(spec.lines, SimLinesSpec) else "standard")
    writable = any(asset.name == name and asset.fru_writable for asset in machine.assets)
    return SimFru(name, unix_dial(sim_directory(machine_dir)), writable=writable)


def build_asset_readers(spec: BoardSpec, machine_dir: Path) -> Sequence[AssetReader]:
    """What machines tell of their parts by themselves. Arguments and errors as above."""
    readers: list[AssetReader] = []
    if isinstance(spec.lines, SimLinesSpec):
        from ubmc.hw.sim.assets import SimAssets
        from ubmc.hw.sim.dial import unix_dial

        readers.append(SimAssets(unix_dial(sim_directory(machine_dir))))
    homes = {host: chassis.name for chassis in spec.chassis for host in chassis.hosts}
    for index, host in enumerate(spec.hosts):
        if isinstance(host.power, QemuSpec):
            directory = host_directory(machine_dir, host.name)
            make = partial(_virtual, host.power, host.name, directory, homes[host.name], index * _NUMBERS_A_HOST)
            readers.append(_OnceDrawn(make, directory / _IDENTITY))
    return readers


def _virtual(power: QemuSpec, host: str, directory: Path, parent: str, first: int) -> AssetReader:
    from ubmc.hw.qemu.inventory import QemuAssets

    return QemuAssets(virtual_machine(power, host, directory), parent=parent, first=first)


class _OnceDrawn:
    """A virtual machine, once who powers it has drawn its identity: two who draw would draw two."""

    def __init__(self, make: Callable[[], AssetReader], identity: Path) -> None:
        self._make = make
        self._identity = identity
        self._reader: AssetReader | None = None

    @property
    def source(self) -> Source:
        """SMBIOS."""
        return Source.SMBIOS

    async def read(self) -> Sequence[AssetFacts]:
        """All parts. Raises `Unavailable` while the machine has no identity."""
        if self._reader is None:
            if not self._identity.exists():
                raise Unavailable("the virtual machine has no identity yet; it gets one when the BMC starts")
            self._reader = self._make()
        return await self._reader.read()

    async def close(self) -> None:
        """Give it back."""
        if self._reader is not None:
            await self._reader.close()
