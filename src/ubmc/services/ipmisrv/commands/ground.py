"""What all commands stand on: what is known, what is set, and the numbers of sensors and FRU devices."""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any

from ubmc.kit.bus import Bus
from ubmc.kit.errors import UbmcError
from ubmc.protocols.ipmi import app
from ubmc.protocols.ipmi.app import Device
from ubmc.protocols.ipmi.codes import Code, Completion
from ubmc.services.ipmisrv.commands.facts import Facts
from ubmc.services.ipmisrv.commands.repository import FruDevice, Repository, fru_devices
from ubmc.services.ipmisrv.sessions import SessionsView
from ubmc.services.ipmisrv.settings import Settings
from ubmc.v1alpha1.sensor_pb import Sensor

log = logging.getLogger("ubmc.ipmisrv")

_NAMESPACE = uuid.UUID("6f1d3bb4-7d0a-4a53-9f8a-1a2f6f0f3e10")  # ours, for GUIDs that are made of names
_SDR = "sdr"


@dataclass(frozen=True, slots=True)
class SuiteOptions:
    """What the commands have to know of the board."""

    host: str = "host.0"
    """Which host the network side of IPMI is about; a guest is its own."""
    chassis: str = "chassis.0"
    controller: str = "bmc.0"
    sensors: tuple[str, ...] = ()
    """The names of the sensors, in the order of the board file: they are numbered by it."""
    assets: tuple[str, ...] = ()
    """The names of the parts, in the order of the board file."""
    board: str = ""
    """What the board is called; its GUID is made of that as long as the host does not say its own."""
    version: tuple[int, int, int] = (0, 0, 0)
    absent: frozenset[str] = field(default_factory=frozenset)
    """The services of the schema that nobody answers on this board."""
    port: int = 623
    cipher_suites: tuple[int, ...] = (17,)

    @property
    def system(self) -> str:
        """The part that stands for the system: FRU device 0, and the one with the asset tag."""
        for kind in ("chassis", "board", "host"):
            for name in self.assets:
                if name.partition(".")[0] == kind:
                    return name
        return self.host


class Ground:
    """What all commands stand on.

    Args:
        bus: for calls of the door itself.
        settings: what is set over IPMI.
        options: facts of the board.
        sessions: those that are open.
    """

    def __init__(self, bus: Bus, settings: Settings, options: SuiteOptions, sessions: SessionsView) -> None:
        self.bus = bus
        self.settings = settings
        self.options = options
        self.sessions = sessions
        self.facts = Facts(bus, options.absent)
        self.device = Device(version=options.version)
        self._repository = Repository(options.sensors, options.controller, app.SUPPORT)
        self._frus: tuple[FruDevice, ...] = ()
        self._built = False
        self._limits: dict[str, object] = {}
        self._fru_assets: frozenset[str] = frozenset()
        self.sdr_time = int(time.time())
        """When the records were not yet as they are, Unix seconds."""
        self._tasks: set[asyncio.Task[None]] = set()
        self.facts.sensors.changed = self._sensor_changed

    # --- the repository -------------------------------------------------------------------------------------------

    def _sensor_changed(self, sensor: Sensor) -> None:
        limits = sensor.thresholds.to_binary() if sensor.thresholds is not None else b""
        if self._limits.get(sensor.name) != limits:
            self._limits[sensor.name] = limits
            self._built = False

    def repository(self) -> Repository:
        """The records as they are.

        Raises:
            Completion: C0h, sensors and parts are not known yet.
        """
        assets = self.facts.assets.all()
        with_storage = frozenset(name for name, asset in assets.items() if asset.fru is not None)
        if not self._built or with_storage != self._fru_assets:
            self._frus = fru_devices(self.options.assets or tuple(sorted(assets)), assets, self.options.system)
            self._repository.build(self.facts.sensors.all(), self._frus)
            self._built, self._fru_assets = True, with_storage
            self._date_repository()
        return self._repository

    def _date_repository(self) -> None:
        """Date the records: those that are as they were have the time that they had."""
        kept = self.settings.section(_SDR)
        digest = self._repository.digest
        if kept.get("digest") == digest and isinstance(kept.get("time"), int):
            self.sdr_time = kept["time"]
            return
        self.sdr_time = int(time.time())
        self.spawn(self.settings.keep(_SDR, {"digest": digest, "time": self.sdr_time}))

    def frus(self) -> tuple[FruDevice, ...]:
        """The FRU devices, by their numbers. Raises as `repository`."""
        self.repository()
        return self._frus

    def named_sensor(self, name: str) -> Sensor | None:
        """A sensor as it is now; None if it is not known now."""
        return self.facts.sensors.known.get(name) if self.facts.sensors.fresh else None

    # --- who we are -----------------------------------------------------------------------------------------------

    def system_guid(self) -> uuid.UUID:
        """The UUID of the host, as its own firmware shows it; made of the board's name if it says none."""
        host = self.facts.assets.known.get(self.options.host)
        try:
            return uuid.UUID(host.details["uuid"]) if host is not None else self._made("host")
        except (KeyError, ValueError):
            return self._made("host")

    def device_guid(self) -> uuid.UUID:
        """That of the BMC, made of the host's."""
        return uuid.uuid5(self.system_guid(), self.options.controller)

    def _made(self, what: str) -> uuid.UUID:
        return uuid.uuid5(_NAMESPACE, f"{self.options.board}/{what}")

    def now(self) -> int:
        """The BMC's clock, Unix seconds."""
        return int(time.time() + self.facts.clock_offset())

    # --- work that goes on ----------------------------------------------------------------------------------------

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Do something that nobody waits for; that it failed is logged."""
        task = asyncio.create_task(self._run(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    @staticmethod
    async def _run(work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except UbmcError as error:
            log.warning("something that IPMI began was not done", extra={"error": error.message})

    async def close(self) -> None:
        """End what goes on."""
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def check_channel(channel: int, own: int, *known: int) -> int:
    """The channel that is meant (Spec table 6-1: Eh is that of the request).

    Raises:
        Completion: CCh, there is no such channel.
    """
    meant = own if channel == 0x0E else channel
    if meant not in known:
        raise Completion(Code.INVALID_FIELD)
    return meant
