"""The simulated board, from the outside: curl and plain HTTP against the whole program."""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.harness.program import ADMIN_PASSWORD, KILLS_PEERS, Program, until
from tests.harness.truth import Plant

pytestmark = [pytest.mark.e2e, KILLS_PEERS]

HOST = "/api/v1alpha1/hosts/host.0"


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    config = tmp_path_factory.mktemp("owner") / "ubmc.toml"
    config.write_text('[power]\nsoft_off_patience = "4s"\npower_on_patience = "3s"\n')
    with Program(tmp_path_factory.mktemp("board") / "state", "--config", str(config)) as made:
        made.login()
        yield made


@pytest.fixture
def plant(program: Program) -> Iterator[Plant]:
    plant = Plant(program.state)
    yield plant
    for fault in ("hang-on", "hang-off", "hang-hard"):
        plant.control(do="fault", name=fault, on=False)
    plant.control(do="mains", on=True)


def off(program: Program, plant: Plant) -> None:
    until(lambda: program.host()["state"] in ("HOST_STATE_ON", "HOST_STATE_OFF"), 20)
    if program.host()["state"] != "HOST_STATE_OFF":
        assert program.power("FORCE_OFF").status_code == 200
    program.wait_state("OFF")
    assert not plant.on()


def on(program: Program, plant: Plant) -> None:
    until(lambda: program.host()["state"] in ("HOST_STATE_ON", "HOST_STATE_OFF"), 20)
    if program.host()["state"] != "HOST_STATE_ON":
        assert program.power("ON").status_code == 200
    program.wait_state("ON")
    assert plant.on()


def os_up(plant: Plant) -> None:
    until(lambda: plant.snapshot()["hosts"]["host.0"]["stage"] == "up", 30)


def curl(program: Program, *arguments: str) -> subprocess.CompletedProcess[str]:
    if shutil.which("curl") is None:
        pytest.skip("curl is missing: apt-get install curl")
    command = ["curl", "-sS", "--cacert", str(program.state / "tls" / "server.pem"), "--max-time", "10"]
    url = program.url.replace("127.0.0.1", "localhost")
    return subprocess.run(
        [*command, *(each.replace("URL", url) for each in arguments)], capture_output=True, text=True, check=False
    )


# --- the first thing that anybody does ------------------------------------------------------------------------------


def test_curl_logs_in_and_powers_on(program: Program, plant: Plant) -> None:
    off(program, plant)
    login = curl(
        program, "URL/api/v1alpha1/sessions:login", "-d", json.dumps({"user": "admin", "password": ADMIN_PASSWORD})
    )
    token = json.loads(login.stdout)["token"]
    bearer = ("-H", f"Authorization: Bearer {token}")
    answer = json.loads(
        curl(program, f"URL{HOST}:changePower", *bearer, "-d", '{"action": "HOST_POWER_ACTION_ON"}').stdout
    )
    assert answer["host"]["state"] == "HOST_STATE_POWERING_ON"
    assert answer["task"]["state"] == "TASK_STATE_RUNNING"
    program.wait_state("ON")
    assert plant.on()
    task = program.get(f"/api/v1alpha1/tasks/{answer['task']['id']}")["task"]
    assert task["state"] == "TASK_STATE_COMPLETED"
    for version in ("--http1.1", "--http2"):
        shown = curl(program, version, "-w", "\n%{http_version} %{ssl_verify_result}", f"URL{HOST}", *bearer)
        body, _, written = shown.stdout.rpartition("\n")
        assert json.loads(body)["host"]["state"] == "HOST_STATE_ON"
        assert written == ("2 0" if version == "--http2" else "1.1 0")


def test_connection_is_tls_1_3_only(program: Program) -> None:
    assert curl(program, "--tlsv1.3", "URL/").returncode == 0
    assert curl(program, "--tls-max", "1.2", "URL/").returncode != 0


def test_graceful_off_reboot_and_reset(program: Program, plant: Plant) -> None:
    on(program, plant)
    os_up(plant)
    before = plant.snapshot()["hosts"]["host.0"]["power_ons"]
    answer = program.power("REBOOT").json()
    assert answer["host"]["state"] == "HOST_STATE_RESTARTING"
    until(lambda: plant.snapshot()["hosts"]["host.0"]["power_ons"] == before + 1, 20)
    program.wait_state("ON")
    os_up(plant)
    assert program.power("FORCE_RESTART").status_code == 200
    program.wait_state("ON")
    os_up(plant)
    assert program.power("GRACEFUL_OFF").json()["host"]["state"] == "HOST_STATE_POWERING_OFF"
    program.wait_state("OFF")
    assert not plant.on()


def test_diagnostic_interrupt_stops_the_operating_system(program: Program, plant: Plant) -> None:
    on(program, plant)
    os_up(plant)
    assert program.power("NMI").status_code == 200
    until(lambda: plant.snapshot()["hosts"]["host.0"]["stage"] == "panicked", 5)
    assert program.host()["state"] == "HOST_STATE_ON"
    off(program, plant)


def test_host_that_ignores_a_shutdown_is_shown_as_on(program: Program, plant: Plant) -> None:
    on(program, plant)
    os_up(plant)
    plant.control(do="fault", name="hang-off", on=True)
    task = program.power("GRACEFUL_OFF").json()["task"]["id"]
    until(lambda: program.get(f"/api/v1alpha1/tasks/{task}")["task"]["state"] == "TASK_STATE_FAILED", 15)
    assert program.host()["state"] == "HOST_STATE_ON"
    assert plant.on()
    until(lambda: [e for e in program.events() if e["messageId"] == "Host.PowerActionFailed"], 5)
    assert program.power("FORCE_OFF").status_code == 200
    program.wait_state("OFF")


def test_host_that_never_comes_up_is_shown_as_off(program: Program, plant: Plant) -> None:
    off(program, plant)
    plant.control(do="fault", name="hang-on", on=True)
    task = program.power("ON").json()["task"]["id"]
    until(lambda: program.get(f"/api/v1alpha1/tasks/{task}")["task"]["state"] == "TASK_STATE_FAILED", 15)
    program.wait_state("OFF")


def test_two_actions_at_once_but_a_forced_off_is_always_taken(program: Program, plant: Plant) -> None:
    on(program, plant)
    os_up(plant)
    plant.control(do="fault", name="hang-off", on=True)
    assert program.power("GRACEFUL_OFF").status_code == 200
    second = program.power("REBOOT")
    assert second.status_code == 409
    assert second.json()["code"] == "aborted"
    assert program.power("FORCE_OFF").status_code == 200
    program.wait_state("OFF")


def test_front_button(program: Program, plant: Plant) -> None:
    off(program, plant)
    until(lambda: not plant.line("power-button-0"), 5, "our own press has ended: until then a press is taken for ours")
    time.sleep(0.3)
    plant.control(do="press", button="front-power-button", seconds=0.2)
    program.wait_state("ON")
    until(lambda: [e for e in program.events() if e["arguments"].get("kind") == "HOST_NEWS_KIND_BUTTON_PRESSED"], 5)
    assert program.host()["stateCause"]["kind"] == "front-panel"


def test_lights_follow(program: Program, plant: Plant) -> None:
    on(program, plant)
    until(lambda: plant.line("power-led"), 5)
    off(program, plant)
    until(lambda: not plant.line("power-led"), 5)
    identify = "/api/v1alpha1/chassis/chassis.0:setIdentify"
    assert program.request("POST", identify, {"identify": True}).json()["chassis"]["identify"] is True
    until(lambda: plant.line("identify-led"), 5)
    plant.control(do="press", button="front-identify-button", seconds=0.2)
    until(lambda: program.get("/api/v1alpha1/chassis/chassis.0")["chassis"]["identify"] is False, 5)


def test_chassis_needs_the_forced_form(program: Program, plant: Plant) -> None:
    on(program, plant)
    change = "/api/v1alpha1/chassis/chassis.0:changePower"
    refused = program.request("POST", change, {"action": "CHASSIS_POWER_ACTION_OFF"})
    assert refused.status_code == 409
    assert "host.0" in refused.json()["message"]
    assert plant.on()
    assert program.request("POST", change, {"action": "CHASSIS_POWER_ACTION_FORCE_OFF"}).status_code == 200
    program.wait_state("OFF")
    chassis = "/api/v1alpha1/chassis/chassis.0"
    until(lambda: program.get(chassis)["chassis"]["state"] == "CHASSIS_STATE_OFF", 10)
    interlocked = program.power("ON")
    assert interlocked.status_code == 409
    assert "chassis.0" in interlocked.json()["message"]
    assert program.request("POST", change, {"action": "CHASSIS_POWER_ACTION_ON"}).status_code == 200
    until(lambda: program.get(chassis)["chassis"]["state"] == "CHASSIS_STATE_ON", 10)


@pytest.mark.parametrize(("policy", "expected"), [("ALWAYS_ON", "ON"), ("ALWAYS_OFF", "OFF"), ("LAST_STATE", "ON")])
def test_restore_policy_once_per_loss_of_mains(program: Program, plant: Plant, policy: str, expected: str) -> None:
    on(program, plant)
    answer = program.request("PATCH", HOST, {"restorePolicy": f"RESTORE_POLICY_{policy}"})
    assert answer.status_code == 200, answer.text
    plant.control(do="mains", on=False)
    program.wait_state("OFF")
    time.sleep(1.2)  # the outage lasts longer than one look at mains
    assert not plant.on()
    plant.control(do="mains", on=True)
    if expected == "ON":
        program.wait_state("ON")
        off(program, plant)
    time.sleep(2.5)  # two looks at mains: nothing more may happen by itself
    assert program.host()["state"] == "HOST_STATE_OFF"
    assert not plant.on()


# --- bad input ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code", "says"),
    [
        ("GET", "/api/v1alpha1/hosts/host.9", None, 404, "not_found", "host.9"),
        ("GET", "/api/v1alpha1/nothing", None, 404, "not_found", "openapi"),
        ("POST", f"{HOST}:changePower", {"action": "EXPLODE"}, 400, "invalid_argument", "action"),
        ("POST", f"{HOST}:changePower", {"action": 0}, 400, "invalid_argument", "action"),
        ("POST", f"{HOST}:changePower", {"actions": 1}, 400, "invalid_argument", "actions"),
        ("POST", f"{HOST}:changePower", b"{", 400, "invalid_argument", "JSON"),
        ("POST", f"{HOST}:changePower", b"\xff\xfe", 400, "invalid_argument", "JSON"),
        ("POST", f"{HOST}:changePower", b"[" * 20000, 400, "invalid_argument", ""),
        ("POST", f"{HOST}:changePower", b"x" * 200_000, 413, "resource_exhausted", "larger"),
        ("DELETE", HOST, None, 405, "unimplemented", "PATCH"),
        ("GET", "/api/v1alpha1/events?pageSize=-1", None, 400, "invalid_argument", "pageSize"),
        ("GET", "/api/v1alpha1/events?nothing=1", None, 400, "invalid_argument", "nothing"),
        ("PATCH", f"{HOST}?updateMask=state", {"state": "HOST_STATE_ON"}, 400, "invalid_argument", "state"),
    ],
)
def test_bad_input_is_told(
    program: Program, method: str, path: str, body: Any, status: int, code: str, says: str
) -> None:
    content = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
    with program.client(headers={"authorization": f"Bearer {program.token}"}) as client:
        answer = client.request(method, path, content=content)
    assert answer.status_code == status, answer.text
    problem = answer.json()
    assert problem["code"] == code
    assert says in answer.text
    assert "Traceback" not in answer.text


def test_wrong_state_says_which(program: Program, plant: Plant) -> None:
    off(program, plant)
    refused = program.power("GRACEFUL_OFF")
    assert refused.status_code == 409
    assert refused.json()["code"] == "failed_precondition"
    assert "off" in refused.json()["message"]


def test_who_may_what(program: Program) -> None:
    assert program.request("GET", HOST, token="").status_code == 401
    assert program.request("GET", HOST, token="wrong").status_code == 401
    user = {"user": {"name": "reader", "role": "ReadOnly", "enabled": True}, "password": "long enough for all"}
    assert program.request("POST", "/api/v1alpha1/users", user).status_code == 200
    mine = program.token
    try:
        token = program.login("reader", "long enough for all")
        assert program.request("GET", HOST, token=token).status_code in (200, 403)
        denied = program.request("POST", f"{HOST}:changePower", {"action": "HOST_POWER_ACTION_ON"}, token=token)
        assert denied.status_code == 403
        assert program.request("GET", "/metrics", token="").status_code == 401
    finally:
        program.token = mine
        assert program.request("DELETE", "/api/v1alpha1/users/reader").status_code == 200
    assert program.request("GET", HOST, token=token).status_code == 401


# --- streams, traces, metrics ---------------------------------------------------------------------------------------


def test_watch_tells_changes_and_resumes(program: Program, plant: Plant) -> None:
    off(program, plant)
    seen: list[dict[str, Any]] = []
    ids: list[str] = []

    def read(until_state: str, last_id: str = "") -> None:
        headers = {"authorization": f"Bearer {program.token}", **({"last-event-id": last_id} if last_id else {})}
        with program.client(headers=headers) as client, client.stream("GET", "/api/v1alpha1/hosts:watch") as stream:
            assert stream.headers["content-type"] == "text/event-stream"
            for line in stream.iter_lines():
                if line.startswith("id: "):
                    ids.append(line.removeprefix("id: "))
                if line.startswith("data: "):
                    seen.append(json.loads(line.removeprefix("data: ")))
                    if seen[-1]["host"]["state"] == f"HOST_STATE_{until_state}":
                        return

    reader = threading.Thread(target=read, args=("ON",))
    reader.start()
    until(lambda: seen, 5)
    assert seen[0]["snapshot"]
    assert program.power("ON").status_code == 200
    reader.join(20)
    assert not reader.is_alive()
    states = [update["host"]["state"] for update in seen]
    assert states[0] == "HOST_STATE_OFF"
    assert "HOST_STATE_POWERING_ON" in states
    cursor = ids[-1]
    assert program.power("FORCE_OFF").status_code == 200
    program.wait_state("OFF")
    seen.clear()
    read("OFF", cursor)
    assert not any(update["snapshot"] for update in seen)
    assert "HOST_STATE_POWERING_OFF" in [update["host"]["state"] for update in seen]


def test_one_trace_from_the_request_to_the_log(program: Program, plant: Plant) -> None:
    off(program, plant)
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    headers = {"authorization": f"Bearer {program.token}", "traceparent": f"00-{trace}-00f067aa0ba902b7-01"}
    with program.client(headers=headers) as client:
        answer = client.post(f"{HOST}:changePower", json={"action": "HOST_POWER_ACTION_ON"})
    assert answer.headers["trace-id"] == trace
    program.wait_state("ON")
    told = until(lambda: [e for e in program.events() if (e.get("cause") or {}).get("traceId") == trace], 5)
    assert {"Host.StateChanged", "Audit.Call"} <= {event["messageId"] for event in told}
    assert {event["cause"]["user"] for event in told} == {"admin"}


def test_metrics_of_every_process(program: Program) -> None:
    with program.client(headers={"authorization": f"Bearer {program.token}"}) as client:
        answer = client.get("/metrics")
    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    assert answer.text.endswith("# EOF\n")
    for process in ("managers", "safety", "websrv"):
        assert f'process="{process}"' in answer.text
    assert 'method="HostService.GetHost"' in answer.text
    assert "ubmc_events_total" in answer.text
    assert "ubmc_service_starts_total" in answer.text


def test_health_of_every_service(program: Program) -> None:
    health = program.get("/api/v1alpha1/system/health")
    assert health["health"] == "SEVERITY_OK"
    names = {service["name"] for service in health["services"]}
    assert names >= {"ipc", "powermgr", "statemgr", "ledmgr", "usermgr", "eventlog", "operator", "telemetry", "websrv"}
    assert {service["state"] for service in health["services"]} == {"SERVICE_STATE_READY"}


def test_openapi_is_served(program: Program) -> None:
    answer = program.request("GET", "/api/v1alpha1/openapi.json", token="")
    assert answer.status_code == 200
    assert "/api/v1alpha1/hosts/{name}" in answer.json()["paths"]


def test_restart_of_the_services_keeps_the_machine(program: Program, plant: Plant) -> None:
    on(program, plant)
    before = plant.snapshot()["hosts"]["host.0"]["power_ons"]
    answer = program.request("POST", "/api/v1alpha1/management-controllers/bmc.0:restart", {})
    assert answer.status_code == 200, answer.text
    time.sleep(1.0)

    def back() -> bool:
        try:
            return program.request("GET", HOST).status_code == 200 and program.host()["state"] == "HOST_STATE_ON"
        except (OSError, httpx.HTTPError):
            return False

    until(back, 20)
    assert plant.on()
    assert plant.snapshot()["hosts"]["host.0"]["power_ons"] == before


def test_first_boot_password_is_shown_once_and_must_be_changed(tmp_path: Path) -> None:
    fresh = Program(tmp_path / "state", password=None)
    with fresh:
        file = fresh.state / "first-password"  # there is no terminal here
        assert str(file) in fresh.output
        assert file.stat().st_mode & 0o777 == 0o600
        password = file.read_text().strip()
        assert password not in fresh.output
        fresh.password = password
        token = fresh.login()
        refused = fresh.request("GET", HOST)
        assert refused.status_code == 403
        assert "password" in refused.json()["message"]
        change = {"currentPassword": password, "newPassword": "a better one than that"}
        assert fresh.request("POST", "/api/v1alpha1/users/admin:changePassword", change).status_code == 200
        until(lambda: not file.exists(), 5, "the first password is not kept")
        fresh.password = "a better one than that"
        fresh.login()
        assert fresh.host()["name"] == "host.0"
        assert token
        fresh.stop()
        fresh.password = None
        fresh.start()
        assert "  password  " not in fresh.output
