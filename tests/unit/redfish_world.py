"""The facts of the simulated board, off and on, as its services told them; and golden files of what is made of them.

`UBMC_GOLDENS=write pytest tests/unit/test_redfish_goldens.py` writes the golden files anew; read the difference then.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from protobuf import Message

from ubmc.protocols.redfish.facts import Facts, View
from ubmc.protocols.redfish.resource import Resource
from ubmc.protocols.redfish.tree import SERVED, TREE
from ubmc.protocols.redfish.types import ROOT
from ubmc.v1alpha1.account_pb import AccountPolicy
from ubmc.v1alpha1.bios_pb import Bios, BiosAttribute
from ubmc.v1alpha1.chassis_pb import Chassis
from ubmc.v1alpha1.console_pb import Console
from ubmc.v1alpha1.host_pb import Host
from ubmc.v1alpha1.inventory_pb import Asset
from ubmc.v1alpha1.led_pb import Led
from ubmc.v1alpha1.management_controller_pb import ManagementController
from ubmc.v1alpha1.network_pb import Network, NetworkInterface, NetworkProtocol, Time
from ubmc.v1alpha1.security_pb import SecurityPolicy
from ubmc.v1alpha1.sensor_pb import Sensor
from ubmc.v1alpha1.system_pb import GetHealthResponse, System
from ubmc.v1alpha1.thermal_pb import CoolingDevice, ThermalZone

HERE = Path(__file__).parent
GOLDENS = HERE / "redfish_goldens"
NOW = 1_795_410_000.0  # 2026-11-23 05:00:00 UTC
KINDS: Mapping[str, type[Message[Any]]] = {
    "asset": Asset,
    "bios": Bios,
    "chassis": Chassis,
    "console": Console,
    "controller": ManagementController,
    "fan": CoolingDevice,
    "health": GetHealthResponse,
    "host": Host,
    "interface": NetworkInterface,
    "led": Led,
    "network": Network,
    "policy": AccountPolicy,
    "protocol": NetworkProtocol,
    "security": SecurityPolicy,
    "sensor": Sensor,
    "system": System,
    "time": Time,
    "zone": ThermalZone,
}
_SINGLE = {"health", "network", "policy", "security", "system", "time"}


def facts(state: str = "off") -> Facts:
    """The facts of the simulated board with its host `off` or `on`."""
    told = json.loads((HERE / "redfish_facts.json").read_text())
    if state == "on":
        told |= json.loads((HERE / "redfish_facts_on.json").read_text())
    found = Facts()
    for kind, cls in KINDS.items():
        found.feed(kind)
        for row in told.get(kind, []):
            name = "" if kind in _SINGLE else row.get("name", row.get("host", ""))
            found.put(kind, name, cls.from_json(json.dumps(row)))
    attributes = tuple(BiosAttribute.from_json(json.dumps(row)) for row in told["bios-attributes"])
    found.put("bios-attributes", "host.0", attributes)
    return found


def view(of: Facts) -> View:
    """A builder's sight of facts."""
    return View(of, now=NOW, served=SERVED)


def body(of: Facts, path: str) -> dict[str, Any] | None:
    """What the builder at a path makes; None if there is nothing, or nothing that is built."""
    found = TREE.find(path)
    if found is None or found.action is not None or found.resource.build is None:
        return None
    made = found.resource.build(view(of), found.params)
    return json.loads(json.dumps(made)) if made is not None else None


def links_in(value: Any) -> list[str]:
    """All references in a body."""
    if isinstance(value, list):
        return [path for each in value for path in links_in(each)]
    if not isinstance(value, dict):
        return []
    found = [value["@odata.id"]] if set(value) == {"@odata.id"} else []
    return found + [path for each in value.values() for path in links_in(each)]


def walk(of: Facts) -> dict[str, tuple[Resource, dict[str, Any]]]:
    """Everything that can be reached from the root, by its path; what is read live is left out."""
    seen: dict[str, tuple[Resource, dict[str, Any]]] = {}
    waiting = [ROOT]
    while waiting:
        path = waiting.pop().partition("#")[0]
        found = TREE.find(path)
        if path in seen or found is None or found.resource.build is None:
            continue
        made = body(of, path)
        if made is not None:
            seen[path] = (found.resource, made)
            waiting += links_in(made)
    return seen


def check_golden(name: str, content: Any) -> None:
    """Compare with a golden file.

    Raises:
        AssertionError: it differs; see the head of this module for how to write it anew.
    """
    file = GOLDENS / f"{name}.json"
    text = json.dumps(content, indent=1, sort_keys=True) + "\n"
    if os.environ.get("UBMC_GOLDENS") == "write":
        file.write_text(text)
    assert file.exists(), f"there is no golden file {file.name}; write it with UBMC_GOLDENS=write"
    assert json.loads(file.read_text()) == json.loads(text), f"{file.name} is not what is made now"
