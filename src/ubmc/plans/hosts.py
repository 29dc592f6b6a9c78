"""What statemgr is told about the hosts of a board."""

from __future__ import annotations

from ubmc.boards.spec import BoardSpec, ButtonsSpec, HostSpec
from ubmc.boards.spec_bios import BiosAttributeSpec, BiosType
from ubmc.services.statemgr.options import HostPlan
from ubmc.v1alpha1.bios_pb import BiosAttribute, BiosAttributeType, BiosAttributeValue


def host_plans(spec: BoardSpec) -> list[HostPlan]:
    """The hosts, in the order of the board file."""
    return [_plan(host) for host in spec.hosts]


def _plan(host: HostSpec) -> HostPlan:
    wired = isinstance(host.power, ButtonsSpec)
    return HostPlan(
        host.name,
        # The power button of a virtual machine reaches its guest by itself.
        front_wired=not isinstance(host.power, ButtonsSpec) or host.power.front_wired,
        rest_seconds=host.cycle_off if wired else 0.0,  # a virtual machine has nothing that must run empty
        bios=tuple(_attribute(each) for each in host.bios),
    )


def _attribute(spec: BiosAttributeSpec) -> BiosAttribute:
    text = spec.type is BiosType.STRING
    return BiosAttribute(
        name=spec.name,
        type=BiosAttributeType[spec.type.name],
        display_name=spec.title or spec.name,
        help=spec.help,
        menu_path=spec.menu,
        default_value=str(spec.default).lower() if isinstance(spec.default, bool) else str(spec.default),
        read_only=spec.read_only,
        values=[BiosAttributeValue(value=value, display_name=value) for value in spec.values],
        minimum=spec.minimum,
        maximum=spec.maximum,
        step=spec.step if spec.type is BiosType.INTEGER else 0,
        max_length=spec.max_length if text else 0,
    )
