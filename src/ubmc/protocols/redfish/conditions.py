"""Why something is not well: the `Conditions` of a `Status`, as long as they hold, in the words of our own registry."""

from __future__ import annotations

from ubmc.protocols.redfish.health import CRITICAL, WARNING
from ubmc.protocols.redfish.registry import NO_VALUE, message_id
from ubmc.protocols.redfish.resource import Body, known
from ubmc.protocols.redfish.when import stamp
from ubmc.v1alpha1.host_pb import Host


def of_host(host: Host) -> list[Body]:
    """What is wrong with the power of a host: the thermal trip holds it off, or the last action failed."""
    found: list[Body] = []
    if host.trip_reason:
        found.append(
            known(
                {
                    "MessageId": message_id("Thermal.Tripped"),
                    "MessageArgs": [host.name, host.trip_reason],
                    "Message": f"{host.name} was powered off because it is too hot: {host.trip_reason}",
                    "Severity": CRITICAL,
                    "Timestamp": stamp(host.state_time),
                }
            )
        )
    if (failed := host.power_failure) is not None:
        action, current = (each.name.lower().replace("_", " ") for each in (failed.action, failed.current))
        seconds = f"{failed.patience_seconds:g}"
        names = (f"HOST_POWER_ACTION_{failed.action.name}", f"HOST_STATE_{failed.current.name}")
        found.append(
            known(
                {
                    "MessageId": message_id("Host.PowerActionFailed"),
                    "MessageArgs": [host.name, names[0], seconds, names[1], failed.advice or NO_VALUE],
                    "Message": f"{host.name}: {action} had no effect after {seconds} s; "
                    f"the host was {current} then. {failed.advice}".rstrip(),
                    "Severity": WARNING,
                    "Timestamp": stamp(failed.time),
                }
            )
        )
    return found
