"""Changes of systems: power, boot override, watchdog, restore policy, asset tag, light."""

from __future__ import annotations

from typing import Any

from protobuf.wkt import FieldMask

from ubmc.kit.errors import NotFound
from ubmc.protocols.redfish import boot, layout
from ubmc.protocols.redfish.messages import Message, RedfishError
from ubmc.protocols.redfish.shape import Values
from ubmc.protocols.redfish.systems import RESET, RESETS, RESTORE, SYSTEM, TIMEOUT_ACTIONS, WARNING_ACTIONS
from ubmc.services.websrv.redfish.context import By, Context, Done, Family, Unit, text
from ubmc.services.websrv.redfish.families.indicator import indicate
from ubmc.v1alpha1.chassis_rpc import ChassisService
from ubmc.v1alpha1.host_pb import (
    ChangeHostPowerRequest,
    Host,
    HostPowerAction,
    HostState,
    HostWatchdog,
    UpdateHostRequest,
)
from ubmc.v1alpha1.host_rpc import HostService
from ubmc.v1alpha1.inventory_pb import Asset, UpdateAssetRequest
from ubmc.v1alpha1.inventory_rpc import InventoryService

_ENABLED = "HostWatchdogTimer/FunctionEnabled"
_NOT_STARTED = (
    "the watchdog is started by software of the host, which then has to feed it; a setting starts none. What it does at"
    " its expiry can be set before, and a watchdog that runs can be stopped"
)


def _host(context: Context) -> Host:
    host = layout.host(context.view, context.params["system"])
    if host is None:
        raise NotFound("the host is not there any more")
    return host


async def _update(context: Context, *paths: str, **fields: Any) -> None:
    """Change these fields of a host, and see them changed."""
    host = Host(name=context.params["system"], **fields)
    answer = await context.call(
        HostService.UpdateHost, UpdateHostRequest(host=host, update_mask=FieldMask(paths=[*paths]))
    )
    if answer.host is not None:
        context.model.put("host", answer.host.name, answer.host)


async def _boot(context: Context, values: Values) -> None:
    await _update(context, "boot_override", boot_override=boot.changed(_host(context), values))


async def _order(context: Context, values: Values) -> None:
    boot.check_order(_host(context), values[boot.ORDER])


async def _restore(context: Context, values: Values) -> None:
    wanted = next(policy for policy, name in RESTORE.items() if name == values["PowerRestorePolicy"])
    await _update(context, "restore_policy", restore_policy=wanted)


async def _watchdog(context: Context, values: Values) -> None:
    """What the watchdog does, and stopping it.

    A setting starts none (DSP0268, ComputerSystem, FunctionEnabled): nobody would feed it, so that it would cut a host
    that is well.

    Raises:
        RedfishError: 400, it is not running and should be.
    """
    now = _host(context).watchdog or HostWatchdog()
    enabled = values.get(_ENABLED)
    action = values.get("HostWatchdogTimer/TimeoutAction")
    warning = values.get("HostWatchdogTimer/WarningAction")
    if enabled and not now.running:
        raise RedfishError(400, Message("PropertyValueError", (_ENABLED,), (f"/{_ENABLED}",), _NOT_STARTED))
    watchdog = HostWatchdog(
        action=next((key for key, name in TIMEOUT_ACTIONS.items() if name == action), now.action),
        pretimeout_action=next(
            (key for key, name in WARNING_ACTIONS.items() if name == warning), now.pretimeout_action
        ),
    )
    # Only what was asked for: it may have been started, fed or stopped since we heard of it.
    sent = {
        "watchdog.running": enabled is False,
        "watchdog.action": action is not None,
        "watchdog.pretimeout_action": warning is not None,
    }
    if any(sent.values()):
        await _update(context, *(path for path, wanted in sent.items() if wanted), watchdog=watchdog)


async def _tag(context: Context, values: Values) -> None:
    asset = Asset(name=context.params["system"], asset_tag=text(values["AssetTag"]))
    answer = await context.call(InventoryService.UpdateAsset, UpdateAssetRequest(asset=asset))
    if answer.asset is not None:
        context.model.put("asset", answer.asset.name, answer.asset)


async def _light(context: Context, values: Values) -> None:
    await indicate(context, layout.chassis_of_host(context.view, context.params["system"]), values)


_RESTARTS = (HostPowerAction.FORCE_RESTART, HostPowerAction.POWER_CYCLE, HostPowerAction.REBOOT)


async def reset(context: Context, values: Values) -> Done:
    """Change the power of a system.

    Clients ask for a state more than for a step: what is on already is not powered on again, and a restart of what is
    off powers it on.
    """
    action = RESETS[values["ResetType"]]
    name = context.params["system"]
    state = _host(context).state
    if action is HostPowerAction.ON and state in (HostState.ON, HostState.POWERING_ON):
        return Done()
    if action is HostPowerAction.GRACEFUL_OFF and state is HostState.OFF:
        return Done()
    if action in _RESTARTS and state is HostState.OFF:
        action = HostPowerAction.ON
    answer = await context.call(HostService.ChangeHostPower, ChangeHostPowerRequest(name=name, action=action))
    if answer.host is not None:
        context.model.put("host", name, answer.host)
    return Done(task=answer.task)


FAMILY = Family(
    patches={
        SYSTEM: (
            Unit(boot.PATHS, _boot, HostService.UpdateHost),
            Unit((boot.ORDER,), _order, None),
            Unit(("PowerRestorePolicy",), _restore, HostService.UpdateHost),
            Unit(
                tuple(f"HostWatchdogTimer/{name}" for name in ("FunctionEnabled", "TimeoutAction", "WarningAction")),
                _watchdog,
                HostService.UpdateHost,
            ),
            Unit(("AssetTag",), _tag, InventoryService.UpdateAsset),
            Unit(("IndicatorLED", "LocationIndicatorActive"), _light, ChassisService.SetChassisIdentify),
        )
    },
    actions={(SYSTEM, RESET): By(reset, HostService.ChangeHostPower)},
)
