"""Questions to a BMC by pyghmi, answered as JSON, a line each. Run by the Python of an environment that has pyghmi.

pyghmi_client.py PORT USER SECRET QUESTION [MORE...] [, QUESTION [MORE...]]...
"""

from __future__ import annotations

import json
import sys
from typing import Any

from pyghmi.ipmi import command  # type: ignore[import-not-found]  # it is in another environment


def ask(bmc: Any, what: str, *more: str) -> Any:
    """What pyghmi says."""
    match what:
        case "power":
            return bmc.get_power()
        case "set-power":
            return bmc.set_power(more[0], wait=30)
        case "bootdev":
            return bmc.get_bootdev()
        case "set-bootdev":
            return bmc.set_bootdev(more[0], uefiboot="efi" in more, persist="persist" in more)
        case "health":
            return {"health": bmc.get_health()["health"]}
        case "sensors":
            return {each.name: each.value for each in bmc.get_sensor_data() if not each.unavailable}
        case "inventory":
            return {name: info for name, info in bmc.get_inventory() if info}
        case "sel":
            return [entry.get("event", "") for entry in bmc.get_event_log()]
        case "identify":
            bmc.set_identify(on=more[0] == "on")
            return more[0]
        case "users":
            return {user["uid"]: user["name"] for user in bmc.get_users().values()}
        case "net":
            return bmc.get_net_configuration()
        case "raw":
            return list(bmc.raw_command(*(int(each, 0) for each in more[:2]))["data"])
    raise SystemExit(f"unknown: {what}")


def main() -> None:
    """Ask and print."""
    port, user, secret, *what = sys.argv[1:]
    bmc = command.Command(bmc="127.0.0.1", userid=user, password=secret, port=int(port), keepalive=False)
    try:
        for question in " ".join(what).split(" , "):
            print(json.dumps(ask(bmc, *question.split()), default=str))
    finally:
        bmc.ipmi_session.logout()


main()
