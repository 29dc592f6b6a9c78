"""The watchdog timer of the host (Spec chapter 27), which statemgr owns."""

from __future__ import annotations

from collections.abc import Iterable

from protobuf.wkt import Duration, FieldMask

from ubmc.kit.errors import Refused
from ubmc.protocols.ipmi import app
from ubmc.protocols.ipmi.app import Watchdog
from ubmc.protocols.ipmi.codes import Code, Completion, Level, NetFn
from ubmc.services.ipmisrv.dispatch import Command, Context
from ubmc.v1alpha1.host_pb import (
    FeedHostWatchdogRequest,
    GetHostRequest,
    Host,
    HostWatchdog,
    UpdateHostRequest,
    WatchdogAction,
    WatchdogPretimeoutAction,
    WatchdogUse,
)
from ubmc.v1alpha1.host_rpc import HostService

CALLS = (HostService.GetHost, HostService.UpdateHost, HostService.FeedHostWatchdog)
_ACTIONS = (WatchdogAction.NONE, WatchdogAction.RESET, WatchdogAction.FORCE_OFF, WatchdogAction.POWER_CYCLE)
_PRETIMEOUT = {0: WatchdogPretimeoutAction.NONE, 2: WatchdogPretimeoutAction.NMI}
_SHORTEST_SECONDS = 0.1


class WatchdogCommands:
    """The commands."""

    def commands(self) -> Iterable[Command]:
        """The table of them (Spec table G-1)."""
        operator, feed = Level.OPERATOR, "HostService.FeedHostWatchdog"
        return (
            Command(NetFn.APP, 0x22, "Reset Watchdog Timer", operator, self._reset, inband=True, calls=feed),
            Command(
                NetFn.APP,
                0x24,
                "Set Watchdog Timer",
                operator,
                self._set,
                6,
                inband=True,
                calls="HostService.UpdateHost",
            ),
            Command(
                NetFn.APP, 0x25, "Get Watchdog Timer", Level.USER, self._get, inband=True, calls="HostService.GetHost"
            ),
        )

    async def _reset(self, context: Context, _data: bytes) -> bytes:
        """Start the countdown, or start it anew."""
        try:
            await context.ask(HostService.FeedHostWatchdog, FeedHostWatchdogRequest(name=context.host))
        except Refused:  # it does not run
            if not _seconds((await _watchdog(context)).timeout):
                raise Completion(app.UNINITIALIZED) from None
            await _update(context, HostWatchdog(running=True), ["running"])
        return b""

    async def _set(self, context: Context, data: bytes) -> bytes:
        wanted = Watchdog.parse(data)
        if wanted.pretimeout_action not in _PRETIMEOUT:
            raise Completion(Code.INVALID_FIELD, "there is no such interrupt to the host")
        changed = HostWatchdog(
            running=False,
            action=_ACTIONS[wanted.action],
            use=WatchdogUse(wanted.use),
            pretimeout=Duration.from_seconds(float(wanted.pretimeout_seconds)),
            pretimeout_action=_PRETIMEOUT[wanted.pretimeout_action],
            dont_log=wanted.dont_log,
            clear_expired_uses=[WatchdogUse(each) for each in sorted(wanted.expired)],
        )
        fields = ["action", "use", "pretimeout", "pretimeout_action", "dont_log", "clear_expired_uses"]
        if not wanted.running:
            fields.append("running")
        if wanted.timeout_seconds >= _SHORTEST_SECONDS:
            changed.timeout = Duration.from_seconds(wanted.timeout_seconds)
            fields.append("timeout")
        await _update(context, changed, fields)
        return b""

    async def _get(self, context: Context, _data: bytes) -> bytes:
        known = await _watchdog(context)
        actions = {action: number for number, action in enumerate(_ACTIONS)}
        interrupts = {action: number for number, action in _PRETIMEOUT.items()}
        timeout = _seconds(known.timeout)
        shown = Watchdog(
            use=int(known.use) or int(WatchdogUse.SMS_OS),
            running=known.running,
            dont_log=known.dont_log,
            action=actions.get(known.action, 0),
            pretimeout_action=interrupts.get(known.pretimeout_action, 0),
            pretimeout_seconds=round(_seconds(known.pretimeout)),
            expired=frozenset(int(each) for each in known.expired_uses),
            timeout_seconds=timeout,
        )
        return shown.pack(_seconds(known.remaining) if known.running else timeout)


async def _watchdog(context: Context) -> HostWatchdog:
    host = (await context.ask(HostService.GetHost, GetHostRequest(name=context.host))).host
    return host.watchdog if host is not None and host.watchdog is not None else HostWatchdog()


async def _update(context: Context, watchdog: HostWatchdog, fields: Iterable[str]) -> None:
    mask = FieldMask(paths=[f"watchdog.{name}" for name in fields])
    host = Host(name=context.host, watchdog=watchdog)
    await context.ask(HostService.UpdateHost, UpdateHostRequest(host=host, update_mask=mask))


def _seconds(duration: Duration | None) -> float:
    return duration.to_seconds() if duration is not None else 0.0
