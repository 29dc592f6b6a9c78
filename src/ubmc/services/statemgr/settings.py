"""The settings of a host, and what UpdateHost makes of them. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from protobuf.wkt import FieldMask

from ubmc.kit.errors import Invalid, Refused, Violation
from ubmc.v1alpha1.host_pb import (
    BootOverride,
    BootOverrideMode,
    BootTarget,
    Host,
    HostWatchdog,
    RestorePolicy,
    WatchdogAction,
)

RESTORE_POLICY = "restore_policy"
BOOT_OVERRIDE = "boot_override"
WATCHDOG = "watchdog"
PATHS = (RESTORE_POLICY, BOOT_OVERRIDE, WATCHDOG)


@dataclass(frozen=True, slots=True)
class Settings:
    """What an operator has set for a host."""

    restore_policy: RestorePolicy = RestorePolicy.UNSPECIFIED
    boot_mode: BootOverrideMode = BootOverrideMode.DISABLED
    boot_target: BootTarget = BootTarget.UNSPECIFIED
    watchdog_running: bool = False
    watchdog_seconds: float = 0.0  # 0: never set
    watchdog_action: WatchdogAction = WatchdogAction.UNSPECIFIED

    def booted(self, target: BootTarget) -> Settings:
        """The settings after a boot from an overridden target was seen: an override for once is consumed by it."""
        if self.boot_mode is BootOverrideMode.ONCE and self.boot_target is target:
            return replace(self, boot_mode=BootOverrideMode.DISABLED, boot_target=BootTarget.UNSPECIFIED)
        return self


def paths(host: Host, mask: FieldMask | None) -> frozenset[str]:
    """The settings to take from `host`: those of the mask, or those that are set.

    Raises:
        Invalid: the mask has a path that is no setting.
    """
    wanted = tuple(mask.paths) if mask is not None else ()
    unknown = [path for path in wanted if path not in PATHS]
    if unknown:
        message = f"cannot be updated; what can be is {', '.join(PATHS)}"
        raise Invalid(f"{unknown[0]} {message}", violations=[Violation(path, "path", message) for path in unknown])
    if wanted:
        return frozenset(wanted)
    given = {
        RESTORE_POLICY: host.restore_policy is not RestorePolicy.UNSPECIFIED,
        BOOT_OVERRIDE: host.boot_override is not None,
        WATCHDOG: host.watchdog is not None,
    }
    return frozenset(path for path, is_set in given.items() if is_set)


def changed(settings: Settings, host: Host, wanted: frozenset[str], targets: Iterable[BootTarget]) -> Settings:
    """The settings after an update.

    Args:
        settings: those before.
        host: with the new values.
        wanted: which to take; see `paths`.
        targets: the boot targets that the wires can ask for.

    Raises:
        Invalid: values that contradict each other.
        Refused: the wires cannot do it.
    """
    if RESTORE_POLICY in wanted:
        settings = replace(settings, restore_policy=host.restore_policy)
    if BOOT_OVERRIDE in wanted:
        settings = _with_override(settings, host.name, host.boot_override, tuple(targets))
    if WATCHDOG in wanted:
        settings = _with_watchdog(settings, host.watchdog)
    return settings


def _with_override(
    settings: Settings, name: str, override: BootOverride | None, targets: tuple[BootTarget, ...]
) -> Settings:
    if override is None or override.mode is BootOverrideMode.DISABLED:
        return replace(settings, boot_mode=BootOverrideMode.DISABLED, boot_target=BootTarget.UNSPECIFIED)
    if override.mode is BootOverrideMode.UNSPECIFIED:
        raise _wrong("boot_override.mode", "say for how long: disabled, once or continuous")
    if override.target is BootTarget.UNSPECIFIED:
        raise _wrong("boot_override.target", "say from where, or disable the override")
    if not targets:
        raise Refused(f"the wires of {name} cannot choose from where it boots; set that in its firmware")
    if override.target not in targets:
        names = ", ".join(target.name for target in targets)
        raise Refused(f"the wires of {name} cannot have it boot from {override.target.name}, only from {names}")
    return replace(settings, boot_mode=override.mode, boot_target=override.target)


def _with_watchdog(settings: Settings, watchdog: HostWatchdog | None) -> Settings:
    watchdog = watchdog or HostWatchdog()
    seconds = watchdog.timeout.to_seconds() if watchdog.timeout is not None else 0.0
    if watchdog.running and seconds <= 0:
        raise _wrong("watchdog.timeout", "a watchdog that runs needs one, from 1 s to 2 h")
    return replace(
        settings,
        watchdog_running=watchdog.running,
        watchdog_seconds=seconds,
        watchdog_action=watchdog.action,
    )


def _wrong(field: str, message: str) -> Invalid:
    return Invalid(f"{field}: {message}", violations=[Violation(field, "required", message)])
