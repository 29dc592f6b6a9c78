"""What a board file says about cooling: fans and pumps, and the zones that drive them by temperature.

Duties are percent, temperatures degrees Celsius, speeds revolutions per minute. Limits of temperatures stand with the
sensors; a zone overheats at the critical limit of any of its sensors.
"""

from __future__ import annotations

from enum import Enum
from itertools import pairwise
from typing import Annotated, Literal, Self

from pydantic import Field, Tag, model_validator

from ubmc.boards.kinds import BY_KIND, Choice, DevicePath, Duration, Many, Names, Refers, Section, tag
from ubmc.boards.spec_sensors import SensorReference

FanName = Annotated[str, Names("fan", r"(fan|pump)\.\d{1,3}", "fan.N or pump.N, such as fan.0")]
ZoneName = Annotated[str, Names("zone", r"[a-z][a-z0-9_-]{0,31}", "small letters, digits, - and _, such as cpu")]
Percent = Annotated[float, Field(ge=0.0, le=100.0)]
Celsius = Annotated[float, Field(ge=-40.0, le=150.0)]
Gain = Annotated[float, Field(ge=0.0, le=1000.0)]
Slew = Annotated[float, Field(gt=0.0, le=1000.0)]


class Control(Enum):
    """What a cooling device is: PWM takes a duty, RPM has a speed controller of its own, PUMP must never stand."""

    PWM = "pwm"
    RPM = "rpm"
    PUMP = "pump"


class AnyFanSpec(Section):
    """A fan or a pump, whatever drives it."""

    name: FanName = Field(examples=["fan.0"])
    control: Choice[Control] = Field(default=Control.PWM, examples=["pwm"])
    tachometers: Many[SensorReference] = Field(
        default=(),
        max_length=8,
        description="The sensors of its rotors; without one a fault of it is not found",
        examples=[["fan0_speed"]],
    )
    minimum_speed: float = Field(
        default=500.0,
        ge=0.0,
        le=100_000.0,
        description="A rotor that is slower, though told to turn, is seized",
        examples=[500],
    )
    full_speed: float = Field(
        default=0.0,
        ge=0.0,
        le=100_000.0,
        description="Of a good rotor at 100 %; 0: not known, then a slow rotor is not found",
        examples=[9000],
    )
    slow_fraction: float = Field(
        default=0.6, gt=0.0, lt=1.0, description="Below this part of the speed expected at its duty a rotor is slow"
    )
    follow: Annotated[Duration, Field(ge=0.5, le=60.0)] = Field(
        default=5.0, description="How long a rotor may take to follow its duty", examples=["5s"]
    )
    start: Percent = Field(default=30.0, description="Sets a standing rotor in motion", examples=[30])
    minimum: Percent = Field(default=20.0, description="It is never given less", examples=[20])
    fail_safe: Percent = Field(
        description="What it is given when nobody can know better: no fan without it", examples=[80]
    )
    presence: SensorReference | None = Field(
        default=None,
        description="A state sensor; its first state means that the fan is not plugged",
        examples=["fan0_presence"],
    )
    location: str = Field(default="", max_length=64, description="For people", examples=["front, left"])

    @model_validator(mode="after")
    def _minimum_is_least(self) -> Self:
        if self.fail_safe < self.minimum:
            raise ValueError("fail_safe must not be less than minimum")
        if self.full_speed and self.minimum_speed >= self.full_speed:
            raise ValueError("minimum_speed must be less than full_speed")
        if self.control is Control.PUMP and self.minimum == 0.0:
            raise ValueError("a pump must not stand: write a minimum above 0")
        return self


class HwmonFanSpec(AnyFanSpec):
    """A PWM or speed output of the kernel's hardware monitoring class."""

    kind: Literal["hwmon"]
    chip: str = Field(
        pattern=r"^[A-Za-z0-9_.-]{1,64}$", description="What the file `name` of the chip says", examples=["nct6775"]
    )
    device: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z0-9_:.@,/-]{1,128}$",
        description="The device of the chip, where several have that name",
        examples=["3-002e"],
    )
    output: str = Field(pattern=r"^(pwm\d{1,3}|fan\d{1,3}_target)$", examples=["pwm1"])

    zero_speed: float = Field(
        default=0.0, ge=0.0, le=100_000.0, description="With `rpm`: the speed that is 0 %; full_speed is 100 %"
    )
    enable: Annotated[int, Field(ge=0, le=9)] | None = Field(
        default=None, description="With `rpm`: what `pwmN_enable` must say for it (2 on a MAX31790)", examples=[2]
    )

    @model_validator(mode="after")
    def _speed_output_has_its_scale(self) -> Self:
        if self.output.endswith("_target") != (self.control is Control.RPM):
            raise ValueError('an output fanN_target and control = "rpm" belong together')
        if self.control is Control.RPM and self.full_speed <= self.zero_speed:
            raise ValueError('control = "rpm" needs full_speed, the speed that is 100 %, above zero_speed')
        if self.control is not Control.RPM and (self.zero_speed or self.enable is not None):
            raise ValueError('zero_speed and enable are for control = "rpm"; leave them out')
        return self

    @property
    def place(self) -> str:
        """What it is driven by, for people."""
        return f"hwmon {self.chip} {self.output}"


class SysfsFanSpec(AnyFanSpec):
    """A cooling device whose duty is one file of the kernel."""

    kind: Literal["sysfs"]
    path: DevicePath = Field(examples=["/sys/class/thermal/cooling_device0/cur_state"])
    full_value: int = Field(default=255, ge=1, le=1_000_000, description="What to write for 100 %", examples=[255])

    @property
    def place(self) -> str:
        """What it is driven by, for people."""
        return str(self.path)


class SimFanSpec(AnyFanSpec):
    """A fan of the simulated machine."""

    kind: Literal["sim"]
    output: str | None = Field(
        default=None,
        min_length=1,
        max_length=64,
        description="Its name there; the same if left out",
        examples=["fan.0"],
    )

    @property
    def place(self) -> str:
        """What it is driven by, for people."""
        return f"simulated {self.output or self.name}"


FanSpec = Annotated[
    Annotated[HwmonFanSpec, Tag(tag("hwmon"))]
    | Annotated[SysfsFanSpec, Tag(tag("sysfs"))]
    | Annotated[SimFanSpec, Tag(tag("sim"))],
    BY_KIND,
]


class AnyControllerSpec(Section):
    """What asks for a duty; of several in a zone the one that asks for most is heard."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_-]{0,31}$", description="For people and the log", examples=["cpu0"])
    sensors: Many[SensorReference] = Field(min_length=1, max_length=256, examples=[["cpu0_temp"]])


class PidSpec(AnyControllerSpec):
    """Holds the hottest of its sensors at a temperature."""

    kind: Literal["pid"]
    set_point: Celsius = Field(description="The temperature to hold", examples=[65])
    kp: Gain = Field(description="Percent per degree", examples=[1.5])
    ki: Gain = Field(description="Percent per degree and second", examples=[0.15])
    kd: Gain = Field(default=0.0, description="Percent seconds per degree", examples=[0.1])
    rise: Slew = Field(default=100.0, description="The duty rises at most so fast, in percent a second")
    fall: Slew = Field(default=5.0, description="The duty falls at most so fast, in percent a second")


class MarginSpec(AnyControllerSpec):
    """Holds the smallest distance of its sensors from their critical limits."""

    kind: Literal["margin"]
    margin: float = Field(gt=0.0, le=100.0, description="The distance to hold", examples=[15])
    kp: Gain = Field(examples=[1.5])
    ki: Gain = Field(examples=[0.15])
    kd: Gain = Field(default=0.0, examples=[0.1])
    rise: Slew = 100.0
    fall: Slew = 5.0


class StepSpec(Section):
    """From a temperature on, a duty."""

    above: Celsius = Field(examples=[40])
    duty: Percent = Field(examples=[35])


class StepwiseSpec(AnyControllerSpec):
    """A table: from each temperature of the hottest sensor on, a duty; below the first, the zone's minimum."""

    kind: Literal["stepwise"]
    steps: Many[StepSpec] = Field(min_length=1, max_length=20, examples=[[{"above": 40, "duty": 35}]])
    hysteresis: float = Field(
        default=2.0, ge=0.0, le=20.0, description="A step is left only so far below its temperature", examples=[2]
    )

    @model_validator(mode="after")
    def _steps_rise(self) -> Self:
        if any(low.above >= high.above or low.duty > high.duty for low, high in pairwise(self.steps)):
            raise ValueError("steps must rise: each with a higher temperature, and no lower duty, than the one before")
        return self


ControllerSpec = Annotated[
    Annotated[PidSpec, Tag(tag("pid"))]
    | Annotated[MarginSpec, Tag(tag("margin"))]
    | Annotated[StepwiseSpec, Tag(tag("stepwise"))],
    BY_KIND,
]


class ZoneSpec(Section):
    """What is cooled together."""

    name: ZoneName = Field(examples=["cpu"])
    fans: Many[Annotated[str, Refers(("fan",))]] = Field(min_length=1, max_length=256, examples=[["fan.0", "fan.1"]])
    hosts: Many[Annotated[str, Refers(("host",))]] = Field(
        default=(), max_length=64, description="Whose power is cut when cooling does not help", examples=[["host.0"]]
    )
    controllers: Many[ControllerSpec] = Field(min_length=1, max_length=64)
    watched: Many[SensorReference] = Field(
        default=(),
        max_length=256,
        description="Further temperatures: no controller looks at them, but their limits and their loss count",
        examples=[["psu0_temp"]],
    )
    minimum: Percent = Field(default=25.0, description="The least that its controllers give", examples=[25])
    maximum: Percent = Field(
        default=100.0, description="The most that its controllers give; safety goes above it", examples=[100]
    )
    fail_safe: Percent | None = Field(
        default=None,
        description="The least while something is missing; if left out the highest of its fans",
        examples=[85],
    )
    trip_after: Annotated[Duration, Field(ge=1.0, le=3600.0)] = Field(
        default=60.0, description="So long over critical, and not falling, until its hosts are cut", examples=["60s"]
    )
    missing_is_acceptable: Many[SensorReference] = Field(
        default=(),
        max_length=256,
        description="Sensors that may fail without the zone going to fail-safe",
        examples=[["dimm3_temp"]],
    )

    @model_validator(mode="after")
    def _minimum_is_less(self) -> Self:
        if self.minimum >= self.maximum:
            raise ValueError("minimum must be less than maximum")
        if self.fail_safe is not None and self.fail_safe < self.minimum:
            raise ValueError("fail_safe must not be less than minimum")
        return self
