"""Somebody's program on a terminal of its own: what it shows is read, what is typed goes to it, byte for byte."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import tty
from types import TracebackType
from typing import Self

READ_BYTES = 64 * 1024
DEADLINE_SECONDS = 20.0


class Terminal:
    """Run a program on a pseudo-terminal.

    Args:
        arguments: the program and what it is told.
    """

    def __init__(self, *arguments: str) -> None:
        self._arguments = arguments
        self._process: subprocess.Popen[bytes] | None = None
        self._master = -1
        self._shown = bytearray()
        self._more = asyncio.Event()
        self._unwritten = bytearray()

    async def __aenter__(self) -> Self:
        self._master, slave = os.openpty()
        tty.setraw(slave)  # before the program does, so that nothing is echoed or changed meanwhile
        os.set_blocking(self._master, False)
        self._process = subprocess.Popen(
            self._arguments, stdin=slave, stdout=slave, stderr=slave, start_new_session=True, close_fds=True
        )
        os.close(slave)
        asyncio.get_running_loop().add_reader(self._master, self._readable)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._master)
        loop.remove_writer(self._master)
        os.close(self._master)
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                await asyncio.to_thread(self._process.wait, 3)
            except subprocess.TimeoutExpired:
                self._process.kill()
                await asyncio.to_thread(self._process.wait)
        if error is not None:
            print(self._arguments[0], "showed last:", bytes(self._shown[-2000:]))

    @property
    def shown(self) -> bytes:
        """What was shown and has not been taken by `see` or `take`."""
        return bytes(self._shown)

    async def see(self, text: bytes, seconds: float = DEADLINE_SECONDS) -> bytes:
        """Wait until this was shown; what came before it. The rest stays."""
        async with asyncio.timeout(seconds):
            begin = 0
            while (at := self._shown.find(text, begin)) < 0:
                begin = max(0, len(self._shown) - len(text))
                await self._wait()
        before = bytes(self._shown[:at])
        del self._shown[: at + len(text)]
        return before

    async def take(self, count: int, seconds: float = DEADLINE_SECONDS) -> bytes:
        """The next so many bytes."""
        async with asyncio.timeout(seconds):
            while len(self._shown) < count:
                await self._wait()
        taken = bytes(self._shown[:count])
        del self._shown[:count]
        return taken

    async def some(self, seconds: float = DEADLINE_SECONDS) -> bytes:
        """The next bytes, at least one."""
        async with asyncio.timeout(seconds):
            while not self._shown:
                await self._wait()
        taken = bytes(self._shown)
        self._shown.clear()
        return taken

    def type(self, data: bytes) -> None:
        """Type; it goes as fast as the program reads."""
        self._unwritten += data
        asyncio.get_running_loop().add_writer(self._master, self._writable)

    async def ended(self, seconds: float = DEADLINE_SECONDS) -> int:
        """Wait until the program has ended; its exit code."""
        assert self._process is not None
        return await asyncio.to_thread(self._process.wait, seconds)

    async def _wait(self) -> None:
        self._more.clear()
        await self._more.wait()

    def _readable(self) -> None:
        try:
            data = os.read(self._master, READ_BYTES)
        except OSError:  # the program has closed its end
            asyncio.get_running_loop().remove_reader(self._master)
            data = b""
        self._shown += data
        self._more.set()

    def _writable(self) -> None:
        with contextlib.suppress(BlockingIOError):
            count = os.write(self._master, self._unwritten[:4096])
            del self._unwritten[:count]
        if not self._unwritten:
            asyncio.get_running_loop().remove_writer(self._master)
