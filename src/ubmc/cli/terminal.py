"""The terminal: what may be printed, in which colour, and what happens when nobody reads.

Everything that came from a BMC is hostile until `printable` has seen it: an escape sequence in an event must not
repaint somebody's terminal.
"""

from __future__ import annotations

import os
import sys
import unicodedata
from collections.abc import Mapping
from contextlib import suppress
from types import MappingProxyType
from typing import Literal

import click

_REPLACEMENT = "\ufffd"
# Controls, invisible formatting (also what turns text around), half characters, line and paragraph separators.
_UNPRINTABLE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})

Colour = Literal["green", "yellow", "red"]

COLOURS: Mapping[str, Colour] = MappingProxyType(
    {
        "on": "green", "ready": "green", "completed": "green", "ok": "green",
        "powering on": "yellow", "powering off": "yellow", "restarting": "yellow", "cycling": "yellow",
        "running": "yellow", "starting": "yellow", "warning": "yellow", "unknown": "yellow",
        "critical": "red", "failed": "red", "degraded": "red",
        "normal": "green", "good": "green",
        "stale": "yellow", "implausible": "yellow", "slow": "yellow", "absent": "yellow", "fail safe": "yellow",
        "fatal": "red", "seized": "red", "unwritable": "red", "overheated": "red",
    }
)  # fmt: skip


class PipeClosed(Exception):  # noqa: N818 - no error: whoever read us has read enough
    """Nobody reads our output any more."""


def printable(text: str) -> str:
    """The text with everything replaced that is not seen but done."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_REPLACEMENT if unicodedata.category(char) in _UNPRINTABLE else char for char in text)


def printable_lines(text: str) -> str:
    """The same for text of several lines; the ends of lines and tabs stay."""
    return "\n".join("\t".join(printable(part) for part in line.split("\t")) for line in text.split("\n"))


def wants_colour() -> bool:
    """Whether stdout is a terminal whose owner likes colours (no-color.org)."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def paint(text: str) -> str:
    """A cell of a table, in colour if its word has one."""
    colour = COLOURS.get(text.strip())
    return click.style(text, fg=colour) if colour else text


def emit(text: str, *, colour: bool = False) -> None:
    """Print a line, printable already, and flush.

    Raises:
        PipeClosed: nobody reads any more.
    """
    try:
        click.echo(text, color=colour)
    except BrokenPipeError as error:
        raise PipeClosed from error


def note(text: str) -> None:
    """A remark for people, on stderr; printable already."""
    click.echo(f"ubmc: {text}", err=True)


def silence() -> None:
    """Drop what is still in the buffer of stdout: it has nobody to go to."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
