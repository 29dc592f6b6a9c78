"""What a board file says about sensors: where each is read, what it measures, and which values are normal.

`kind` says how a sensor is read, `measures` what it measures; that may be left out where the input says it already.
Temperatures are degrees Celsius; the other units are those of `ubmc.hw.sensors.port`.
"""

from __future__ import annotations

from enum import Enum
from typing import Annotated, Any, Literal, Self

from pydantic import Field, GetJsonSchemaHandler, Tag, model_validator
from pydantic_core import CoreSchema

from ubmc.boards.kinds import BY_KIND, Choice, DevicePath, Duration, Many, Names, Refers, Section, tag
from ubmc.boards.spec_wires import Address, I2cBus, LineSpec
from ubmc.hw.sensors.channels import PmbusFormat, SmbusType
from ubmc.protocols.pmbus import Vid

SensorName = Annotated[
    str, Names("sensor", r"[a-z][a-z0-9_]{0,63}", "small letters, digits and _, at most 64, such as cpu0_temp")
]
SensorReference = Annotated[str, Refers(("sensor",))]
Gate = Annotated[Duration, Field(le=3600.0)]


class Quantity(Enum):
    """What a sensor measures; the unit follows from it."""

    TEMPERATURE = "temperature"
    VOLTAGE = "voltage"
    CURRENT = "current"
    FAN_SPEED = "fan-speed"
    POWER = "power"
    ENERGY = "energy"
    HUMIDITY = "humidity"
    PRESSURE = "pressure"
    FLOW = "flow"
    PERCENT = "percent"
    STATE = "state"


class Level(Enum):
    """How far a state is from normal."""

    NORMAL = "normal"
    WARNING = "warning"
    CRITICAL = "critical"
    FATAL = "fatal"


class LimitsSpec(Section):
    """The limits on one side, in the unit of the sensor. A limit that is left out is not watched."""

    warning: float | None = Field(default=None, description="Somebody should look", examples=[75])
    critical: float | None = Field(default=None, description="Somebody must act", examples=[85])
    fatal: float | None = Field(default=None, description="Damage is near", examples=[95])


class RangeSpec(Section):
    """What the sensor can show; anything else is implausible."""

    minimum: float = Field(examples=[-40])
    maximum: float = Field(examples=[125])

    @model_validator(mode="after")
    def _rises(self) -> Self:
        if self.minimum >= self.maximum:
            raise ValueError("minimum must be less than maximum")
        return self


class StateSpec(Section):
    """A state of a sensor that shows states; a text alone is short for `{ name = "..." }`."""

    name: str = Field(pattern=r"^[a-z][a-z0-9-]{0,31}$", examples=["present"])
    level: Choice[Level] = Field(default=Level.NORMAL, examples=["warning"])

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, value: object) -> object:
        return {"name": value} if isinstance(value, str) else value

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """The JSON Schema that allows the short form too."""
        table = handler.resolve_ref_schema(handler(schema))
        return {"anyOf": [{"type": "string", "title": "State"}, dict(table)]}


class AnySensorSpec(Section):
    """A sensor, however it is read."""

    name: SensorName = Field(examples=["cpu0_temp"])
    measures: Choice[Quantity] | None = Field(
        default=None,
        description="What it measures; may be left out where `kind` or the input says it",
        examples=["temperature"],
    )
    component: Annotated[str, Refers(("host", "chassis", "bmc", "fan", "asset"))] | None = Field(
        default=None, description="What it belongs to", examples=["host.0"]
    )
    scale: float = Field(default=1.0, description="The reading is multiplied by this, then offset is added")
    offset: float = 0.0
    range: RangeSpec | None = Field(default=None, examples=[{"minimum": -40, "maximum": 125}])
    upper: LimitsSpec = Field(default=LimitsSpec(), examples=[{"warning": 75, "critical": 85}])
    lower: LimitsSpec = Field(default=LimitsSpec(), examples=[{"warning": 11.4, "critical": 10.8}])
    hysteresis: Annotated[float, Field(ge=0.0)] | None = Field(
        default=None,
        description="So far a reading comes back behind a limit before that counts as left; if left out 2 for degrees "
        "and percent, else a hundredth of the largest limit",
        examples=[2],
    )
    debounce: Gate = Field(default=0.0, description="So long it is past a limit before that is told", examples=["2s"])
    interval: Annotated[Duration, Field(ge=0.1, le=3600.0)] = Field(default=1.0, examples=["1s"])
    stale_after: Annotated[Duration, Field(ge=0.2, le=7200.0)] | None = Field(
        default=None,
        description="An older reading is none; if left out two intervals and half a second",
        examples=["3s"],
    )
    powered_by: Annotated[str, Refers(("host",))] | None = Field(
        default=None, description="Without the power of this host it is unavailable", examples=["host.0"]
    )
    settle: Gate = Field(
        default=5.0, description="So long after power-on nothing that it shows is an alarm", examples=["5s"]
    )
    states: Many[StateSpec] = Field(
        default=(),
        max_length=32,
        description="What the numbers of a state sensor mean, from 0 on",
        examples=[["absent", "present"]],
    )

    @model_validator(mode="after")
    def _ages_after_it_is_read(self) -> Self:
        if self.stale_after is not None and self.stale_after <= self.interval:
            raise ValueError("stale_after must be longer than interval, or every reading is stale")
        return self


class HwmonSensorSpec(AnySensorSpec):
    """A sensor of the kernel's hardware monitoring class, found by its chip's name: hwmon numbers change."""

    kind: Literal["hwmon"]
    chip: str = Field(
        pattern=r"^[A-Za-z0-9_.-]{1,64}$", description="What the file `name` of the chip says", examples=["nct7802"]
    )
    device: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z0-9_:.@,/-]{1,128}$",
        description="Part of the path of the chip's device, whole names, where several chips have that name",
        examples=["3-004d"],
    )
    input: str | None = Field(
        default=None,
        pattern=r"^(temp|in|fan|curr|power|energy|humidity|pwm|intrusion)\d{1,3}(_[a-z_]*(alarm|fault))?$",
        examples=["temp1"],
    )
    label: str | None = Field(
        default=None,
        min_length=1,
        max_length=64,
        description="What `..._label` says, instead of input",
        examples=["Package id 0"],
    )

    @model_validator(mode="after")
    def _input_or_label(self) -> Self:
        if (self.input is None) == (self.label is None):
            raise ValueError("write input or label, one of them")
        return self

    @property
    def place(self) -> str:
        """Where it is read, for people."""
        return f"hwmon {self.chip} {self.input or self.label}"


class IioSensorSpec(AnySensorSpec):
    """A channel of the kernel's industrial I/O class: analog inputs, humidity, pressure."""

    kind: Literal["iio"]
    device: str = Field(
        pattern=r"^[A-Za-z0-9_.,@:-]{1,64}$",
        description="What the file `name` or `label` of the device says",
        examples=["1e6e9000.adc"],
    )
    input: str = Field(
        pattern=r"^(voltage|current|power|energy|temp|humidityrelative|pressure)\d{0,3}$", examples=["voltage3"]
    )

    @property
    def place(self) -> str:
        """Where it is read, for people."""
        return f"iio {self.device} {self.input}"


class PmbusCommand(Enum):
    """What can be read by PMBus (PMBus Power System Management Protocol, part II, section 18)."""

    READ_VIN = "READ_VIN"
    READ_IIN = "READ_IIN"
    READ_VCAP = "READ_VCAP"
    READ_VOUT = "READ_VOUT"
    READ_IOUT = "READ_IOUT"
    READ_TEMPERATURE_1 = "READ_TEMPERATURE_1"
    READ_TEMPERATURE_2 = "READ_TEMPERATURE_2"
    READ_TEMPERATURE_3 = "READ_TEMPERATURE_3"
    READ_FAN_SPEED_1 = "READ_FAN_SPEED_1"
    READ_FAN_SPEED_2 = "READ_FAN_SPEED_2"
    READ_FAN_SPEED_3 = "READ_FAN_SPEED_3"
    READ_FAN_SPEED_4 = "READ_FAN_SPEED_4"
    READ_DUTY_CYCLE = "READ_DUTY_CYCLE"
    READ_POUT = "READ_POUT"
    READ_PIN = "READ_PIN"


class CoefficientsSpec(Section):
    """The numbers of the format `direct`, from the data sheet: X = (Y * 10^-R - b) / m."""

    m: int = Field(ge=-32768, le=32767, examples=[1])
    b: int = Field(default=0, ge=-32768, le=32767)
    r: int = Field(default=0, ge=-128, le=127)

    @model_validator(mode="after")
    def _divides(self) -> Self:
        if self.m == 0:
            raise ValueError("m must not be 0; take it from the data sheet")
        return self


class PmbusSensorSpec(AnySensorSpec):
    """A reading of a PMBus device without a kernel driver: a supply, a regulator."""

    kind: Literal["pmbus"]
    bus: I2cBus = Field(examples=["i2c-psu"])
    address: Address = Field(examples=[0x58])
    command: Choice[PmbusCommand] = Field(examples=["READ_VOUT"])
    page: Annotated[int, Field(ge=0, le=0x1F)] | None = Field(
        default=None, description="Of a device with several outputs", examples=[0]
    )
    format: Choice[PmbusFormat] = Field(
        default=PmbusFormat.AUTO,
        description="`auto`: READ_VOUT as the device's VOUT_MODE says, anything else linear11",
        examples=["linear11"],
    )
    coefficients: CoefficientsSpec | None = Field(
        default=None, description="For `direct`, from the data sheet", examples=[{"m": 1, "b": 0, "r": 0}]
    )
    vid: Choice[Vid] | None = Field(default=None, description="The table, for `vid`", examples=["vr13"])
    pec: bool = Field(default=False, description="Packets carry an error code")

    @model_validator(mode="after")
    def _format_has_its_numbers(self) -> Self:
        if self.format is PmbusFormat.DIRECT and self.coefficients is None:
            raise ValueError('format = "direct" needs coefficients; the data sheet has them')
        if self.format is PmbusFormat.VID and self.vid is None:
            names = ", ".join(f'"{each.value}"' for each in Vid)
            raise ValueError(f'format = "vid" needs vid, the table: one of {names}')
        return self

    @property
    def place(self) -> str:
        """Where it is read, for people."""
        return f"pmbus {self.bus} {self.address:#x} {self.command.value}"


class SmbusSensorSpec(AnySensorSpec):
    """A temperature sensor on I2C without a kernel driver."""

    kind: Literal["smbus"]
    bus: I2cBus = Field(examples=["i2c-main"])
    address: Address = Field(examples=[0x48])
    type: Choice[SmbusType] = Field(examples=["lm75"])
    channel: int = Field(default=0, ge=0, le=3, description="Of a tmp421: 0 is its own, 1 to 3 the remote ones")
    bits: int = Field(default=9, ge=9, le=16, description="The resolution of an lm75 or relative")
    pec: bool = Field(default=False, description="Packets carry an error code")

    @model_validator(mode="after")
    def _type_has_it(self) -> Self:
        if self.channel and self.type is not SmbusType.TMP421:
            raise ValueError(f"a {self.type.value} has no channels; leave channel out")
        if self.bits != 9 and self.type is not SmbusType.LM75:
            raise ValueError(f"bits is for an lm75, not for a {self.type.value}; leave it out")
        return self

    @property
    def place(self) -> str:
        """Where it is read, for people."""
        return f"{self.type.value} {self.bus} {self.address:#x}"


class GpioSensorSpec(AnySensorSpec):
    """A state that a GPIO line shows: presence, intrusion, an alarm output."""

    kind: Literal["gpio"]
    line: LineSpec = Field(examples=["psu0-present"])

    @property
    def place(self) -> str:
        """Where it is read, for people."""
        return f"line {self.line.line}{' (active low)' if self.line.active_low else ''}"


class SysfsSensorSpec(AnySensorSpec):
    """A number in a file of the kernel, such as the connector status or a driver's own attribute."""

    kind: Literal["sysfs"]
    path: DevicePath = Field(description="An absolute path", examples=["/sys/class/power_supply/ac/online"])

    @property
    def place(self) -> str:
        """Where it is read, for people."""
        return str(self.path)


class SimSensorSpec(AnySensorSpec):
    """A sensor of the simulated machine."""

    kind: Literal["sim"]
    input: str | None = Field(
        default=None,
        min_length=1,
        max_length=64,
        description="Its name there; the same if left out",
        examples=["cpu0_temp"],
    )

    @property
    def place(self) -> str:
        """Where it is read, for people."""
        return f"simulated {self.input or self.name}"


class Function(Enum):
    """What is made of other readings; DIFFERENCE is the first without all others."""

    MAX = "max"
    MIN = "min"
    SUM = "sum"
    DIFFERENCE = "difference"
    AVERAGE = "average"


class VirtualSensorSpec(AnySensorSpec):
    """Made of the readings of other sensors."""

    kind: Literal["virtual"]
    function: Choice[Function] = Field(examples=["sum"])
    of: Many[SensorReference] = Field(min_length=1, max_length=256, examples=[["psu0_pin", "psu1_pin"]])

    @property
    def place(self) -> str:
        """Where it is read, for people."""
        return f"{self.function.value} of {', '.join(self.of)}"


SensorSpec = Annotated[
    Annotated[HwmonSensorSpec, Tag(tag("hwmon"))]
    | Annotated[IioSensorSpec, Tag(tag("iio"))]
    | Annotated[PmbusSensorSpec, Tag(tag("pmbus"))]
    | Annotated[SmbusSensorSpec, Tag(tag("smbus"))]
    | Annotated[GpioSensorSpec, Tag(tag("gpio"))]
    | Annotated[SysfsSensorSpec, Tag(tag("sysfs"))]
    | Annotated[SimSensorSpec, Tag(tag("sim"))]
    | Annotated[VirtualSensorSpec, Tag(tag("virtual"))],
    BY_KIND,
]
