"""Boot options (Spec sections 28.12 and 28.13). From where the host boots is statemgr's; the rest is kept here as set.

What was written is read back exactly for as long as it holds: until the boot that consumes it, or until somebody says
otherwise by another door. The flags stay valid until then: the 60 s after which the specification lets them lapse
without a power command begin only if parameter 3 asks for them, because an unexpected boot is worse than a late one.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable
from typing import Any

from protobuf.wkt import FieldMask

from ubmc.kit.errors import Invalid, Refused
from ubmc.protocols.ipmi import app, chassis
from ubmc.protocols.ipmi.chassis import BootDevice, BootFlags, BootOption
from ubmc.protocols.ipmi.codes import Code, Completion, Level, NetFn
from ubmc.services.ipmisrv.commands.ground import Ground
from ubmc.services.ipmisrv.commands.own import changing
from ubmc.services.ipmisrv.dispatch import Command, Context
from ubmc.v1alpha1.access_pb import Privilege
from ubmc.v1alpha1.host_pb import (
    BootFirmware,
    BootOverride,
    BootOverrideMode,
    BootTarget,
    GetHostRequest,
    Host,
    UpdateHostRequest,
)
from ubmc.v1alpha1.host_rpc import HostService

CALLS = (HostService.GetHost, HostService.UpdateHost)
_TARGETS = {
    BootDevice.NONE: BootTarget.UNSPECIFIED,
    BootDevice.PXE: BootTarget.PXE,
    BootDevice.DISK: BootTarget.DISK,
    BootDevice.DISK_SAFE_MODE: BootTarget.SAFE_MODE,
    BootDevice.DIAGNOSTICS: BootTarget.DIAGNOSTICS,
    BootDevice.CD: BootTarget.CD,
    BootDevice.SETUP: BootTarget.FIRMWARE_SETUP,
    BootDevice.REMOTE_FLOPPY: BootTarget.USB,
    BootDevice.REMOTE_CD: BootTarget.CD,
    BootDevice.REMOTE_MEDIA: BootTarget.USB,
    BootDevice.REMOTE_DISK: BootTarget.DISK,
    BootDevice.FLOPPY: BootTarget.USB,
}
_DEVICES = {
    BootTarget.PXE: BootDevice.PXE,
    BootTarget.HTTP: BootDevice.PXE,
    BootTarget.DISK: BootDevice.DISK,
    BootTarget.SAFE_MODE: BootDevice.DISK_SAFE_MODE,
    BootTarget.DIAGNOSTICS: BootDevice.DIAGNOSTICS,
    BootTarget.CD: BootDevice.CD,
    BootTarget.FIRMWARE_SETUP: BootDevice.SETUP,
    BootTarget.USB: BootDevice.FLOPPY,
}
_BOOT = "boot"
_SET = "Set System Boot Options"
_MAILBOX = BootOption.INITIATOR_MAILBOX
_INVALID = 0x80
PROGRESS_SECONDS = 60.0
"""Who says that they change the options keeps others from saying so for so long at most."""
_IN_PROGRESS = 1


class BootCommands:
    """The commands.

    Args:
        ground: what all stand on.
        controlled: set by each power command.
    """

    def __init__(self, ground: Ground, controlled: asyncio.Event) -> None:
        self._ground = ground
        self._controlled = controlled
        self._progress_until = 0.0  # monotonic seconds
        self._lapse: asyncio.Task[None] | None = None

    def commands(self) -> Iterable[Command]:
        """The table of them (Spec table G-1)."""
        net = NetFn.CHASSIS
        return (
            Command(
                net,
                0x08,
                _SET,
                Level.OPERATOR,
                self._set,
                1,
                18,
                calls="HostService.UpdateHost",
            ),
            Command(
                net,
                0x09,
                "Get System Boot Options",
                Level.OPERATOR,
                self._get,
                3,
                inband=True,
                calls="HostService.WatchHosts",
            ),
        )

    # --- reading --------------------------------------------------------------------------------------------------

    def _get(self, context: Context, data: bytes) -> bytes:
        try:
            option = BootOption(data[0] & 0x7F)
        except ValueError as error:
            raise Completion(app.PARAMETER_NOT_SUPPORTED) from error
        kept = self._kept()
        valid = option.name not in kept.get("invalid", [])
        return chassis.boot_option(option, self._value(context, option, data[1], kept), valid=valid)

    def _value(self, context: Context, option: BootOption, selector: int, kept: dict[str, Any]) -> bytes:
        match option:
            case BootOption.SET_IN_PROGRESS:
                return bytes((self._in_progress(context),))
            case BootOption.FLAGS:
                return self._flags(context)
            case BootOption.INFO_ACKNOWLEDGE:
                return b"\x00" + _bytes(kept, option.name, chassis.LENGTHS[option])[1:]
            case BootOption.INITIATOR_MAILBOX:
                if selector >= chassis.MAILBOX_BLOCKS:
                    raise Completion(Code.OUT_OF_RANGE)
                return bytes((selector,)) + _bytes(kept, f"{option.name}_{selector}", chassis.MAILBOX_BLOCK)
            case BootOption.VALID_BIT_CLEARING:
                return _bytes(kept, option.name, 1, bytes((chassis.NO_TIMEOUT,)))
        return _bytes(kept, option.name, chassis.LENGTHS[option])

    def _flags(self, context: Context) -> bytes:
        host = self._ground.facts.hosts.get(context.host)
        override = host.boot_override or BootOverride()
        kept = self._kept()
        if kept.get("made") == _made(override, host):
            return bytes.fromhex(kept["flags"])
        if override.mode not in (BootOverrideMode.ONCE, BootOverrideMode.CONTINUOUS):
            return BootFlags().pack()
        return BootFlags(
            valid=True,
            persistent=override.mode is BootOverrideMode.CONTINUOUS,
            efi=override.firmware is BootFirmware.UEFI,
            device=_DEVICES.get(override.target, BootDevice.NONE),
        ).pack()

    def _kept(self) -> dict[str, Any]:
        return {"invalid": [], **self._ground.settings.section(_BOOT)}

    # --- writing --------------------------------------------------------------------------------------------------

    async def _set(self, context: Context, data: bytes) -> bytes:
        try:
            option = BootOption(data[0] & 0x7F)
        except ValueError as error:
            raise Completion(app.PARAMETER_NOT_SUPPORTED) from error
        value = data[1:]
        if option is BootOption.SET_IN_PROGRESS and value:
            begins = value[0] & 0x03 == _IN_PROGRESS  # 2, "commit", is done already
            if begins and self._in_progress(context):
                raise Completion(app.SET_IN_PROGRESS_CONFLICT)
            self._progress_until = context.clock() + PROGRESS_SECONDS if begins else 0.0
            return b""
        if option is BootOption.FLAGS and data[0] & _INVALID:
            data, value = data[:1], b""  # what is not valid changes nothing
        if option is BootOption.FLAGS and value:  # the host's, and statemgr says who may
            found = await self._boot_from(context, value)
            await self._ground.settings.keep(_BOOT, self._marked(option, data[0], self._kept() | found))
        elif self._changed(option, data) != self._kept():
            async with changing(context, _SET, Privilege.CONFIGURE_COMPONENTS, context.host):
                await self._ground.settings.keep(_BOOT, self._changed(option, data))
        return b""

    def _in_progress(self, context: Context) -> int:
        """Whether somebody has said that they change the options, and has not forgotten to say that it is done."""
        return _IN_PROGRESS if context.clock() < self._progress_until else 0

    def _changed(self, option: BootOption, data: bytes) -> dict[str, Any]:
        """What is to be kept after a request that is not about the flags themselves."""
        kept, value = self._kept(), data[1:]
        return self._marked(option, data[0], kept | (_taken(option, value, kept) if value else {}))

    @staticmethod
    def _marked(option: BootOption, first: int, kept: dict[str, Any]) -> dict[str, Any]:
        """With the mark whether an option is valid, which is in the first byte of the request."""
        invalid = set(kept.get("invalid", [])) - {option.name}
        return kept | {"invalid": sorted(invalid | {option.name} if first & _INVALID else invalid)}

    async def _boot_from(self, context: Context, value: bytes) -> dict[str, Any]:
        """Have the host boot so; what is to be kept of it."""
        if len(value) != chassis.LENGTHS[BootOption.FLAGS]:
            raise Completion(Code.LENGTH_INVALID)
        flags = BootFlags.parse(value)
        override = BootOverride(mode=BootOverrideMode.DISABLED)
        if flags.valid and (flags.device or flags.efi):
            override.mode = BootOverrideMode.CONTINUOUS if flags.persistent else BootOverrideMode.ONCE
            override.target = _TARGETS[flags.device]
            override.firmware = BootFirmware.UEFI if flags.efi else BootFirmware.UNSPECIFIED
        try:
            host = (await context.ask(HostService.UpdateHost, _request(context.host, override))).host or Host()
        except (Invalid, Refused) as error:
            raise Completion(Code.INVALID_FIELD, error.message) from error
        self._ground.facts.hosts.put(context.host, host)  # it is read back before the stream tells
        made = _made(host.boot_override or BootOverride(), host)
        self._let_lapse(context.host, flags, made)
        return {"flags": value.hex(), "made": made}

    # --- the 60 s of the specification ----------------------------------------------------------------------------

    def _let_lapse(self, host: str, flags: BootFlags, made: list[int | str]) -> None:
        if self._lapse is not None:
            self._lapse.cancel()
            self._lapse = None
        clearing = _bytes(self._kept(), BootOption.VALID_BIT_CLEARING.name, 1, bytes((chassis.NO_TIMEOUT,)))
        if flags.valid and not clearing[0] & chassis.NO_TIMEOUT:
            self._controlled.clear()
            self._lapse = self._ground.spawn(self._lapse_later(host, made))

    async def _lapse_later(self, name: str, made: list[int | str]) -> None:
        """Take back what was set, unless a boot has consumed it or somebody has set something else meanwhile."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(chassis.VALID_SECONDS):
                await self._controlled.wait()
            return
        host = (await self._ground.bus.ask(HostService.GetHost, GetHostRequest(name=name))).host or Host()
        if _made(host.boot_override or BootOverride(), host) != made:
            return
        await self._ground.bus.ask(HostService.UpdateHost, _request(name, BootOverride(mode=BootOverrideMode.DISABLED)))
        kept = self._kept()
        if kept.get("made") == made:
            del kept["made"]
            await self._ground.settings.keep(_BOOT, kept)


def _request(host: str, override: BootOverride) -> UpdateHostRequest:
    mask = FieldMask(paths=["boot_override"])
    return UpdateHostRequest(host=Host(name=host, boot_override=override), update_mask=mask)


def _made(override: BootOverride, host: Host) -> list[int | str]:
    """What tells whether the flags are still those that were set: the override, and for none the boots since."""
    mode = override.mode or BootOverrideMode.DISABLED
    since = str(host.restart_time.seconds) if mode is BootOverrideMode.DISABLED and host.restart_time else ""
    return [int(mode), int(override.target), int(override.firmware), override.http_uri, since]


def _taken(option: BootOption, value: bytes, kept: dict[str, Any]) -> dict[str, Any]:
    """What is to be kept of a new value of an option that is nobody else's."""
    if option is _MAILBOX:
        if value[0] >= chassis.MAILBOX_BLOCKS:
            raise Completion(Code.OUT_OF_RANGE)
        block = value[1 : 1 + chassis.MAILBOX_BLOCK].ljust(chassis.MAILBOX_BLOCK, b"\0")
        return {f"{option.name}_{value[0]}": block.hex()}
    if len(value) != chassis.LENGTHS[option]:
        raise Completion(Code.LENGTH_INVALID)
    if option is BootOption.INFO_ACKNOWLEDGE:  # the first byte says which bits of the second are written
        before = _bytes(kept, option.name, 2)[1]
        value = bytes((0, before & ~value[0] | value[1] & value[0]))
    return {option.name: value.hex()}


def _bytes(kept: dict[str, Any], name: str, length: int, default: bytes = b"") -> bytes:
    """A value as it is kept."""
    try:
        found = bytes.fromhex(kept.get(name, ""))
    except (TypeError, ValueError):
        found = b""
    return found if len(found) == length else default or bytes(length)
