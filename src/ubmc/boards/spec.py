"""What a board file can say: the models of `board.toml`.

A board file says what the hardware *is*; how it shall behave is the owner's file (`owner.py`). A new sort of hardware
is a new list here and a driver in `build.py`. Durations are seconds here and "200ms" in the file.
"""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, Tag, model_validator

from ubmc.boards.kinds import BY_KIND, Choice, DevicePath, Duration, FilePath, Many, Names, Refers, Section, tag
from ubmc.boards.spec_assets import AssetSpec, InventorySpec
from ubmc.boards.spec_bios import BiosAttributeSpec, check_unique
from ubmc.boards.spec_console import AnyConsoleSpec
from ubmc.boards.spec_cooling import FanSpec, ZoneSpec
from ubmc.boards.spec_sensors import SensorSpec
from ubmc.boards.spec_wires import I2cSpec, LineSpec

HostName = Annotated[str, Names("host", r"host\.\d{1,3}", "host.N, such as host.0")]
ChassisName = Annotated[str, Names("chassis", r"chassis\.\d{1,3}", "chassis.N, such as chassis.0")]
BmcName = Annotated[str, Names("bmc", r"bmc\.\d{1,3}", "bmc.N, such as bmc.0")]
LedName = Annotated[
    str, Names("led", r"[a-z][a-z0-9_-]{0,31}", "small letters, digits, - and _, at most 32, such as power-led")
]
Press = Annotated[Duration, Field(ge=0.01, le=60.0)]
Debounce = Annotated[Duration, Field(le=1.0)]


class IdentitySpec(Section):
    """Which board it is."""

    name: str = Field(min_length=1, max_length=64, examples=["iec"])
    vendor: str = Field(min_length=1, max_length=64, examples=["asus"])
    model: str = Field(min_length=1, max_length=64, examples=["IPMI Expansion Card"])
    description: str = Field(default="", max_length=1000)
    verified: bool = Field(description="Whether somebody has seen this file work on the hardware", examples=[False])


class ButtonsSpec(Section):
    """Power by the wires of the front panel header: press, hold, and power-good to see the effect."""

    kind: Literal["buttons"]
    button: LineSpec = Field(description="The power button of the host", examples=["power-button-0"])
    reset: LineSpec | None = Field(default=None, examples=["reset-button-0"])
    nmi: LineSpec | None = Field(default=None, examples=["nmi-button-0"])
    good: LineSpec | None = Field(
        default=None,
        description="Power-good. Without it the power of the host is unknown, and nothing is done automatically",
        examples=["power-good-0"],
    )
    front_button: LineSpec | None = Field(
        default=None, description="The button that a person presses", examples=["front-power-button"]
    )
    front_wired: bool = Field(
        default=False, description="The host sees the front button by itself; to the BMC a press is news only"
    )
    debounce: Debounce = Field(default=0.02, description="For all inputs of this host", examples=["20ms"])
    press: Press = Field(default=0.2, description="A short press of the power button", examples=["200ms"])
    hold: Press = Field(
        default=5.0,
        description="Cuts the power; ACPI asks for more than four seconds (ACPI 6.5, Power Button Override)",
        examples=["5s"],
    )
    reset_press: Press = Field(default=0.5, description="How long the reset line is active", examples=["500ms"])
    nmi_press: Press = Field(default=0.2, description="How long the NMI line is active", examples=["200ms"])
    settle: Annotated[Duration, Field(le=600.0)] = Field(
        default=10.0, description="The longest that power-good takes to follow a press", examples=["10s"]
    )

    @model_validator(mode="after")
    def _hold_is_longer(self) -> Self:
        if self.press >= self.hold:
            raise ValueError("press must be shorter than hold, or every press cuts the power")
        return self


class Accelerator(Enum):
    """How a virtual machine is run; AUTO takes KVM only where it really works."""

    AUTO = "auto"
    KVM = "kvm"
    TCG = "tcg"


class DiskFormat(Enum):
    """How a disk image is stored. Given, never guessed: a guest could write a header that changes the guess."""

    RAW = "raw"
    QCOW2 = "qcow2"


class DiskBus(Enum):
    """How a disk is attached: VIRTIO is fast and needs a driver in the guest, SATA is known to every system."""

    VIRTIO = "virtio"
    SATA = "sata"


class DiskSpec(Section):
    """A disk of a virtual machine."""

    path: FilePath = Field(description="Relative to the folder of the board file", examples=["disk.qcow2"])
    format: Choice[DiskFormat] = Field(examples=["qcow2"])
    bus: Choice[DiskBus] = DiskBus.VIRTIO
    read_only: bool = False


class QemuSpec(Section):
    """A host that is a QEMU process."""

    kind: Literal["qemu"]
    memory_mb: int = Field(default=512, ge=64, le=1 << 20, examples=[512])
    cpus: int = Field(default=1, ge=1, le=255, examples=[2])
    disks: Many[DiskSpec] = Field(default=(), max_length=8, description="In boot order; the CD comes after them")
    cdrom: FilePath | None = Field(default=None, description="A CD image", examples=["install.iso"])
    kernel: FilePath | None = Field(default=None, description="A kernel to start without a boot loader")
    initrd: FilePath | None = None
    append: str = Field(default="", max_length=2000, description="The command line of that kernel")
    firmware: FilePath | None = Field(
        default=None,
        description="An image with code and variables for UEFI; without it, QEMU's own BIOS",
        examples=["/usr/share/ovmf/OVMF.fd"],
    )
    accelerator: Choice[Accelerator] = Accelerator.AUTO
    network: bool = Field(default=False, description="A network card behind QEMU's own NAT")
    netboot: FilePath | None = Field(
        default=None,
        description="The file that this network offers to boot (PXE); the guest can read all of its folder",
        examples=["tftp/ipxe.pxe"],
    )
    firmware_log: bool = Field(default=False, description="Keep what the firmware says about itself")
    ipmi: bool = Field(default=False, description="An IPMI interface (KCS) between the guest and this BMC")
    second_qmp: bool = Field(default=False, description="Another control socket, for tools of your own")

    @model_validator(mode="after")
    def _kernel_has_its_parts(self) -> Self:
        if self.kernel is None and (self.initrd is not None or self.append):
            raise ValueError("initrd and append belong to a kernel: add kernel, or leave them out")
        return self

    @model_validator(mode="after")
    def _netboot_has_its_network(self) -> Self:
        if self.netboot is not None and not self.network:
            raise ValueError("netboot belongs to a network card: add network = true, or leave it out")
        return self


class HostSpec(Section):
    """A computer that this BMC manages."""

    name: HostName = Field(examples=["host.0"])
    power: Annotated[
        Annotated[ButtonsSpec, Tag(tag("buttons"))] | Annotated[QemuSpec, Tag(tag("qemu"))],
        BY_KIND,
    ] = Field(examples=[{"kind": "buttons", "button": "power-button-0"}])
    console: AnyConsoleSpec | None = Field(
        default=None, description="Its serial line", examples=[{"kind": "tty", "path": "/dev/ttyS2"}]
    )
    cycle_off: Annotated[Duration, Field(le=60.0)] = Field(
        default=1.0, description="How long the power stays off in a power cycle", examples=["1s"]
    )
    bios: Annotated[Many[BiosAttributeSpec], AfterValidator(check_unique)] = Field(
        default=(), max_length=500, description="The set-up of its firmware, if the BMC has a say in it"
    )


class LineChassisSpec(Section):
    """A chassis whose supply is switched by one level-held line. The line follows nobody's death."""

    kind: Literal["line"]
    enable: LineSpec = Field(description="Active while the chassis has power", examples=["psu-enable"])
    good: LineSpec | None = Field(
        default=None, description="Active while the supply delivers", examples=["psu-power-good"]
    )
    debounce: Debounce = Field(default=0.02, examples=["20ms"])


class HostsChassisSpec(Section):
    """A chassis without a switch of its own: on while one of its hosts is on."""

    kind: Literal["hosts"]


class ChassisSpec(Section):
    """An enclosure and the hosts in it."""

    name: ChassisName = Field(examples=["chassis.0"])
    hosts: Many[Annotated[str, Refers(("host",))]] = Field(min_length=1, examples=[["host.0"]])
    power: Annotated[
        Annotated[LineChassisSpec, Tag(tag("line"))] | Annotated[HostsChassisSpec, Tag(tag("hosts"))],
        BY_KIND,
    ] = Field(examples=[{"kind": "hosts"}])
    identify_button: LineSpec | None = Field(
        default=None,
        description="Read with the lines of the first host with buttons",
        examples=["front-identify-button"],
    )


class LedRole(Enum):
    """What a light is there to show."""

    POWER = "power"
    IDENTIFY = "identify"
    STATUS = "status"
    FAULT = "fault"


class LedSpec(Section):
    """A light, whatever drives it."""

    name: LedName = Field(examples=["power-led"])
    role: Choice[LedRole] = Field(examples=["power"])
    component: Annotated[str, Refers(("host", "chassis", "bmc"))] | None = Field(
        default=None, description="Whose light it is; may be left out where there is only one", examples=["host.0"]
    )


class LineLedSpec(LedSpec):
    """A light on a GPIO line."""

    kind: Literal["line"]
    output: LineSpec = Field(examples=["power-led"])


class SysfsLedSpec(LedSpec):
    """A light of the kernel's LED class."""

    kind: Literal["sysfs"]
    device: str = Field(
        pattern=r"^[A-Za-z0-9_][A-Za-z0-9_:.-]*$",
        max_length=64,
        description="The folder under /sys/class/leds",
        examples=["green:power"],
    )


class WatchdogSpec(Section):
    """The watchdog timer that resets the BMC itself."""

    device: DevicePath = Field(default=Path("/dev/watchdog0"), examples=["/dev/watchdog0"])
    timeout: Annotated[Duration, Field(ge=5.0, le=600.0)] = Field(default=30.0, examples=["30s"])


class BmcSpec(Section):
    """The management controller itself."""

    name: BmcName = Field(default="bmc.0", examples=["bmc.0"])


class GpioLinesSpec(Section):
    """Lines are those of the kernel's GPIO chips."""

    kind: Literal["gpio"]


class Machine(Enum):
    """Which simulated machine: STANDARD is a small server, LARGE one with some three hundred sensors."""

    STANDARD = "standard"
    LARGE = "large"


class SimLinesSpec(Section):
    """Lines are those of the simulated machine."""

    kind: Literal["sim"]
    machine: Choice[Machine] = Field(default=Machine.STANDARD, description="Which machine", examples=["standard"])
    seed: int = Field(default=0, ge=0, le=(1 << 32) - 1, description="Of all that varies in the machine")
    speed: float = Field(default=1.0, gt=0.0, le=1000.0, description="Seconds of the machine in a real one")


class BoardSpec(Section):
    """A whole board."""

    board: IdentitySpec
    bmc: BmcSpec = BmcSpec()
    lines: (
        Annotated[
            Annotated[GpioLinesSpec, Tag(tag("gpio"))] | Annotated[SimLinesSpec, Tag(tag("sim"))],
            BY_KIND,
        ]
        | None
    ) = Field(default=None, description="Where GPIO lines come from", examples=[{"kind": "gpio"}])
    hosts: Many[HostSpec] = Field(min_length=1, max_length=64)
    chassis: Many[ChassisSpec] = Field(min_length=1, max_length=64)
    leds: Many[
        Annotated[
            Annotated[LineLedSpec, Tag(tag("line"))] | Annotated[SysfsLedSpec, Tag(tag("sysfs"))],
            BY_KIND,
        ]
    ] = Field(default=(), max_length=256)
    i2c: Many[I2cSpec] = Field(default=(), max_length=256, description="I2C buses, muxes between them included")
    sensors: Many[SensorSpec] = Field(default=(), max_length=2000)
    fans: Many[FanSpec] = Field(default=(), max_length=256, description="Fans and pumps")
    zones: Many[ZoneSpec] = Field(default=(), max_length=64, description="What is cooled together")
    assets: Many[AssetSpec] = Field(default=(), max_length=1000, description="Parts that the board itself knows of")
    inventory: InventorySpec = InventorySpec()
    watchdog: WatchdogSpec | None = None

    def host(self, name: str) -> HostSpec:
        """The host of that name.

        Raises:
            KeyError: the board has no such host.
        """
        for host in self.hosts:
            if host.name == name:
                return host
        raise KeyError(name)
