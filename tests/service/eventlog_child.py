"""An event log in a process of its own, to be killed.

It tells its bus key, reads port of the bus and key of principals, and says when it is ready.
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
from ubmc.services.eventlog.service import EventLog


async def main() -> None:
    key = BusKey()
    print(key.public, flush=True)
    port, principals = sys.stdin.readline().split()
    schema = load()
    database = Database(Path(sys.argv[1]))
    database.open()
    bus = Bus("managers", schema, key, Metrics())
    bus.verifier.trust([bytes.fromhex(principals)])
    bus.start(Endpoint(int(port), os.getuid()))
    log = EventLog(database, schema)
    log.bus = bus
    await log.run(lambda: print("ready", flush=True))


if __name__ == "__main__":
    asyncio.run(main())
