"""The system event log (Spec chapter 31): a view of the event log, which eventlog owns.

It is followed, so that a record needs no call; an event keeps its record id over restarts. What is written over IPMI is
told as news and comes back by the same way, with the id that it got.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterable

from protobuf.wkt import FieldMask, Timestamp

from ubmc.kit.errors import TimedOut
from ubmc.protocols.ipmi import sel
from ubmc.protocols.ipmi.codes import Code, Completion, Level, NetFn
from ubmc.services.ipmisrv.commands import events
from ubmc.services.ipmisrv.commands.events import Kept
from ubmc.services.ipmisrv.commands.facts import follow
from ubmc.services.ipmisrv.commands.ground import Ground
from ubmc.services.ipmisrv.commands.own import changing
from ubmc.services.ipmisrv.commands.sensors import DISABLED
from ubmc.services.ipmisrv.commands.storage import Reservation
from ubmc.services.ipmisrv.dispatch import Command, Context
from ubmc.v1alpha1.access_pb import Privilege
from ubmc.v1alpha1.event_pb import (
    ClearEventsRequest,
    DeleteEventRequest,
    Event,
    EventLogState,
    GetEventLogRequest,
    WatchEventsRequest,
    WatchEventsResponse,
)
from ubmc.v1alpha1.event_rpc import EventService
from ubmc.v1alpha1.ipmi_pb import IpmiPlatformEvent
from ubmc.v1alpha1.network_pb import Time, UpdateTimeRequest
from ubmc.v1alpha1.network_rpc import TimeService

CALLS = (
    EventService.WatchEvents,
    EventService.GetEventLog,
    EventService.ClearEvents,
    EventService.DeleteEvent,
    TimeService.UpdateTime,
)
TELLS = (IpmiPlatformEvent,)
_ADD = "Add SEL Entry"
_OLDEST = "none:0"
"""A cursor of no log: the watch begins at the oldest event."""
_WRITE_SECONDS = 4.0
_CLOCK_SECONDS = 1
_ERASED = b"\x01"
_UTC_UNSPECIFIED = 0x7FF


class SelCommands:
    """The commands, and the view that they read.

    Args:
        ground: what all stand on.
    """

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._reservation = Reservation()
        self._records: dict[int, Kept] = {}
        """By record id, the oldest first."""
        self._log = EventLogState()
        self._cursor = ""
        self._newest = 0
        self._fresh = False
        self._waiting: dict[str, asyncio.Future[int]] = {}
        self._order: dict[int, int] | None = None
        self._disabled: frozenset[str] = frozenset()

    def commands(self) -> Iterable[Command]:
        """The table of them (Spec table G-1)."""
        net, user, op, admin = NetFn.STORAGE, Level.USER, Level.OPERATOR, Level.ADMINISTRATOR
        log, watch = "EventService.GetEventLog", "EventService.WatchEvents"
        return (
            Command(net, 0x40, "Get SEL Info", user, self._info, inband=True, calls=log),
            Command(net, 0x41, "Get SEL Allocation Info", user, self._allocation, inband=True, calls=log),
            Command(net, 0x42, "Reserve SEL", user, self._reserve, inband=True),
            Command(net, 0x43, "Get SEL Entry", user, self._entry, 6, inband=True, calls=watch),
            Command(net, 0x44, _ADD, op, self._add_entry, 16, calls="news IpmiPlatformEvent"),
            Command(net, 0x46, "Delete SEL Entry", admin, self._delete, 4, calls="EventService.DeleteEvent"),
            Command(net, 0x47, "Clear SEL", admin, self._clear, 6, calls="EventService.ClearEvents"),
            Command(net, 0x48, "Get SEL Time", user, self._time, inband=True, calls="NetworkService.WatchNetwork"),
            Command(net, 0x49, "Set SEL Time", admin, self._set_time, 4, calls="TimeService.UpdateTime"),
            Command(net, 0x5C, "Get SEL Time UTC Offset", user, self._offset, inband=True),
            Command(net, 0x5D, "Set SEL Time UTC Offset", admin, self._set_offset, 2, calls="TimeService.UpdateTime"),
        )

    # --- following ------------------------------------------------------------------------------------------------

    async def work(self) -> None:
        """Follow the event log, for ever."""
        bus = self._ground.bus
        await follow(
            "events",
            self._load,
            lambda: bus.watch(EventService.WatchEvents, WatchEventsRequest(cursor=self._cursor or _OLDEST)),
            self._take,
            self._lost,
        )

    async def _load(self) -> None:
        await self._look()
        self._fresh = self._newest >= self._log.newest_id

    async def _look(self) -> None:
        answer = await self._ground.bus.ask(EventService.GetEventLog, GetEventLogRequest())
        self._log = answer.log or EventLogState()
        self._trim()

    def _lost(self) -> None:
        self._fresh = False

    def _trim(self) -> None:
        """Forget what left the log."""
        oldest = self._log.oldest_id or self._newest + 1
        self._drop(each for each, event in self._records.items() if event.id < oldest)

    def _drop(self, record_ids: Iterable[int]) -> None:
        for record_id in tuple(record_ids):
            del self._records[record_id]
        self._order = None

    def _take(self, update: WatchEventsResponse) -> None:
        epoch = self._cursor.partition(":")[0]
        if update.cursor.partition(":")[0] != epoch and epoch:
            self._drop(self._records)  # the log was rebuilt
            self._newest = 0
        self._cursor = update.cursor
        if update.event is not None:
            self._take_event(update.event)
        self._fresh = self._fresh or self._newest >= self._log.newest_id

    def _take_event(self, event: Event) -> None:
        self._newest = max(self._newest, event.id)
        if event.message_id == events.CLEARED:
            self._ground.spawn(self._look())
            self._reservation.cancel()
        if event.message_id == events.DELETED:
            self._forget(int(event.arguments.get("id", "0") or 0))
        kept = events.kept(event)
        if kept is None:
            return
        record_id = sel.record_id(event.id)
        self._records.pop(record_id, None)  # of one so old that its id has come round
        self._records[record_id] = kept
        self._order = None
        waiting = self._waiting.pop(kept.arguments.get("reference", ""), None)
        if waiting is not None and not waiting.done():
            waiting.set_result(record_id)

    def _forget(self, event_id: int) -> None:
        record_id = sel.record_id(event_id) if event_id else 0
        if record_id in self._records and self._records[record_id].id == event_id:
            self._drop([record_id])
            self._reservation.cancel()

    # --- reading --------------------------------------------------------------------------------------------------

    def _shown(self) -> dict[int, int]:
        """The record behind each record, the oldest first. Raises `Completion` C0h when they are not known."""
        if not self._fresh:
            raise Completion(Code.NODE_BUSY)
        disabled = frozenset(self._ground.settings.section(DISABLED).get("names", []))
        if self._order is None or disabled != self._disabled:
            shown = [each for each, event in self._records.items() if event.arguments.get("name") not in disabled]
            self._order = dict(zip(shown, [*shown[1:], sel.LAST], strict=True)) if shown else {}
            self._disabled = disabled
        return self._order

    def newest(self) -> tuple[int, int]:
        """Id and time of the newest record; 0 and the end of time if there is none."""
        shown = self._shown()
        if not shown:
            return 0, sel.NO_TIME
        last = next(reversed(shown))
        return last, self._seconds(self._records[last].seconds)

    def _seconds(self, seconds: float) -> int:
        return int(seconds + self._ground.facts.clock_offset())

    def _free(self) -> int:
        return max(0, self._log.max_count - self._log.count)

    async def _info(self, context: Context, _data: bytes) -> bytes:
        self._log = (await context.ask(EventService.GetEventLog, GetEventLogRequest())).log or EventLogState()
        self._trim()
        count, added = len(self._shown()), self.newest()[1]
        erased = self._log.cleared_time
        return sel.info(
            count,
            self._free() * sel.RECORD_BYTES,
            added,
            self._seconds(erased.seconds) if erased is not None else sel.NO_TIME,
            overflow=self._log.dropped > 0,
        )

    async def _allocation(self, context: Context, _data: bytes) -> bytes:
        self._log = (await context.ask(EventService.GetEventLog, GetEventLogRequest())).log or EventLogState()
        return sel.allocation(self._log.max_count, self._free())

    def _reserve(self, _context: Context, _data: bytes) -> bytes:
        return self._reservation.reserve()

    def _entry(self, _context: Context, data: bytes) -> bytes:
        record_id, offset, count = int.from_bytes(data[2:4], "little"), data[4], data[5]
        self._reservation.check(data[:2], needed=offset != 0)
        shown = self._shown()
        found, following = _around(shown, record_id)
        repository = self._ground.repository()
        sensors, shift = self._ground.facts.sensors.known, self._ground.facts.clock_offset()
        record = events.record(self._records[found], repository, sensors, shift)
        return sel.part(record, following, offset, count)

    # --- writing --------------------------------------------------------------------------------------------------

    async def add(self, context: Context, body: bytes, command: str) -> int:
        """Write the bytes 3 to 16 of a record; its id, when it is in the log.

        Args:
            context: who asks.
            body: the bytes.
            command: the name of the command that writes it.

        Raises:
            Denied: the user lacks the privilege.
            TimedOut: it is not there yet; it will be.
        """
        async with changing(context, command, Privilege.CONFIGURE_COMPONENTS, context.host):
            return await self._tell_record(context, body)

    async def _tell_record(self, context: Context, body: bytes) -> int:
        reference = secrets.token_hex(8)
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._waiting[reference] = future
        what = f"{'the host' if context.inband else context.source} wrote a record of type {body[0]:02X}h"
        news = IpmiPlatformEvent(what=what, record=body.hex(), source=context.source, reference=reference)
        self._ground.bus.tell(context.host, news)
        try:
            async with asyncio.timeout(_WRITE_SECONDS):
                return await future
        except TimeoutError:
            raise TimedOut("the event is on its way to the log") from None
        finally:
            self._waiting.pop(reference, None)

    async def _add_entry(self, context: Context, data: bytes) -> bytes:
        return (await self.add(context, sel.check_added(data), _ADD)).to_bytes(2, "little")

    async def _delete(self, context: Context, data: bytes) -> bytes:
        self._reservation.check(data[:2], needed=False)
        found, _ = _around(self._shown(), int.from_bytes(data[2:4], "little"))
        event_id = self._records[found].id
        await context.ask(EventService.DeleteEvent, DeleteEventRequest(id=event_id))
        self._forget(event_id)
        return found.to_bytes(2, "little")

    async def _clear(self, context: Context, data: bytes) -> bytes:
        """Spec section 31.9: `CLR`, then AAh to begin, 00h to ask how far it is."""
        if data[2:5] != b"CLR" or data[5] not in (0x00, 0xAA):
            raise Completion(Code.INVALID_FIELD)
        if data[5] == 0xAA:
            self._reservation.check(data[:2], needed=True)
            self._shown()
            up_to = self._newest
            await context.ask(EventService.ClearEvents, ClearEventsRequest(up_to_id=up_to))
            self._drop(each for each, event in self._records.items() if event.id <= up_to)
            self._reservation.cancel()
        return _ERASED

    # --- time -----------------------------------------------------------------------------------------------------

    def _time(self, _context: Context, _data: bytes) -> bytes:
        return self._ground.now().to_bytes(4, "little")

    async def _set_time(self, context: Context, data: bytes) -> bytes:
        """A time that the clock says already is no change, also where time servers set it."""
        wanted = int.from_bytes(data, "little")
        if abs(wanted - self._ground.now()) > _CLOCK_SECONDS:
            await self._update_time(context, Time(time=Timestamp(seconds=wanted)), "time")
        return b""

    def _offset(self, _context: Context, _data: bytes) -> bytes:
        clock = self._ground.facts.clock
        minutes = clock.utc_offset_minutes if clock is not None else _UTC_UNSPECIFIED
        return minutes.to_bytes(2, "little", signed=True)

    async def _set_offset(self, context: Context, data: bytes) -> bytes:
        minutes = int.from_bytes(data, "little", signed=True)
        if minutes != _UTC_UNSPECIFIED:
            await self._update_time(context, Time(utc_offset_minutes=minutes), "utc_offset_minutes")
        return b""

    async def _update_time(self, context: Context, time: Time, field: str) -> None:
        request = UpdateTimeRequest(time=time, update_mask=FieldMask(paths=[field]))
        answer = await context.ask(TimeService.UpdateTime, request)
        self._ground.facts.clock = answer.time or self._ground.facts.clock  # it is read back before the stream tells


def _around(shown: dict[int, int], record_id: int) -> tuple[int, int]:
    """The record that is meant, and the one behind it.

    Raises:
        Completion: CBh, there is none.
    """
    if shown and record_id == sel.FIRST:
        record_id = next(iter(shown))
    elif shown and record_id == sel.LAST:
        record_id = next(reversed(shown))
    if record_id not in shown:
        raise Completion(Code.NOT_PRESENT)
    return record_id, shown[record_id]
