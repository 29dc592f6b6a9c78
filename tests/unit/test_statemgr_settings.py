"""What UpdateHost makes of the settings of a host, and pages of components."""

from __future__ import annotations

from dataclasses import replace

import pytest
from protobuf.wkt import Duration, FieldMask

from ubmc.kit.errors import Invalid, Refused
from ubmc.services.statemgr.settings import BootAbilities, BootChoice, Settings, WatchdogSettings, changed, paths
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

TARGETS = (BootTarget.PXE, BootTarget.DISK)
PXE_ONCE = BootOverride(mode=BootOverrideMode.ONCE, target=BootTarget.PXE)


def update(
    settings: Settings,
    host: Host,
    *mask: str,
    targets: tuple[BootTarget, ...] = TARGETS,
    firmwares: tuple[BootFirmware, ...] = (BootFirmware.UEFI, BootFirmware.LEGACY),
    wires: tuple[WireAction, ...] = (WireAction.NMI,),
) -> Settings:
    host.name = "host.0"
    abilities = BootAbilities(targets, firmwares)
    return changed(settings, host, paths(host, FieldMask(paths=list(mask))), abilities, wires)


def test_without_a_mask_what_is_set_is_taken() -> None:
    host = Host(restore_policy=RestorePolicy.ALWAYS_ON, boot_override=PXE_ONCE)
    settings = update(Settings(watchdog=WatchdogSettings(seconds=3.0)), host)
    assert settings.restore_policy is RestorePolicy.ALWAYS_ON
    assert (settings.boot_mode, settings.boot.target) == (BootOverrideMode.ONCE, BootTarget.PXE)
    assert settings.watchdog.seconds == 3.0
    assert update(settings, Host()) == settings


def test_a_mask_takes_what_it_names_and_nothing_else() -> None:
    before = Settings(restore_policy=RestorePolicy.ALWAYS_ON, watchdog=WatchdogSettings(seconds=3.0))
    host = Host(boot_override=PXE_ONCE)
    settings = update(before, host, "restore_policy", "watchdog")
    assert settings == Settings()


def test_an_unknown_path_is_named() -> None:
    with pytest.raises(Invalid, match="power_on_time cannot be updated; what can be is restore_policy") as caught:
        update(Settings(), Host(), "restore_policy", "power_on_time")
    assert [violation.field for violation in caught.value.violations] == ["power_on_time"]


@pytest.mark.parametrize(
    ("host", "field"),
    [
        (Host(boot_override=BootOverride(target=BootTarget.PXE)), "boot_override.mode"),
        (Host(boot_override=BootOverride(mode=BootOverrideMode.ONCE)), "boot_override.target"),
        (Host(watchdog=HostWatchdog(running=True)), "watchdog.timeout"),
    ],
)
def test_what_is_missing_is_named(host: Host, field: str) -> None:
    with pytest.raises(Invalid, match=field) as caught:
        update(Settings(), host)
    assert [violation.field for violation in caught.value.violations] == [field]


def test_an_override_that_the_wires_cannot_do_is_refused() -> None:
    with pytest.raises(Refused, match=r"host\.0 cannot choose from where it boots"):
        update(Settings(), Host(boot_override=PXE_ONCE), targets=())
    with pytest.raises(Refused, match="boot from PXE, only from DISK"):
        update(Settings(), Host(boot_override=PXE_ONCE), targets=(BootTarget.DISK,))
    off = Host(boot_override=BootOverride(mode=BootOverrideMode.DISABLED))
    assert update(Settings(), off, targets=()) == Settings()


def test_an_override_for_once_is_consumed_by_the_boot_that_used_it() -> None:
    once = update(Settings(), Host(boot_override=PXE_ONCE))
    assert once.booted(BootChoice()) == once
    assert once.booted(BootChoice(BootTarget.PXE)) == Settings()
    always = update(
        Settings(), Host(boot_override=BootOverride(mode=BootOverrideMode.CONTINUOUS, target=BootTarget.PXE))
    )
    assert always.booted(BootChoice(BootTarget.PXE)) == always


def test_watchdog_is_set_as_a_whole() -> None:
    watchdog = HostWatchdog(running=True, timeout=Duration.from_seconds(2.5), action=WatchdogAction.RESET)
    settings = update(Settings(), Host(watchdog=watchdog))
    assert (settings.watchdog.running, settings.watchdog.seconds) == (True, 2.5)
    assert settings.watchdog.action is WatchdogAction.RESET


def test_a_field_of_the_override_is_changed_alone() -> None:
    before = update(Settings(), Host(boot_override=PXE_ONCE))
    host = Host(boot_override=BootOverride(firmware=BootFirmware.UEFI))
    settings = update(before, host, "boot_override.firmware")
    assert settings.boot == BootChoice(BootTarget.PXE, BootFirmware.UEFI)
    assert settings.boot_mode is BootOverrideMode.ONCE
    consumed = settings.booted(settings.next_boot)
    assert consumed.override() == BootOverride(mode=BootOverrideMode.DISABLED, firmware=BootFirmware.UEFI)
    assert consumed.next_boot == BootChoice()  # what is kept has no effect until there is an override again


def test_the_firmware_interface_alone_can_be_overridden() -> None:
    host = Host(boot_override=BootOverride(mode=BootOverrideMode.ONCE, firmware=BootFirmware.LEGACY))
    assert update(Settings(), host).next_boot == BootChoice(firmware=BootFirmware.LEGACY)
    with pytest.raises(Refused, match="boot by LEGACY, only by UEFI"):
        update(Settings(), host, firmwares=(BootFirmware.UEFI,))
    with pytest.raises(Refused, match="that is set in its firmware"):
        update(Settings(), host, firmwares=())


def test_what_is_loaded_goes_with_its_target() -> None:
    override = BootOverride(
        mode=BootOverrideMode.CONTINUOUS, target=BootTarget.HTTP, http_uri="https://boot.example/x.efi"
    )
    settings = update(Settings(), Host(boot_override=override), targets=(BootTarget.HTTP, BootTarget.PXE))
    assert settings.next_boot == BootChoice(BootTarget.HTTP, http_uri="https://boot.example/x.efi")
    override.target = BootTarget.PXE
    with pytest.raises(Invalid, match="http_uri: goes with the target HTTP only"):
        update(Settings(), Host(boot_override=override))


def test_watchdog_remembers_which_uses_expired_until_they_are_taken_out() -> None:
    before = Settings(watchdog=WatchdogSettings(running=True, seconds=5.0, use=WatchdogUse.OS_LOAD))
    expired = replace(before, watchdog=before.watchdog.has_expired())
    assert expired.watchdog.message(None).expired_uses == [WatchdogUse.OS_LOAD]
    again = HostWatchdog(running=True, timeout=Duration.from_seconds(5.0), use=WatchdogUse.SMS_OS)
    assert update(expired, Host(watchdog=again)).watchdog.expired == {WatchdogUse.OS_LOAD}
    clear = Host(watchdog=HostWatchdog(clear_expired_uses=[WatchdogUse.OS_LOAD]))
    cleared = update(expired, clear, "watchdog.clear_expired_uses").watchdog
    assert cleared.expired == frozenset()
    assert (cleared.seconds, cleared.use) == (5.0, WatchdogUse.OS_LOAD)


def test_pretimeout_comes_before_expiry_and_needs_its_wire() -> None:
    early = HostWatchdog(
        timeout=Duration.from_seconds(10.0),
        pretimeout=Duration.from_seconds(10.0),
        pretimeout_action=WatchdogPretimeoutAction.NMI,
    )
    with pytest.raises(Invalid, match="less than the timeout"):
        update(Settings(), Host(watchdog=early))
    early.pretimeout = Duration.from_seconds(4.0)
    assert update(Settings(), Host(watchdog=early)).watchdog.warns_after == 6.0
    with pytest.raises(Refused, match="cannot send a diagnostic interrupt"):
        update(Settings(), Host(watchdog=early), wires=(WireAction.RESET,))
