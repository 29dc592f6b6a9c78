"""Changes of the BMC: restart, clock, what it demands of connections."""

from __future__ import annotations

import datetime as dt
from typing import Any

from protobuf.wkt import FieldMask, Timestamp

from ubmc.protocols.redfish import managers
from ubmc.protocols.redfish.shape import Values
from ubmc.services.websrv.redfish.context import Context, Done, Family, Unit
from ubmc.v1alpha1.management_controller_pb import RestartManagementControllerRequest
from ubmc.v1alpha1.management_controller_rpc import ManagementControllerService
from ubmc.v1alpha1.network_pb import Time, UpdateTimeRequest
from ubmc.v1alpha1.network_rpc import TimeService
from ubmc.v1alpha1.security_pb import ClientCertificates, SecurityPolicy, UpdateSecurityPolicyRequest
from ubmc.v1alpha1.security_rpc import SecurityService

_TLS = "TLS/Server"


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


async def _policy(context: Context, values: Values) -> None:
    paths: list[str] = []
    policy = SecurityPolicy()
    versions = values.get(f"{_TLS}/Allowed/Versions")
    if versions is not None:
        policy.tls_1_2 = managers.VERSIONS_TLS[0] in versions
        paths.append("tls_1_2")
    verify = values.get(f"{_TLS}/VerifyCertificate")
    if verify is not None:
        policy.client_certificates = ClientCertificates.OPTIONAL if verify else ClientCertificates.OFF
        paths.append("client_certificates")
    request = UpdateSecurityPolicyRequest(policy=policy, update_mask=FieldMask(paths=paths))
    answer = await context.call(SecurityService.UpdateSecurityPolicy, request)
    context.model.put("security", "", answer.policy)


FAMILY = Family(
    patches={
        managers.MANAGER: (Unit(("DateTime",), _set_clock), Unit(("DateTimeLocalOffset",), _set_offset)),
        managers.POLICY: (Unit((f"{_TLS}/Allowed/Versions", f"{_TLS}/VerifyCertificate"), _policy),),
    },
    actions={(managers.MANAGER, managers.RESET): _reset},
)
