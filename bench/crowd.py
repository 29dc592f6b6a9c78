"""A crowd of slow clients in a process of its own: they hold connections open, say a byte now and then, and come again.

It says `{"clients": N}` once all have begun, and ends with its input.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
import sys

ADDRESSES = 100
TRICKLE_SECONDS = 2.0
AGAIN_SECONDS = 0.5
BEGIN_SECONDS = 3.0
HEADS = (
    b"GET /api/v1alpha1/hosts/host.0 HTTP/1.1\r\nHost: bmc\r\nX-Slow: ",
    b"POST /api/v1alpha1/sessions:login HTTP/1.1\r\nHost: bmc\r\nContent-Length: 3000\r\n\r\n{",
    b"",  # not even a handshake
)


async def hold(number: int, port: int) -> None:
    """One client, for ever."""
    head = HEADS[number % len(HEADS)]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    while True:
        with contextlib.suppress(OSError):  # refused, or put out for somebody else
            await _once(f"127.0.{1 + number % ADDRESSES}.1", port, head, context if head else None)
        await asyncio.sleep(AGAIN_SECONDS)


async def _once(address: str, port: int, head: bytes, context: ssl.SSLContext | None) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, local_addr=(address, 0))
    reading = asyncio.ensure_future(reader.read(1))
    try:
        writer.write(head)
        while not reading.done():
            await asyncio.wait((reading,), timeout=TRICKLE_SECONDS)
            if head and not reading.done():
                writer.write(b"x")
        reading.result()
    finally:
        reading.cancel()
        writer.transport.abort()


async def main(clients: int, port: int) -> None:
    """Hold on until the input ends."""
    crowd = [asyncio.ensure_future(hold(number, port)) for number in range(clients)]
    await asyncio.sleep(BEGIN_SECONDS)
    print(json.dumps({"clients": clients}), flush=True)
    await asyncio.to_thread(sys.stdin.read)
    for each in crowd:
        each.cancel()
    await asyncio.gather(*crowd, return_exceptions=True)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2])))
