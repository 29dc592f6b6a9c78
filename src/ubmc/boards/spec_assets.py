"""What a board file says about the parts of the machine: what is known for sure, and where the rest is stored."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, Tag

from ubmc.boards.kinds import BY_KIND, Choice, Duration, Names, Refers, Section, tag
from ubmc.boards.spec_wires import Address, I2cBus
from ubmc.hw.inventory.port import Kind

AssetName = Annotated[
    str,
    Names(
        "asset", r"[a-z][a-z0-9_-]{0,31}(\.\d{1,3})?", "small letters, digits, - and _, with a number, such as psu.0"
    ),
]
Text = Annotated[str, Field(max_length=63)]
Look = Annotated[Duration, Field(ge=0.1, le=3600.0)]


class InventorySpec(Section):
    """How often is looked at the parts of the machine. What costs little to ask can be asked often."""

    interval: Look = Field(
        default=5.0,
        description="Between questions to what tells of parts by itself (a simulated machine, a host), and to FRU "
        "storage that does not answer",
        examples=["5s"],
    )
    fru_interval: Look = Field(
        default=30.0,
        description="Between readings of each FRU storage; it is read at once too when its part is plugged",
        examples=["30s"],
    )


class EepromFruSpec(Section):
    """A FRU EEPROM on I2C."""

    kind: Literal["eeprom"]
    bus: I2cBus = Field(examples=["i2c-psu"])
    address: Address = Field(examples=[0x50])
    size: int = Field(default=256, ge=8, le=65536, description="In bytes", examples=[256])
    wide: bool = Field(default=False, description="Bytes have addresses of 16 bits, as from 24C32 on")
    writable: bool = Field(default=False, description="Whether this BMC may write it")


class SimFruSpec(Section):
    """The FRU storage of the simulated machine."""

    kind: Literal["sim"]


class AssetSpec(Section):
    """A part of the machine. What its own storage or the host says completes what stands here."""

    name: AssetName = Field(examples=["psu.0"])
    kind: Choice[Kind] = Field(examples=["power-supply"])
    parent: Annotated[str, Refers(("asset", "chassis", "host", "bmc"))] | None = Field(
        default=None, description="What it is in", examples=["chassis.0"]
    )
    manufacturer: Text = Field(default="", examples=["Example"])
    model: Text = ""
    part_number: Text = ""
    serial_number: Text = ""
    version: Text = ""
    location: Text = Field(default="", description="Where it is, for people", examples=["CPU1_DIMM_A1"])
    details: dict[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,31}$")], Text] = Field(
        default={}, max_length=32, description="What else is known", examples=[{"rated_watts": "750"}]
    )
    presence: Annotated[str, Refers(("sensor",))] | None = Field(
        default=None,
        description="A state sensor; its first state means that the part is not there",
        examples=["psu0_presence"],
    )
    fru: (
        Annotated[
            Annotated[EepromFruSpec, Tag(tag("eeprom"))] | Annotated[SimFruSpec, Tag(tag("sim"))],
            BY_KIND,
        ]
        | None
    ) = Field(default=None, examples=[{"kind": "eeprom", "bus": "i2c-psu", "address": 0x50}])
