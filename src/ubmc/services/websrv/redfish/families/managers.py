"""Changes of the BMC: restart, clock, what it demands of connections."""

from __future__ import annotations

import datetime as dt
from typing import Any

from protobuf.wkt import FieldMask, Timestamp

from ubmc.protocols.redfish import managers
from ubmc.protocols.redfish.messages import Message, RedfishError
from ubmc.protocols.redfish.shape import Values
from ubmc.services.websrv.redfish.context import By, Context, Done, Family, Unit
from ubmc.v1alpha1.management_controller_pb import RestartManagementControllerRequest
from ubmc.v1alpha1.management_controller_rpc import ManagementControllerService
from ubmc.v1alpha1.network_pb import Time, UpdateTimeRequest
from ubmc.v1alpha1.network_rpc import TimeService
from ubmc.v1alpha1.security_pb import (
    GetSecurityPolicyRequest,
    SecurityPolicy,
    UpdateSecurityPolicyRequest,
)
from ubmc.v1alpha1.security_rpc import SecurityService

_VERSIONS = "TLS/Server/Allowed/Versions"
_VERIFY = "TLS/Server/VerifyCertificate"


async def update_time(context: Context, paths: list[str], **fields: Any) -> None:
    """Change the clock, and see it changed."""
    answer = await context.call(
        TimeService.UpdateTime, UpdateTimeRequest(time=Time(**fields), update_mask=FieldMask(paths=paths))
    )
    context.model.put("time", "", answer.time)


async def _set_clock(context: Context, values: Values) -> None:
    """Set the clock. The offset in the time is that of the time alone; the zone is `DateTimeLocalOffset`."""
    at = dt.datetime.fromisoformat(values["DateTime"])
    await update_time(context, ["time"], time=Timestamp.from_datetime(at))


async def _set_offset(context: Context, values: Values) -> None:
    text = values["DateTimeLocalOffset"]
    minutes = int(text[1:3]) * 60 + int(text[4:6])
    await update_time(context, ["utc_offset_minutes"], utc_offset_minutes=-minutes if text[0] == "-" else minutes)


async def _reset(context: Context, _values: Values) -> Done:
    """Both kinds are the same: services are ended in order, and those that hang are ended by force."""
    request = RestartManagementControllerRequest(name=context.params["manager"])
    answer = await context.call(ManagementControllerService.RestartManagementController, request)
    if answer.management_controller is not None:
        context.model.put("controller", answer.management_controller.name, answer.management_controller)
    return Done()


async def _versions(context: Context, values: Values) -> None:
    """TLS 1.2 beside 1.3, or not; no door is without 1.3."""
    oldest, newest = managers.VERSIONS_TLS
    if newest not in values[_VERSIONS]:
        text = f"TLS {newest} cannot be turned off: send [{newest!r}] or [{oldest!r}, {newest!r}]".replace("'", '"')
        raise RedfishError(400, Message("PropertyValueError", (_VERSIONS,), (f"/{_VERSIONS}",), text))
    await change_security(context, SecurityPolicy(tls_1_2=oldest in values[_VERSIONS]), "tls_1_2")


async def _verify(context: Context, values: Values) -> None:
    """Ask for client certificates, or not."""
    now = (await context.call(SecurityService.GetSecurityPolicy, GetSecurityPolicyRequest())).policy or SecurityPolicy()
    wanted = managers.asked_for(now.client_certificates, verify=values[_VERIFY])
    await change_security(context, SecurityPolicy(client_certificates=wanted), "client_certificates")


async def change_security(context: Context, policy: SecurityPolicy, path: str) -> None:
    """Change one field of what the doors demand, and see it changed."""
    request = UpdateSecurityPolicyRequest(policy=policy, update_mask=FieldMask(paths=[path]))
    answer = await context.call(SecurityService.UpdateSecurityPolicy, request)
    context.model.put("security", "", answer.policy)


FAMILY = Family(
    patches={
        managers.MANAGER: (
            Unit(("DateTime",), _set_clock, TimeService.UpdateTime),
            Unit(("DateTimeLocalOffset",), _set_offset, TimeService.UpdateTime),
        ),
        managers.POLICY: (
            Unit((_VERSIONS,), _versions, SecurityService.UpdateSecurityPolicy),
            Unit((_VERIFY,), _verify, SecurityService.UpdateSecurityPolicy),
        ),
    },
    actions={(managers.MANAGER, managers.RESET): By(_reset, ManagementControllerService.RestartManagementController)},
)
