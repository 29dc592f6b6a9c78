"""The service thermalmgr: the loop of control, and the calls about zones and cooling devices.

It needs neither the bus nor any other process. What is decided is in `control.py` and below; this keeps the time,
writes the fans, pulls the trip, beats for the guardian, and answers.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from protobuf.wkt import Timestamp

from ubmc.hw.fans.port import Fan
from ubmc.kit.errors import Invalid, Unavailable
from ubmc.kit.feed import Feed
from ubmc.kit.guard import CoolingGuard
from ubmc.kit.pages import find, page
from ubmc.kit.readings import Readings, Trip
from ubmc.kit.service import Service, rpc, stream
from ubmc.services.thermalmgr import controller as controllers
from ubmc.services.thermalmgr import messages, settings
from ubmc.services.thermalmgr.control import Control, Step
from ubmc.services.thermalmgr.fans import FanState
from ubmc.services.thermalmgr.messages import Shown
from ubmc.services.thermalmgr.plan import ThermalPlan
from ubmc.services.thermalmgr.profile import PRESETS, Name, Profile
from ubmc.services.thermalmgr.record import Record
from ubmc.services.thermalmgr.writer import FanWriter
from ubmc.services.thermalmgr.zone import Make, Manual, State, Zone
from ubmc.v1alpha1 import thermal_pb as t
from ubmc.v1alpha1.event_kind_pb import Severity
from ubmc.v1alpha1.thermal_rpc import ThermalService

log = logging.getLogger("ubmc.thermalmgr")

TOLD_REASONS = 3

MANUAL_SECONDS = 600.0
PREPARE_SECONDS = 5.0
LAST_WRITE_SECONDS = 1.0
ANSWER_SECONDS = 2.0
LOOK_SECONDS = 0.1
"""Between looks whether a reading has become too old."""

_SEVERITY = {State.OVERHEATED: Severity.CRITICAL, State.FAIL_SAFE: Severity.WARNING}
_LOG_LEVEL = {Severity.OK: logging.INFO, Severity.WARNING: logging.WARNING, Severity.CRITICAL: logging.CRITICAL}
_NAMES = {value: name for name, value in messages.PROFILES.items()}


@dataclass(frozen=True, slots=True)
class Shared:
    """What thermalmgr shares with sensormon and powermgr in the same process, and with the guardian."""

    readings: Readings
    trip: Trip
    guard: CoolingGuard


class ThermalManager(Service):
    """Keeps the board cool."""

    name = "thermalmgr"
    needs_bus = False
    tells = (t.ThermalZoneStateChange, t.CoolingDeviceStateChange, t.ThermalTrip, t.ThermalSettingChange)

    def __init__(
        self,
        plan: ThermalPlan,
        open_fans: Callable[[], Mapping[str, Fan]],
        shared: Shared,
        file: Path,
        prepare: Callable[[], None] = lambda: None,
        make: Make = controllers.make,
    ) -> None:
        """Make the manager.

        Args:
            plan: what is cooled, and how.
            open_fans: makes the drivers of all fans of the plan, by name; does not wait for hardware.
            shared: with whom it works without the bus.
            file: of the settings.
            prepare: brings up what the fans belong to (a simulated machine); may block for seconds.
            make: makes a controller from its plan.
        """
        self._plan = plan
        self._open_fans = open_fans
        self._shared = shared
        self._file = file
        self._prepare = prepare
        self._make = make
        for zone in plan.zones:  # nothing is known to be cool before it was read
            for host in zone.hosts:
                shared.trip.put_hot(host, hot=True)
        self._feed: Feed[Shown] = Feed()
        self._begin()

    def _begin(self) -> None:
        self._control = Control(self._plan, self._make)
        self._writer = FanWriter({})
        self._records = {name: Record(zone.columns) for name, zone in self._control.zones.items()}
        self._step: Step | None = None
        self._since: dict[str, Timestamp] = {}
        self._overruns = 0
        self._failed: set[str] = set()
        self._cycled = asyncio.Event()
        self._asked = False

    # --- life ---------------------------------------------------------------------------------------------------

    async def setup(self) -> None:
        """Take the fans over from the guardian; they are in fail-safe until all sensors were read."""
        self._begin()
        for name, profile in settings.load(self._file).items():
            if name in self._control.zones:
                self._control.zones[name].profile = profile
        try:
            async with asyncio.timeout(PREPARE_SECONDS):
                await asyncio.to_thread(self._prepare)
        except Exception as error:  # noqa: BLE001  whatever it is: what can be cooled is cooled
            log.error("what the fans belong to does not come up", extra={"error": f"{type(error).__name__}: {error}"})
        fans = self._open_fans()
        self._writer = FanWriter(fans)
        safe = self._control.fail_safe()  # a zone may ask for more than the fan does
        for name, fan in fans.items():
            recipe = fan.recipe()
            percent = max(recipe.failsafe_percent, safe.get(name, 0.0))
            self._shared.guard.keep(
                name, {"kind": recipe.kind, "place": dict(recipe.place), "failsafe_percent": percent}
            )
        await self._take_over()

    async def _take_over(self) -> None:
        if not await self._shared.guard.hand_over():
            log.error("there is no guardian: fans are driven without one until it comes")

    async def teardown(self) -> None:
        """Leave the fans in fail-safe, in the hands of the guardian."""
        for host in self._control.hosts:
            self._shared.trip.put_hot(host, hot=True)
        try:
            async with asyncio.timeout(LAST_WRITE_SECONDS):
                await self._writer.write(self._control.fail_safe())
        except TimeoutError:
            log.error("not every fan could be set to fail-safe; the guardian sees to it")
        finally:
            self._shared.guard.leave()
            await self._writer.close()

    async def work(self) -> None:
        """Control until cancelled. The time of a cycle is counted from when the one before was due."""
        loop = asyncio.get_running_loop()
        interval = self._plan.interval_seconds
        due = loop.time()
        while True:
            began = loop.time()
            if began - due > interval:
                self._overrun(began, f"a cycle began {began - due:.1f} s late")
            if self._shared.guard.taken():
                self._overrun(began, "the guardian had to take the fans")
                await self._take_over()
            await self.cycle(loop.time())
            ended = loop.time()
            if ended - began > interval:
                self._overrun(ended, f"a cycle took {ended - began:.1f} s")
            if began >= due:  # else it came early, and the regular one is still to come
                due += interval
            if ended - due >= interval:  # whole cycles were missed; they are not made up for
                due += math.floor((ended - due) / interval) * interval
            await self._wait(due)

    def _overrun(self, now: float, why: str) -> None:
        self._overruns += 1
        log.debug("overrun: %s", why)
        self._control.disturb(now, "the loop of control was late")

    async def _wait(self, due: float) -> None:
        """Until the next cycle is due, or has a reason to come earlier."""
        loop = asyncio.get_running_loop()
        changed = self._shared.readings.changed
        await asyncio.sleep(0)  # however late we are: the others of this process work too
        while (left := due - loop.time()) > 0.0:
            changed.clear()
            if self._asked or self._control.changed(loop.time(), self._shared.readings):
                break
            try:
                async with asyncio.timeout(min(left, LOOK_SECONDS)):
                    await changed.wait()
            except TimeoutError:
                continue  # a reading gets too old without anything happening
        self._asked = False

    async def cycle(self, now: float) -> None:
        """One whole cycle: decide, write, trip, tell; the beat comes last."""
        readings = self._shared.readings
        before = self._step
        step = self._control.step(now, readings)
        for host, reason in step.trips.items():  # before anything that takes time
            self._shared.trip.pull(host, reason)
        for host, hot in step.hot.items():
            self._shared.trip.put_hot(host, hot=hot)
        self._step = step  # a write may take a while: what is shown is what was decided
        failed = await self._writer.write(step.duties)
        self._control.wrote(asyncio.get_running_loop().time(), step.duties, failed)
        for name in step.duties:
            if (duty := self._writer.duty(name)) is not None:
                readings.put_duty(name, duty)
        if failed - self._failed:
            self._asked = True  # the others are raised now, not at the end of the interval
        self._failed = failed
        self._tell(now, before, step)
        self._shared.guard.beat()
        cycled, self._cycled = self._cycled, asyncio.Event()
        cycled.set()

    # --- news ---------------------------------------------------------------------------------------------------

    def _tell(self, now: float, before: Step | None, step: Step) -> None:
        for host, reason in step.trips.items():
            self.bus.tell(host, t.ThermalTrip(host=host, reason=reason))
        for name, output in step.zones.items():
            self._records[name].add(now, output.row)
            was = State.FAIL_SAFE if before is None else before.zones[name].state
            if before is None or was is not output.state:
                self._since[name] = Timestamp.now()
            if was is not output.state:
                reason = _short(output.reasons)
                severity = _SEVERITY.get(output.state, Severity.OK)
                text = "zone %s went from %s to %s: %s"
                log.log(_LOG_LEVEL[severity], text, name, was.value, output.state.value, reason)
                change = t.ThermalZoneStateChange(
                    name=name, previous=messages.STATES[was], current=messages.STATES[output.state], reason=reason
                )
                self.bus.tell(name, change, severity=severity)
        for name, seen in step.fans.items():
            state = FanState.OK if before is None else before.fans[name].state
            if state is not seen.state:
                self._tell_fan(name, state, seen.state)
        for name in step.zones:
            shown = self._shown(name)
            if messages.worth_telling(self._feed.latest(name), shown):
                self._feed.publish(name, shown)

    def _tell_fan(self, name: str, previous: FanState, current: FanState) -> None:
        severity = Severity.OK if current is FanState.OK else Severity.WARNING
        log.log(_LOG_LEVEL[severity], "%s is %s, it was %s", name, current.value, previous.value)
        change = t.CoolingDeviceStateChange(
            name=name, previous=messages.FAN_STATES[previous], current=messages.FAN_STATES[current]
        )
        self.bus.tell(name, change, severity=severity)

    # --- what is shown ------------------------------------------------------------------------------------------

    def _zone(self, name: str) -> t.ThermalZone:
        zone = find(self._control.zones, name)
        if self._step is None:
            raise Unavailable("cooling is just starting; try again in a second")
        since = self._since.get(name) or Timestamp.now()
        now = asyncio.get_running_loop().time()
        return messages.zone_message(zone, self._step.zones[name], since, now, self._overruns)

    def _fan(self, name: str) -> t.CoolingDevice:
        watch = find(self._control.watches, name)
        if self._step is None:
            raise Unavailable("cooling is just starting; try again in a second")
        seen = self._step.fans[name]
        duty = self._writer.duty(name)
        given = self._step.duties[name] if duty is None else duty
        return messages.fan_message(watch.plan, self._control.zones_of[name], seen.state, seen.speeds, given)

    def _shown(self, name: str) -> Shown:
        zone = self._control.zones[name]
        fans = tuple(self._fan(fan) for fan in zone.plan.fans)
        return Shown(self._zone(name), fans, None if zone.manual is None else zone.manual.until)

    async def _next_cycle(self) -> None:
        """Until what was just set has been carried out; not for ever."""
        self._asked = True
        cycled = self._cycled
        self._shared.readings.changed.set()
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                await cycled.wait()
        except TimeoutError as error:
            raise Unavailable("the loop of control does not answer; fans are in fail-safe") from error

    # --- calls --------------------------------------------------------------------------------------------------

    @rpc(ThermalService.ListThermalZones)
    async def list_zones(self, request: t.ListThermalZonesRequest) -> t.ListThermalZonesResponse:
        """All zones."""
        zones = [self._zone(name) for name in self._control.zones]
        shown, token = page(zones, request.page_size, request.page_token, key=lambda each: each.name)
        return t.ListThermalZonesResponse(thermal_zones=shown, next_page_token=token)

    @rpc(ThermalService.GetThermalZone)
    async def get_zone(self, request: t.GetThermalZoneRequest) -> t.GetThermalZoneResponse:
        """One zone."""
        return t.GetThermalZoneResponse(thermal_zone=self._zone(request.name))

    @stream(ThermalService.WatchThermalZones)
    async def watch_zones(self, request: t.WatchThermalZonesRequest) -> AsyncIterator[t.WatchThermalZonesResponse]:
        """Every change of a zone that is worth a word."""
        if request.name:
            find(self._control.zones, request.name)
        async for update in self._feed.watch(request.cursor, request.name):
            yield t.WatchThermalZonesResponse(
                thermal_zone=update.item.zone_at(asyncio.get_running_loop().time()),
                cooling_devices=list(update.item.fans),
                cursor=update.cursor,
                snapshot=update.snapshot,
                complete=update.complete,
            )

    @rpc(ThermalService.ListCoolingDevices)
    async def list_fans(self, request: t.ListCoolingDevicesRequest) -> t.ListCoolingDevicesResponse:
        """All fans and pumps."""
        fans = [self._fan(name) for name in self._control.watches]
        shown, token = page(fans, request.page_size, request.page_token, key=lambda each: each.name)
        return t.ListCoolingDevicesResponse(cooling_devices=shown, next_page_token=token)

    @rpc(ThermalService.GetCoolingDevice)
    async def get_fan(self, request: t.GetCoolingDeviceRequest) -> t.GetCoolingDeviceResponse:
        """One fan or pump."""
        return t.GetCoolingDeviceResponse(cooling_device=self._fan(request.name))

    @rpc(ThermalService.SetThermalProfile)
    async def set_profile(self, request: t.SetThermalProfileRequest) -> t.SetThermalProfileResponse:
        """Choose a profile; it is on disk when this is answered."""
        zone = find(self._control.zones, request.name)
        before, zone.profile = zone.profile, _profile(request)
        try:
            await settings.save(self._file, {name: each.profile for name, each in self._control.zones.items()})
        except Unavailable:
            zone.profile = before
            raise
        self._tell_setting(zone, f"the profile is {zone.profile.name.value}")
        await self._next_cycle()
        return t.SetThermalProfileResponse(thermal_zone=self._zone(request.name))

    @rpc(ThermalService.SetManualDuty)
    async def set_manual(self, request: t.SetManualDutyRequest) -> t.SetManualDutyResponse:
        """Drive by hand for a while."""
        zone = find(self._control.zones, request.name)
        seconds = request.duration_seconds or MANUAL_SECONDS
        zone.manual = Manual(request.duty_percent, asyncio.get_running_loop().time() + seconds)
        self._tell_setting(zone, f"driven by hand at {request.duty_percent:g} percent for {seconds:g} s")
        await self._next_cycle()
        return t.SetManualDutyResponse(thermal_zone=self._zone(request.name))

    @rpc(ThermalService.ClearManualDuty)
    async def clear_manual(self, request: t.ClearManualDutyRequest) -> t.ClearManualDutyResponse:
        """Let the controllers drive again."""
        zone = find(self._control.zones, request.name)
        if zone.manual is not None:
            zone.manual = None
            self._tell_setting(zone, "the controllers drive again")
        await self._next_cycle()
        return t.ClearManualDutyResponse(thermal_zone=self._zone(request.name))

    @rpc(ThermalService.GetControllerLog)
    async def get_log(self, request: t.GetControllerLogRequest) -> t.GetControllerLogResponse:
        """The last cycles of a zone as CSV."""
        return t.GetControllerLogResponse(csv=find(self._records, request.name).csv())

    def _tell_setting(self, zone: Zone, what: str) -> None:
        self.bus.tell(zone.plan.name, t.ThermalSettingChange(name=zone.plan.name, what=what))


def _profile(request: t.SetThermalProfileRequest) -> Profile:
    name = _NAMES.get(request.profile)
    if name is None:
        raise Invalid(f"profile {request.profile} is not known; there is {', '.join(each.value for each in Name)}")
    if name is not Name.CUSTOM:
        return PRESETS[name]
    if request.custom is None:
        raise Invalid("the profile custom needs `custom`: an offset of the set-points, and a minimum duty")
    try:
        return settings.custom(request.custom.set_point_offset_celsius, request.custom.minimum_percent)
    except ValueError as error:
        raise Invalid("custom: the offset is -30 to 30 degrees, the minimum 0 to 100 percent") from error


def _short(reasons: Sequence[str]) -> str:
    """Reasons in a line that people read; the zone itself has them all."""
    if not reasons:
        return "everything is in order"
    rest = len(reasons) - TOLD_REASONS
    return "; ".join(reasons[:TOLD_REASONS]) + (f"; and {rest} more" if rest > 0 else "")
