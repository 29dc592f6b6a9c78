"""What a board file says about wires that parts share: GPIO lines, and I2C buses with the muxes between them."""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field, GetJsonSchemaHandler, WithJsonSchema, model_validator
from pydantic_core import CoreSchema

from ubmc.boards.kinds import Names, Refers, Section, UsesLine

I2cName = Annotated[
    str, Names("i2c", r"[a-z][a-z0-9_-]{0,31}", "small letters, digits, - and _, at most 32, such as i2c-psu")
]
I2cBus = Annotated[str, Refers(("i2c",))]
# The addresses that the specification leaves to devices (I2C-bus specification 7.0, section 3.1.12).
Address = Annotated[int, Field(ge=0x08, le=0x77)]


class LineSpec(Section):
    """A GPIO line; a text alone is short for `{ line = "..." }`."""

    line: Annotated[str, UsesLine()] = Field(
        min_length=1,
        max_length=64,
        description="The kernel's name of the line, or chip:offset (chip by name or label), such as gpiochip0:18",
        examples=["power-button-0"],
    )
    active_low: bool = Field(default=False, examples=[True])

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, value: object) -> object:
        return {"line": value} if isinstance(value, str) else value

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """The JSON Schema that allows the short form too."""
        table = handler.resolve_ref_schema(handler(schema))
        return {"anyOf": [{"type": "string", "title": "Line"}, dict(table)]}


def _adapter(value: object) -> object:
    if isinstance(value, bool) or not isinstance(value, int | str) or value in {"", -1}:
        raise ValueError(
            "must be the number of the adapter, such as 3, or its name in quotes as `i2cdetect -l` shows it"
        )
    if isinstance(value, int) and not 0 <= value <= 4095:
        raise ValueError("is no number of an adapter; write for example: adapter = 3")
    return str(value)


# The kernel's number, or the adapter's name. A text inside: "3", or the name.
Adapter = Annotated[
    str,
    BeforeValidator(_adapter),
    Field(max_length=64),
    WithJsonSchema({"anyOf": [{"type": "integer", "minimum": 0, "maximum": 4095}, {"type": "string"}]}),
]


class I2cSpec(Section):
    """An I2C bus: an adapter of the BMC, or one channel of a mux on another bus."""

    name: I2cName = Field(examples=["i2c-psu"])
    adapter: Adapter | None = Field(
        default=None,
        description="The number of the adapter, or its name as the kernel gives it; names outlive a renumbering",
        examples=[3],
    )
    parent: I2cBus | None = Field(default=None, description="The bus that the mux is on", examples=["i2c-main"])
    mux: Annotated[int, Field(ge=0x08, le=0x77)] | None = Field(
        default=None, description="The address of the mux on that bus", examples=[0x70]
    )
    channel: Annotated[int, Field(ge=0, le=31)] | None = Field(default=None, examples=[0])

    @model_validator(mode="after")
    def _adapter_or_mux(self) -> Self:
        behind = [self.parent, self.mux, self.channel]
        if self.adapter is not None and any(part is not None for part in behind):
            raise ValueError(
                "has an adapter or is behind a mux, not both: leave out adapter, or parent, mux and channel"
            )
        if self.adapter is None and any(part is None for part in behind):
            raise ValueError("write adapter = 3, or where the mux is: parent, mux and channel")
        return self
