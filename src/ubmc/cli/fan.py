"""`ubmc fan`."""

from __future__ import annotations

from ubmc.cli.resource import Resource, add_list, add_show
from ubmc.cli.settings import Noun
from ubmc.cli.text import columns
from ubmc.v1alpha1.thermal_rpc import ThermalService

FANS = Resource(
    noun="fan",
    list=ThermalService.ListCoolingDevices,
    items="cooling_devices",
    get=ThermalService.GetCoolingDevice,
    item="cooling_device",
    columns=columns("name", "state", "duty %: duty_percent", "rpm: speeds_rpm", "zones", "location"),
    facts=columns(
        "name",
        "kind",
        "state",
        "duty %: duty_percent",
        "rpm: speeds_rpm",
        "tachometers",
        "zones",
        "fail-safe %: fail_safe_percent",
        "location",
    ),
)

fan = Noun("fan", help="Fans and pumps: show them. What drives them is a zone: ubmc zone.")
add_list(fan, FANS)
add_show(fan, FANS, optional=False)
