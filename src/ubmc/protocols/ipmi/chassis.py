"""Commands of the network function Chassis (Spec chapter 28)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from ubmc.protocols.ipmi.codes import BMC_ADDRESS, Code, Completion


class Control(IntEnum):
    """Chassis Control (Spec section 28.3, table 28-4)."""

    POWER_DOWN = 0
    POWER_UP = 1
    POWER_CYCLE = 2
    HARD_RESET = 3
    DIAGNOSTIC_INTERRUPT = 4
    SOFT_SHUTDOWN = 5


class Restore(IntEnum):
    """Power restore policies (Spec section 28.8, table 28-8; in Get Chassis Status bits 6:5 of byte 2)."""

    ALWAYS_OFF = 0
    PREVIOUS = 1
    ALWAYS_ON = 2
    NO_CHANGE = 3
    """In a request: only ask what is supported. In a status: unknown."""


SUPPORTED_POLICIES = 0x07
IDENTIFY_SECONDS = 15
"""Unless the request says how long (Spec section 28.5, table 28-5)."""
MINUTES_PER_COUNT = 60
"""Of the power-on hours counter (Spec section 28.14, table 28-15)."""


class Identify(IntEnum):
    """The state of the identify light (Spec table 28-3, byte 4, bits 5:4)."""

    OFF = 0
    TIMED = 1
    ON = 2


def capabilities(*, intrusion: bool, diagnostic_interrupt: bool) -> bytes:
    """What Get Chassis Capabilities tells: five bytes, all devices at the BMC (Spec section 28.1, table 28-2)."""
    flags = (0x01 if intrusion else 0) | (0x04 if diagnostic_interrupt else 0)
    return bytes((flags, BMC_ADDRESS, BMC_ADDRESS, BMC_ADDRESS, BMC_ADDRESS))


@dataclass(frozen=True, slots=True)
class Status:
    """What Get Chassis Status tells (Spec section 28.2, table 28-3)."""

    on: bool
    policy: Restore = Restore.NO_CHANGE
    power_fault: bool = False
    on_by_command: bool = False
    """The last time that it was powered on, that was by a command."""
    mains_failed: bool = False
    """The last thing that happened to the power was a loss of mains."""
    intrusion: bool = False
    fan_fault: bool = False
    drive_fault: bool = False
    identify: Identify = Identify.OFF

    def pack(self) -> bytes:
        """The three bytes; those of front panel buttons are optional, and we cannot disable any."""
        power = (0x01 if self.on else 0) | (0x08 if self.power_fault else 0) | self.policy << 5
        last = (0x01 if self.mains_failed else 0) | (0x10 if self.on_by_command else 0)
        misc = 0x40 | self.identify << 4
        misc |= (0x01 if self.intrusion else 0) | (0x04 if self.drive_fault else 0) | (0x08 if self.fan_fault else 0)
        return bytes((power, last, misc))


def identify(data: bytes) -> float | None:
    """For how many seconds the identify light shall be on; 0 is off, None until it is turned off (Spec table 28-5)."""
    if len(data) > 1 and data[1] & 0x01:
        return None
    return float(data[0]) if data else float(IDENTIFY_SECONDS)


def power_on_hours(seconds: float) -> bytes:
    """What Get POH Counter tells (Spec section 28.14, table 28-15)."""
    count = int(seconds // (60 * MINUTES_PER_COUNT))
    return bytes((MINUTES_PER_COUNT,)) + min(count, 0xFFFFFFFF).to_bytes(4, "little")


# --- boot options (Spec sections 28.12 and 28.13, table 28-14) --------------------------------------------------------


class BootOption(IntEnum):
    """The parameters."""

    SET_IN_PROGRESS = 0
    SERVICE_PARTITION = 1
    SERVICE_PARTITION_SCAN = 2
    VALID_BIT_CLEARING = 3
    INFO_ACKNOWLEDGE = 4
    FLAGS = 5
    INITIATOR_INFO = 6
    INITIATOR_MAILBOX = 7


LENGTHS = {
    BootOption.SET_IN_PROGRESS: 1,
    BootOption.SERVICE_PARTITION: 1,
    BootOption.SERVICE_PARTITION_SCAN: 1,
    BootOption.VALID_BIT_CLEARING: 1,
    BootOption.INFO_ACKNOWLEDGE: 2,
    BootOption.FLAGS: 5,
    BootOption.INITIATOR_INFO: 9,
}
"""Bytes of the data of each."""
MAILBOX_BLOCK = 16
MAILBOX_BLOCKS = 5
"""At least 80 bytes (Spec table 28-14, parameter 7)."""
NO_TIMEOUT = 0x08
"""Of the valid bit clearing: the flags stay valid even if no power command follows within 60 s."""
VALID_SECONDS = 60.0
_VALID, _PERSISTENT, _EFI = 0x80, 0x40, 0x20


class BootDevice(IntEnum):
    """Where to boot from (Spec table 28-14, parameter 5, byte 2, bits 5:2)."""

    NONE = 0x0
    PXE = 0x1
    DISK = 0x2
    DISK_SAFE_MODE = 0x3
    DIAGNOSTICS = 0x4
    CD = 0x5
    SETUP = 0x6
    REMOTE_FLOPPY = 0x7
    REMOTE_CD = 0x8
    REMOTE_MEDIA = 0x9
    REMOTE_DISK = 0xB
    FLOPPY = 0xF


@dataclass(frozen=True, slots=True)
class BootFlags:
    """The boot flags, as far as they are about where to boot from."""

    valid: bool = False
    persistent: bool = False
    efi: bool = False
    device: BootDevice = BootDevice.NONE

    @staticmethod
    def parse(data: bytes) -> BootFlags:
        """Raises `Completion` CCh for a device that there is not."""
        try:
            device = BootDevice(data[1] >> 2 & 0x0F)
        except ValueError as error:
            raise Completion(Code.INVALID_FIELD) from error
        return BootFlags(bool(data[0] & _VALID), bool(data[0] & _PERSISTENT), bool(data[0] & _EFI), device)

    def pack(self) -> bytes:
        """The five bytes, all else at rest."""
        first = (_VALID if self.valid else 0) | (_PERSISTENT if self.persistent else 0) | (_EFI if self.efi else 0)
        return bytes((first, self.device << 2, 0, 0, 0))


def boot_option(parameter: int, data: bytes, *, valid: bool = True) -> bytes:
    """What Get System Boot Options tells (Spec section 28.13, table 28-13)."""
    return bytes((0x01, parameter | (0 if valid else 0x80))) + data
