"""The settings of a host, and what UpdateHost makes of them. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TypeVar

from protobuf.wkt import Duration, FieldMask

from ubmc.kit.errors import Invalid, Refused, Violation
from ubmc.v1alpha1.host_pb import (
    BootFirmware,
    BootOverride,
    BootOverrideMode,
    BootTarget,
    Host,
    HostWatchdog,
    RestorePolicy,
    WatchdogAction,
    WatchdogPretimeoutAction,
    WatchdogUse,
)
from ubmc.v1alpha1.internal_pb import WireAction

M = TypeVar("M", BootOverride, HostWatchdog)

RESTORE_POLICY = "restore_policy"
BOOT_OVERRIDE = "boot_override"
WATCHDOG = "watchdog"
PATHS = (RESTORE_POLICY, BOOT_OVERRIDE, WATCHDOG)
PARTS = MappingProxyType(
    {
        BOOT_OVERRIDE: ("mode", "target", "firmware", "http_uri"),
        WATCHDOG: (
            "running",
            "timeout",
            "action",
            "use",
            "pretimeout",
            "pretimeout_action",
            "dont_log",
            "clear_expired_uses",
        ),
    }
)
"""The fields that can be updated one by one."""
_KNOWN = frozenset(PATHS) | {f"{whole}.{part}" for whole, parts in PARTS.items() for part in parts}


@dataclass(frozen=True, slots=True)
class BootChoice:
    """How a boot is to go; what is unspecified or empty goes as the host is set up."""

    target: BootTarget = BootTarget.UNSPECIFIED
    firmware: BootFirmware = BootFirmware.UNSPECIFIED
    http_uri: str = ""


@dataclass(frozen=True, slots=True)
class BootAbilities:
    """What the wires of a host can choose."""

    targets: tuple[BootTarget, ...] = ()
    firmwares: tuple[BootFirmware, ...] = ()


@dataclass(frozen=True, slots=True)
class WatchdogSettings:
    """The watchdog of a host as it is set, and what has expired."""

    running: bool = False
    seconds: float = 0.0  # 0: never set
    action: WatchdogAction = WatchdogAction.UNSPECIFIED
    use: WatchdogUse = WatchdogUse.UNSPECIFIED
    pretimeout_seconds: float = 0.0  # 0: never
    pretimeout_action: WatchdogPretimeoutAction = WatchdogPretimeoutAction.UNSPECIFIED
    dont_log: bool = False
    expired: frozenset[WatchdogUse] = frozenset()
    guest: bool = False  # started or fed by the guest itself, through the IPMI door

    def has_expired(self) -> WatchdogSettings:
        """The settings after an expiry."""
        uses = {self.use} - {WatchdogUse.UNSPECIFIED}
        return replace(self, running=False, expired=self.expired | uses)

    @property
    def warns_after(self) -> float | None:
        """Seconds from a start to what happens before expiry; None if nothing does."""
        if self.pretimeout_action is WatchdogPretimeoutAction.NMI and self.pretimeout_seconds > 0:
            return self.seconds - self.pretimeout_seconds
        return None

    def message(self, remaining_seconds: float | None) -> HostWatchdog:
        """The watchdog as it is shown."""
        return HostWatchdog(
            running=self.running,
            timeout=_duration(self.seconds),
            action=self.action,
            remaining=None if remaining_seconds is None else Duration.from_seconds(remaining_seconds),
            use=self.use,
            pretimeout=_duration(self.pretimeout_seconds),
            pretimeout_action=self.pretimeout_action,
            dont_log=self.dont_log,
            expired_uses=sorted(self.expired),
        )


@dataclass(frozen=True, slots=True)
class Settings:
    """What an operator has set for a host."""

    restore_policy: RestorePolicy = RestorePolicy.UNSPECIFIED
    boot_mode: BootOverrideMode = BootOverrideMode.DISABLED
    boot: BootChoice = field(default_factory=BootChoice)
    """What the override says. Of one that is disabled only the firmware interface is kept."""
    watchdog: WatchdogSettings = field(default_factory=WatchdogSettings)

    @property
    def next_boot(self) -> BootChoice:
        """How the next boot is to go."""
        return BootChoice() if self.boot_mode is BootOverrideMode.DISABLED else self.boot

    def booted(self, choice: BootChoice) -> Settings:
        """The settings after a boot as chosen was seen: an override for once is consumed by it."""
        if self.boot_mode is BootOverrideMode.ONCE and self.boot == choice:
            return replace(self, boot_mode=BootOverrideMode.DISABLED, boot=BootChoice(firmware=self.boot.firmware))
        return self

    def override(self) -> BootOverride:
        """The override as it is shown."""
        boot = self.boot
        return BootOverride(mode=self.boot_mode, target=boot.target, firmware=boot.firmware, http_uri=boot.http_uri)


def paths(host: Host, mask: FieldMask | None) -> frozenset[str]:
    """The settings to take from `host`: those of the mask, or those that are set.

    Raises:
        Invalid: the mask has a path that is no setting.
    """
    wanted = tuple(mask.paths) if mask is not None else ()
    unknown = [path for path in wanted if path not in _KNOWN]
    if unknown:
        message = f"cannot be updated; what can be is {', '.join(PATHS)}, and single fields of the latter two"
        raise Invalid(f"{unknown[0]} {message}", violations=[Violation(path, "path", message) for path in unknown])
    if wanted:
        return frozenset(wanted)
    given = {
        RESTORE_POLICY: host.restore_policy is not RestorePolicy.UNSPECIFIED,
        BOOT_OVERRIDE: host.boot_override is not None,
        WATCHDOG: host.watchdog is not None,
    }
    return frozenset(path for path, is_set in given.items() if is_set)


def touches(wanted: frozenset[str], whole: str) -> bool:
    """Whether any of these paths is this setting, or a field of it."""
    return any(path.partition(".")[0] == whole for path in wanted)


def changed(
    settings: Settings,
    host: Host,
    wanted: frozenset[str],
    abilities: BootAbilities,
    wires: Iterable[WireAction] = (),
) -> Settings:
    """The settings after an update.

    Args:
        settings: those before.
        host: with the new values.
        wanted: which to take; see `paths`.
        abilities: what the wires can choose of a boot.
        wires: what else they can do.

    Raises:
        Invalid: values that contradict each other.
        Refused: the wires cannot do it.
    """
    if RESTORE_POLICY in wanted:
        settings = replace(settings, restore_policy=host.restore_policy)
    if touches(wanted, BOOT_OVERRIDE):
        override = _merged(BOOT_OVERRIDE, settings.override(), host.boot_override or BootOverride(), wanted)
        settings = _with_override(settings, host.name, override, abilities)
    if touches(wanted, WATCHDOG):
        watchdog = _merged(WATCHDOG, settings.watchdog.message(None), host.watchdog or HostWatchdog(), wanted)
        settings = replace(settings, watchdog=_watchdog(settings.watchdog, host.name, watchdog, frozenset(wires)))
    return settings


def _merged(whole: str, before: M, given: M, wanted: frozenset[str]) -> M:
    """What is given, or what was before with single fields of what is given."""
    if whole in wanted:
        return given
    for part in PARTS[whole]:
        if f"{whole}.{part}" in wanted:
            setattr(before, part, getattr(given, part))
    return before


def _with_override(settings: Settings, name: str, override: BootOverride, abilities: BootAbilities) -> Settings:
    if override.firmware is not BootFirmware.UNSPECIFIED and override.firmware not in abilities.firmwares:
        names = ", ".join(firmware.name for firmware in abilities.firmwares)
        can = f"only by {names}" if names else "that is set in its firmware"
        raise Refused(f"the wires of {name} cannot have it boot by {override.firmware.name}, {can}")
    kept = BootChoice(firmware=override.firmware)
    if override.mode is BootOverrideMode.DISABLED:
        return replace(settings, boot_mode=BootOverrideMode.DISABLED, boot=kept)
    if override.mode is BootOverrideMode.UNSPECIFIED:
        raise _wrong("boot_override.mode", "say for how long: disabled, once or continuous")
    if override.target is BootTarget.UNSPECIFIED and kept == BootChoice():
        raise _wrong("boot_override.target", "say from where, or disable the override")
    if override.http_uri and override.target is not BootTarget.HTTP:
        raise _wrong("boot_override.http_uri", "goes with the target HTTP only; leave it empty")
    if override.target is not BootTarget.UNSPECIFIED:
        _check_target(name, override.target, abilities.targets)
    choice = BootChoice(override.target, override.firmware, override.http_uri)
    return replace(settings, boot_mode=override.mode, boot=choice)


def _check_target(name: str, target: BootTarget, targets: tuple[BootTarget, ...]) -> None:
    if not targets:
        raise Refused(f"the wires of {name} cannot choose from where it boots; set that in its firmware")
    if target not in targets:
        names = ", ".join(target.name for target in targets)
        raise Refused(f"the wires of {name} cannot have it boot from {target.name}, only from {names}")


def _watchdog(
    before: WatchdogSettings, name: str, watchdog: HostWatchdog, wires: frozenset[WireAction]
) -> WatchdogSettings:
    seconds, pretimeout = _seconds(watchdog.timeout), _seconds(watchdog.pretimeout)
    if watchdog.running and seconds <= 0:
        raise _wrong("watchdog.timeout", "a watchdog that runs needs one, from 0.1 s to 2 h")
    if pretimeout and pretimeout >= seconds:
        raise _wrong("watchdog.pretimeout", "has to be less than the timeout")
    if watchdog.pretimeout_action is WatchdogPretimeoutAction.NMI and WireAction.NMI not in wires:
        raise Refused(f"the wires of {name} cannot send a diagnostic interrupt before its watchdog expires")
    return WatchdogSettings(
        running=watchdog.running,
        seconds=seconds,
        action=watchdog.action,
        use=watchdog.use,
        pretimeout_seconds=pretimeout,
        pretimeout_action=watchdog.pretimeout_action,
        dont_log=watchdog.dont_log,
        expired=before.expired - set(watchdog.clear_expired_uses),
    )


def _seconds(duration: Duration | None) -> float:
    return 0.0 if duration is None else duration.to_seconds()


def _duration(seconds: float) -> Duration | None:
    return Duration.from_seconds(seconds) if seconds else None


def _wrong(field_name: str, message: str) -> Invalid:
    return Invalid(f"{field_name}: {message}", violations=[Violation(field_name, "required", message)])
