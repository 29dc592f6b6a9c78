"""Bus round trips: our `ask` beside a bare nats-py request, over the same nats-server, from one process.

    python -m bench.bus ROUNDS SECONDS

Both sides ask for the same payload and answer with the same bytes. The bare side sends no headers, has no permissions
to think of but those of the server, decodes nothing and checks nobody. Figures go to standard output as JSON.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from nats.aio.client import Client
from nats.aio.msg import Msg
from tests.harness.bus import BusWorld

from bench.figures import Figure, medians, percentile
from ubmc.kit import subjects
from ubmc.kit.keys import BusKey
from ubmc.kit.service import Service, rpc
from ubmc.services.ipc.permissions import ProcessSpec
from ubmc.v1alpha1.internal_pb import DriveChassisRequest, DriveChassisResponse, DriveHostRequest, DriveHostResponse
from ubmc.v1alpha1.internal_rpc import PowerService

IN_FLIGHT = (1, 16)
ANSWER_SECONDS = 5.0
_MS = 1e3

Once = Callable[[], Awaitable[object]]


class Answering(Service):
    """Answers at once."""

    name = "powermgr"

    @rpc(PowerService.DriveHost)
    async def drive(self, _request: DriveHostRequest) -> DriveHostResponse:
        """Nothing to do."""
        return DriveHostResponse()


class Asking(Service):
    """Asks."""

    name = "statemgr"
    calls = (PowerService.DriveHost,)


class BareAnswering(Service):
    """Only declared, so that the server lets the bare side answer this other call."""

    name = "powermgr"

    @rpc(PowerService.DriveChassis)
    async def drive(self, _request: DriveChassisRequest) -> DriveChassisResponse:
        """Never called."""
        return DriveChassisResponse()


class BareAsking(Service):
    """Only declared, so that the server lets the bare side ask."""

    name = "statemgr"
    calls = (PowerService.DriveChassis,)


REQUEST = DriveHostRequest(name="host.0")
PROCESSES = (
    ProcessSpec("answering", (Answering,)),
    ProcessSpec("asking", (Asking,)),
    ProcessSpec("bare-answering", (BareAnswering,)),
    ProcessSpec("bare-asking", (BareAsking,)),
)


@asynccontextmanager
async def bare_client(world: BusWorld, process: str) -> AsyncIterator[Client]:
    """A nats-py client as its documentation makes one, with a key of ours because the server asks for one."""
    key = BusKey()
    world.server.admit(process, key.public)
    async with asyncio.timeout(ANSWER_SECONDS):
        while not world.server.settle():
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.2)  # the server reads its configuration when it gets round to it
    client = Client()
    client._public_nkey = key.public  # noqa: SLF001  the library's own way needs another library
    await client.connect(
        f"nats://127.0.0.1:{world.server.port}",
        signature_cb=key.sign,
        inbox_prefix=subjects.inbox(process),
        allow_reconnect=False,
    )
    try:
        yield client
    finally:
        await client.close()


async def one_round(once: Once, in_flight: int, seconds: float) -> dict[str, float]:
    """Ask for some seconds with so many at a time."""
    latencies: list[float] = []
    end = time.perf_counter() + seconds

    async def lane() -> None:
        while (began := time.perf_counter()) < end:
            await once()
            latencies.append(time.perf_counter() - began)

    began = time.perf_counter()
    await asyncio.gather(*(lane() for _ in range(in_flight)))
    elapsed = time.perf_counter() - began
    return {
        "rate": len(latencies) / elapsed,
        "p50": percentile(latencies, 0.5) * _MS,
        "p99": percentile(latencies, 0.99) * _MS,
    }


@asynccontextmanager
async def ours(world: BusWorld) -> AsyncIterator[Once]:
    """Our way to ask."""
    await world.place("answering", Answering())
    bus = await world.place("asking")

    async def ask() -> object:
        return await bus.ask(PowerService.DriveHost, REQUEST, timeout=ANSWER_SECONDS)

    yield ask


@asynccontextmanager
async def bare(world: BusWorld) -> AsyncIterator[Once]:
    """Nats-py's way to ask."""
    subject, request = subjects.peer(PowerService.DriveChassis), REQUEST.to_binary()
    response = DriveHostResponse().to_binary()
    async with bare_client(world, "bare-answering") as server, bare_client(world, "bare-asking") as client:

        async def answer(msg: Msg) -> None:
            await server.publish(msg.reply, response)

        await server.subscribe(subject, cb=answer)
        await server.flush()

        async def ask() -> object:
            return await client.request(subject, request, timeout=ANSWER_SECONDS)

        yield ask


async def measure(rounds: int, seconds: float) -> list[Figure]:
    """Alternating rounds at each number in flight."""
    figures = []
    async with BusWorld(*PROCESSES) as world, bare(world) as reference, ours(world) as ask:
        for in_flight in IN_FLIGHT:
            subject: list[dict[str, float]] = []
            other: list[dict[str, float]] = []
            for once in (ask, reference):
                await one_round(once, in_flight, 0.2)  # warm up
            for _ in range(rounds):
                other.append(await one_round(reference, in_flight, seconds))
                subject.append(await one_round(ask, in_flight, seconds))
            mine, theirs = medians(subject), medians(other)
            name = f"bus round trip, {in_flight} in flight"
            figures += [
                Figure(f"{name}, rate", "1/s", mine["rate"], theirs["rate"]),
                Figure(f"{name}, p50", "ms", mine["p50"], theirs["p50"]),
                Figure(f"{name}, p99", "ms", mine["p99"], theirs["p99"]),
            ]
    return figures


if __name__ == "__main__":
    measured = asyncio.run(measure(int(sys.argv[1]), float(sys.argv[2])))
    print(json.dumps([each.to_json() for each in measured]))
