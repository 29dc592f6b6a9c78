"""Commands typed into a terminal that passes everything else on. Pure.

A command is a character at the beginning of a line, and one more, as in ssh(1), where the character is `~`.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum

_ENDS = frozenset({b"\r", b"\n"})


class Command(Enum):
    """What can be asked for, by its letter."""

    LEAVE = "."
    BREAK = "B"
    SYSRQ = "S"
    TAKE_OVER = "t"
    RELEASE = "r"
    HELP = "?"


def help_lines(escape: str) -> list[str]:
    """What can be typed, for people."""
    words = {
        Command.LEAVE: "end",
        Command.BREAK: "send a BREAK",
        Command.SYSRQ: "send a SysRq: the next key says which",
        Command.TAKE_OVER: "take over the right to write",
        Command.RELEASE: "let others write",
        Command.HELP: "this",
    }
    lines = [f"{escape}{command.value}  {words[command]}" for command in Command]
    return [*lines, f"{escape}{escape}  send {escape}", "(only at the beginning of a line)"]


class Escape:
    """Takes commands out of what is typed.

    Args:
        character: the one that begins a command; empty: there are none.
    """

    def __init__(self, character: str) -> None:
        self._character = character.encode("ascii")
        self._at_start = True
        self._begun = False
        self._sysrq = False

    def feed(self, data: bytes) -> Iterator[bytes | Command | str]:
        """What is typed, in order: bytes for the other end, commands, and the key of a SysRq as text."""
        if not self._character:
            yield data
            return
        plain = bytearray()
        for key in data:
            found = self._key(key)
            if isinstance(found, bytes):
                plain += found
                continue
            if plain:
                yield bytes(plain)
                plain.clear()
            yield found
        if plain:
            yield bytes(plain)

    def _key(self, key: int) -> bytes | Command | str:
        one = bytes([key])
        if self._sysrq:
            self._sysrq, self._at_start = False, True
            return chr(key).lower()
        if self._begun:
            self._begun = False
            return self._command(one)
        if self._at_start and one == self._character:
            self._begun = True
            return b""
        self._at_start = one in _ENDS
        return one

    def _command(self, one: bytes) -> bytes | Command:
        """What stands behind the character."""
        found = next((each for each in Command if one == each.value.encode()), None)
        self._at_start = found is not None or one in _ENDS
        if found is Command.SYSRQ:
            self._sysrq = True
            return b""
        if found is not None:
            return found
        if one == self._character:
            return one
        return self._character + one
