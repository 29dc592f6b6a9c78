"""Ansible's redfish_info, redfish_command and redfish_config, by playbooks; the truth is asked of our REST API."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.harness.program import until
from tests.redfish.conftest import Bmc

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

Task = dict[str, Any]


def play(bmc: Bmc, tasks: list[Task]) -> dict[str, Any]:
    """Run a playbook of `module: arguments`; what each task gave, by its name."""
    address = {"baseuri": bmc.door.url.removeprefix("https://"), "username": bmc.door.user}
    address |= {"password": bmc.door.password}
    steps: list[Task] = []
    for number, task in enumerate(tasks):
        (module, arguments), *_ = task.items()
        steps.append({f"community.general.{module}": {**address, **arguments}, "register": f"step_{number}"})
    given = {str(number): f"{{{{ step_{number} }}}}" for number in range(len(tasks))}
    book: list[Task] = [{"hosts": "localhost", "connection": "local", "gather_facts": False}]
    book[0]["vars"] = {"ansible_python_interpreter": "{{ ansible_playbook_python }}"}
    found = bmc.folder / "ansible.json"
    copy = {"content": given, "dest": str(found), "mode": "0600"}
    book[0]["tasks"] = [*steps, {"ansible.builtin.copy": copy}]
    file = bmc.folder / "playbook.yml"
    file.write_text(json.dumps(book))
    bmc.run("ansible-playbook", "-i", "localhost,", str(file))
    return dict(json.loads(found.read_text()))


def command(name: str, category: str = "Systems", **arguments: Any) -> Task:
    return {"redfish_command": {"category": category, "command": name, **arguments}}


def config(name: str, category: str, **arguments: Any) -> Task:
    return {"redfish_config": {"category": category, "command": name, **arguments}}


INFO = {
    "Systems": [
        "GetSystemInventory", "GetPsuInventory", "GetCpuInventory", "GetMemoryInventory", "GetNicInventory",
        "GetHealthReport", "GetStorageControllerInventory", "GetDiskInventory", "GetVolumeInventory",
        "GetBiosAttributes", "GetBootOrder", "GetBootOverride", "GetVirtualMedia", "GetBiosRegistries",
        "GetPowerRestorePolicy",
    ],
    "Chassis": [
        "GetFanInventory", "GetPsuInventory", "GetChassisPower", "GetChassisThermals", "GetChassisInventory",
        "GetHealthReport",
    ],
    "Accounts": ["ListUsers", "GetAccountServiceConfig"],
    "Sessions": ["GetSessions"],
    "Update": ["GetFirmwareInventory", "GetFirmwareUpdateCapabilities"],
    "Manager": [
        "GetManagerNicInventory", "GetVirtualMedia", "GetLogs", "GetNetworkProtocols", "GetHealthReport",
        "GetManagerInventory",
    ],
    "Service": ["CheckAvailability"],
}  # fmt: skip
"""Every Get of redfish_info but those of other vendors, and of what this BMC has not: host interfaces, a name for the
service, and the software and updates of a service that installs them."""


def test_everything_is_read(bmc: Bmc) -> None:
    tasks = [{"redfish_info": {"category": category, "command": names}} for category, names in INFO.items()]
    found = play(bmc, tasks)
    facts = {category: found[str(number)]["redfish_facts"] for number, category in enumerate(INFO)}
    for category, kinds in facts.items():
        for kind, told in kinds.items():
            assert told["ret"] is True, (category, kind, told)
    inventory = facts["Systems"]["system"]["entries"][0][1]
    assert inventory["SerialNumber"] == bmc.redfish("/Systems/host.0")["SerialNumber"]
    assert facts["Systems"]["cpu"]["entries"][0][1]
    assert {user["UserName"] for user in facts["Accounts"]["user"]["entries"]} == {
        user["name"] for user in bmc.rest("users")["users"]
    }
    assert facts["Manager"]["network_protocols"]["entries"]["HTTPS"]["ProtocolEnabled"] is True
    assets = bmc.rest("assets?page_size=1000")["assets"]
    drives = {each["name"] for each in assets if each["kind"] == "ASSET_KIND_DRIVE" and each["present"]}
    controllers = facts["Systems"]["disk"]["entries"][0][1]
    assert {drive["Id"] for controller in controllers for drive in controller["Drives"]} == drives


def test_power_boot_and_light_are_commanded(bmc: Bmc) -> None:
    def state() -> str:
        return str(bmc.rest("hosts/host.0")["host"]["state"])

    play(bmc, [command("PowerForceOff"), command("SetOneTimeBoot", bootdevice="Pxe")])
    until(lambda: state() == "HOST_STATE_OFF")
    override = bmc.rest("hosts/host.0")["host"]["bootOverride"]
    assert (override["target"], override["mode"]) == ("BOOT_TARGET_PXE", "BOOT_OVERRIDE_MODE_ONCE")
    continuous = command("EnableContinuousBootOverride", bootdevice="Hdd", boot_override_mode="UEFI")
    play(bmc, [command("PowerOn")])
    until(lambda: state() == "HOST_STATE_ON")
    # the module changes what it has read a moment before (If-Match), and each step of a boot changes the system
    until(lambda: bmc.rest("hosts/host.0")["host"].get("bootProgress") == "BOOT_PROGRESS_OS_RUNNING")
    play(bmc, [continuous, command("IndicatorLedBlink", "Chassis")])
    override = bmc.rest("hosts/host.0")["host"]["bootOverride"]
    assert (override["target"], override["mode"]) == ("BOOT_TARGET_DISK", "BOOT_OVERRIDE_MODE_CONTINUOUS")
    assert bmc.rest("chassis/chassis.0")["chassis"]["identify"] is True
    play(bmc, [command("DisableBootOverride"), command("IndicatorLedOff", "Chassis")])
    assert bmc.rest("hosts/host.0")["host"]["bootOverride"]["mode"] == "BOOT_OVERRIDE_MODE_DISABLED"
    assert not bmc.rest("chassis/chassis.0")["chassis"].get("identify")


def test_accounts_sessions_and_logs_are_commanded(bmc: Bmc) -> None:
    def user() -> dict[str, Any]:
        return dict({each["name"]: each for each in bmc.rest("users")["users"]}.get("dora", {}))

    new = {"account_username": "dora", "account_password": "a password of hers", "account_roleid": "Operator"}
    play(bmc, [command("AddUser", "Accounts", **new), command("DisableUser", "Accounts", account_username="dora")])
    assert (user()["role"], user()["enabled"]) == ("Operator", False)
    lower = {"account_username": "dora", "account_roleid": "ReadOnly"}
    password = {"account_username": "dora", "account_password": "another of hers"}
    found = play(
        bmc,
        [
            command("EnableUser", "Accounts", account_username="dora"),
            command("UpdateUserRole", "Accounts", **lower),
            command("UpdateUserPassword", "Accounts", **password),
            command("CreateSession", "Sessions"),
            command("ClearLogs", "Manager"),
        ],
    )
    assert (user()["role"], user()["enabled"]) == ("ReadOnly", True)
    login = bmc.program.request("POST", "/api/v1alpha1/sessions:login", {"user": "dora", "password": "another of hers"})
    assert login.status_code == 200
    uri = found["3"]["session"]["uri"]
    assert uri.rpartition("/")[2] in {each["id"] for each in bmc.rest("sessions")["sessions"]}
    events = bmc.rest("events?page_size=1000")["events"]
    assert any(event["messageId"] == "EventLog.Cleared" for event in events)
    gone = command("DeleteSession", "Sessions", session_uri=uri)
    play(bmc, [command("DeleteUser", "Accounts", account_username="dora"), gone])
    assert user() == {}
    assert uri.rpartition("/")[2] not in {each["id"] for each in bmc.rest("sessions")["sessions"]}


def test_what_is_configured_holds(bmc: Bmc) -> None:
    attributes = bmc.rest("hosts/host.0/bios/attributes")["biosAttributes"]
    choice = next(each for each in attributes if each["values"] and not each["readOnly"])
    now = bmc.rest("hosts/host.0/bios")["bios"]["attributes"][choice["name"]]
    wanted = next(value["value"] for value in choice["values"] if value["value"] != now)
    ntp = {"NTP": {"ProtocolEnabled": True}}
    interface = bmc.rest("network/interfaces/eth0")["networkInterface"]["macAddress"]
    order = bmc.redfish("/Systems/host.0")["Boot"]["BootOrder"]  # of the firmware: it can be sent back, not changed
    found = play(
        bmc,
        [
            config("SetBootOrder", "Systems", boot_order=order),
            config("SetBiosAttributes", "Systems", bios_attributes={choice["name"]: wanted}),
            config("SetPowerRestorePolicy", "Systems", power_restore_policy="AlwaysOff"),
            config("SetNetworkProtocols", "Manager", network_protocols=ntp),
            config("SetManagerNic", "Manager", nic_addr=interface, nic_config={"HostName": "by-ansible"}),
        ],
    )
    assert (order, found["0"]["changed"]) == (["Hdd"], False)
    assert bmc.rest("hosts/host.0")["host"]["restorePolicy"] == "RESTORE_POLICY_ALWAYS_OFF"
    assert bmc.rest("time")["time"]["ntpEnabled"] is True
    assert bmc.rest("network")["network"]["hostName"] == "by-ansible"
    assert bmc.rest("hosts/host.0/bios")["bios"]["pending"] == {choice["name"]: wanted}
