"""A crowd of slow clients holds the door for a minute, and an administrator goes on working."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import time
from pathlib import Path

import httpx
import pytest
from tests.harness.program import KILLS_PEERS, Program

pytestmark = [pytest.mark.e2e, KILLS_PEERS, pytest.mark.timeout(240)]

CLIENTS = 1000
ADDRESSES = 100
HOLD_SECONDS = 60.0
TRICKLE_SECONDS = 2.0
HELD_AT_ONCE = 50  # on average, at least; the door has room for 200
GROWTH_BYTES = 50 << 20
HEADS = (
    b"GET /api/v1alpha1/hosts/host.0 HTTP/1.1\r\nHost: bmc\r\nX-Slow: ",
    b"POST /api/v1alpha1/sessions:login HTTP/1.1\r\nHost: bmc\r\nContent-Length: 3000\r\n\r\n{",
    b"",  # not even a handshake
)


async def _slow(number: int, port: int, until: float, held: list[float]) -> None:
    """Connect, say a little now and then, and connect again when cut off."""
    head = HEADS[number % len(HEADS)]
    address = f"127.0.{1 + number % ADDRESSES}.1"
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    while (began := time.monotonic()) < until:
        writer = None
        with contextlib.suppress(OSError, ssl.SSLError, TimeoutError, asyncio.IncompleteReadError):
            async with asyncio.timeout(max(until - began, 0.1)):
                encrypted = context if head else None
                reader, writer = await asyncio.open_connection(
                    "127.0.0.1", port, ssl=encrypted, local_addr=(address, 0), ssl_handshake_timeout=None
                )
                writer.write(head)
                reading = asyncio.ensure_future(reader.read(1))
                reading.add_done_callback(lambda done: done.cancelled() or done.exception())
                while not reading.done():
                    await asyncio.wait((reading,), timeout=TRICKLE_SECONDS)
                    if head and not reading.done():
                        writer.write(b"x")
        if writer is not None:
            writer.transport.abort()
        held[number] += time.monotonic() - began
        await asyncio.sleep(0.5)


def _memory(program: Program) -> int:
    """The resident bytes of the door."""
    status = Path(f"/proc/{program.processes()['websrv']}/status").read_text()
    line = next(each for each in status.splitlines() if each.startswith("VmRSS"))
    return int(line.split()[1]) * 1024


async def _work(program: Program, until: float) -> int:
    """An administrator who powers, reads and connects anew each time; how many calls were answered."""
    answered = 0
    while time.monotonic() < until:
        for method, path in (("GET", "/api/v1alpha1/hosts/host.0"), ("GET", "/api/v1alpha1/sensors?pageSize=1000")):
            answer = await asyncio.to_thread(program.request, method, path)
            assert answer.status_code == 200, answer.text
            answered += 1
        await asyncio.sleep(0.5)
    return answered


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # of asyncio, for handshakes that we abort
async def test_a_thousand_slow_clients_do_not_stop_an_administrator(tmp_path: Path) -> None:
    program = await asyncio.to_thread(Program(tmp_path).__enter__)
    try:
        await asyncio.to_thread(program.login)
        port = int(program.url.rpartition(":")[2])
        before = _memory(program)
        until = time.monotonic() + HOLD_SECONDS
        held = [0.0] * CLIENTS
        crowd = [asyncio.create_task(_slow(number, port, until, held)) for number in range(CLIENTS)]
        async with asyncio.timeout(HOLD_SECONDS / 2):
            while sum(map(bool, held)) < HELD_AT_ONCE:
                await asyncio.sleep(0.05)  # until the door has been full, and has cut some off
        answered = await _work(program, until)
        growth = _memory(program) - before
        await asyncio.gather(*crowd)
        assert answered >= 40
        assert growth < GROWTH_BYTES, f"{growth >> 20} MiB"
        assert sum(held) > HELD_AT_ONCE * HOLD_SECONDS  # they did hold on, as many as the door has room for
        with contextlib.suppress(httpx.HTTPError):
            assert (await asyncio.to_thread(program.request, "GET", "/api/v1alpha1/hosts")).status_code == 200
    finally:
        await asyncio.to_thread(program.__exit__, None, None, None)
