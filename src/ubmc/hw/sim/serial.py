"""The serial line of the simulated host: a connection to the machine that keeps what we have not read."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections import deque

from ubmc.hw.console.port import (
    BREAK_SECONDS,
    Abilities,
    Chunk,
    FlowControl,
    LineSettings,
    Opened,
    Resume,
)
from ubmc.hw.sim.dial import Dial, greet
from ubmc.hw.sim.protocol import (
    SERIAL_CHUNK_BYTES,
    serial_ack,
    serial_break,
    serial_input,
    serial_outputs,
)
from ubmc.kit.errors import Unavailable

_READ_BYTES = 64 * 1024


class SimSerial:
    """The driver for it."""

    kind = "sim"
    abilities = Abilities(baud_rate=False, flow_controls=(FlowControl.NONE,), sends_break=True)
    retry_seconds = 0.25

    def __init__(self, dial: Dial) -> None:
        self._dial = dial
        self._sock: socket.socket | None = None
        self._rest = bytearray()
        self._whole: deque[tuple[int, bytes]] = deque()  # within the window of the machine
        self._turn = asyncio.Lock()
        self._reading = asyncio.Lock()

    async def open(self, settings: LineSettings, resume: Resume | None = None) -> Opened:
        """Take the line; see `Line.open`."""
        del settings  # nothing to set
        await self.close()
        place = resume.place if resume is not None else None
        sock, answer, rest = await greet(self._dial, {"console": True, "from": place})
        if resume is not None and answer["instance"] != resume.identity:
            sock.close()
            sock, answer, rest = await greet(self._dial, {"console": True, "from": None})
        self._sock = sock
        self._rest = bytearray(rest)
        self._whole.clear()
        return Opened(str(answer["instance"]), int(answer["place"]), int(answer["end"]))

    async def read(self) -> Chunk:
        """The next bytes; see `Line.read`."""
        while not self._whole:
            self._whole.extend(serial_outputs(self._rest))
            if not self._whole:
                self._rest += await self._receive()
        place, data = self._whole.popleft()
        await self._send(serial_ack(place + len(data)))
        return Chunk(place, data)

    async def write(self, data: bytes) -> None:
        """Write all of it; see `Line.write`."""
        for at in range(0, len(data), SERIAL_CHUNK_BYTES):
            await self._send(serial_input(data[at : at + SERIAL_CHUNK_BYTES]))

    async def send_break(self, seconds: float = BREAK_SECONDS) -> None:
        """Send a BREAK; see `Line.send_break`."""
        del seconds
        await self._send(serial_break())

    async def configure(self, settings: LineSettings) -> None:
        """Nothing can be set."""

    async def close(self) -> None:
        """Give the line back."""
        sock, self._sock = self._sock, None
        if sock is not None:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)  # who reads on it is told
            async with self._turn, self._reading:  # a socket that the loop watches must not be closed
                sock.close()

    async def _receive(self) -> bytes:
        async with self._reading:
            sock = self._checked()
            try:
                data = await asyncio.get_running_loop().sock_recv(sock, _READ_BYTES)
            except OSError as error:
                raise Unavailable(f"the simulated machine is lost: {error}") from error
        if not data:
            raise Unavailable("the simulated machine went away")
        return data

    async def _send(self, frame: bytes) -> None:
        async with self._turn:  # a frame must not stand in the middle of another
            sock = self._checked()
            try:
                await asyncio.get_running_loop().sock_sendall(sock, frame)
            except OSError as error:
                raise Unavailable(f"the simulated machine is lost: {error}") from error
            except asyncio.CancelledError:  # half a frame may have gone: the connection is of no use any more
                with contextlib.suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)
                raise

    def _checked(self) -> socket.socket:
        if self._sock is None:
            raise Unavailable("the serial line is not open")
        return self._sock
