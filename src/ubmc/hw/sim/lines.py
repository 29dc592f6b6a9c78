"""GPIO lines of the simulated machine: each open line is one connection to it, and so one descriptor.

As with real GPIO, the line belongs to whoever has a duplicate of that descriptor, and writing b"0" to one makes the
line inactive. That is what the guardian does with a `Release`.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections import deque
from collections.abc import AsyncIterator
from typing import Protocol

from ubmc.hw.gpio.port import How, Release
from ubmc.hw.sim.dial import ANSWER_SECONDS, Dial, greet
from ubmc.hw.sim.protocol import level_byte
from ubmc.kit.errors import Unavailable

_MOST_UNSEEN_LEVELS = 64


class SimOutputLine:
    """A line that we drive; it is driven when the machine has said so."""

    def __init__(self, name: str, sock: socket.socket, *, momentary: bool) -> None:
        self._name = name
        self._sock = sock
        self._momentary = momentary
        self._loop = asyncio.get_running_loop()
        self._echo = b""
        self._heard = asyncio.Event()
        self._gone = False
        self._turn = asyncio.Lock()
        self._loop.add_reader(sock, self._readable)

    @property
    def name(self) -> str:
        """The name of the line."""
        return self._name

    @property
    def closed(self) -> bool:
        """Whether it was given back."""
        return self._sock.fileno() < 0

    async def set(self, *, active: bool) -> None:
        """Drive the line. Raises `Unavailable` when the machine does not take the level."""
        async with self._turn:
            self._readable()  # what another holder of the descriptor caused is no answer to us
            self._echo = b""
            wanted = level_byte(active=active)
            try:
                if self._gone:
                    raise Unavailable(f"line {self._name!r} is lost: the simulated machine went away")
                self._sock.send(wanted)
                async with asyncio.timeout(ANSWER_SECONDS):
                    await self._until(wanted)
            except OSError as error:  # TimeoutError is one
                raise Unavailable(f"line {self._name!r} does not obey: {error}") from error

    def release(self) -> Release:
        """A duplicate of the descriptor; the caller owns it. Raises `Unavailable` after `close`."""
        if self.closed:
            raise Unavailable(f"line {self._name!r} is closed")
        return Release(self._name, How.WRITE, os.dup(self._sock.fileno()))

    async def close(self) -> None:
        """Give the line back; a momentary one is driven inactive first."""
        if self.closed:
            return
        try:
            if self._momentary:
                with contextlib.suppress(Unavailable):
                    await self.set(active=False)
        finally:
            self._lose()
            self._sock.close()

    async def _until(self, wanted: bytes) -> None:
        while self._echo != wanted:
            if self._gone:
                raise Unavailable(f"line {self._name!r} is lost: the simulated machine went away")
            self._heard.clear()
            await self._heard.wait()

    def _readable(self) -> None:
        while not self._gone:
            try:
                data = self._sock.recv(64)
            except BlockingIOError:
                break
            except OSError:
                data = b""
            if data:
                self._echo = data[-1:]
            else:
                self._lose()
        self._heard.set()

    def _lose(self) -> None:
        if not self._gone:
            self._gone = True
            self._loop.remove_reader(self._sock)
            self._heard.set()


class _Levels:
    """One watcher's levels: those not yet seen, the oldest forgotten first."""

    def __init__(self, level: bool) -> None:
        self.unseen = deque([level], _MOST_UNSEEN_LEVELS)
        self.news = asyncio.Event()
        self.news.set()


class SimInputLine:
    """A line that we read."""

    def __init__(self, name: str, sock: socket.socket, level: bool, debounce_seconds: float) -> None:
        self._name = name
        self._sock = sock
        self._raw = level
        self._level = level
        self._debounce_seconds = debounce_seconds
        self._loop = asyncio.get_running_loop()
        self._settling: asyncio.TimerHandle | None = None
        self._watchers: set[_Levels] = set()
        self._gone = False
        self._loop.add_reader(sock, self._readable)

    @property
    def name(self) -> str:
        """The name of the line."""
        return self._name

    @property
    def closed(self) -> bool:
        """Whether it was given back."""
        return self._sock.fileno() < 0

    async def get(self) -> bool:
        """The level now, after debounce. Raises `Unavailable`."""
        if not self._gone:
            self._readable()
        if self._gone:
            raise self._lost()
        return self._level

    async def watch(self) -> AsyncIterator[bool]:
        """The level now, then every change after debounce. Ends with `Unavailable`."""
        if self._gone:
            raise self._lost()
        watcher = _Levels(self._level)
        self._watchers.add(watcher)
        try:
            while True:
                while watcher.unseen:
                    yield watcher.unseen.popleft()
                if self._gone:
                    raise self._lost()
                watcher.news.clear()
                await watcher.news.wait()
        finally:
            self._watchers.discard(watcher)

    async def close(self) -> None:
        """Give the line back; its watchers end."""
        self._lose()
        self._sock.close()

    def _readable(self) -> None:
        try:
            data = self._sock.recv(64)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._lose()
        for byte in data:
            self._see(byte == ord("1"))

    def _see(self, raw: bool) -> None:
        self._raw = raw
        if self._settling is not None:
            self._settling.cancel()
            self._settling = None
        if self._debounce_seconds > 0:
            self._settling = self._loop.call_later(self._debounce_seconds, self._settle)
        else:
            self._settle()

    def _settle(self) -> None:
        self._settling = None
        if self._raw == self._level:
            return
        self._level = self._raw
        for watcher in self._watchers:
            watcher.unseen.append(self._level)
            watcher.news.set()

    def _lose(self) -> None:
        if self._gone:
            return
        self._gone = True
        self._loop.remove_reader(self._sock)
        if self._settling is not None:
            self._settling.cancel()
        for watcher in self._watchers:
            watcher.news.set()

    def _lost(self) -> Unavailable:
        return Unavailable(f"line {self._name!r} cannot be read: the simulated machine went away")


class _Line(Protocol):
    @property
    def closed(self) -> bool: ...

    async def close(self) -> None: ...


class SimLines:
    """Opens lines of a simulated machine, be it a process (`unix_dial`) or in this loop (`InProcessMachine.dial`)."""

    def __init__(self, dial: Dial) -> None:
        self._dial = dial
        self._open: list[_Line] = []

    async def output(self, name: str, *, active_low: bool = False, momentary: bool = True) -> SimOutputLine:
        """Request an output line; see `ubmc.hw.gpio.port.Lines.output`."""
        greeting = {"line": name, "direction": "output", "active_low": active_low}
        sock, _, _ = await greet(self._dial, greeting)
        line = SimOutputLine(name, sock, momentary=momentary)
        self._keep(line)
        if momentary:
            try:
                await line.set(active=False)
            except BaseException:
                await line.close()
                raise
        return line

    async def input(self, name: str, *, active_low: bool = False, debounce_seconds: float = 0.0) -> SimInputLine:
        """Request an input line; see `ubmc.hw.gpio.port.Lines.input`."""
        greeting = {"line": name, "direction": "input", "active_low": active_low}
        sock, _, rest = await greet(self._dial, greeting)
        try:
            if not rest:
                async with asyncio.timeout(ANSWER_SECONDS):
                    rest = await asyncio.get_running_loop().sock_recv(sock, 1)
            if not rest:
                raise Unavailable(f"line {name!r} cannot be read: the simulated machine went away")
        except OSError as error:
            sock.close()
            raise Unavailable(f"line {name!r} cannot be read: {error}") from error
        except BaseException:
            sock.close()
            raise
        line = SimInputLine(name, sock, rest[-1:] == b"1", debounce_seconds)
        self._keep(line)
        return line

    async def close(self) -> None:
        """Close all lines that are still open."""
        while self._open:
            await self._open[-1].close()
            self._open.pop()

    def _keep(self, line: _Line) -> None:
        self._open = [*(one for one in self._open if not one.closed), line]
