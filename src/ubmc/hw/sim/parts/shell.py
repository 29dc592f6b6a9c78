"""Who sits at the other end of the simulated host's serial line: a login, and a little shell.

It exists for people who want to see a console work, and for tests that want to know every byte: `send` writes bytes
that `pattern` knows, `raw` gives back what comes, `count` says what came. A password is asked for and not looked at.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from ubmc.hw.sim.parts.console import Console
from ubmc.hw.sim.parts.host import Guest, Stage
from ubmc.hw.sim.wires import Change, Timers, Wires

PROMPT = "simulated login: "
LONGEST_LINE = 512
MOST_BYTES = 64 * 1024 * 1024
DEFAULT_RATE = 1_000_000
_TICK_SECONDS = 0.02
_SYSRQ_SECONDS = 5.0  # within so long after a BREAK a key is a SysRq: Linux, drivers/tty/serial/serial_core
_ROW = 64
_ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_CTRL_C, _CTRL_D, _CTRL_U, _BACKSPACE, _DELETE = 0x03, 0x04, 0x15, 0x08, 0x7F
_HELP = (
    "help              this",
    "echo TEXT         write TEXT",
    "send N [RATE]     write N bytes that are known, RATE of them a second",
    "raw [N]           give back every byte as it is, N of them or until a BREAK",
    "count N           take N bytes, and say their CRC-32",
    "exit              log out",
    "reboot | poweroff | panic",
)
_KERNEL = (
    "[    0.000000] Simux version 1.0 (simulated) #1 SMP",
    "[    0.000000] Command line: console=ttyS0,115200n8",
    "[    0.004000] Memory: 16777216K/16777216K available",
    "[    0.120000] smp: Brought up 1 node, 16 CPUs",
    "[    0.480000] Freeing unused kernel memory: 2048K",
)


def pattern(start: int, count: int) -> bytes:
    """Bytes `start` to `start + count` of what `send` writes: rows of 64 that begin with their number."""
    first = start // _ROW
    rows = b"".join(_row(number) for number in range(first, (start + count + _ROW - 1) // _ROW))
    return rows[start - first * _ROW : start - first * _ROW + count]


def _row(number: int) -> bytes:
    turn = number % len(_ALPHABET)
    return b"%08x " % (number & 0xFFFFFFFF) + (_ALPHABET[turn:] + _ALPHABET[:turn])[: _ROW - 11] + b"\r\n"


class Mode(Enum):
    """What is done with what comes."""

    CLOSED = "closed"  # nobody listens
    LOGIN = "login"
    PASSWORD = "password"  # noqa: S105 - that it is asked for
    SHELL = "shell"
    RAW = "raw"
    COUNT = "count"
    SENDING = "sending"


@dataclass(slots=True)
class _Work:
    """What a command is about to do: how many bytes are left, what of them was done."""

    left: int
    done: int = 0
    checksum: int = 0
    rate: int = DEFAULT_RATE


class Shell:
    """The login and the shell of one host. A part of the plant: it acts on the plant's own clock."""

    def __init__(self, wires: Wires, host: str, console: Console, guest: Callable[[Guest], None]) -> None:
        self._wires = wires
        self._stage = f"{host}.stage"
        self._progress = f"{host}.progress"
        self._console = console
        self._guest = guest
        self._timers = Timers()
        self._line = bytearray()
        self._work = _Work(0)
        self._sysrq_until = 0.0
        self._after_return = False
        self._commands: dict[str, Callable[[list[str]], None]] = {
            "help": self._do_help,
            "echo": lambda words: console.line(" ".join(words)),
            "send": self._do_send,
            "raw": self._do_raw,
            "count": self._do_count,
            "exit": lambda _: self._login(),
            "logout": lambda _: self._login(),
            "uname": lambda _: console.line("Simux simulated 1.0"),
            "reboot": lambda _: guest(Guest.RESET),
            "poweroff": lambda _: guest(Guest.SHUTDOWN),
            "panic": lambda _: guest(Guest.PANIC),
        }
        self.mode = Mode.CLOSED
        wires.listen(self._follow)

    def next_event(self) -> float:
        """When it does something by itself."""
        return self._timers.next()

    def step(self, now: float) -> None:
        """Do it."""
        self._timers.run(now)

    def receive(self, data: bytes) -> None:
        """Bytes came on the serial line."""
        at = 0
        while at < len(data):
            if self.mode in {Mode.RAW, Mode.COUNT}:
                at += self._take(data[at : at + self._work.left])
            else:
                self._type(data[at])
                at += 1

    def receive_break(self) -> None:
        """A BREAK came: it ends `raw`, `count` and `send`; else the next key is a SysRq."""
        if self.mode in {Mode.RAW, Mode.COUNT, Mode.SENDING}:
            self._timers.cancel("send")
            self._console.line("")
            self._finish("ended by BREAK after")
        elif self.mode is not Mode.CLOSED:
            self._sysrq_until = self._wires.now + _SYSRQ_SECONDS

    def _follow(self, change: Change) -> None:
        if change.name == self._progress and change.value == 0xE1:  # "Starting kernel"
            for text in _KERNEL:
                self._console.line(text)
        if change.name != self._stage:
            return
        self._timers.cancel("send")
        if change.value == Stage.UP.value:
            self._login()
        else:
            self.mode = Mode.CLOSED

    def _login(self) -> None:
        self._ask(Mode.LOGIN, f"\r\n{PROMPT}")

    def _ask(self, mode: Mode, prompt: str) -> None:
        self.mode = mode
        self._line.clear()
        self._console.write(prompt.encode())

    def _prompt(self) -> None:
        self._ask(Mode.SHELL, "# ")

    def _type(self, key: int) -> None:
        """One key, where lines are edited."""
        if self.mode in {Mode.CLOSED, Mode.SENDING}:
            return
        second, self._after_return = self._after_return and key == ord("\n"), key == ord("\r")
        if second:
            return  # CR LF is one end of a line
        if self._sysrq_until > self._wires.now:
            self._sysrq_until = 0.0
            self._sysrq(chr(key))
        elif key in b"\r\n":
            self._console.write(b"\r\n")
            self._enter(bytes(self._line).decode("utf-8", "replace").strip())
        elif key in {_CTRL_C, _CTRL_U}:
            self._console.line("^C" if key == _CTRL_C else "^U")
            self._again()
        elif key == _CTRL_D and not self._line:
            self._login()
        elif key in {_BACKSPACE, _DELETE}:
            if self._line:
                self._line.pop()
                self._echo(b"\b \b")
        elif key >= 0x20 and len(self._line) < LONGEST_LINE:
            self._line.append(key)
            self._echo(bytes([key]))

    def _echo(self, data: bytes) -> None:
        if self.mode is not Mode.PASSWORD:
            self._console.write(data)

    def _again(self) -> None:
        if self.mode is Mode.SHELL:
            self._prompt()
        else:
            self._login()

    def _enter(self, text: str) -> None:
        if self.mode is Mode.LOGIN:
            if text:
                self._ask(Mode.PASSWORD, "Password: ")
            else:
                self._login()
        elif self.mode is Mode.PASSWORD:
            self._console.line("Welcome to the simulated host; 'help' says what it can do.")
            self._prompt()
        else:
            self._run(text.split())

    def _run(self, words: list[str]) -> None:
        if words and words[0] not in self._commands:
            self._console.line(f"{words[0]}: there is no such command; see 'help'")
        elif words:
            self._commands[words[0]](words[1:])
        if self.mode is Mode.SHELL:
            self._prompt()

    def _do_help(self, _words: list[str]) -> None:
        for text in _HELP:
            self._console.line(text)

    def _do_send(self, words: list[str]) -> None:
        if (numbers := self._numbers(words, 1, 2)) is not None:
            self._work = _Work(numbers[0], rate=max(numbers[1] if len(numbers) > 1 else DEFAULT_RATE, 50))
            self.mode = Mode.SENDING
            self._send()

    def _do_raw(self, words: list[str]) -> None:
        if (numbers := self._numbers(words, 0, 1)) is not None:
            self._work = _Work(numbers[0] if numbers else MOST_BYTES)
            self.mode = Mode.RAW

    def _do_count(self, words: list[str]) -> None:
        if (numbers := self._numbers(words, 1, 1)) is not None:
            self._work = _Work(numbers[0])
            self.mode = Mode.COUNT

    def _numbers(self, words: list[str], least: int, most: int) -> list[int] | None:
        good = all(word.isascii() and word.isdigit() and 0 < int(word[:12]) <= MOST_BYTES for word in words)
        if good and least <= len(words) <= most:
            return [int(word) for word in words]
        self._console.line(f"numbers from 1 to {MOST_BYTES} were expected; see 'help'")
        return None

    def _send(self) -> None:
        work = self._work
        count = min(work.left, max(int(work.rate * _TICK_SECONDS), 1))
        self._did(pattern(work.done, count), write=True)
        if work.left:
            self._timers.at("send", self._wires.now + _TICK_SECONDS, self._send)
        else:
            self._finish("sent")

    def _take(self, data: bytes) -> int:
        """What comes for `raw` and `count`; how much of it is done with."""
        raw = self.mode is Mode.RAW
        self._did(data, write=raw)
        if not self._work.left:
            self._finish("gave back" if raw else "took")
        return len(data)

    def _did(self, data: bytes, *, write: bool) -> None:
        work = self._work
        work.left -= len(data)
        work.done += len(data)
        work.checksum = zlib.crc32(data, work.checksum)
        if write:
            self._console.write(data)

    def _finish(self, what: str) -> None:
        self._console.line(f"\r\n{what} {self._work.done} bytes, CRC-32 {self._work.checksum:08x}")
        self._prompt()

    def _sysrq(self, key: str) -> None:
        self._console.line("")
        match key:
            case "b":
                self._console.line("sysrq: Resetting")
                self._guest(Guest.RESET)
            case "c":
                self._console.line("sysrq: Trigger a crash")
                self._guest(Guest.PANIC)
            case "o":
                self._console.line("sysrq: Power Off")
                self._guest(Guest.SHUTDOWN)
            case "s":
                self._console.line("sysrq: Emergency Sync")
            case _:
                self._console.line("sysrq: HELP : reboot(b) crash(c) poweroff(o) sync(s)")
