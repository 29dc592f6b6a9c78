"""What somebody asks for who comes by SSH: the command line of the session. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from ubmc.kit.errors import Invalid, NotFound
from ubmc.v1alpha1.console_pb import ConsoleWriting

USAGE = "usage: ssh USER@BMC [HOST] [--read-only | --take-over] [--replay BYTES]"
_MOST_REPLAY = 16 * 1024 * 1024
_LONGEST = 256
_SHOWN = 64  # of a word that is not understood


@dataclass(frozen=True, slots=True)
class Asked:
    """Which console, and how."""

    host: str
    writing: ConsoleWriting
    replay_bytes: int


def asked(command: str, consoles: Sequence[str], replay_bytes: int) -> Asked:
    """What a command line asks for.

    Args:
        command: as it came; empty for none.
        consoles: those that there are.
        replay_bytes: how much is shown of what was before, unless it is asked for otherwise.

    Raises:
        Invalid: it cannot be understood; says how it is used.
        NotFound: there is no such console.
    """
    try:
        words = shlex.split(command[:_LONGEST])
    except ValueError as error:
        raise _misunderstood(f"the command cannot be read ({error})") from None
    host, writing = "", ConsoleWriting.IF_FREE
    while words:
        word = words.pop(0)
        if word == "--read-only":
            writing = ConsoleWriting.UNSPECIFIED
        elif word == "--take-over":
            writing = ConsoleWriting.TAKE_OVER
        elif word == "--replay":
            if not words or not (words[0].isascii() and words[0].isdigit()):
                raise _misunderstood("--replay needs a number of bytes")
            replay_bytes = min(int(words.pop(0)[:12]), _MOST_REPLAY)
        elif word.startswith("-"):
            raise _misunderstood(f"there is no option {word[:_SHOWN]!r}")
        elif host:
            raise _misunderstood(f"one console at a time: {host[:_SHOWN]!r} and {word[:_SHOWN]!r} are asked for")
        else:
            host = word
    host = host or next(iter(consoles), "")
    if host not in consoles:
        raise NotFound(f"there is no console {host[:_SHOWN]!r}; there is {', '.join(consoles) or 'none'}\r\n{USAGE}")
    return Asked(host, writing, replay_bytes)


def _misunderstood(why: str) -> Invalid:
    return Invalid(f"{why}\r\n{USAGE}")
