"""Power, identify and what is known of the chassis (Spec chapter 28)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable

from protobuf.wkt import FieldMask

from ubmc.protocols.ipmi import chassis
from ubmc.protocols.ipmi.chassis import Control, Identify, Restore, Status
from ubmc.protocols.ipmi.codes import Code, Completion, Level, NetFn
from ubmc.services.ipmisrv.commands.ground import Ground
from ubmc.services.ipmisrv.dispatch import Command, Context
from ubmc.v1alpha1.chassis_pb import SetChassisIdentifyRequest
from ubmc.v1alpha1.chassis_rpc import ChassisService
from ubmc.v1alpha1.host_pb import (
    ChangeHostPowerRequest,
    Host,
    HostPowerAction,
    HostState,
    RestartCause,
    RestorePolicy,
    UpdateHostRequest,
)
from ubmc.v1alpha1.host_rpc import HostService
from ubmc.v1alpha1.sensor_pb import SensorKind, SensorLevel, SensorQuality

CALLS = (HostService.ChangeHostPower, HostService.UpdateHost, ChassisService.SetChassisIdentify)
ACTIONS = {
    Control.POWER_DOWN: HostPowerAction.FORCE_OFF,
    Control.POWER_UP: HostPowerAction.ON,
    Control.POWER_CYCLE: HostPowerAction.POWER_CYCLE,
    Control.HARD_RESET: HostPowerAction.FORCE_RESTART,
    Control.DIAGNOSTIC_INTERRUPT: HostPowerAction.NMI,
    Control.SOFT_SHUTDOWN: HostPowerAction.GRACEFUL_OFF,
}
_THERE_ALREADY = {Control.POWER_DOWN: HostState.OFF, Control.POWER_UP: HostState.ON}
_POLICIES = {
    RestorePolicy.ALWAYS_OFF: Restore.ALWAYS_OFF,
    RestorePolicy.ALWAYS_ON: Restore.ALWAYS_ON,
    RestorePolicy.LAST_STATE: Restore.PREVIOUS,
}
_CAUSES = {
    RestartCause.CHASSIS_CONTROL: 0x1,
    RestartCause.RESET_BUTTON: 0x2,
    RestartCause.POWER_BUTTON: 0x3,
    RestartCause.WATCHDOG: 0x4,
    RestartCause.OEM: 0x5,
    RestartCause.RESTORE_ALWAYS_ON: 0x6,
    RestartCause.RESTORE_LAST_STATE: 0x7,
    RestartCause.SOFT_RESET: 0xA,
}
"""Spec section 28.11, table 28-11."""
_RESTORED = (RestartCause.RESTORE_ALWAYS_ON, RestartCause.RESTORE_LAST_STATE)
_OFF = (HostState.OFF, HostState.POWERING_ON)
_GRAVE = (SensorLevel.CRITICAL, SensorLevel.FATAL)
_IDENTIFY = "identify"


class ChassisCommands:
    """The commands.

    Args:
        ground: what all stand on.
    """

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._timer: asyncio.Task[None] | None = None
        self._turn = asyncio.Lock()
        self.controlled = asyncio.Event()
        """Set by each power command."""

    def commands(self) -> Iterable[Command]:
        """The table of them (Spec table G-1)."""
        net, user, op = NetFn.CHASSIS, Level.USER, Level.OPERATOR
        hosts, light = "HostService.WatchHosts", "ChassisService.SetChassisIdentify"
        return (
            Command(net, 0x00, "Get Chassis Capabilities", user, self._capabilities, inband=True),
            Command(net, 0x01, "Get Chassis Status", user, self._status, inband=True, calls=hosts),
            Command(net, 0x02, "Chassis Control", op, self._control, 1, calls="HostService.ChangeHostPower"),
            Command(net, 0x04, "Chassis Identify", op, self._identify, 0, 2, calls=light),
            Command(net, 0x06, "Set Power Restore Policy", op, self._policy, 1, calls="HostService.UpdateHost"),
            Command(net, 0x07, "Get System Restart Cause", user, self._restart_cause, inband=True, calls=hosts),
            Command(net, 0x0F, "Get POH Counter", user, self._hours, inband=True, calls=hosts),
        )

    def _host(self, context: Context) -> Host:
        return self._ground.facts.hosts.get(context.host)

    def _capabilities(self, context: Context, _data: bytes) -> bytes:
        actions = self._host(context).power_actions
        return chassis.capabilities(
            intrusion=self._intrusion() is not None, diagnostic_interrupt=HostPowerAction.NMI in actions
        )

    def _status(self, context: Context, _data: bytes) -> bytes:
        host = self._host(context)
        if host.state is HostState.UNKNOWN:
            raise Completion(Code.NODE_BUSY, "the power cannot be read")
        return Status(
            on=host.state not in _OFF,
            policy=_POLICIES.get(host.effective_restore_policy, Restore.NO_CHANGE),
            power_fault=bool(host.trip_reason),
            on_by_command=host.restart_cause is RestartCause.CHASSIS_CONTROL,
            mains_failed=host.restart_cause in _RESTORED,
            intrusion=bool(self._intrusion()),
            fan_fault=self._fan_fault(),
            identify=self._light(),
        ).pack()

    def _intrusion(self) -> bool | None:
        """Whether the chassis is open; None: nothing tells."""
        for sensor in self._ground.facts.sensors.known.values():
            if sensor.kind is SensorKind.STATE and "intrusion" in sensor.name:
                return sensor.quality is SensorQuality.GOOD and sensor.state != sensor.states[0]
        return None

    def _fan_fault(self) -> bool:
        sensors = self._ground.facts.sensors.known.values()
        return any(each.kind is SensorKind.FAN_SPEED and each.level in _GRAVE for each in sensors)

    def _light(self) -> Identify:
        lit = self._ground.facts.chassis.known.get(self._ground.options.chassis)
        if lit is None or not lit.identify:
            return Identify.OFF
        return Identify.TIMED if self._timer is not None and not self._timer.done() else Identify.ON

    def _restart_cause(self, context: Context, _data: bytes) -> bytes:
        cause = _CAUSES.get(self._host(context).restart_cause, 0x0)
        channel = 0x01 if cause == _CAUSES[RestartCause.CHASSIS_CONTROL] else 0x00
        return bytes((cause, channel))

    def _hours(self, context: Context, _data: bytes) -> bytes:
        return chassis.power_on_hours(self._ground.facts.power_on_seconds(context.host))

    # --- changes --------------------------------------------------------------------------------------------------

    async def _control(self, context: Context, data: bytes) -> bytes:
        try:
            control = Control(data[0] & 0x0F)
        except ValueError as error:
            raise Completion(Code.INVALID_FIELD) from error
        self.controlled.set()
        state = self._host(context).state
        if state is not _THERE_ALREADY.get(control):
            request = ChangeHostPowerRequest(name=context.host, action=ACTIONS[control])
            await context.ask(HostService.ChangeHostPower, request)
        return b""

    async def _policy(self, context: Context, data: bytes) -> bytes:
        wanted = data[0] & 0x07
        if wanted > Restore.NO_CHANGE:
            raise Completion(Code.INVALID_FIELD)
        policy = {ours: known for known, ours in _POLICIES.items()}.get(Restore(wanted))
        if policy is not None:
            host = Host(name=context.host, restore_policy=policy)
            mask = FieldMask(paths=["restore_policy"])
            await context.ask(HostService.UpdateHost, UpdateHostRequest(host=host, update_mask=mask))
        return bytes((chassis.SUPPORTED_POLICIES,))

    async def _identify(self, context: Context, data: bytes) -> bytes:
        """A light that was turned on for a time goes out also if the door was restarted meanwhile."""
        seconds = chassis.identify(data)
        request = SetChassisIdentifyRequest(name=self._ground.options.chassis, identify=seconds != 0)
        async with self._turn:
            await context.ask(ChassisService.SetChassisIdentify, request)
            if self._timer is not None:  # only now: had the call failed the light would have to go out all the same
                self._timer.cancel()
            self._timer = self._ground.spawn(self._turn_off(seconds)) if seconds else None
        until = time.time() + seconds if seconds else 0.0
        if until or self._ground.settings.section(_IDENTIFY).get("until"):
            await self._ground.settings.keep(_IDENTIFY, {"until": until})
        return b""

    async def resume(self) -> None:
        """Turn off the light that was turned on for a time before the door was restarted."""
        until = self._ground.settings.section(_IDENTIFY).get("until")
        if isinstance(until, float) and until:
            left = min(max(0.0, until - time.time()), 255.0)
            self._timer = self._ground.spawn(self._turn_off(left))

    async def _turn_off(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        request = SetChassisIdentifyRequest(name=self._ground.options.chassis, identify=False)
        async with self._turn:
            await self._ground.bus.ask(ChassisService.SetChassisIdentify, request)
            await self._ground.settings.keep(_IDENTIFY, {"until": 0.0})
