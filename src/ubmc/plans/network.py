"""What netmgr is told: what this program speaks, and where its owner says so."""

from __future__ import annotations

import re

from ubmc.boards.load import Board
from ubmc.boards.owner import OwnerSpec, parse_endpoint
from ubmc.services.netmgr.plan import NetworkPlan, ProtocolPlan

_FIXED = "the owner's file decides that: {key}"
_NOT_SPOKEN = "this program does not speak it"
_NO_NAME = re.compile(r"[^A-Za-z0-9]+")
_LONGEST_NAME = 63


def network_plan(board: Board, owner: OwnerSpec) -> NetworkPlan:
    """The network of a board."""
    name = _NO_NAME.sub("-", f"bmc-{board.spec.board.name}").strip("-")[:_LONGEST_NAME]
    return NetworkPlan(
        host_name=name.rstrip("-"),
        protocols=(
            _protocol("https", owner.listen, "listen", 443),
            _protocol("http", owner.web.redirect, "web.redirect", 80),
            _protocol("ssh", owner.ssh.listen, "ssh.listen", 22),
            _protocol("ipmi", owner.ipmi.listen, "ipmi.listen", 623),
            ProtocolPlan("ssdp", enabled=False, port=1900, fixed_reason=_NOT_SPOKEN),
            ProtocolPlan("kvm", enabled=False, port=0, fixed_reason=_NOT_SPOKEN),
        ),
    )


def _protocol(name: str, listen: tuple[str, ...], key: str, standard_port: int) -> ProtocolPlan:
    port = parse_endpoint(listen[0])[1] if listen else standard_port
    return ProtocolPlan(name, enabled=bool(listen), port=port, fixed_reason=_FIXED.format(key=key))
