"""DMTF's command lines, Tacklebox and redfishtool; the truth is asked of our REST API."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.harness.program import until
from tests.redfish.conftest import Bmc

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]


def host(bmc: Bmc) -> dict[str, Any]:
    return dict(bmc.rest("hosts/host.0")["host"])


def users(bmc: Bmc) -> dict[str, dict[str, Any]]:
    return {user["name"]: user for user in bmc.rest("users")["users"]}


# --- Tacklebox ----------------------------------------------------------------------------------------------------


def test_accounts_are_made_changed_and_deleted(bmc: Bmc) -> None:
    bmc.tool("rf_accounts", "--add", "alice", "a password of hers", "Operator")
    assert users(bmc)["alice"]["role"] == "Operator"
    bmc.tool("rf_accounts", "--setrole", "alice", "ReadOnly")
    bmc.tool("rf_accounts", "--disable", "alice")
    assert (users(bmc)["alice"]["role"], users(bmc)["alice"]["enabled"]) == ("ReadOnly", False)
    bmc.tool("rf_accounts", "--enable", "alice")
    bmc.tool("rf_accounts", "--setpassword", "alice", "another of hers")
    login = bmc.program.request(
        "POST", "/api/v1alpha1/sessions:login", {"user": "alice", "password": "another of hers"}
    )
    assert login.status_code == 200
    assert login.json()["mustChangePassword"] is False
    assert "alice" in bmc.tool("rf_accounts")
    bmc.tool("rf_accounts", "--delete", "alice")
    assert "alice" not in users(bmc)
    assert "characters" in bmc.tool("rf_accounts", "--add", "bob", "short", "Operator", fails=True)


def test_power_is_changed_and_told(bmc: Bmc) -> None:
    bmc.tool("rf_power_reset", "--type", "ForceOff")
    until(lambda: host(bmc)["state"] == "HOST_STATE_OFF")
    assert not bmc.plant.on()
    bmc.tool("rf_power_reset", "--type", "On")
    until(lambda: host(bmc)["state"] == "HOST_STATE_ON")
    assert bmc.plant.on()
    assert "ForceRestart" in bmc.tool("rf_power_reset", "--info")


def test_the_next_boot_is_chosen(bmc: Bmc) -> None:
    bmc.tool("rf_boot_override", "--target", "Pxe", "--mode", "UEFI")
    override = host(bmc)["bootOverride"]
    assert (override["target"], override["mode"]) == ("BOOT_TARGET_PXE", "BOOT_OVERRIDE_MODE_ONCE")
    assert "Pxe" in bmc.tool("rf_boot_override", "--info")
    bmc.tool("rf_boot_override", "--target", "None")
    assert host(bmc)["bootOverride"]["mode"] == "BOOT_OVERRIDE_MODE_DISABLED"


def test_inventory_sensors_and_firmware_are_listed(bmc: Bmc) -> None:
    inventory = bmc.tool("rf_sys_inventory", "--details")
    for asset in bmc.rest("assets?page_size=1000")["assets"]:
        if asset["kind"] in ("ASSET_KIND_PROCESSOR", "ASSET_KIND_MEMORY") and asset.get("present"):
            assert asset["serialNumber"] in inventory, asset["name"]
    sensors = bmc.tool("rf_sensor_list", "--id")
    measured = [each for each in bmc.rest("sensors?page_size=1000")["sensors"] if each["unit"]]
    assert len(measured) > 50
    assert [each["name"] for each in measured if each["name"] not in sensors] == []
    version = bmc.rest("system")["system"]["version"]
    assert version in bmc.tool("rf_firmware_inventory")


def test_logs_are_read_and_cleared(bmc: Bmc) -> None:
    newest = bmc.rest("events?newest_first=true&page_size=1")["events"][0]
    told = bmc.tool("rf_logs", "--manager", "--log", "EventLog", "--details")
    assert newest["message"] in told
    assert newest["message"] in bmc.tool("rf_sel")
    bmc.tool("rf_logs", "--manager", "--log", "EventLog", "--clear")
    left = bmc.rest("events?page_size=1000")["events"]
    assert any(event["messageId"] == "EventLog.Cleared" for event in left)
    assert newest["id"] not in {event["id"] for event in left}


def test_a_subscription_is_made_and_ended(bmc: Bmc) -> None:
    where = ["--destination", "https://192.0.2.9/box", "--context", "tacklebox"]
    bmc.tool("rf_event_service", "subscribe", *where)
    made = bmc.rest("subscriptions")["subscriptions"]
    assert [(each["destination"], each["context"]) for each in made] == [("https://192.0.2.9/box", "tacklebox")]
    assert "tacklebox" in bmc.tool("rf_event_service", "info")
    bmc.tool("rf_event_service", "unsubscribe", "--id", made[0]["id"])
    assert not bmc.rest("subscriptions").get("subscriptions")


def test_a_certificate_is_asked_for(bmc: Bmc) -> None:
    assert (
        bmc.program.fingerprint[:8].upper() in bmc.tool("rf_certificates", "info", "--details").replace(":", "").upper()
    )
    collection = "/redfish/v1/Managers/bmc.0/NetworkProtocol/HTTPS/Certificates"
    asked = bmc.tool("rf_certificates", "csr", "-col", collection, "-cn", "bmc.example.org", "-o", "Example")
    assert "BEGIN CERTIFICATE REQUEST" in asked


def test_the_manager_is_configured(bmc: Bmc) -> None:
    assert "bmc.0" in bmc.tool("rf_manager_config", "info")
    assert "eth0" in bmc.tool("rf_manager_config", "getnet")
    assert "HTTPS" in bmc.tool("rf_manager_config", "getprotocol")
    bmc.tool("rf_manager_config", "settime", "--offset", "+02:00")
    assert bmc.rest("time")["time"]["utcOffsetMinutes"] == 120
    bmc.tool("rf_manager_config", "settime", "--offset", "+00:00")


def test_virtual_media_is_shown_and_refused_with_a_reason(bmc: Bmc) -> None:
    assert "CD" in bmc.tool("rf_virtual_media", "info")
    refused = bmc.tool("rf_virtual_media", "insert", "--image", "https://192.0.2.1/image.iso", fails=True)
    assert "media" in refused


# --- redfishtool --------------------------------------------------------------------------------------------------


def tool(bmc: Bmc, *arguments: str, auth: str = "Session") -> Any:
    """Run redfishtool; what it said, as JSON where it is that."""
    place = bmc.door.url.removeprefix("https://")
    said = bmc.run(
        "redfishtool", "-r", place, "-u", bmc.door.user, "-p", bmc.door.password, "-A", auth, "-S", "Always", *arguments
    )
    try:
        return json.loads(said)
    except json.JSONDecodeError:
        return said


@pytest.mark.parametrize("auth", ["Session", "Basic"])
def test_redfishtool_reads(bmc: Bmc, auth: str) -> None:
    assert tool(bmc, "root", auth=auth)["Product"] == "u-bmc"
    system = tool(bmc, "Systems", "-I", "host.0", "get", auth=auth)
    assert system["PowerState"] == {"HOST_STATE_ON": "On", "HOST_STATE_OFF": "Off"}[host(bmc)["state"]]
    assert tool(bmc, "Managers", "-F", "get", auth=auth)["FirmwareVersion"] == bmc.rest("system")["system"]["version"]
    processors = tool(bmc, "Systems", "-I", "host.0", "Processors", "-a", auth=auth)
    assert len(processors["Members"]) == len(
        [asset for asset in bmc.rest("assets?page_size=1000")["assets"] if asset["kind"] == "ASSET_KIND_PROCESSOR"]
    )


def test_redfishtool_changes(bmc: Bmc) -> None:
    tool(bmc, "Systems", "-I", "host.0", "setAssetTag", "by-redfishtool")
    assert bmc.rest("assets/host.0")["asset"]["assetTag"] == "by-redfishtool"
    tool(bmc, "Systems", "-I", "host.0", "setBootOverride", "Once", "BiosSetup")
    assert host(bmc)["bootOverride"]["target"] == "BOOT_TARGET_FIRMWARE_SETUP"
    tool(bmc, "Systems", "-I", "host.0", "setBootOverride", "Disabled", "None")
    assert host(bmc)["bootOverride"]["mode"] == "BOOT_OVERRIDE_MODE_DISABLED"
    tool(bmc, "Chassis", "-I", "chassis.0", "setIndicatorLed", "Blinking")
    assert bmc.rest("chassis/chassis.0")["chassis"]["identify"] is True
    tool(bmc, "Chassis", "-I", "chassis.0", "setIndicatorLed", "Off")
    assert not bmc.rest("chassis/chassis.0")["chassis"].get("identify")
    tool(bmc, "AccountService", "adduser", "carol", "a password of hers", "Operator")
    assert users(bmc)["carol"]["role"] == "Operator"
    tool(bmc, "AccountService", "useradmin", "carol", "disable")
    assert users(bmc)["carol"]["enabled"] is False
    tool(bmc, "AccountService", "deleteuser", "carol")
    assert "carol" not in users(bmc)
