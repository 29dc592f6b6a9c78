"""Where a virtual machine boots from: an override for one boot, put back once that boot has begun.

The one thing to know: QEMU copies the boot indices into what the firmware reads (`bootorder` of fw_cfg) at each reset,
and at no other time. So an index is set before the reset, and can be put back as soon as the reset is over. But SeaBIOS
resets once more in its first moments, to find its own memory clean, and reads what is copied at that second reset.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

from ubmc.hw.power.port import Boot, BootFirmware, BootTarget
from ubmc.hw.qemu.machine import MachineSpec, boot_devices, own_order
from ubmc.hw.qemu.qmp import Session
from ubmc.kit.errors import Refused

log = logging.getLogger("ubmc.qemu")

# SeaBIOS's own reset comes within this time after any other; firmware that boots takes longer to reach a guest.
ECHO_SECONDS = 2.0
# A reset that was asked for and was not seen until then is not waited for any more.
_RESET_SECONDS = 10.0
# Before all others; nothing has it by itself.
_FIRST = 0


class BootOrder:
    """The boot indices of one machine."""

    def __init__(self, spec: MachineSpec) -> None:
        """Nothing is touched."""
        self._spec = spec
        self._own = own_order(spec)
        self._devices = boot_devices(spec)
        self._put_back_at: float | None = None  # on the loop's clock; None: the indices are the machine's own
        self._resets = 0  # seen since the override was set

    @property
    def targets(self) -> frozenset[BootTarget]:
        """What can be chosen: what the machine has a device for."""
        return frozenset(self._devices)

    @property
    def firmwares(self) -> frozenset[BootFirmware]:
        """What can be chosen: that of the image which the machine has, and no other; SeaBIOS is the BIOS of old."""
        return frozenset({BootFirmware.LEGACY if self._spec.firmware is None else BootFirmware.UEFI})

    @property
    def order(self) -> tuple[BootTarget, ...]:
        """The machine's own order; of several disks, the first counts."""
        named = {device: target for target, device in self._devices.items()}
        return tuple(named[device] for device in sorted(self._own, key=lambda each: self._own[each]) if device in named)

    def indices(self, boot: Boot | None) -> Mapping[str, int]:
        """The index of each device, for a machine that is started. Raises `KeyError` for what is not in `targets`."""
        if boot is None or boot.target is None:
            return self._own
        return {**self._own, self._devices[boot.target]: _FIRST}

    def forget(self) -> None:
        """There is no machine any more."""
        self._put_back_at = None

    def doubt(self, now: float) -> None:
        """A machine was found, of which nobody knows whether its indices are its own."""
        self._resets, self._put_back_at = 1, now + ECHO_SECONDS

    def started(self, now: float) -> None:
        """A machine was started with the indices of an override: its first reset is over when it answers."""
        self._resets, self._put_back_at = 2, now

    async def choose(self, session: Session, boot: Boot | None, now: float) -> None:
        """Have the next boot come from there; the reset has to follow now.

        Raises:
            Refused: the machine that runs has no such device.
            Unavailable: it does not answer.
        """
        await self._put_back(session)
        if boot is None or boot.target is None:
            return
        self._resets, self._put_back_at = 0, now + _RESET_SECONDS
        device = self._devices[boot.target]
        try:
            await _set(session, device, _FIRST)
        except Refused as error:
            self._put_back_at = None
            raise Refused(
                f"{self._spec.name} runs without what it would boot from ({boot.target.value}, {device}): "
                f"force it off and power it on to give it its new devices. {error.message}"
            ) from error

    def hear_reset(self, now: float) -> None:
        """The machine was reset, by anybody."""
        if self._put_back_at is not None:
            self._resets += 1
            self._put_back_at = now if self._resets > 1 else now + ECHO_SECONDS

    async def settle(self, session: Session, now: float) -> None:
        """Put the indices back if the boot that they were set for has begun. Raises `Unavailable`."""
        if self._put_back_at is not None and now >= self._put_back_at:
            await self._put_back(session)

    async def _put_back(self, session: Session) -> None:
        if self._put_back_at is None:
            return
        for device, index in self._own.items():
            try:
                await _set(session, device, index)
            except Refused as error:
                # Started from an older board file, it lacks the device; it boots from what it has.
                log.debug("a boot index cannot be put back", extra={"device": device, "error": error.message})
        self._put_back_at = None


async def _set(session: Session, device: str, index: int) -> None:
    path = f"/machine/peripheral/{device}"
    if await session.execute("qom-get", path=path, property="bootindex") != index:
        await session.execute("qom-set", path=path, property="bootindex", value=index)
