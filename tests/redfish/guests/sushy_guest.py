"""What Ironic and metal3 do, by sushy: each step is looked at by our REST API too."""

from __future__ import annotations

import functools
import importlib
import time
from collections.abc import Callable
from typing import Any

from tests.redfish.guests import truth

sushy: Any = importlib.import_module("sushy")


def follow(system: Any, wanted: Any, seconds: float = 30.0) -> None:
    """Wait until PowerState follows."""
    deadline = time.monotonic() + seconds
    while system.power_state != wanted:
        assert time.monotonic() < deadline, f"PowerState is {system.power_state}, not {wanted}"
        time.sleep(0.2)
        system.refresh(force=True)


def restarted(before: str) -> bool:
    """Whether the host is on, and not since then."""
    host = truth.host()
    return bool(truth.state() == "ON" and host["stateTime"] != before)


def power(system: Any) -> None:
    system.reset_system(sushy.RESET_FORCE_OFF)
    follow(system, sushy.PowerState.OFF)
    assert truth.state() == "OFF"
    system.reset_system(sushy.RESET_ON)
    follow(system, sushy.PowerState.ON)
    assert truth.state() == "ON"
    for reset in (sushy.RESET_GRACEFUL_RESTART, sushy.RESET_FORCE_RESTART):
        before = truth.host()["stateTime"]
        system.reset_system(reset)
        truth.until(functools.partial(restarted, before))
        system.refresh(force=True)
        follow(system, sushy.PowerState.ON)
    system.reset_system(sushy.RESET_NMI)
    system.reset_system(sushy.RESET_GRACEFUL_SHUTDOWN)
    follow(system, sushy.PowerState.OFF)
    assert truth.state() == "OFF"
    system.reset_system(sushy.RESET_ON)
    follow(system, sushy.PowerState.ON)


BOOT = {"PXE": "PXE", "HDD": "DISK", "CD": "CD", "BIOS_SETUP": "FIRMWARE_SETUP", "UEFI_HTTP": "HTTP"}


def boot(system: Any) -> None:
    allowed = {target.name for target in system.get_allowed_system_boot_source_values()}
    assert set(BOOT) <= allowed, allowed
    for name, ours in BOOT.items():
        target = getattr(sushy, f"BOOT_SOURCE_TARGET_{name}")
        for enabled in (sushy.BOOT_SOURCE_ENABLED_ONCE, sushy.BOOT_SOURCE_ENABLED_CONTINUOUS):
            system.set_system_boot_options(target=target, enabled=enabled, mode=sushy.BOOT_SOURCE_MODE_UEFI)
            system.refresh(force=True)
            assert system.boot["target"] == target, system.boot
            assert system.boot["enabled"] == enabled, system.boot
            assert system.boot["mode"] == sushy.BOOT_SOURCE_MODE_UEFI, system.boot
            override = truth.host()["bootOverride"]
            assert override["target"].endswith(ours), override
            assert override["mode"].endswith(enabled.name), override
    system.set_system_boot_options(
        target=sushy.BOOT_SOURCE_TARGET_PXE,
        enabled=sushy.BOOT_SOURCE_ENABLED_ONCE,
        mode=sushy.BOOT_SOURCE_MODE_BIOS,
    )
    system.refresh(force=True)
    assert system.boot["mode"] == sushy.BOOT_SOURCE_MODE_BIOS
    assert truth.host()["bootOverride"]["firmware"].endswith("LEGACY")
    system.reset_system(sushy.RESET_FORCE_RESTART)
    deadline = time.monotonic() + 30
    while system.boot["enabled"] != sushy.BOOT_SOURCE_ENABLED_DISABLED:
        assert time.monotonic() < deadline, "Once was not used up by a restart"
        time.sleep(0.3)
        system.refresh(force=True)


def indicator(system: Any, chassis: Any) -> None:
    for state, lit in (("LIT", True), ("BLINKING", True), ("OFF", False)):
        system.set_indicator_led(getattr(sushy, f"INDICATOR_LED_{state}"))
        system.refresh(force=True)
        assert system.indicator_led == getattr(sushy, f"INDICATOR_LED_{state}"), system.indicator_led
        assert bool(truth.get("chassis/chassis.0")["chassis"].get("identify")) is lit
    chassis.set_indicator_led(sushy.INDICATOR_LED_LIT)
    assert truth.get("chassis/chassis.0")["chassis"]["identify"] is True
    chassis.set_indicator_led(sushy.INDICATOR_LED_OFF)


def identity(system: Any) -> None:
    for name in ("name", "uuid", "manufacturer", "model", "serial_number"):
        assert getattr(system, name), name
    asset = truth.get("assets/host.0")["asset"]
    assert system.serial_number == asset["serialNumber"] or asset["serialNumber"] == ""
    assert system.memory_summary.size_gib > 0
    assert system.processors.summary.count >= 1
    assert len(system.processors.get_members()) >= 1
    assert system.boot_progress is not None
    assert system.managers[0].firmware_version == truth.get("system")["system"]["version"]
    assert system.chassis[0].identity == "chassis.0"
    for member in system.ethernet_interfaces.get_members():
        assert member.mac_address


def refusal(ask: Callable[..., Any], *arguments: Any) -> str:
    """How a request is refused."""
    try:
        ask(*arguments)
    except sushy.exceptions.HTTPError as error:
        return str(error)
    raise AssertionError(f"{ask} was not refused")


def media(system: Any) -> None:
    members = system.virtual_media.get_members()
    assert any(sushy.VirtualMediaType.CD in member.media_types for member in members)
    assert not any(member.inserted for member in members)
    managed = system.managers[0].virtual_media.get_members()
    assert len(managed) >= 1

    for member in (*members, *managed):
        assert "media service" in refusal(member.insert_media, "https://192.0.2.1/install.iso")


def firmware(system: Any) -> None:
    """As Ironic's BIOS steps do it; the next restart takes it over."""
    bios = system.bios
    listed = {each["name"]: each for each in truth.get("hosts/host.0/bios/attributes")["biosAttributes"]}
    registry = {each.name: each for each in bios.get_attribute_registry().registry_entries.attributes}
    assert registry.keys() == listed.keys() == bios.attributes.keys()
    name = next(name for name, each in listed.items() if each["values"] and not each.get("readOnly"))
    wanted = next(
        each["ValueName"] for each in registry[name].allowable_values if each["ValueName"] != bios.attributes[name]
    )
    assert sushy.ApplyTime.ON_RESET in bios.supported_apply_times
    bios.set_attribute(name, wanted, apply_time=sushy.ApplyTime.ON_RESET)
    assert truth.get("hosts/host.0/bios")["bios"]["pending"][name] == wanted
    bios.refresh(force=True)
    assert bios.pending_attributes[name] == wanted != bios.attributes[name]
    bios.reset_bios()
    defaults = {name: each["defaultValue"] for name, each in listed.items() if not each.get("readOnly")}
    told = truth.get("hosts/host.0/bios")["bios"]
    after = {**told["attributes"], **told.get("pending", {})}
    assert {name: after[name] for name in defaults} == defaults


def parts(system: Any, chassis: Any) -> None:
    """What Ironic inspects, and collects as sensor data."""
    there = [each for each in truth.get("assets?page_size=1000")["assets"] if each["present"]]
    names = {
        kind: {each["name"] for each in there if each["kind"] == f"ASSET_KIND_{kind}"}
        for kind in ("DRIVE", "POWER_SUPPLY")
    }
    storage = system.storage.get_members()[0]
    assert {drive.identity for drive in storage.drives} == names["DRIVE"]
    assert system.simple_storage.max_size_bytes == storage.drives_max_size_bytes > 0
    assert storage.volumes.get_members() == []
    assert {each.name for each in chassis.power.power_supplies} == names["POWER_SUPPLY"]
    sensors = {each["name"]: each for each in truth.get("sensors?page_size=1000")["sensors"]}
    warm = {each.name: each for each in chassis.thermal.temperatures}
    assert warm.keys() == {name for name, each in sensors.items() if each["kind"] == "SENSOR_KIND_TEMPERATURE"}
    limits = sensors["cpu0_temp"]["thresholds"]
    assert warm["cpu0_temp"].upper_threshold_critical == limits["upperCritical"]
    assert chassis.thermal.fans


def clock(manager: Any) -> None:
    for offset, minutes in (("+02:00", 120), ("+00:00", 0)):
        manager.set_datetime(datetime_local_offset=offset)
        assert manager.datetimelocaloffset == offset
        assert truth.get("time")["time"].get("utcOffsetMinutes", 0) == minutes


def subscribe(connection: Any) -> None:
    service = connection.get_event_service()
    made = service.subscriptions.create(
        {"Destination": "https://192.0.2.7/events", "Context": "ironic", "Protocol": "Redfish"}
    )
    found = truth.get("subscriptions")["subscriptions"]
    assert [each["context"] for each in found] == ["ironic"]
    assert found[0]["destination"] == "https://192.0.2.7/events"
    made.delete()
    assert not truth.get("subscriptions").get("subscriptions")


def tour(auth: Any, *, whole: bool) -> None:
    connection = sushy.Sushy(truth.URL, verify=False, auth=auth)
    members = connection.get_system_collection().members_identities
    assert members == ("/redfish/v1/Systems/host.0",)
    system = connection.get_system(members[0])
    identity(system)
    if not whole:
        return
    chassis = connection.get_chassis("/redfish/v1/Chassis/chassis.0")
    firmware(system)
    power(system)
    boot(system)
    indicator(system, chassis)
    media(system)
    parts(system, chassis)
    subscribe(connection)
    manager = connection.get_manager("/redfish/v1/Managers/bmc.0")
    assert manager.manager_type is not None
    clock(manager)
    assert connection.get_update_service().identity


if __name__ == "__main__":
    credentials = (truth.USER, truth.PASSWORD)
    tour(importlib.import_module("sushy.auth").SessionAuth(*credentials), whole=True)
    tour(importlib.import_module("sushy.auth").BasicAuth(*credentials), whole=False)
    tour(importlib.import_module("sushy.auth").SessionOrBasicAuth(*credentials), whole=False)
