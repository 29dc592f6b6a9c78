"""Why a host was started or restarted: from who or what caused it to what IPMI and Redfish show. Pure."""

from __future__ import annotations

from types import MappingProxyType

from ubmc.services.statemgr.host import UPWARDS, HostPhase, HostRequest
from ubmc.v1alpha1.host_pb import Cause, RestartCause, RestorePolicy

_BY_KIND = MappingProxyType(
    {
        "user": RestartCause.CHASSIS_CONTROL,
        "front-panel": RestartCause.POWER_BUTTON,
        "watchdog": RestartCause.WATCHDOG,
    }
)
_BY_POLICY = MappingProxyType(
    {
        RestorePolicy.ALWAYS_ON: RestartCause.RESTORE_ALWAYS_ON,
        RestorePolicy.LAST_STATE: RestartCause.RESTORE_LAST_STATE,
    }
)


def cause_of(
    before: HostPhase,
    after: HostPhase,
    request: HostRequest | None,
    cause: Cause,
    policy: RestorePolicy,
    *,
    pressed: bool,
) -> RestartCause | None:
    """Why the host that is now on was started or restarted; None if this step is no end of a start.

    Args:
        before: the phase before the step; a host that was just found, in `UNKNOWN`, was not started.
        after: the phase now.
        request: what was carried out, if anything was.
        cause: who or what is behind it.
        policy: what the host does when mains comes back.
        pressed: somebody pressed the power button a moment ago.
    """
    if after is not HostPhase.ON or before in {HostPhase.UNKNOWN, HostPhase.ON}:
        return None
    if request in UPWARDS:
        if cause.kind == "restore-policy":
            return _BY_POLICY.get(policy, RestartCause.UNKNOWN)
        return _BY_KIND.get(cause.kind, RestartCause.UNKNOWN)
    if before is not HostPhase.OFF:
        return None
    return RestartCause.POWER_BUTTON if pressed else RestartCause.UNKNOWN
