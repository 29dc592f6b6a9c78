"""Bytes between two processes of ours over a unix socket, opened with a ticket that was asked for over the bus.

Consoles and screens do not go over the bus: here back-pressure is the kernel's. The one thing to know: whoever can
reach the socket may connect, but only the ticket (32 random bytes, good once, for seconds) says for what, so the right
is checked where the ticket is issued. The ticket is the first thing on the wire; what is no ticket is hung up on.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import os
import secrets
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from pathlib import Path
from typing import Generic, Protocol, Self, TypeVar

from ubmc.kit.errors import Exhausted, Invalid, Unavailable

log = logging.getLogger("ubmc.bytelink")

TICKET_BYTES = 32
TICKET_SECONDS = 10.0
SHOW_SECONDS = 5.0  # for the other end to show its ticket
CONNECT_SECONDS = 5.0
CLOSE_SECONDS = 1.0
MOST_TICKETS = 64
MOST_STRANGERS = 16  # who connected and has not shown a ticket yet
READ_BYTES = 64 * 1024
SEND_BUFFER = 64 * 1024
_BACKLOG = 16
_SUN_PATH_BYTES = 108  # with its closing zero: unix(7)

T = TypeVar("T")
F_co = TypeVar("F_co", covariant=True)


class Decodes(Protocol[F_co]):
    """What turns bytes into frames."""

    def feed(self, data: bytes, /) -> Iterable[F_co]:
        """The frames that are whole now."""


class ByteLink:
    """One end of a connection. One task reads, any may write; whoever got it closes it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._turn = asyncio.Lock()
        writer.transport.set_write_buffer_limits(high=READ_BYTES)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)

    async def read(self) -> bytes:
        """The next bytes; empty when the other end has closed or is gone."""
        try:
            return await self._reader.read(READ_BYTES)
        except OSError:
            return b""

    async def frames(self, decoder: Decodes[F_co]) -> AsyncGenerator[F_co, None]:
        """The frames that come, until the other end closes. Raises what the decoder raises."""
        while data := await self.read():
            for frame in decoder.feed(data):
                yield frame

    async def write(self, data: bytes) -> None:
        """Write all of it; waits while the other end does not read.

        Raises:
            Unavailable: the other end is gone.
        """
        async with self._turn:  # several may not wait in one transport
            if self._writer.is_closing():
                raise Unavailable("the other end has closed the connection")
            self._writer.write(data)
            try:
                await self._writer.drain()
            except OSError as error:
                raise Unavailable("the other end has closed the connection") from error

    def abort(self) -> None:
        """Close at once; what was not sent yet is dropped, and who reads or writes here is told."""
        self._writer.transport.abort()

    async def close(self) -> None:
        """Close, after what was written has been sent (a second at most)."""
        self._writer.close()
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._writer.wait_closed()
        except OSError:  # TimeoutError is one
            self.abort()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


async def connect(path: Path | str, ticket: bytes) -> ByteLink:
    """Connect and show the ticket. Whether it was good shows in the first read: empty if not.

    Raises:
        Unavailable: nobody listens there.
    """
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            reader, writer = await asyncio.open_unix_connection(str(path), limit=READ_BYTES)
    except OSError as error:
        raise Unavailable("the service that has the bytes does not listen; try again") from error
    link = ByteLink(reader, writer)
    try:
        await link.write(ticket)
    except BaseException:
        link.abort()
        raise
    return link


class Tickets(Generic[T]):
    """What was promised to whom: each ticket stands for one thing, once, for a short time."""

    def __init__(self, clock: Callable[[], float], seconds: float = TICKET_SECONDS, most: int = MOST_TICKETS) -> None:
        self._clock = clock
        self._seconds = seconds
        self._most = most
        self._issued: dict[bytes, tuple[float, T]] = {}  # by the hash: looking one up tells nothing by its time

    def issue(self, thing: T) -> bytes:
        """A ticket for this.

        Raises:
            Exhausted: too many have not been used yet.
        """
        now = self._clock()
        self._issued = {key: entry for key, entry in self._issued.items() if entry[0] > now}
        if len(self._issued) >= self._most:
            raise Exhausted("too many connections are being opened at once; try again")
        ticket = secrets.token_bytes(TICKET_BYTES)
        self._issued[hashlib.sha256(ticket).digest()] = (now + self._seconds, thing)
        return ticket

    def redeem(self, ticket: bytes) -> T | None:
        """What it stands for, once; None if it is none, was used or is too old."""
        until, thing = self._issued.pop(hashlib.sha256(ticket).digest(), (0.0, None))
        return thing if until > self._clock() else None


class LinkServer(Generic[T]):
    """Listens on a unix socket and hands over who shows a ticket.

    Args:
        path: of the socket; what is there is replaced.
        tickets: which tickets are good.
        serve: gets what the ticket stands for, and the connection; closing it is not its business.
        mode: who may connect; by default only our own user.
    """

    def __init__(
        self,
        path: Path,
        tickets: Tickets[T],
        serve: Callable[[T, ByteLink], Awaitable[None]],
        *,
        mode: int = 0o600,
    ) -> None:
        self._path = path
        self._tickets = tickets
        self._serve = serve
        self._mode = mode
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._strangers = 0

    async def start(self) -> None:
        """Listen.

        Raises:
            Invalid: the path is too long for a unix socket.
            Unavailable: it cannot be made.
        """
        length = len(os.fsencode(self._path))
        if length >= _SUN_PATH_BYTES:
            raise Invalid(
                f"{self._path}: {length} bytes are too long for a unix socket (at most {_SUN_PATH_BYTES - 1}); "
                "choose a shorter --state"
            )
        try:
            self._path.unlink(missing_ok=True)
            listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
            try:
                listener.bind(str(self._path))
                self._path.chmod(self._mode)
                self._server = await asyncio.start_unix_server(
                    self._accepted, sock=listener, limit=READ_BYTES, backlog=_BACKLOG
                )
            except BaseException:
                listener.close()
                raise
        except OSError as error:
            raise Unavailable(f"{self._path} cannot be made: {error.strerror or error}") from error

    async def stop(self) -> None:
        """Listen no longer, and end whatever is served."""
        if self._server is not None:
            self._server.close()
            self._server = None
            with contextlib.suppress(OSError):
                self._path.unlink()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._strangers >= MOST_STRANGERS:
            writer.transport.abort()
            return
        task = asyncio.create_task(self._receive(reader, ByteLink(reader, writer)))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _receive(self, reader: asyncio.StreamReader, link: ByteLink) -> None:
        try:
            thing = await self._admit(reader)
            if thing is not None:
                await self._serve(thing, link)
        except Exception:
            log.exception("a bug: a connection could not be served")
        finally:
            await link.close()

    async def _admit(self, reader: asyncio.StreamReader) -> T | None:
        self._strangers += 1
        try:
            async with asyncio.timeout(SHOW_SECONDS):
                return self._tickets.redeem(await reader.readexactly(TICKET_BYTES))
        except (OSError, EOFError):  # TimeoutError and IncompleteReadError among them
            return None
        finally:
            self._strangers -= 1
