"""A web server that takes pushed events, as a subscriber's would, and is as slow or broken as a test wants."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import tempfile
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from tests.harness.authority import Authority


@dataclass
class Receiver:
    """What came, and how it is answered."""

    port: int = 0
    status: int = 204
    headers: list[dict[str, str]] = field(default_factory=list)
    bodies: list[dict[str, Any]] = field(default_factory=list)
    targets: list[str] = field(default_factory=list)
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    """While it is not set, requests are read and not answered."""
    come: asyncio.Event = field(default_factory=asyncio.Event)
    asked: int = 0
    """Requests that were read, answered or not."""

    def events(self) -> list[dict[str, Any]]:
        """All events that were taken, in the order in which they came."""
        return [event for body in self.bodies for event in body["Events"]]

    def texts(self) -> list[str]:
        return [event["Message"] for event in self.events()]

    async def until(self, enough: Callable[[Receiver], bool], seconds: float = 30.0) -> None:
        async with asyncio.timeout(seconds):
            while not enough(self):
                self.come.clear()
                await self.come.wait()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("ascii").split("\r\n")
                method, target, _version = head[0].split(" ")
                assert method == "POST"
                headers = {
                    name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:-2])
                }
                body = await reader.readexactly(int(headers["content-length"]))
                self.asked += 1
                self.come.set()
                await self.gate.wait()
                self.take(target, headers, orjson.loads(body))
                extra = "Location: https://127.0.0.1:1/elsewhere\r\n" if self.status // 100 == 3 else ""
                answer = f"HTTP/1.1 {self.status} X\r\n{extra}Content-Length: 0\r\n\r\n"
                writer.write(answer.encode())
                await writer.drain()
        writer.close()

    def take(self, target: str, headers: dict[str, str], body: dict[str, Any]) -> None:
        if self.status // 100 == 2:
            self.targets.append(target)
            self.headers.append(headers)
            self.bodies.append(body)
        self.come.set()


@contextlib.asynccontextmanager
async def receiver(
    authority: Authority | None = None, names: tuple[str, ...] = ("127.0.0.1",)
) -> AsyncIterator[Receiver]:
    """A receiver on loopback; by HTTPS with a certificate of this authority for these names, else by HTTP."""
    made = Receiver()
    made.gate.set()
    context = None
    if authority is not None:
        issued = authority.issue("receiver", names=names)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        with tempfile.TemporaryDirectory() as folder:
            chain = Path(folder) / "chain.pem"
            chain.write_bytes(issued.pem + issued.key_pem)
            context.load_cert_chain(chain)
    open_now: set[asyncio.Task[None]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        open_now.add(task)
        try:
            with contextlib.suppress(asyncio.CancelledError):  # the end of the test
                await made.serve(reader, writer)
        finally:
            open_now.discard(task)
            writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=context)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        server.close()
        for task in tuple(open_now):
            task.cancel()
        await asyncio.gather(*open_now, return_exceptions=True)
        await server.wait_closed()
