"""What UpdateHost makes of the settings of a host, and pages of components."""

from __future__ import annotations

import pytest
from protobuf.wkt import Duration, FieldMask

from ubmc.kit.errors import Invalid, NotFound, Refused
from ubmc.services.statemgr.pages import find, page
from ubmc.services.statemgr.settings import Settings, changed, paths
from ubmc.v1alpha1.host_pb import (
    BootOverride,
    BootOverrideMode,
    BootTarget,
    Host,
    HostWatchdog,
    RestorePolicy,
    WatchdogAction,
)

TARGETS = (BootTarget.PXE, BootTarget.DISK)
PXE_ONCE = BootOverride(mode=BootOverrideMode.ONCE, target=BootTarget.PXE)


def update(settings: Settings, host: Host, *mask: str, targets: tuple[BootTarget, ...] = TARGETS) -> Settings:
    host.name = "host.0"
    return changed(settings, host, paths(host, FieldMask(paths=list(mask))), targets)


def test_without_a_mask_what_is_set_is_taken() -> None:
    host = Host(restore_policy=RestorePolicy.ALWAYS_ON, boot_override=PXE_ONCE)
    settings = update(Settings(watchdog_seconds=3.0), host)
    assert settings.restore_policy is RestorePolicy.ALWAYS_ON
    assert (settings.boot_mode, settings.boot_target) == (BootOverrideMode.ONCE, BootTarget.PXE)
    assert settings.watchdog_seconds == 3.0
    assert update(settings, Host()) == settings


def test_a_mask_takes_what_it_names_and_nothing_else() -> None:
    before = Settings(restore_policy=RestorePolicy.ALWAYS_ON, watchdog_seconds=3.0)
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
    assert once.booted(BootTarget.UNSPECIFIED) == once
    assert once.booted(BootTarget.PXE) == Settings()
    always = update(
        Settings(), Host(boot_override=BootOverride(mode=BootOverrideMode.CONTINUOUS, target=BootTarget.PXE))
    )
    assert always.booted(BootTarget.PXE) == always


def test_watchdog_is_set_as_a_whole() -> None:
    watchdog = HostWatchdog(running=True, timeout=Duration.from_seconds(2.5), action=WatchdogAction.RESET)
    settings = update(Settings(), Host(watchdog=watchdog))
    assert (settings.watchdog_running, settings.watchdog_seconds) == (True, 2.5)
    assert settings.watchdog_action is WatchdogAction.RESET


def test_pages_follow_each_other_in_the_order_of_numbers() -> None:
    items = {f"host.{number}": number for number in (10, 2, 0, 1)}
    shown, token = page(items, 3, "")
    assert shown == [0, 1, 2]
    assert page(items, 3, token) == ([10], "")
    assert page(items, 0, "") == ([0, 1, 2, 10], "")
    with pytest.raises(Invalid, match="page_token"):
        page(items, 3, "host.77")
    with pytest.raises(NotFound, match=r"there is no host\.3; there is host\.0, host\.1, host\.2, host\.10"):
        find(items, "host.3")
