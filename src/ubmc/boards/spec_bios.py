"""What a board file says about the set-up of a host's firmware: which attributes there are, and what they take."""

from __future__ import annotations

from collections import Counter
from enum import Enum
from typing import Annotated, Self

from pydantic import Field, model_validator

from ubmc.boards.kinds import Choice, Many, Section

Text = Annotated[str, Field(max_length=255)]
Number = Annotated[int, Field(ge=-(2**53), le=2**53)]


class BiosType(Enum):
    """What an attribute is."""

    ENUMERATION = "enumeration"
    INTEGER = "integer"
    BOOLEAN = "boolean"
    STRING = "string"


_PYTHON = {BiosType.ENUMERATION: str, BiosType.INTEGER: int, BiosType.BOOLEAN: bool, BiosType.STRING: str}


class BiosAttributeSpec(Section):
    """One attribute. What it is until somebody changes it is its default."""

    name: str = Field(pattern=r"^[A-Za-z][A-Za-z0-9_]{0,63}$", examples=["BootMode"])
    type: Choice[BiosType] = Field(examples=["enumeration"])
    default: str | int | bool = Field(examples=["Uefi"])
    title: Text = Field(default="", description="For people", examples=["Boot mode"])
    help: Text = Field(default="", description="What it does, for people")
    menu: str = Field(default="./", pattern=r"^\./[^\x00-\x1f]{0,120}$", examples=["./Boot"])
    read_only: bool = False
    values: Many[Annotated[str, Field(min_length=1, max_length=64)]] = Field(
        default=(), max_length=64, description="For enumerations: what it can be", examples=[["Uefi", "Legacy"]]
    )
    minimum: Number | None = Field(default=None, description="For integers", examples=[0])
    maximum: Number | None = Field(default=None, description="For integers", examples=[100])
    step: int = Field(default=1, ge=1, le=2**31, description="For integers: the distance from one to the next")
    max_length: int = Field(default=64, ge=1, le=255, description="For strings: at most so many characters")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if type(self.default) is not _PYTHON[self.type]:
            raise ValueError(f"the default of {self.name} has to be of its type, which is {self.type.value}")
        if (self.type is BiosType.ENUMERATION) != bool(self.values):
            raise ValueError(f"{self.name}: values go with an enumeration, and an enumeration has some")
        if self.values and self.default not in self.values:
            raise ValueError(f"the default of {self.name} has to be one of its values")
        if isinstance(self.default, int) and not self._in_range(self.default):
            raise ValueError(f"the default of {self.name} is outside of minimum and maximum")
        if self.type is BiosType.STRING and len(str(self.default)) > self.max_length:
            raise ValueError(f"the default of {self.name} is longer than its max_length")
        return self

    def _in_range(self, value: int) -> bool:
        return (self.minimum is None or value >= self.minimum) and (self.maximum is None or value <= self.maximum)


def check_unique(attributes: tuple[BiosAttributeSpec, ...]) -> tuple[BiosAttributeSpec, ...]:
    """Raises `ValueError` for a name that is there twice."""
    twice = [name for name, count in Counter(each.name for each in attributes).items() if count > 1]
    if twice:
        raise ValueError(f"there are two attributes called {twice[0]}")
    return attributes
