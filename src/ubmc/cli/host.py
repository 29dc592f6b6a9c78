"""`ubmc host`."""

from __future__ import annotations

import click
from protobuf.wkt import FieldMask

from ubmc.cli.resource import Resource, add_actions, add_list, add_show, add_watch, name_one
from ubmc.cli.settings import Noun, Settings, pass_settings
from ubmc.cli.terminal import printable
from ubmc.cli.text import cell, columns
from ubmc.v1alpha1.host_pb import (
    BootFirmware,
    BootOverride,
    BootOverrideMode,
    BootTarget,
    Host,
    HostPowerAction,
    RestorePolicy,
    UpdateHostRequest,
    UpdateHostResponse,
)
from ubmc.v1alpha1.host_rpc import HostService

HOSTS = Resource(
    noun="host",
    list=HostService.ListHosts,
    items="hosts",
    get=HostService.GetHost,
    item="host",
    columns=columns("name", "state", "since: state_time", "boot: boot_progress"),
    facts=columns(
        "name",
        "state",
        "since: state_time",
        "caused by: state_cause.kind",
        "user: state_cause.user",
        "failed action: power_failure.action",
        "failed at: power_failure.time",
        "why it failed: power_failure.advice",
        "trip_reason",
        "boot: boot_progress",
        "power_on_time",
        "restore_policy",
        "restart_cause",
        "restarted: restart_time",
        "boot override: boot_override.mode",
        "boot target: boot_override.target",
        "boot firmware: boot_override.firmware",
        "boot URI: boot_override.http_uri",
        "watchdog runs: watchdog.running",
        "watchdog timeout: watchdog.timeout",
        "watchdog action: watchdog.action",
        "actions: power_actions",
        "boot_targets",
        "boot_firmwares",
        "boot_order",
    ),
)

ACTIONS = {
    "on": (HostPowerAction.ON, "Power on."),
    "off": (HostPowerAction.GRACEFUL_OFF, "Ask the operating system to shut down."),
    "reboot": (HostPowerAction.REBOOT, "Ask the operating system to shut down, then power on again."),
    "force-off": (HostPowerAction.FORCE_OFF, "Cut the power, whatever runs."),
    "force-restart": (HostPowerAction.FORCE_RESTART, "Reset without asking the operating system."),
    "power-cycle": (HostPowerAction.POWER_CYCLE, "Cut the power, wait a moment, power on again."),
    "press": (HostPowerAction.PUSH_POWER_BUTTON, "Press the power button for a moment, as a person would."),
    "nmi": (HostPowerAction.NMI, "Send a diagnostic interrupt."),
}

TARGETS = {
    "pxe": BootTarget.PXE,
    "disk": BootTarget.DISK,
    "cd": BootTarget.CD,
    "usb": BootTarget.USB,
    "setup": BootTarget.FIRMWARE_SETUP,
    "http": BootTarget.HTTP,
    "diagnostics": BootTarget.DIAGNOSTICS,
    "safe": BootTarget.SAFE_MODE,
}

FIRMWARES = {"uefi": BootFirmware.UEFI, "legacy": BootFirmware.LEGACY}

POLICIES = {
    "always-off": RestorePolicy.ALWAYS_OFF,
    "always-on": RestorePolicy.ALWAYS_ON,
    "last-state": RestorePolicy.LAST_STATE,
}

host = Noun("host", help="Hosts: show them, power them, set what they boot. NAME may be left out if there is one host.")
add_list(host, HOSTS)
add_show(host, HOSTS, optional=True)
add_watch(host, HOSTS, HostService.WatchHosts)
add_actions(host, HOSTS, HostService.ChangeHostPower, ACTIONS)


def _update(settings: Settings, name: str | None, values: Host, field: str) -> UpdateHostResponse:
    with settings.connect() as client:
        values.name = name_one(client, HOSTS, name)
        return client.ask(HostService.UpdateHost, UpdateHostRequest(host=values, update_mask=FieldMask(paths=[field])))


@host.command("boot", help=f"Boot from TARGET ({', '.join(TARGETS)}) instead of the host's own order.")
@click.argument("words", nargs=-1, metavar="[TARGET] [NAME]")
@click.option("--once", "mode", flag_value="once", default=True, help="For the next boot only (this is the default).")
@click.option("--continuous", "mode", flag_value="continuous", help="For every boot until it is changed.")
@click.option("--clear", "mode", flag_value="clear", help="No override any more; give no TARGET.")
@click.option("--firmware", type=click.Choice(list(FIRMWARES)), help="Boot with this firmware interface.")
@click.option("--uri", default="", metavar="URL", help="For the target http: what to load.")
@pass_settings
def boot(settings: Settings, words: tuple[str, ...], mode: str, firmware: str | None, uri: str) -> None:
    """Set or clear the boot override; with --clear the first word is the name."""
    if uri and (not words or words[0] != "http"):
        raise click.UsageError("--uri belongs to the target http")
    override = BootOverride(mode=BootOverrideMode.DISABLED)
    names = words
    if mode != "clear":
        if not words or words[0] not in TARGETS:
            raise click.UsageError(f"say where to boot from: {', '.join(TARGETS)}; or --clear")
        target, names = TARGETS[words[0]], words[1:]
        wanted = BootOverrideMode.ONCE if mode == "once" else BootOverrideMode.CONTINUOUS
        override = BootOverride(mode=wanted, target=target, http_uri=uri)
        if firmware is not None:
            override.firmware = FIRMWARES[firmware]
    if len(names) > 1:
        raise click.UsageError(f"there are too many words: {' '.join(names[1:])}")
    answer = _update(settings, names[0] if names else None, Host(boot_override=override), "boot_override")
    shown = answer.host or Host()
    line = f"{printable(shown.name)}: boot override {cell(shown, 'boot_override.mode')}"
    if mode != "clear":
        line += f", {cell(shown, 'boot_override.target')}"
    settings.output.say(answer, line)


@host.command("policy")
@click.argument("policy", type=click.Choice(list(POLICIES)))
@click.argument("name", required=False)
@pass_settings
def set_policy(settings: Settings, policy: str, name: str | None) -> None:
    """Set what the host does when mains was lost and came back."""
    answer = _update(settings, name, Host(restore_policy=POLICIES[policy]), "restore_policy")
    shown = answer.host or Host()
    settings.output.say(answer, f"{printable(shown.name)}: restore policy {cell(shown, 'restore_policy')}")
