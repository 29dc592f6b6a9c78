"""The port for power: what powermgr asks of the wires of one host or one chassis, and what the wires tell it.

A driver does what it is told and reports what it sees. It decides nothing: what is allowed when is statemgr's table,
and how long to wait for an effect is statemgr's patience.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

from ubmc.hw.gpio.port import Release


class Action(Enum):
    """What can be done to the power of a host."""

    ON = "on"  # short press of the power button, or start of the machine
    SOFT_OFF = "soft-off"  # short press; the operating system decides (ACPI shutdown)
    FORCE_OFF = "force-off"  # hold the power button, or cut
    RESET = "reset"  # reset line; RAM contents are lost, power stays
    NMI = "nmi"  # diagnostic interrupt


class BootTarget(Enum):
    """Where the next boot can be made to come from."""

    PXE = "pxe"  # the network
    DISK = "disk"  # the first disk
    CD = "cd"  # CD or DVD, also virtual
    USB = "usb"  # a removable drive
    FIRMWARE_SETUP = "firmware-setup"  # the set-up screen of the firmware
    HTTP = "http"  # the network, by HTTP
    DIAGNOSTICS = "diagnostics"  # those of the firmware or the maker
    SAFE_MODE = "safe-mode"  # the first disk, with as little as the operating system can do with


class BootFirmware(Enum):
    """The interface between firmware and operating system."""

    UEFI = "uefi"
    LEGACY = "legacy"  # the BIOS of old


@dataclass(frozen=True, slots=True)
class Boot:
    """How the next boot is made to go; what is None or empty goes as the machine's own set-up says."""

    target: BootTarget | None = None
    firmware: BootFirmware | None = None
    uri: str = ""
    """For `BootTarget.HTTP`: what is loaded."""


class BootStage(Enum):
    """How far a boot has come, where wires show it."""

    PROCESSOR = "processor"  # the first processor is initialised
    MEMORY = "memory"  # the memory is initialised
    PCI = "pci"  # PCI devices get their resources
    HARDWARE = "hardware"  # the hardware is initialised; something to boot is looked for
    SETUP = "setup"  # the set-up screen of the firmware
    LOADING = "loading"  # the operating system begins to boot
    RUNNING = "running"  # the operating system runs


class Level(Enum):
    """What power-good says."""

    ON = "on"
    OFF = "off"
    UNKNOWN = "unknown"  # cannot be read; never a reason to act


class News(Enum):
    """What happened besides a change of level."""

    BUTTON_PRESSED = "button-pressed"  # somebody pressed the front-panel power button
    IDENTIFY_PRESSED = "identify-pressed"  # somebody pressed the front-panel identify button
    GUEST_SHUTDOWN = "guest-shutdown"  # the operating system powered itself off
    GUEST_RESET = "guest-reset"  # the operating system restarted itself
    PANICKED = "panicked"  # the operating system crashed
    WATCHDOG_EXPIRED = "watchdog-expired"  # the host's own watchdog fired
    CRASHED = "crashed"  # a virtual machine's process ended by itself


@dataclass(frozen=True, slots=True)
class Sight:
    """The level as seen now, and what made the driver tell it (None: just the level)."""

    level: Level
    news: News | None = None
    stage: BootStage | None = field(default=None, compare=False)
    """How far the boot has come; None where that is not seen, or while the power is off."""


class Power(Protocol):
    """The power of one host."""

    @property
    def actions(self) -> frozenset[Action]:
        """What these wires can do."""

    @property
    def boot_targets(self) -> frozenset[BootTarget]:
        """The targets that `do` takes; empty where the wires have no say in it."""

    @property
    def boot_firmwares(self) -> frozenset[BootFirmware]:
        """The firmware interfaces that `do` takes; empty where the wires have no say in it."""

    @property
    def boot_order(self) -> tuple[BootTarget, ...]:
        """From where the host boots by itself, the first one first; empty where that is not known."""

    async def open(self) -> tuple[Release, ...]:
        """Connect, drive every momentary line inactive, and return how another process can do the same.

        Called once, before anything else. Never changes the power of the machine; a virtual machine that runs already
        is adopted. The caller owns the descriptors returned.

        Raises:
            Unavailable: the hardware cannot be reached (it is tried again later).
        """

    async def do(self, action: Action, *, boot: Boot | None = None) -> None:
        """Carry out the action on the wires; returns when the wires have been driven, not when the host obeyed.

        A press that has begun is always ended, even if the caller is cancelled.

        Args:
            action: what to do.
            boot: for ON and RESET: how the boot that follows goes; the boots after it, also those that the guest begins
                by itself, go as the machine's own set-up says again. None: this one does already, whatever was asked
                for before.

        Raises:
            Refused: the wires cannot do this action at all, or not in this level; or they cannot choose that boot.
            Unavailable: the hardware cannot be reached.
        """

    def watch(self) -> AsyncIterator[Sight]:
        """The level now, then every change and all news. While the hardware is away that is `UNKNOWN`; it goes on."""

    async def mains_epoch(self) -> str | None:
        """What is known of mains, as a text that is compared with an earlier one; None where nothing can be proven.

        `INSTANCE:CYCLES` (mains was lost and came back exactly if INSTANCE is equal and CYCLES rose), or a boot id
        without a colon (mains was lost if it differs). A `!` at the end: mains is away right now.
        """

    async def close(self) -> None:
        """Give everything back. Never changes the power of the machine."""
