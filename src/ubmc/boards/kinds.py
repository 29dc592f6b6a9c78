"""The types that board and owner files are written in: durations, tables with a `kind`, marks that name and refer.

Everything here is about how a value is *written*; what a board consists of is `spec.py`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Strict,
    ValidationInfo,
    WithJsonSchema,
)

_DURATION = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,6})?)(ms|s|m|h|d)")
_UNIT_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_TAG = "kind="


class Section(BaseModel):
    """A table of a file: nothing unknown is accepted, nothing is converted silently, nothing changes afterwards."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)


@dataclass(frozen=True, slots=True)
class Names:
    """Marks a text that gives a part its name: what sort of part, and the form that its names have."""

    sort: str
    pattern: str
    form: str  # the pattern in words, with an example


@dataclass(frozen=True, slots=True)
class Refers:
    """Marks a text that is the name of another part, of one of these sorts."""

    sorts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class UsesLine:
    """Marks the name of a GPIO line; a line has one user."""


def parse_duration(value: object) -> float:
    """A written duration in seconds.

    Raises:
        ValueError: it is not a number with one unit; the text says what to write instead.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError('must be a duration in quotes with a unit, such as "200ms", "4s", "5m" or "12h"')
    if isinstance(value, int | float):
        raise ValueError(f'needs quotes and a unit: write "{value}s" for seconds or "{value}ms" for milliseconds')
    match = _DURATION.fullmatch(value)
    if match is None:
        raise ValueError(f'"{value}" is no duration; write one number and one unit, such as "200ms", "4s", "5m", "12h"')
    return float(match[1]) * _UNIT_SECONDS[match[2]]


def format_duration(seconds: float) -> str:
    """The shortest way to write a duration: 0.2 is "200ms", 300 is "5m". `parse_duration` reads it back."""
    for unit in ("d", "h", "m", "s"):
        size = _UNIT_SECONDS[unit]
        if seconds >= size and seconds % size == 0:
            return f"{seconds / size:.0f}{unit}"
    return f"{seconds * 1000:.6f}".rstrip("0").rstrip(".") + "ms"


# Seconds inside, "200ms" in the file.
Duration = Annotated[
    float,
    BeforeValidator(parse_duration),
    WithJsonSchema({"type": "string", "pattern": f"^{_DURATION.pattern}$", "examples": ["200ms", "4s", "5m"]}),
]


def _absolute(path: Path) -> Path:
    if not path.is_absolute():
        raise ValueError(f'must be a whole path, such as "/dev/{path}"')
    return path


def _beside_the_file(path: Path, info: ValidationInfo) -> Path:
    folder = (info.context or {}).get("folder")
    return path if folder is None else Path(folder) / path


# A device of this machine, and a file that may be written relative to the folder of the board file.
DevicePath = Annotated[Path, Strict(strict=False), AfterValidator(_absolute)]
FilePath = Annotated[Path, Strict(strict=False), AfterValidator(_beside_the_file)]

T = TypeVar("T")
# TOML arrays are lists; the model holds tuples.
Many = Annotated[tuple[T, ...], Strict(strict=False)]
# Written as text, held as a member of an enumeration.
Choice = Annotated[T, Strict(strict=False)]


def tag(kind: str) -> str:
    """The name of one variant of a union in pydantic's error locations; such that no key can be mistaken for it."""
    return _TAG + kind


def is_tag(part: object) -> bool:
    """Whether a part of an error location names a variant, and is no key."""
    return isinstance(part, str) and part.startswith(_TAG)


def _variant(value: object) -> str | None:
    kind = value.get("kind") if isinstance(value, Mapping) else getattr(value, "kind", None)
    return tag(kind) if isinstance(kind, str) else None


# A union of tables told apart by their `kind`.
BY_KIND = Discriminator(_variant)
