"""Redfish of the whole program: power, boot, honest sensors, settings, sessions, the documented examples."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from tests.harness.pages import ROOT, blocks
from tests.harness.program import ADMIN_PASSWORD, Program, until

SYSTEM = "/redfish/v1/Systems/host.0"
CHASSIS = "/redfish/v1/Chassis/chassis.0"
SENSORS = f"{CHASSIS}/Sensors"
MANAGER = "/redfish/v1/Managers/bmc.0"
RESET = f"{SYSTEM}/Actions/ComputerSystem.Reset"
ON_SECONDS = 60.0


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    with Program(tmp_path_factory.mktemp("redfish") / "state") as running:
        running.login()
        yield running


@pytest.fixture
def rf(program: Program) -> Iterator[httpx.Client]:
    with program.client(headers={"x-auth-token": program.token}) as client:
        yield client


def get(rf: httpx.Client, path: str) -> dict[str, Any]:
    answer = rf.get(path)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def power(rf: httpx.Client, kind: str, state: str) -> None:
    answer = rf.post(RESET, json={"ResetType": kind})
    assert answer.status_code == 200, answer.text
    until(lambda: get(rf, SYSTEM)["PowerState"] == state, ON_SECONDS, f"{state} after {kind}")


# --- power and boot ---------------------------------------------------------------------------------------------------


def test_an_override_for_once_is_used_up_by_the_boot(rf: httpx.Client) -> None:
    power(rf, "ForceOff", "Off")
    sent = {"BootSourceOverrideTarget": "Pxe", "BootSourceOverrideEnabled": "Once", "BootSourceOverrideMode": "UEFI"}
    assert rf.patch(SYSTEM, json={"Boot": sent}).status_code == 200
    assert {name: get(rf, SYSTEM)["Boot"][name] for name in sent} == sent
    power(rf, "On", "On")
    until(lambda: get(rf, SYSTEM)["Boot"]["BootSourceOverrideEnabled"] == "Disabled", why="the override is used up")
    assert get(rf, SYSTEM)["Boot"]["BootSourceOverrideTarget"] == "None"
    until(lambda: get(rf, SYSTEM).get("BootProgress") == {"LastState": "OSRunning"}, ON_SECONDS, "it boots")


def test_a_restart_is_neither_on_nor_off_until_it_is_through(rf: httpx.Client, program: Program) -> None:
    power(rf, "On", "On")
    assert rf.post(RESET, json={"ResetType": "PowerCycle"}).status_code == 200
    assert get(rf, SYSTEM)["PowerState"] in ("PoweringOn", "PoweringOff")
    until(lambda: get(rf, SYSTEM)["PowerState"] == "On", ON_SECONDS, "on again")
    assert program.host()["state"] == "HOST_STATE_ON"
    assert get(rf, SYSTEM)["LastResetCause"] == "ManagementCommand"


@pytest.mark.parametrize("kind", ["GracefulRestart", "ForceRestart", "PowerCycle"])
def test_what_ends_on_powers_on_what_is_off(rf: httpx.Client, program: Program, kind: str) -> None:
    """DMTF's schema (Resource, ResetType) lets these end with a system that is on."""
    power(rf, "ForceOff", "Off")
    power(rf, kind, "On")
    assert program.host()["state"] == "HOST_STATE_ON"


def test_another_door_sees_what_redfish_changes(rf: httpx.Client, program: Program) -> None:
    sent = {"AssetTag": "rack 7", "PowerRestorePolicy": "AlwaysOn", "LocationIndicatorActive": True}
    assert rf.patch(SYSTEM, json=sent).status_code == 200
    host = program.host()
    assert host["restorePolicy"] == "RESTORE_POLICY_ALWAYS_ON"
    assert program.get("/api/v1alpha1/chassis/chassis.0")["chassis"]["identify"] is True
    assert program.get("/api/v1alpha1/assets/host.0")["asset"]["assetTag"] == "rack 7"
    for wanted in ("Lit", "Blinking", "Off"):
        assert rf.patch(SYSTEM, json={"IndicatorLED": wanted}).json()["IndicatorLED"] == wanted
        assert get(rf, CHASSIS)["IndicatorLED"] == wanted


# --- sensors ---------------------------------------------------------------------------------------------------------


def test_sensors_of_a_host_that_is_off_are_offline_and_not_zero(rf: httpx.Client) -> None:
    power(rf, "On", "On")
    until(lambda: get(rf, f"{SENSORS}/cpu0_temp")["Reading"], ON_SECONDS, "a reading")
    power(rf, "ForceOff", "Off")
    until(lambda: get(rf, f"{SENSORS}/cpu0_temp")["Status"]["State"] == "UnavailableOffline", 5, "offline")
    assert get(rf, f"{SENSORS}/cpu0_temp")["Reading"] is None
    thermal = get(rf, f"{CHASSIS}/Thermal")
    cpu = next(each for each in thermal["Temperatures"] if each["Name"] == "cpu0_temp")
    assert (cpu["ReadingCelsius"], cpu["Status"]["State"]) == (None, "UnavailableOffline")
    assert all(each["Reading"] is None for each in thermal["Fans"])
    fan = get(rf, f"{CHASSIS}/ThermalSubsystem/Fans/fan.0")
    assert (fan["SpeedPercent"]["SpeedRPM"], fan["Status"]["State"]) == (None, "UnavailableOffline")
    metrics = get(rf, f"{CHASSIS}/PowerSubsystem/PowerSupplies/psu.0/Metrics")
    assert metrics["OutputPowerWatts"]["Reading"] is None
    assert metrics["InputVoltage"]["Reading"] > 100  # what has power is read


# --- many at once -----------------------------------------------------------------------------------------------------


def test_everything_in_one_answer_is_what_each_answers(rf: httpx.Client) -> None:
    power(rf, "ForceOff", "Off")
    every = get(rf, f"{SENSORS}?$expand=.")["Members"]
    assert len(every) == len(get(rf, SENSORS)["Members"]) > 50
    offline = [each["Id"] for each in every if each["Status"]["State"] == "UnavailableOffline"]
    assert offline
    for name in offline[:3]:
        assert get(rf, f"{SENSORS}/{name}") == next(each for each in every if each["Id"] == name)
    filtered = get(rf, f"{SENSORS}?$filter=Status/State eq 'UnavailableOffline'&$top=3")
    assert len(filtered["Members"]) == 3
    assert filtered["Members@odata.count"] == len(offline)
    assert set(get(rf, f"{SENSORS}/board_temp?excerpt")) == {"@odata.id", "@odata.type", "@odata.etag", "Reading"}


def test_the_whole_tree_can_be_walked(rf: httpx.Client) -> None:
    waiting, seen_already = ["/redfish/v1/"], set()
    while waiting:
        path = waiting.pop().partition("#")[0]
        if path in seen_already or "/Entries" in path:
            continue
        seen_already.add(path)
        answer = rf.get(path)
        assert answer.status_code == 200, f"{path}: {answer.text[:300]}"
        waiting += list(_links(answer.json()))
    assert len(seen_already) > 150


def _links(value: Any) -> Iterator[str]:
    if isinstance(value, list):
        for each in value:
            yield from _links(each)
    elif isinstance(value, dict):
        if set(value) == {"@odata.id"}:
            yield value["@odata.id"]
        for each in value.values():
            yield from _links(each)


# --- settings of the BMC ----------------------------------------------------------------------------------------------


def test_the_clock_does_not_spoil_the_tag(rf: httpx.Client) -> None:
    first = rf.get(MANAGER)
    until(lambda: get(rf, MANAGER)["DateTime"] != first.json()["DateTime"], 5, "a second passes")
    tag = rf.get(MANAGER).headers["etag"]
    assert tag == first.headers["etag"]
    sent = {"DateTimeLocalOffset": "+02:00"}
    assert rf.patch(MANAGER, json=sent, headers={"if-match": tag}).status_code == 200
    assert get(rf, MANAGER)["DateTime"].endswith("+02:00")
    assert rf.patch(MANAGER, json=sent, headers={"if-match": tag}).status_code == 412


def test_network_settings(rf: httpx.Client, program: Program) -> None:
    interface = get(rf, f"{MANAGER}/EthernetInterfaces")["Members"][0]["@odata.id"]
    sent = {
        "HostName": "rack7-bmc",
        "DHCPv4": {"DHCPEnabled": False},
        "IPv4StaticAddresses": [{"Address": "192.0.2.77", "SubnetMask": "255.255.255.0", "Gateway": "192.0.2.1"}],
    }
    answer = rf.patch(interface, json=sent)
    assert answer.status_code == 200, answer.text
    assert answer.json()["IPv4StaticAddresses"] == sent["IPv4StaticAddresses"]
    assert get(rf, f"{MANAGER}/NetworkProtocol")["HostName"] == "rack7-bmc"
    assert program.get("/api/v1alpha1/network")["network"]["hostName"] == "rack7-bmc"
    wrong = rf.patch(interface, json={"IPv4StaticAddresses": [{"Address": "nonsense"}]})
    assert wrong.status_code == 400
    ntp = {"NTP": {"NTPServers": ["192.0.2.1", "192.0.2.2"]}}
    assert rf.patch(f"{MANAGER}/NetworkProtocol", json=ntp).json()["NTP"]["NTPServers"] == ["192.0.2.1", "192.0.2.2"]
    less: dict[str, Any] = {"NTP": {"NTPServers": [None, {}]}}
    assert rf.patch(f"{MANAGER}/NetworkProtocol", json=less).json()["NTP"]["NTPServers"] == ["192.0.2.2"]


def test_thresholds_and_controls(rf: httpx.Client) -> None:
    path = f"{SENSORS}/inlet_temp"
    answer = rf.patch(path, json={"Thresholds": {"UpperCaution": {"Reading": 41}}})
    assert answer.json()["Thresholds"]["UpperCaution"]["Reading"] == 41
    assert rf.patch(path, json={"Thresholds": {"UpperCaution": {"Reading": 999}}}).status_code == 400
    control = get(rf, f"{CHASSIS}/Controls")["Members"][0]["@odata.id"]
    driven = rf.patch(control, json={"SetPoint": 77})
    assert (driven.json()["ControlMode"], driven.json()["SetPoint"]) == ("Manual", 77)
    assert rf.patch(control, json={"ControlMode": "Automatic"}).json()["ControlMode"] == "Automatic"


def test_bios_settings_wait_for_the_next_boot(rf: httpx.Client) -> None:
    power(rf, "ForceOff", "Off")
    before = get(rf, f"{SYSTEM}/Bios")["Attributes"]["QuietBoot"]
    sent = {"Attributes": {"QuietBoot": not before}, "@Redfish.SettingsApplyTime": {"ApplyTime": "OnReset"}}
    assert rf.patch(f"{SYSTEM}/Bios/Settings", json=sent).status_code == 200
    assert get(rf, f"{SYSTEM}/Bios")["Attributes"]["QuietBoot"] == before
    now = {"Attributes": {"QuietBoot": before}, "@Redfish.SettingsApplyTime": {"ApplyTime": "Immediate"}}
    refused = rf.patch(f"{SYSTEM}/Bios/Settings", json=now)
    assert (refused.status_code, "PropertyValueNotInList" in refused.text) == (400, True)
    assert get(rf, f"{SYSTEM}/Bios/Settings")["Attributes"]["QuietBoot"] is not before  # it was not changed back
    wrong = rf.patch(f"{SYSTEM}/Bios/Settings", json={"Attributes": {"Nonsense": 1}})
    assert wrong.status_code == 400
    power(rf, "On", "On")
    until(lambda: get(rf, f"{SYSTEM}/Bios")["Attributes"]["QuietBoot"] != before, ON_SECONDS, "the boot applies it")


# --- sessions ---------------------------------------------------------------------------------------------------------


def test_a_session_from_login_to_logout(program: Program) -> None:
    with program.client() as client:
        sessions = "/redfish/v1/SessionService/Sessions"
        wrong = client.post(sessions, json={"UserName": "admin", "Password": "wrong password"})
        assert wrong.status_code == 401
        body = {"UserName": "admin", "Password": ADMIN_PASSWORD}
        opened = client.post(sessions, json=body)
        assert opened.status_code == 201
        assert "set-cookie" not in opened.headers
        place, token = opened.headers["location"], opened.headers["x-auth-token"]
        assert opened.json()["@odata.id"] == place
        mine = {"x-auth-token": token}
        assert client.get(place, headers=mine).json()["UserName"] == "admin"
        assert place in [each["@odata.id"] for each in client.get(sessions, headers=mine).json()["Members"]]
        assert client.delete(place, headers=mine).status_code == 204
        assert client.get(SYSTEM, headers=mine).status_code == 401
        assert client.get(SYSTEM, auth=("admin", ADMIN_PASSWORD)).status_code == 200


def test_media_are_refused_with_the_reason(rf: httpx.Client) -> None:
    for drive in (f"{SYSTEM}/VirtualMedia/cd.0", f"{MANAGER}/VirtualMedia/cd.0"):
        actions = get(rf, drive)["Actions"]
        answer = rf.post(
            actions["#VirtualMedia.InsertMedia"]["target"], json={"Image": "https://192.0.2.1/install.iso"}
        )
        assert answer.status_code == 409
        assert "media service" in answer.text


# --- the document -----------------------------------------------------------------------------------------------------


def test_the_documented_examples_work(program: Program) -> None:
    script = "set -eu\n" + "\n".join(block.body for block in blocks(ROOT / "docs" / "redfish.md") if block.info == "sh")
    done = subprocess.run(
        ["bash", "-c", script],
        env={
            "PATH": os.environ["PATH"],
            "BMC": program.url,
            "CA": str(program.state / "tls" / "server.pem"),
            "PASSWORD": ADMIN_PASSWORD,
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr + done.stdout[-1000:]
    assert '"PowerState"' in done.stdout
