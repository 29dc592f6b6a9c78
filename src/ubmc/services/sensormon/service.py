"""The service sensormon: every answer comes from memory; wires are read by pollers, whether anybody asks or not."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence

from ubmc.hw.sensors.port import SensorBus
from ubmc.kit import pages
from ubmc.kit.errors import Invalid, Refused, UbmcError, Unavailable, Violation
from ubmc.kit.readings import Readings
from ubmc.kit.service import Service, lasting, rpc, stream
from ubmc.services.sensormon import shape, thresholds
from ubmc.services.sensormon.history import Tally
from ubmc.services.sensormon.plan import Limits, Options, SensorPlan
from ubmc.services.sensormon.poller import OpenBus, Poller
from ubmc.services.sensormon.sensor import News
from ubmc.services.sensormon.sensor import Sensor as Watched
from ubmc.services.sensormon.store import ThresholdFile
from ubmc.services.sensormon.table import Table
from ubmc.v1alpha1.sensor_pb import (
    GetSensorHistoryRequest,
    GetSensorHistoryResponse,
    GetSensorRequest,
    GetSensorResponse,
    ListSensorsRequest,
    ListSensorsResponse,
    ResetSensorStatisticsRequest,
    ResetSensorStatisticsResponse,
    ResetSensorThresholdsRequest,
    ResetSensorThresholdsResponse,
    SensorKind,
    SensorQualityChange,
    SensorStateChange,
    SensorThresholdCrossing,
    SensorThresholdsChange,
    UpdateSensorThresholdsRequest,
    UpdateSensorThresholdsResponse,
    WatchSensorsRequest,
    WatchSensorsResponse,
)
from ubmc.v1alpha1.sensor_rpc import SensorService

log = logging.getLogger("ubmc.sensormon")

DEFAULT_INTERVAL_SECONDS = 1.0
FRAME_BYTES = 30 * 1024  # a frame of a stream has at most 32 KiB
PREPARE_SECONDS = 5.0
PAGE_BYTES = 200 * 1024  # a message on the bus has at most 256 KiB


class SensorMonitor(Service):
    """Owns the sensors of the board.

    Args:
        plans: all sensors.
        buses: how to make the driver of each wire, by name.
        readings: the table shared with thermalmgr and powermgr.
        options: where changed thresholds are kept, and how patient to be.
        prepare: brings up what the wires lead to (a simulated machine); may block for seconds.
    """

    name = "sensormon"
    tells = (SensorThresholdCrossing, SensorQualityChange, SensorStateChange, SensorThresholdsChange)
    needs_bus = False

    def __init__(
        self,
        plans: Sequence[SensorPlan],
        buses: Mapping[str, OpenBus],
        readings: Readings,
        options: Options,
        *,
        prepare: Callable[[], None] | None = None,
    ) -> None:
        self._plans = tuple(plans)
        self._buses = dict(buses)
        self._readings = readings
        self._options = options
        self._prepare = prepare
        self._file = ThresholdFile(options.thresholds_file)
        self._stored: dict[str, object] = {}
        self._saving = asyncio.Lock()
        self._order = {plan.name: pages.natural(plan.name) for plan in plans}
        self._table: Table | None = None

    async def setup(self) -> None:
        """Begin with nothing read and with the thresholds that were kept."""
        self._stored = self._file.load()
        now = asyncio.get_running_loop().time()
        self._table = Table(self._plans, self._kept(), self._options, self._readings, self._tell, now)

    def _kept(self) -> dict[str, Limits]:
        found = {}
        for plan in self._plans:
            if plan.name in self._stored:
                limits = thresholds.from_stored(self._stored[plan.name], plan.kind)
                if limits is None:
                    log.warning("kept thresholds make no sense; those of the board hold", extra={"sensor": plan.name})
                else:
                    found[plan.name] = limits
        return found

    async def work(self) -> None:
        """Read all wires, and look at the clock in between."""
        if self._prepare is not None:
            await self._bring_up(self._prepare)
        wires: dict[str, list[SensorPlan]] = {}
        for plan in self._plans:
            if plan.virtual is None:
                wires.setdefault(plan.bus, []).append(plan)
        async with asyncio.TaskGroup() as group:
            group.create_task(lasting(self._tick()))
            for name, plans in wires.items():
                poller = Poller(name, plans, self._opener(name), self._there, self._options)
                group.create_task(lasting(poller.run()))

    async def _bring_up(self, prepare: Callable[[], None]) -> None:
        try:
            async with asyncio.timeout(PREPARE_SECONDS):
                await asyncio.to_thread(prepare)
        except (TimeoutError, UbmcError, OSError) as error:
            log.warning("what the wires lead to does not come up", extra={"error": str(error) or "no answer in time"})

    async def _tick(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(self._options.tick_seconds)
            self._there.tick(loop.time())

    def _opener(self, name: str) -> OpenBus:
        def missing() -> SensorBus:
            raise Unavailable(f"this board has no wire {name}")

        return self._buses.get(name, missing)

    @property
    def _there(self) -> Table:
        if self._table is None:
            raise Unavailable("sensors are not read yet; try again")
        return self._table

    def _tell(self, sensor: Watched, news: News) -> None:
        self.bus.tell(sensor.plan.component or sensor.plan.name, news.message, severity=news.severity)

    def _clock(self) -> shape.Clock:
        return shape.Clock.read(asyncio.get_running_loop().time())

    def _find(self, name: str) -> Watched:
        return pages.find(self._there.sensors, name)

    # --- reading ------------------------------------------------------------------------------------------------

    @rpc(SensorService.ListSensors)
    async def list_sensors(self, request: ListSensorsRequest) -> ListSensorsResponse:
        """A page of sensors; it is shorter than asked for where it would not fit into a message."""
        wanted = [each for each in self._there.sensors.values() if _wanted(each, request)]
        clock = self._clock()
        found, token = self._page(wanted, request.page_size, request.page_token)
        rows = [(shape.sensor(each, clock), at) for at, each in enumerate(found, 1)]
        group, count = next(shape.split(rows, PAGE_BYTES), ([], 0))
        if count < len(rows):
            token = self._page(wanted, count, request.page_token)[1]
        return ListSensorsResponse(sensors=group, next_page_token=token)

    def _page(self, wanted: Sequence[Watched], size: int, token: str) -> tuple[list[Watched], str]:
        return pages.page(wanted, size, token, key=lambda each: each.plan.name, order=self._place)

    def _place(self, name: str) -> object:
        return self._order.get(name) or pages.natural(name)

    @rpc(SensorService.GetSensor)
    async def get_sensor(self, request: GetSensorRequest) -> GetSensorResponse:
        """One sensor."""
        return GetSensorResponse(sensor=shape.sensor(self._find(request.name), self._clock()))

    @rpc(SensorService.GetSensorHistory)
    async def get_history(self, request: GetSensorHistoryRequest) -> GetSensorHistoryResponse:
        """What one sensor measured lately."""
        sensor = self._find(request.name)
        return GetSensorHistoryResponse(points=list(shape.points(sensor, self._clock(), request.since)))

    @stream(SensorService.WatchSensors)
    async def watch_sensors(self, request: WatchSensorsRequest) -> AsyncIterator[WatchSensorsResponse]:
        """A snapshot (or what was missed), then what changed, in batches."""
        names = frozenset(request.names)
        for name in names:
            self._find(name)
        interval = request.min_interval_seconds or DEFAULT_INTERVAL_SECONDS
        loop = asyncio.get_running_loop()
        changes = self._there.changes
        position = changes.position(request.cursor)
        while True:
            snapshot, began = position is None, loop.time()
            end = changes.sequence
            rows = self._rows(names, position)
            if rows or snapshot:
                for response in self._frames(rows, end, snapshot=snapshot):
                    yield response
            position = end
            await changes.after(position)
            await asyncio.sleep(max(0.0, began + interval - loop.time()) if rows else 0.0)

    def _rows(self, names: frozenset[str], position: int | None) -> list[tuple[str, int]]:
        """Which sensors to tell, each with its sequence; all of them for a snapshot."""
        rows = self._there.changes.since(position or 0)
        return [(name, sequence) for name, sequence in rows if not names or name in names]

    def _frames(self, rows: Sequence[tuple[str, int]], end: int, *, snapshot: bool) -> list[WatchSensorsResponse]:
        table, clock = self._there, self._clock()
        made = ((shape.sensor(table.sensors[name], clock, statistics=False), sequence) for name, sequence in rows)
        frames = [
            WatchSensorsResponse(sensors=group, cursor=table.changes.cursor(last), snapshot=snapshot)
            for group, last in shape.split(made, FRAME_BYTES)
        ] or [WatchSensorsResponse(snapshot=snapshot)]
        frames[-1].cursor, frames[-1].complete = table.changes.cursor(end), True
        return frames

    # --- changing -----------------------------------------------------------------------------------------------

    @rpc(SensorService.UpdateSensorThresholds)
    async def update_thresholds(self, request: UpdateSensorThresholdsRequest) -> UpdateSensorThresholdsResponse:
        """Change thresholds, and keep them."""
        sensor = self._find(request.name)
        kind = sensor.plan.kind
        if kind is SensorKind.STATE:
            raise Refused(f"{request.name} has states and no thresholds; the board file says which state is an alarm")
        if request.thresholds is None:
            text = "set the new thresholds"
            raise Invalid(f"thresholds: {text}", violations=[Violation("thresholds", "required", text)])
        wanted, mask = request.thresholds, request.update_mask
        await self._keep(sensor, lambda: thresholds.changed(sensor.limits, wanted, mask, kind), "changed")
        return UpdateSensorThresholdsResponse(sensor=shape.sensor(sensor, self._clock()))

    @rpc(SensorService.ResetSensorThresholds)
    async def reset_thresholds(self, request: ResetSensorThresholdsRequest) -> ResetSensorThresholdsResponse:
        """Take those of the board file again."""
        sensor = self._find(request.name)
        await self._keep(sensor, lambda: sensor.plan.limits, "reset")
        return ResetSensorThresholdsResponse(sensor=shape.sensor(sensor, self._clock()))

    async def _keep(self, sensor: Watched, decide: Callable[[], Limits], what: str) -> None:
        """Keep limits, then let them hold; shielded, so that the file and what holds stay the same."""
        await asyncio.shield(asyncio.create_task(self._keep_now(sensor, decide, what)))

    async def _keep_now(self, sensor: Watched, decide: Callable[[], Limits], what: str) -> None:
        async with self._saving:
            limits = decide()
            if limits != sensor.limits:
                await self._save(sensor, limits, what)

    async def _save(self, sensor: Watched, limits: Limits, what: str) -> None:
        name = sensor.plan.name
        stored = {key: value for key, value in self._stored.items() if key != name}
        if limits != sensor.plan.limits:
            stored[name] = thresholds.to_stored(limits)
        await asyncio.to_thread(self._file.save, stored)
        self._stored = stored
        self._there.change(name, limits)
        self.bus.tell(sensor.plan.component or name, SensorThresholdsChange(name=name, what=what))

    @rpc(SensorService.ResetSensorStatistics)
    async def reset_statistics(self, request: ResetSensorStatisticsRequest) -> ResetSensorStatisticsResponse:
        """Begin the statistics anew."""
        sensor = self._find(request.name)
        sensor.tally = Tally(asyncio.get_running_loop().time())
        return ResetSensorStatisticsResponse(sensor=shape.sensor(sensor, self._clock()))


def _wanted(sensor: Watched, request: ListSensorsRequest) -> bool:
    return (
        (not request.kind or sensor.plan.kind is request.kind)
        and (not request.component or sensor.plan.component == request.component)
        and sensor.level.value >= request.level.value
    )
