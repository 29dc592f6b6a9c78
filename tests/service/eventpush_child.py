"""Event log and event push in a process of their own, to be killed: as `eventlog_child`, with subscriptions.

It trusts the authority whose certificate is in the file named last, and talks to loopback.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from ubmc.kit.bus import Bus
from ubmc.kit.database import Database
from ubmc.kit.keys import BusKey
from ubmc.kit.link import Endpoint
from ubmc.kit.metrics import Metrics
from ubmc.kit.schema import load
from ubmc.kit.secrets import DeviceKey
from ubmc.services.eventlog.push import EventPush, Outside
from ubmc.services.eventlog.service import EventLog


async def main() -> None:
    key = BusKey()
    print(key.public, flush=True)
    port, principals = sys.stdin.readline().split()
    schema = load()
    state = Path(sys.argv[1])
    expendable, precious = Database(state / "expendable.db"), Database(state / "precious.db")
    expendable.open()
    precious.open()
    bus = Bus("managers", schema, key, Metrics())
    bus.verifier.trust([bytes.fromhex(principals)])
    bus.start(Endpoint(int(port), os.getuid()))
    authority = (state / "authority.pem").read_text(encoding="ascii")
    log = EventLog(expendable, schema)
    push = EventPush(precious, DeviceKey.load(state / "device.key"), schema, Outside(lambda: True, lambda: authority))
    log.bus = push.bus = bus
    logged = asyncio.Event()
    running = asyncio.create_task(log.run(logged.set))
    await logged.wait()
    pushing = asyncio.create_task(push.run(lambda: print("ready", flush=True)))
    await asyncio.gather(running, pushing)


if __name__ == "__main__":
    asyncio.run(main())
