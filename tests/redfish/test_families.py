"""What the services behind Redfish do when it asks them: accounts, certificates, logs, tasks, telemetry."""

from __future__ import annotations

import base64
import hashlib
import ssl
from typing import Any

import httpx
import pytest
from cryptography import x509

from tests.harness.authority import Authority
from tests.harness.program import until
from tests.redfish.conftest import Bmc

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

ACCOUNTS = "/redfish/v1/AccountService/Accounts"


def ask(bmc: Bmc, method: str, path: str, body: Any = None, **headers: str) -> httpx.Response:
    """One request, with the administrator's session unless headers say who else."""
    who = {} if "Authorization" in headers or "X-Auth-Token" in headers else {"X-Auth-Token": bmc.program.token}
    with bmc.program.client() as client:
        return client.request(method, path, json=body, headers={**who, **headers})


def basic(user: str, password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


def keys(answer: httpx.Response) -> list[str]:
    """The message keys of an answer."""
    body = answer.json()
    infos = body.get("error", body).get("@Message.ExtendedInfo", [])
    return [str(info["MessageId"]).rpartition(".")[2] for info in infos]


# --- accounts -----------------------------------------------------------------------------------------------------


def test_who_must_change_their_password_can_do_only_that(bmc: Bmc) -> None:
    new = {"UserName": "erna", "Password": "for one day", "RoleId": "Operator", "PasswordChangeRequired": True}
    made = ask(bmc, "POST", ACCOUNTS, new)
    assert (made.status_code, made.headers["location"]) == (201, f"{ACCOUNTS}/erna")
    credentials = {"UserName": "erna", "Password": "for one day"}
    login = ask(bmc, "POST", "/redfish/v1/SessionService/Sessions", credentials)
    assert (login.status_code, "PasswordChangeRequired" in keys(login)) == (201, True)
    token = {"X-Auth-Token": login.headers["x-auth-token"]}
    for way in (token, basic("erna", "for one day")):
        assert ask(bmc, "GET", f"{ACCOUNTS}/erna", **way).json()["PasswordChangeRequired"] is True
        refused = ask(bmc, "GET", "/redfish/v1/Systems", **way)
        assert (refused.status_code, keys(refused)[0]) == (403, "PasswordChangeRequired")
        assert ask(bmc, "PATCH", f"{ACCOUNTS}/admin", {"Password": "taken over!"}, **way).status_code in (403, 404)
    assert ask(bmc, "PATCH", f"{ACCOUNTS}/erna", {"Password": "for all days"}, **token).status_code in (200, 204)
    assert ask(bmc, "GET", "/redfish/v1/Systems", **basic("erna", "for all days")).status_code == 200
    assert ask(bmc, "DELETE", f"{ACCOUNTS}/erna").status_code == 204


def test_a_password_that_was_just_good_ends_with_its_account(bmc: Bmc) -> None:
    ask(bmc, "POST", ACCOUNTS, {"UserName": "ida", "Password": "her password", "RoleId": "ReadOnly"})
    path, old, new = f"{ACCOUNTS}/ida", basic("ida", "her password"), basic("ida", "another password")

    def status(way: dict[str, str]) -> int:
        return ask(bmc, "GET", "/redfish/v1/Systems", **way).status_code

    assert [status(old) for _ in range(3)] == [200] * 3
    assert bmc.program.request("PATCH", "/api/v1alpha1/users/ida?updateMask=enabled", {"enabled": False}).is_success
    assert status(old) == 401
    assert ask(bmc, "PATCH", path, {"Enabled": True}).status_code == 200
    assert status(old) == status(old) == 200
    assert ask(bmc, "PATCH", path, {"Password": "another password"}).status_code in (200, 204)
    assert (status(old), status(new), status(new)) == (401, 200, 200)
    assert ask(bmc, "PATCH", path, {"RoleId": "Operator"}).status_code == 200
    light = ask(bmc, "PATCH", "/redfish/v1/Chassis/chassis.0", {"LocationIndicatorActive": False}, **new)
    assert light.status_code in (200, 204)  # who may more may do it at once
    assert ask(bmc, "DELETE", path).status_code == 204
    assert status(new) == 401


def test_wrong_passwords_lock_and_redfish_unlocks(bmc: Bmc) -> None:
    service = "/redfish/v1/AccountService"
    before = ask(bmc, "GET", service).json()["AccountLockoutThreshold"]
    assert ask(bmc, "PATCH", service, {"AccountLockoutThreshold": 3}).json()["AccountLockoutThreshold"] == 3
    assert bmc.rest("account-policy")["policy"]["lockoutFailures"] == 3
    ask(bmc, "POST", ACCOUNTS, {"UserName": "fritz", "Password": "his password", "RoleId": "ReadOnly"})
    for _ in range(3):
        assert ask(bmc, "GET", "/redfish/v1/Systems", **basic("fritz", "not his password")).status_code == 401
    assert ask(bmc, "GET", f"{ACCOUNTS}/fritz").json()["Locked"] is True
    assert ask(bmc, "GET", "/redfish/v1/Systems", **basic("fritz", "his password")).status_code == 401
    assert ask(bmc, "PATCH", f"{ACCOUNTS}/fritz", {"Locked": False}).json()["Locked"] is False
    assert ask(bmc, "GET", "/redfish/v1/Systems", **basic("fritz", "his password")).status_code == 200
    assert ask(bmc, "PATCH", "/redfish/v1/AccountService", {"AccountLockoutThreshold": before}).status_code == 200
    assert ask(bmc, "DELETE", f"{ACCOUNTS}/fritz").status_code == 204


def test_roles_are_made_given_and_kept_while_somebody_has_them(bmc: Bmc) -> None:
    role = {"RoleId": "Night", "AssignedPrivileges": ["Login", "ConfigureComponents"]}
    path = "/redfish/v1/AccountService/Roles/Night"
    assert ask(bmc, "POST", "/redfish/v1/AccountService/Roles", role).status_code == 201
    ask(bmc, "POST", ACCOUNTS, {"UserName": "gerd", "Password": "his password", "RoleId": "Night"})
    assert ask(bmc, "DELETE", path).status_code == 409
    light = {"LocationIndicatorActive": True}
    gerd = basic("gerd", "his password")
    assert ask(bmc, "PATCH", "/redfish/v1/Chassis/chassis.0", light, **gerd).status_code == 200
    assert ask(bmc, "PATCH", path, {"AssignedPrivileges": ["Login"]}).status_code == 200
    dark = {"LocationIndicatorActive": False}
    assert ask(bmc, "PATCH", "/redfish/v1/Chassis/chassis.0", dark, **gerd).status_code == 403
    assert bmc.rest("chassis/chassis.0")["chassis"]["identify"] is True
    ask(bmc, "PATCH", "/redfish/v1/Chassis/chassis.0", dark)
    assert ask(bmc, "DELETE", f"{ACCOUNTS}/gerd").status_code == 204
    assert ask(bmc, "DELETE", path).status_code == 204
    wrong = ask(bmc, "POST", ACCOUNTS, {"UserName": "x", "Password": "a password", "RoleId": "Nobody"})
    assert wrong.status_code == 400
    assert "/RoleId" in wrong.json()["error"]["@Message.ExtendedInfo"][0]["RelatedProperties"]


# --- certificates -------------------------------------------------------------------------------------------------


def shown(bmc: Bmc) -> str:
    """The fingerprint of what the door shows now."""
    port = int(bmc.program.url.rpartition(":")[2])
    pem = ssl.get_server_certificate(("127.0.0.1", port))
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).hexdigest()


def test_a_signed_certificate_takes_the_place_of_the_first(bmc: Bmc) -> None:
    base = "/redfish/v1/CertificateService"
    places = ask(bmc, "GET", f"{base}/CertificateLocations").json()["Links"]["Certificates"]
    own = places[0]["@odata.id"]
    collection = own.rpartition("/")[0]
    asked = ask(
        bmc,
        "POST",
        f"{base}/Actions/CertificateService.GenerateCSR",
        {
            "CommonName": "bmc.example.org",
            "CertificateCollection": {"@odata.id": collection},
            "Organization": "Example",
            "OrganizationalUnit": "Rack 7",
            "City": "Nowhere",
            "State": "None",
            "Country": "DE",
        },
    )
    request = x509.load_pem_x509_csr(asked.json()["CSRString"].encode())
    assert request.subject.rfc4514_string() == "CN=bmc.example.org,OU=Rack 7,O=Example,L=Nowhere,ST=None,C=DE"
    issued = Authority().issue("bmc.example.org", names=["bmc.example.org", "127.0.0.1"])
    body = {
        "CertificateString": (issued.pem + issued.key_pem).decode(),
        "CertificateType": "PEM",
        "CertificateUri": {"@odata.id": own},
    }
    replace = f"{base}/Actions/CertificateService.ReplaceCertificate"
    wanted = hashlib.sha256(ssl.PEM_cert_to_DER_cert(issued.pem.decode())).hexdigest()
    assert ask(bmc, "POST", replace, {**body, "CertificateString": "nonsense"}).status_code == 400
    try:
        assert ask(bmc, "POST", replace, body).status_code == 200
        until(lambda: shown(bmc) == wanted, 10)
    finally:
        reset = httpx.post(
            f"{bmc.program.url}/api/v1alpha1/certificates/https:reset",
            json={},
            headers={"Authorization": f"Bearer {bmc.program.token}"},
            verify=False,
        )
        assert reset.status_code == 200, reset.text
        until(lambda: shown(bmc) != wanted, 10)


# --- logs ---------------------------------------------------------------------------------------------------------


def test_a_log_is_read_in_parts_and_one_entry_is_deleted(bmc: Bmc) -> None:
    base = "/redfish/v1/Managers/bmc.0/LogServices/EventLog/Entries"
    for lit in (True, False, True, False):
        bmc.post("chassis/chassis.0:setIdentify", {"identify": lit})
    found: list[str] = []
    following = f"{base}?$top=3"
    while following and len(found) < 12:
        part = ask(bmc, "GET", following).json()
        found += [entry["Id"] for entry in part["Members"]]
        following = part.get("Members@odata.nextLink", "")
    numbers = [int(number) for number in found]  # one may come twice, if something happened meanwhile; none is left out
    assert sorted(numbers, reverse=True) == numbers
    assert sorted({*numbers}) == list(range(min(numbers), max(numbers) + 1))
    assert len({*numbers}) >= 4
    assert ask(bmc, "DELETE", f"{base}/{found[0]}").status_code == 204
    assert ask(bmc, "GET", f"{base}/{found[0]}").status_code == 404
    sel = ask(bmc, "GET", f"/redfish/v1/Systems/host.0/LogServices/SEL/Entries/{found[1]}").json()
    assert sel["EntryType"] == "SEL"


def test_the_audit_trail_is_for_those_who_manage(bmc: Bmc) -> None:
    entries = "/redfish/v1/Managers/bmc.0/LogServices/Audit/Entries"
    ask(bmc, "POST", ACCOUNTS, {"UserName": "heidi", "Password": "her password", "RoleId": "Operator"})

    def recorded() -> bool:
        newest = ask(bmc, "GET", f"{entries}?$top=10").json()["Members"]
        return any("CreateUser" in entry["Message"] and entry["Username"] == "admin" for entry in newest)

    until(recorded, 10)
    assert ask(bmc, "GET", entries, **basic("heidi", "her password")).status_code == 403
    ask(bmc, "DELETE", f"{ACCOUNTS}/heidi")


# --- tasks --------------------------------------------------------------------------------------------------------


def test_who_prefers_it_gets_a_monitor_that_tells_the_end(bmc: Bmc) -> None:
    ask(bmc, "POST", "/redfish/v1/Systems/host.0/Actions/ComputerSystem.Reset", {"ResetType": "On"})
    until(lambda: bmc.rest("hosts/host.0")["host"]["state"] == "HOST_STATE_ON")
    reset = {"ResetType": "ForceRestart"}
    begun = ask(bmc, "POST", "/redfish/v1/Systems/host.0/Actions/ComputerSystem.Reset", reset, Prefer="respond-async")
    assert begun.status_code == 202
    monitor = begun.headers["location"]
    ended = until(lambda: (answer := ask(bmc, "GET", monitor)).status_code != 202 and answer, 30)
    assert isinstance(ended, httpx.Response)
    assert (ended.status_code, keys(ended)) == (200, ["Success"])
    task = ask(bmc, "GET", begun.json()["@odata.id"]).json()
    assert (task["TaskState"], task["TaskStatus"]) == ("Completed", "OK")
    assert ask(bmc, "GET", "/redfish/v1/TaskService/TaskMonitors/nothing").status_code == 404


# --- telemetry ----------------------------------------------------------------------------------------------------


def test_a_report_is_defined_made_and_read(bmc: Bmc) -> None:
    base = "/redfish/v1/TelemetryService"
    inlet = "/redfish/v1/Chassis/chassis.0/Sensors/inlet_temp#/Reading"
    new = {
        "Id": "air",
        "MetricReportDefinitionType": "Periodic",
        "Schedule": {"RecurrenceInterval": "PT1S"},
        "MetricProperties": [inlet],
        "ReportActions": ["LogToMetricReportsCollection"],
    }
    made = ask(bmc, "POST", f"{base}/MetricReportDefinitions", new)
    assert made.status_code == 201, made.text
    assert bmc.rest("report-definitions/air")["reportDefinition"]["sensors"] == ["inlet_temp"]
    report = until(lambda: (answer := ask(bmc, "GET", f"{base}/MetricReports/air")).status_code == 200 and answer, 10)
    assert isinstance(report, httpx.Response)
    value = report.json()["MetricValues"][0]
    assert (value["MetricProperty"], value["MetricId"]) == (inlet, "inlet_temp")
    assert 0 < float(value["MetricValue"]) < 60
    changed = ask(bmc, "PATCH", f"{base}/MetricReportDefinitions/air", {"Schedule": {"RecurrenceInterval": "PT1M"}})
    assert changed.json()["Schedule"] == {"RecurrenceInterval": "PT60S"}
    trigger = {
        "Id": "warm",
        "MetricProperties": [inlet],
        "NumericThresholds": {"UpperWarning": {"Reading": 1.0, "Activation": "Either", "DwellTime": "PT0S"}},
        "TriggerActions": ["RedfishEvent"],
    }
    assert ask(bmc, "POST", f"{base}/Triggers", trigger).status_code == 201
    assert bmc.rest("triggers/warm")["trigger"]["upperWarning"]["reading"] == 1.0
    assert ask(bmc, "DELETE", f"{base}/Triggers/warm").status_code == 204
    assert ask(bmc, "DELETE", f"{base}/MetricReportDefinitions/air").status_code == 204
    assert ask(bmc, "GET", f"{base}/MetricReports/air").status_code == 404
