"""What a board file says of a host's serial line."""

from __future__ import annotations

import re
from enum import Enum
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, Tag

from ubmc.boards.kinds import BY_KIND, Choice, DevicePath, Many, Section, tag


class FlowControl(Enum):
    """How host and BMC keep each other's pace."""

    NONE = "none"
    XON_XOFF = "xon-xoff"
    RTS_CTS = "rts-cts"


class Sight(Enum):
    """What can be seen in the bytes of a console."""

    BOOT_PROGRESS = "boot-progress"
    LOGIN_PROMPT = "login-prompt"
    PANIC = "panic"


class Progress(Enum):
    """How far a boot has come; the names are those of Redfish ComputerSystem.BootProgress, written our way."""

    PRIMARY_PROCESSOR_INITIALIZATION = "primary-processor-initialization"
    MEMORY_INITIALIZATION = "memory-initialization"
    PCI_RESOURCE_CONFIG = "pci-resource-config"
    HARDWARE_INITIALIZATION = "hardware-initialization"
    HARDWARE_INITIALIZATION_COMPLETE = "hardware-initialization-complete"
    SETUP_ENTERED = "setup-entered"
    OS_BOOT_STARTED = "os-boot-started"
    OS_RUNNING = "os-running"


def _pattern(text: str) -> str:
    try:
        re.compile(text.encode())
    except re.error as error:
        raise ValueError(f"is no regular expression: {error}") from None
    return text


class SightSpec(Section):
    """Something to look for in what the host writes."""

    sight: Choice[Sight] = Field(examples=["boot-progress"])
    pattern: Annotated[str, AfterValidator(_pattern)] = Field(
        min_length=1,
        max_length=200,
        description="A regular expression, looked for in each line without its escape sequences",
        examples=["Linux version"],
    )
    progress: Choice[Progress] | None = Field(default=None, description="For boot-progress", examples=["os-running"])


USUAL_SIGHTS = (
    SightSpec(sight=Sight.BOOT_PROGRESS, pattern=r"^SeaBIOS \(version", progress=Progress.HARDWARE_INITIALIZATION),
    SightSpec(sight=Sight.BOOT_PROGRESS, pattern=r"Memory training", progress=Progress.MEMORY_INITIALIZATION),
    SightSpec(sight=Sight.BOOT_PROGRESS, pattern=r"PCI enumeration", progress=Progress.PCI_RESOURCE_CONFIG),
    SightSpec(
        sight=Sight.BOOT_PROGRESS,
        pattern=r"^(Booting from|booting from|BdsDxe: starting)",
        progress=Progress.HARDWARE_INITIALIZATION_COMPLETE,
    ),
    SightSpec(
        sight=Sight.BOOT_PROGRESS,
        pattern=r"(Linux version \d|Loading operating system|Starting kernel)",
        progress=Progress.OS_BOOT_STARTED,
    ),
    SightSpec(sight=Sight.BOOT_PROGRESS, pattern=r"\blogin: $", progress=Progress.OS_RUNNING),
    SightSpec(sight=Sight.LOGIN_PROMPT, pattern=r"\blogin: $"),
    SightSpec(sight=Sight.PANIC, pattern=r"Kernel panic - not syncing"),
)
"""What firmware and operating systems say that most people use; the simulated host among them."""


class ConsoleSpec(Section):
    """A serial line, whatever drives it."""

    sights: Many[SightSpec] = Field(
        default=USUAL_SIGHTS, max_length=64, description="What to look for; the usual things if it is left out"
    )


class TtyConsoleSpec(ConsoleSpec):
    """The host's serial line on a tty of the BMC."""

    kind: Literal["tty"]
    path: DevicePath = Field(examples=["/dev/ttyS2"])
    speed: int = Field(default=115200, ge=50, le=4_000_000, description="In baud", examples=[115200])
    flow_control: Choice[FlowControl] = Field(default=FlowControl.NONE, examples=["rts-cts"])


class QemuConsoleSpec(ConsoleSpec):
    """The first serial line of the virtual machine."""

    kind: Literal["qemu"]


class SimConsoleSpec(ConsoleSpec):
    """The serial line of the simulated host."""

    kind: Literal["sim"]


AnyConsoleSpec = Annotated[
    Annotated[TtyConsoleSpec, Tag(tag("tty"))]
    | Annotated[QemuConsoleSpec, Tag(tag("qemu"))]
    | Annotated[SimConsoleSpec, Tag(tag("sim"))],
    BY_KIND,
]
