"""A terminal on a console: raw, both ways, over restarts of the BMC; and given back as it was, whatever happens."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import termios
import time
import tty
from collections.abc import AsyncGenerator, Iterator
from dataclasses import dataclass, replace
from typing import Any

from ubmc.cli.terminal import printable
from ubmc.client.console import ConsoleLink, attach
from ubmc.client.trust import Trust
from ubmc.kit.errors import UbmcError, Unavailable
from ubmc.protocols import console as frames
from ubmc.protocols.escape import Command, Escape, help_lines
from ubmc.protocols.terminal_filter import TerminalFilter

READ_BYTES = 16 * 1024
RETRY_SECONDS = 0.5
LONGEST_RETRY_SECONDS = 4.0
GIVE_UP_SECONDS = 60.0
_LEFT = signal.SIGTERM, signal.SIGHUP


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which console, and how."""

    url: str
    token: str
    trust: Trust
    name: str
    write: bool
    take_over: bool
    replay_bytes: int
    escape: str
    """The character that begins a command; empty: none does."""
    safe: bool = False
    """Show only what cannot reach out of the terminal."""


@contextlib.contextmanager
def raw_terminal() -> Iterator[bool]:
    """Give every key at once and as it is, if stdin is a terminal; says whether it is. Restored in the end."""
    descriptor = sys.stdin.fileno()
    if not os.isatty(descriptor):
        yield False
        return
    before = termios.tcgetattr(descriptor)
    try:
        tty.setraw(descriptor, termios.TCSADRAIN)
        yield True
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


@contextlib.contextmanager
def _masked(how: int, back: int) -> Iterator[None]:
    signal.pthread_sigmask(how, _LEFT)
    try:
        yield
    finally:
        signal.pthread_sigmask(back, _LEFT)


class LeaveError(Exception):
    """The person has had enough."""


class Session:
    """One person at one console."""

    def __init__(self, wanted: Wanted, *, terminal: bool) -> None:
        self._wanted = wanted
        self._terminal = terminal
        self._escape = Escape(wanted.escape if terminal else "")
        self._resume: tuple[str, int] | None = None
        self._take_over = wanted.take_over
        self._greeting: frames.Hello | None = None  # is said once it is known who writes
        self._state: frames.Hello | frames.State | None = None
        self._filter = TerminalFilter() if wanted.safe else None
        self._link: ConsoleLink | None = None
        self._linked = asyncio.Event()

    async def run(self) -> None:
        """Until the person leaves. Raises `UbmcError`: it cannot go on."""
        loop, me = asyncio.get_running_loop(), asyncio.current_task()
        assert me is not None
        for number in _LEFT:
            loop.add_signal_handler(number, me.cancel)
        with _masked(signal.SIG_UNBLOCK, signal.SIG_BLOCK):
            await self._run()

    async def _run(self) -> None:
        tasks = [asyncio.create_task(self._keep_attached()), asyncio.create_task(self._read_keys())]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        except LeaveError:
            return
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    # --- the console ------------------------------------------------------------------------------------------------

    async def _keep_attached(self) -> None:
        lost, delay, first = 0.0, RETRY_SECONDS, True
        while True:
            try:
                async with await self._attach() as link:
                    lost, delay, first = 0.0, RETRY_SECONDS, False
                    await self._read_console(link)
            except Unavailable as error:
                now = time.monotonic()
                lost = lost or now
                if first or now - lost > GIVE_UP_SECONDS:
                    raise
                if delay == RETRY_SECONDS:
                    self._notice(f"{error.message}; trying again")
            await asyncio.sleep(delay)
            delay = min(delay * 2, LONGEST_RETRY_SECONDS)

    async def _attach(self) -> ConsoleLink:
        """Attach to read, unless it is a take-over: whoever may write asks for that then, and nobody is refused."""
        wanted = self._wanted
        return await attach(
            wanted.url,
            wanted.token,
            wanted.name,
            trust=wanted.trust,
            write=self._take_over,
            take_over=self._take_over,
            replay_bytes=wanted.replay_bytes,
            resume=self._resume,
        )

    async def _read_console(self, link: ConsoleLink) -> None:
        self._link = link
        try:
            async with contextlib.aclosing(link.received()) as stream:
                async for frame in stream:
                    if isinstance(frame, frames.Hello):
                        await self._begin(link, frame)
                    else:
                        await self._take(frame)
        finally:
            self._linked.clear()
            self._link = None

    async def _take(self, frame: frames.Frame) -> None:
        match frame:
            case frames.Output(offset, data):
                assert self._resume is not None
                self._resume = (self._resume[0], offset + len(data))
                await _write_all(sys.stdout.fileno(), self._filter.feed(data) if self._filter is not None else data)
            case frames.Missed(start, end):
                assert self._resume is not None
                self._resume = (self._resume[0], end)
                self._notice(f"{end - start} bytes were missed")
            case frames.State():
                self._tell_state(frame)

    async def _begin(self, link: ConsoleLink, hello: frames.Hello) -> None:
        first, asks = self._resume is None, self._wanted.write and hello.may_write and not hello.writing
        if asks:
            await link.send(frames.Take())  # a STATE comes
        self._greeting = hello if first and asks else None
        if self._greeting is None:
            self._greet(hello, first=first)
        self._resume = (hello.epoch, hello.start)
        self._take_over = False  # after a reconnection nobody is to be thrown out
        self._state = hello
        self._linked.set()  # what is typed goes behind that

    def _greet(self, hello: frames.Hello, *, first: bool) -> None:
        if first:
            how = "you write" if hello.writing else f"{hello.writer or 'nobody'} writes, you read"
            escape = self._wanted.escape
            keys = f"; {escape}? for help, {escape}. ends" if self._terminal and escape else ""
            self._notice(f"console of {hello.name}: {how}{keys}")
        elif hello.resumed == "unknown":
            self._notice("the console was restarted; what came meanwhile is not known")
        else:
            self._notice("attached again")
        if not hello.connected:
            self._notice(f"the line does not work now: {hello.reason}")

    def _tell_state(self, state: frames.State) -> None:
        before, self._state = self._state, state
        greeting, self._greeting = self._greeting, None
        if greeting is not None:
            before = replace(greeting, writing=state.writing, writer=state.writer, reason=state.reason)
            self._greet(replace(before, reason=greeting.reason), first=True)
        if before is not None and (told := frames.changes(before, state)):
            self._notice(told)

    # --- the keys ---------------------------------------------------------------------------------------------------

    async def _read_keys(self) -> None:
        async with contextlib.aclosing(_keys(sys.stdin.fileno())) as keys:
            async for typed in keys:
                for part in self._escape.feed(typed):
                    await self._do(part)
        if self._terminal:
            raise LeaveError
        await asyncio.Event().wait()  # a pipe that has ended: go on reading

    async def _do(self, part: bytes | Command | str) -> None:
        match part:
            case bytes():
                for frame in frames.inputs(part):
                    await self._send(frame)
            case Command.LEAVE:
                raise LeaveError
            case Command.HELP:
                self._notice(*help_lines(self._wanted.escape))
            case Command.BREAK:
                await self._send(frames.Break())
            case Command.TAKE_OVER:
                await self._send(frames.Take(over=True))
            case Command.RELEASE:
                await self._send(frames.Release())
            case str() if part.isascii() and part.isalnum():
                await self._send(frames.SysRq(part))

    async def _send(self, frame: frames.ToOwner) -> None:
        await self._linked.wait()
        if self._link is not None:
            with contextlib.suppress(UbmcError):  # it went just now; whether it was written is not known
                await self._link.send(frame)

    def _notice(self, *lines: str) -> None:
        """Say something to the person: one line, or several in one piece."""
        end = "\r\n" if self._terminal else "\n"
        text = f"{end}  ".join(map(printable, lines))
        sys.stderr.write(f"{end if self._terminal else ''}[ubmc: {text}]{end}")
        sys.stderr.flush()


async def _keys(descriptor: int) -> AsyncGenerator[bytes, None]:
    """What is typed, as it comes; ends with the input.

    The terminal must not be made non-blocking, for others have it too; so it is read once each time it is ready.
    """
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()

    def is_ready() -> None:
        loop.remove_reader(descriptor)
        ready.set()

    try:
        while True:
            ready.clear()
            try:
                loop.add_reader(descriptor, is_ready)
                await ready.wait()
                data = os.read(descriptor, READ_BYTES)
            except PermissionError:  # a file, which epoll does not take
                data = await asyncio.to_thread(os.read, descriptor, READ_BYTES)
            except OSError:
                return
            if not data:
                return
            yield data
    finally:
        loop.remove_reader(descriptor)


async def _write_all(descriptor: int, data: bytes) -> None:
    """Write to the terminal or pipe; while it does not take any, neither do we.

    Raises:
        LeaveError: nobody reads any more.
    """
    try:
        await asyncio.to_thread(_write_now, descriptor, data)
    except BrokenPipeError:
        raise LeaveError from None


def _write_now(descriptor: int, data: bytes) -> None:
    rest: Any = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def run(wanted: Wanted) -> None:
    """Be on the console until the person leaves.

    Raises:
        UbmcError: it cannot be reached, or not any more.
    """
    # Where no handler stands yet, or none any more, a signal waits until the terminal is as it was.
    with (
        _masked(signal.SIG_BLOCK, signal.SIG_UNBLOCK),
        raw_terminal() as terminal,
        contextlib.suppress(asyncio.CancelledError),
    ):
        asyncio.run(Session(wanted, terminal=terminal).run())
