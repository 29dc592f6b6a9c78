"""What Redfish refuses, and how it says so, of the whole program: disabled services, half a change, stale tags."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from tests.harness.program import ADMIN_PASSWORD, Program, until

SYSTEM = "/redfish/v1/Systems/host.0"
SENSORS = "/redfish/v1/Chassis/chassis.0/Sensors"
EVENTS = "/redfish/v1/EventService"
POLICY = "/redfish/v1/Managers/bmc.0/SecurityPolicy"
ACCOUNTS = "/redfish/v1/AccountService/Accounts"
FIRST, SECOND = "the first password of hers", "the second password of hers"


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    with Program(tmp_path_factory.mktemp("refusals") / "state") as running:
        running.login()
        yield running


@pytest.fixture
def rf(program: Program) -> Iterator[httpx.Client]:
    with program.client(headers={"x-auth-token": program.token}) as client:
        yield client


def infos(answer: httpx.Response) -> list[dict[str, Any]]:
    body = answer.json()
    found: list[dict[str, Any]] = body.get("error", body)["@Message.ExtendedInfo"]
    return found


def said(answer: httpx.Response) -> list[tuple[str, list[str]]]:
    """The message keys of an answer, and the properties that each is about."""
    return [(each["MessageId"].rpartition(".")[2], each.get("RelatedProperties", [])) for each in infos(answer)]


# --- events -----------------------------------------------------------------------------------------------------------


def test_what_is_turned_off_takes_nobody_on(rf: httpx.Client) -> None:
    new = {"Destination": "https://192.0.2.1/events", "Protocol": "Redfish"}
    test = {"MessageId": "Ubmc.1.0.HostStateChanged"}
    assert rf.patch(EVENTS, json={"ServiceEnabled": False}).status_code == 200
    try:
        for answer in (
            rf.get(f"{EVENTS}/SSE"),
            rf.post(f"{EVENTS}/Subscriptions", json=new),
            rf.post(f"{EVENTS}/Actions/EventService.SubmitTestEvent", json=test),
        ):
            assert (answer.status_code, said(answer)) == (503, [("ServiceDisabled", [])])
    finally:
        assert rf.patch(EVENTS, json={"ServiceEnabled": True}).status_code == 200
    assert rf.post(f"{EVENTS}/Actions/EventService.SubmitTestEvent", json=test).status_code == 200
    with rf.stream("GET", f"{EVENTS}/SSE") as opened:
        assert opened.status_code == 200


def test_a_stream_is_filtered_by_what_events_have_or_not_at_all(rf: httpx.Client) -> None:
    able = [name for name, yes in rf.get(EVENTS).json()["SSEFilterPropertiesSupported"].items() if yes]
    for name in ("Banana", "SubordinateResources", "Status/Health", "MetricReportDefinition"):
        for test in (f"{name} eq 'x'", f"ResourceType eq 'Fan' or not ({name} ne 'x')"):
            answer = rf.get(f"{EVENTS}/SSE", params={"$filter": test})
            assert (answer.status_code, said(answer)) == (400, [("QueryParameterValueError", [])]), test
            assert all(each in answer.text for each in (*able, name))
    for name in able:
        with rf.stream("GET", f"{EVENTS}/SSE", params={"$filter": f"{name} eq 'x'"}) as opened:
            assert opened.status_code == 200, name


def test_there_are_so_many_subscriptions_and_no_more(rf: httpx.Client) -> None:
    new = [{"Destination": f"https://192.0.2.{number}/events", "Protocol": "Redfish"} for number in range(1, 22)]
    answers = [rf.post(f"{EVENTS}/Subscriptions", json=each) for each in new]
    try:
        assert [answer.status_code for answer in answers] == [201] * 20 + [503]
        assert said(answers[-1]) == [("EventSubscriptionLimitExceeded", [])]
        assert "retry-after" not in answers[-1].headers  # waiting does not help
    finally:
        for answer in answers[:20]:
            assert rf.delete(answer.headers["location"]).status_code == 204


def test_where_there_are_enough_nobody_is_told_to_come_again(rf: httpx.Client) -> None:
    telemetry = "/redfish/v1/TelemetryService"
    sensor = f"{SENSORS}/inlet_temp#/Reading"
    upper = {"UpperCritical": {"Reading": 99, "Activation": "Increasing"}}
    new: dict[str, Any] = {
        f"{telemetry}/MetricReportDefinitions": {"MetricReportDefinitionType": "OnRequest"},
        f"{telemetry}/Triggers": {"MetricType": "Numeric", "NumericThresholds": upper},
    }
    for collection, body in new.items():
        made: list[str] = []
        try:
            while (answer := rf.post(collection, json={**body, "MetricProperties": [sensor]})).status_code == 201:
                made.append(answer.headers["location"])
                assert len(made) < 100
            assert len(made) > 5
            assert (answer.status_code, said(answer)) == (400, [("CreateLimitReachedForResource", [])])
            assert "delete one" in infos(answer)[0]["Message"]
            assert "retry-after" not in answer.headers
        finally:
            for place in made:
                assert rf.delete(place).status_code == 204


def test_the_property_that_is_wrong_is_blamed(rf: httpx.Client) -> None:
    new = {"Destination": "https://192.0.2.1/events", "Protocol": "Redfish", "HttpHeaders": [{"Host": "elsewhere"}]}
    answer = rf.post(f"{EVENTS}/Subscriptions", json=new)
    assert (answer.status_code, said(answer)) == (400, [("PropertyValueError", ["/HttpHeaders"])])
    test = {"MessageId": "Ubmc.1.0.HostStateChanged", "MessageArgs": ["x" * 2000]}
    answer = rf.post(f"{EVENTS}/Actions/EventService.SubmitTestEvent", json=test)
    assert (answer.status_code, said(answer)) == (400, [("ActionParameterValueError", ["/MessageArgs"])])
    assert infos(answer)[0]["MessageArgs"] == ["MessageArgs", "EventService.SubmitTestEvent"]


# --- what is done and what is not -------------------------------------------------------------------------------------


def test_whoever_may_not_do_it_all_hears_what_was_done(rf: httpx.Client, program: Program) -> None:
    olga = {"UserName": "olga", "Password": FIRST, "RoleId": "Operator", "PasswordChangeRequired": True}
    assert rf.post(ACCOUNTS, json=olga).status_code == 201
    with program.client() as client:
        body = {"UserName": "olga", "Password": FIRST}
        sessions = "/redfish/v1/SessionService/Sessions"
        token = {"x-auth-token": client.post(sessions, json=body).headers["x-auth-token"]}
        sent = {"Password": SECOND, "RoleId": "Administrator"}
        answer = client.patch(f"{ACCOUNTS}/olga", json=sent, headers=token)
        assert (answer.status_code, said(answer)) == (200, [("InsufficientPrivilege", ["/RoleId"])])
        assert "RoleId@Message.ExtendedInfo" in answer.json()
        assert client.post(sessions, json=body).status_code == 401
        assert client.post(sessions, json={**body, "Password": SECOND}).status_code == 201
        own = client.patch(f"{ACCOUNTS}/olga", json={"RoleId": "Administrator"}, auth=("olga", SECOND))
        assert (own.status_code, said(own)[0][0]) == (403, "InsufficientPrivilege")
    assert rf.get(f"{ACCOUNTS}/olga").json()["RoleId"] == "Operator"


def test_a_member_of_an_array_that_is_not_there_is_told(rf: httpx.Client) -> None:
    interface = rf.get("/redfish/v1/Managers/bmc.0/EthernetInterfaces").json()["Members"][0]["@odata.id"]
    one = {"Address": "192.0.2.77", "SubnetMask": "255.255.255.0"}
    answer = rf.patch(interface, json={"IPv4StaticAddresses": [{**one, "Bogus": 1}]})
    assert (answer.status_code, said(answer)) == (200, [("PropertyUnknown", ["/IPv4StaticAddresses/0/Bogus"])])
    assert answer.json()["IPv4StaticAddresses"][0]["Address"] == one["Address"]
    answer = rf.patch(interface, json={"IPv4StaticAddresses": [{**one, "Gateway": 5}]})
    assert (answer.status_code, said(answer)) == (400, [("PropertyValueTypeError", ["/IPv4StaticAddresses/0/Gateway"])])
    answer = rf.patch(interface, json={"IPv6StaticAddresses": [{"Address": "2001:db8::7", "PrefixLength": True}]})
    assert said(answer) == [("PropertyValueTypeError", ["/IPv6StaticAddresses/0/PrefixLength"])]
    first, second = {**one, "Gateway": "192.0.2.1"}, {**one, "Address": "192.0.2.78", "Gateway": "192.0.2.2"}
    answer = rf.patch(interface, json={"IPv4StaticAddresses": [first, second]})
    places = [f"/IPv4StaticAddresses/{number}/Gateway" for number in (0, 1)]
    assert (answer.status_code, said(answer)) == (400, [("PropertyValueConflict", places)])
    assert (
        rf.patch(interface, json={"IPv4StaticAddresses": [one, first | {"Address": "192.0.2.78"}]}).status_code == 200
    )
    answer = rf.patch(interface, json={"IPv4StaticAddresses": [{}, {"Gateway": "192.0.2.3"}]})
    assert {each["Gateway"] for each in answer.json()["IPv4StaticAddresses"]} == {"192.0.2.3"}
    answer = rf.patch("/redfish/v1/AccountService", json={"LDAP": {"ServiceAddresses": ["ldap://[bad"]}})
    assert (answer.status_code, said(answer)) == (400, [("PropertyValueError", ["/LDAP/ServiceAddresses"])])


# --- the watchdog -----------------------------------------------------------------------------------------------------


def test_a_setting_starts_no_watchdog_that_nobody_would_feed(rf: httpx.Client, program: Program) -> None:
    def told() -> dict[str, Any]:
        found: dict[str, Any] = program.host().get("watchdog", {})
        return found

    def change(**timer: Any) -> httpx.Response:
        return rf.patch(SYSTEM, json={"HostWatchdogTimer": timer})

    assert rf.post(f"{SYSTEM}/Actions/ComputerSystem.Reset", json={"ResetType": "On"}).status_code == 200
    until(lambda: program.host()["state"] == "HOST_STATE_ON", 60, "it is on")
    refused = change(FunctionEnabled=True, TimeoutAction="PowerDown")
    blamed = ("PropertyValueError", ["/HostWatchdogTimer/FunctionEnabled"])
    assert (refused.status_code, said(refused)) == (400, [blamed])
    assert not told().get("running")
    assert change(TimeoutAction="ResetSystem").json()["HostWatchdogTimer"]["TimeoutAction"] == "ResetSystem"
    running = {"watchdog": {"running": True, "timeout": "600s", "use": "WATCHDOG_USE_SMS_OS"}}
    mask = "watchdog.running,watchdog.timeout,watchdog.use"
    answer = program.request("PATCH", f"/api/v1alpha1/hosts/host.0?updateMask={mask}", running)
    assert answer.status_code == 200, answer.text
    until(lambda: rf.get(SYSTEM).json()["HostWatchdogTimer"]["FunctionEnabled"], 10, "it runs")
    assert change(FunctionEnabled=True, TimeoutAction="None").status_code == 200
    assert change(FunctionEnabled=False).json()["HostWatchdogTimer"]["FunctionEnabled"] is False
    assert not told().get("running")


# --- policy -----------------------------------------------------------------------------------------------------------


def test_no_version_of_tls_is_promised_or_taken_away_that_is_not(program: Program) -> None:
    """A new policy ends the connections that were made by the old one, so each request has its own, or another one."""

    def ask(method: str, path: str, sent: Any = None) -> httpx.Response:
        def once() -> httpx.Response | None:
            with contextlib.suppress(httpx.TransportError):
                return program.request(method, path, sent)
            return None

        return until(once, 10, f"an answer to {method} {path}")

    def change(server: dict[str, Any]) -> httpx.Response:
        return ask("PATCH", POLICY, {"TLS": {"Server": server}})

    def versions() -> Any:
        return ask("GET", POLICY).json()["TLS"]["Server"]["Allowed"]["Versions"]

    before = versions()
    for wrong in ([], ["1.2"]):
        answer = change({"Allowed": {"Versions": wrong}})
        blamed = ("PropertyValueError", ["/TLS/Server/Allowed/Versions"])
        assert (answer.status_code, said(answer)) == (400, [blamed])
        assert versions() == before
    for right in (["1.2", "1.3"], ["1.3"], before):
        assert change({"Allowed": {"Versions": right}}).status_code == 200
        assert versions() == right
    for verify, wanted in ((True, "OPTIONAL"), (False, "OFF")):
        assert change({"VerifyCertificate": verify}).status_code == 200
        told = ask("GET", "/api/v1alpha1/security-policy").json()["policy"]
        assert told.get("clientCertificates", "CLIENT_CERTIFICATES_OFF") == f"CLIENT_CERTIFICATES_{wanted}"


def test_nobody_is_asked_for_a_password_that_is_not_taken(rf: httpx.Client, program: Program) -> None:
    def asked() -> str:
        with program.client() as nobody:
            answer = nobody.get(SYSTEM)
            assert (answer.status_code, said(answer)) == (401, [("NoValidSession", [])])
            return answer.headers["www-authenticate"]

    assert asked() == 'Basic realm="u-bmc"'
    assert rf.patch("/redfish/v1/AccountService", json={"HTTPBasicAuth": "Disabled"}).status_code == 200
    try:
        until(lambda: asked() == 'Bearer realm="u-bmc"', 10, "it is turned off")
        with program.client(headers={"authorization": f"Bearer {program.token}"}) as client:
            assert client.get(SYSTEM).status_code == 200  # which is what it is told to show
    finally:
        assert rf.patch("/redfish/v1/AccountService", json={"HTTPBasicAuth": "Enabled"}).status_code == 200


# --- tags and caches --------------------------------------------------------------------------------------------------


def test_nothing_is_deleted_that_has_changed_meanwhile(rf: httpx.Client) -> None:
    made = rf.post("/redfish/v1/AccountService/Roles", json={"RoleId": "watcher", "AssignedPrivileges": ["Login"]})
    assert made.status_code == 201
    place, tag = made.headers["location"], made.headers["etag"]
    more = {"AssignedPrivileges": ["Login", "ConfigureComponents"]}
    assert rf.patch(place, json=more, headers={"if-match": tag}).status_code == 200
    stale = rf.delete(place, headers={"if-match": tag})
    assert (stale.status_code, said(stale)) == (412, [("PreconditionFailed", [])])
    now = rf.get(place, params={"$select": "AssignedPrivileges"})
    assert now.headers["etag"] == now.json()["@odata.etag"] == rf.get(place).headers["etag"]
    assert rf.delete(place, headers={"if-match": now.headers["etag"]}).status_code == 204
    assert rf.get(place).status_code == 404


def test_a_session_that_is_used_is_still_the_same(rf: httpx.Client, program: Program) -> None:
    with program.client() as client:
        body = {"UserName": "admin", "Password": ADMIN_PASSWORD}
        opened = client.post("/redfish/v1/SessionService/Sessions", json=body)
        place, token = opened.headers["location"], {"x-auth-token": opened.headers["x-auth-token"]}
        tag = client.get(place, headers=token).headers["etag"]
        assert client.delete(place, headers={**token, "if-match": tag}).status_code == 204


def test_a_cache_is_told_what_the_form_depends_on(rf: httpx.Client) -> None:
    for encoding in ("gzip", "identity"):
        answer = rf.get(f"{SENSORS}?$expand=.", headers={"accept-encoding": encoding})
        assert answer.headers.get("content-encoding", "identity") == encoding
        assert answer.headers["vary"] == "accept-encoding"
    again = rf.get(f"{SENSORS}?$select=Name", headers={"if-none-match": "*"})
    assert again.status_code == 304
