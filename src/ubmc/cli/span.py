"""Lengths of time in arguments: `90s`, `10m`, `2h`, `1d`, or a number of seconds."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

import click

from ubmc.cli.text import format_duration

UNITS: Mapping[str, int] = MappingProxyType({"s": 1, "m": 60, "h": 3600, "d": 86400})
_FORM = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,6})?)([smhd]?)")


def parse_span(text: str) -> float | None:
    """The seconds of a text; None if it is no length of time."""
    found = _FORM.fullmatch(text)
    return float(found[1]) * UNITS[found[2] or "s"] if found else None


class Span(click.ParamType[float]):
    """A length of time in seconds, more than 0."""

    name = "time"

    def __init__(self, most_seconds: float) -> None:
        self._most_seconds = most_seconds

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The seconds."""
        seconds = float(value) if isinstance(value, int | float) else parse_span(str(value))
        if seconds is None:
            self.fail(f"{value} is no length of time; write 90s, 10m, 2h", param, ctx)
        if not 0 < seconds <= self._most_seconds:
            self.fail(
                f"{value} is too short or too long; give more than 0, at most {format_duration(self._most_seconds)}",
                param,
                ctx,
            )
        return seconds
