"""How people get at the consoles: of a system, and of the manager. A screen is not served before there is a service."""

from __future__ import annotations

from ubmc.protocols.redfish.facts import View
from ubmc.protocols.redfish.resource import Body

SESSIONS = 16
_NO_SCREEN: Body = {"ServiceEnabled": False, "ConnectTypesSupported": [], "MaxConcurrentSessions": 0}


def of_system(view: View, name: str) -> Body:
    """The consoles of one system."""
    if view.table("console").get(name) is None:
        return {"GraphicalConsole": _NO_SCREEN}
    found: Body = {
        "MaxConcurrentSessions": SESSIONS,
        "WebSocket": {
            "ServiceEnabled": True,
            "ConsoleURI": f"/api/v1alpha1/hosts/{name}/console:attach",
            "Interactive": True,
        },
    }
    for key, protocol in (("SSH", "ssh"), ("IPMI", "ipmi")):
        port = _port(view, protocol)
        found[key] = {"ServiceEnabled": port is not None, **({"Port": port} if port else {})}
    found["SSH"]["SharedWithManagerCLI"] = True
    found["SSH"]["ConsoleEntryCommand"] = f"console {name}"
    return {"SerialConsole": found, "GraphicalConsole": _NO_SCREEN}


def of_manager(view: View) -> Body:
    """The consoles as the manager has them, and its command line."""
    serial = view.table("console").names()
    ssh, ipmi = _port(view, "ssh") is not None, _port(view, "ipmi") is not None
    lines = [name for name, there in (("SSH", ssh), ("IPMI", ipmi)) if there and serial]
    return {
        "SerialConsole": {
            "ServiceEnabled": bool(lines),
            "MaxConcurrentSessions": SESSIONS if serial else 0,
            "ConnectTypesSupported": lines,
        },
        "GraphicalConsole": _NO_SCREEN,
        "CommandShell": {
            "ServiceEnabled": ssh,
            "MaxConcurrentSessions": SESSIONS if ssh else 0,
            "ConnectTypesSupported": ["SSH"] if ssh else [],
        },
    }


def _port(view: View, protocol: str) -> int | None:
    """The port of a protocol that is in use."""
    found = view.table("protocol").get(protocol)
    return found.port if found is not None and found.enabled else None
