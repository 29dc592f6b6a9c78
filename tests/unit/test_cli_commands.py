"""The commands against another maker's server (connectrpc), over TLS."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from connectrpc.code import Code
from connectrpc.errors import ConnectError
from protobuf.wkt import Timestamp
from tests.harness.connect import TOKEN, Bmc, Certificate, Server, event, make_certificate

from ubmc.cli import session
from ubmc.cli.main import cli
from ubmc.client import Pinned
from ubmc.v1alpha1.event_kind_pb import Severity
from ubmc.v1alpha1.host_pb import (
    BootOverrideMode,
    BootTarget,
    Host,
    HostPowerAction,
    HostPowerFailure,
    HostState,
    RestorePolicy,
)
from ubmc.v1alpha1.system_pb import ServiceHealth, ServiceState
from ubmc.v1alpha1.task_pb import TaskState

Run = Callable[..., Result]


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return make_certificate(tmp_path_factory.mktemp("tls") / "bmc.pem")


@pytest.fixture
def bmc() -> Bmc:
    return Bmc()


@pytest.fixture
def server(bmc: Bmc, certificate: Certificate) -> Iterator[Server]:
    with Server(bmc, certificate) as found:
        yield found


@pytest.fixture
def run(server: Server, certificate: Certificate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command as somebody who has logged in."""
    for name in [name for name in os.environ if name.startswith("UBMC_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    pin = Pinned.parse(certificate.fingerprint)
    session.save(session.Stored(url=server.url, user="admin", trust=pin, token=TOKEN))
    return lambda *args, **more: CliRunner().invoke(cli, list(args), **more)


def test_hosts_are_listed_over_all_pages(run: Run, bmc: Bmc) -> None:
    bmc.hosts["host.1"] = Host(name="host.1", state=HostState.ON)
    result = run("host", "list")
    assert result.exit_code == 0, result.output
    lines = [line.split() for line in result.stdout.splitlines()]
    assert [line[:2] for line in lines] == [["NAME", "STATE"], ["host.0", "off"], ["host.1", "on"]]
    content = json.loads(run("host", "list", "--json").stdout)
    states = [(host["name"], host["state"]) for host in content["hosts"]]
    assert states == [("host.0", "HOST_STATE_OFF"), ("host.1", "HOST_STATE_ON")]
    assert content["nextPageToken"] == ""


def test_a_name_may_be_left_out_if_there_is_one(run: Run, bmc: Bmc) -> None:
    assert ["state", "off"] in [line.split() for line in run("host", "show").stdout.splitlines()]
    bmc.hosts["host.1"] = Host(name="host.1")
    result = run("host", "show")
    assert result.exit_code == 2
    assert result.stderr == "ubmc: say which host: host.0, host.1\n"
    assert run("host", "show", "host.1").exit_code == 0
    bmc.hosts.clear()
    bmc.hosts["host.7"] = Host(name="host.7")
    assert run("host", "show", "host.0").exit_code == 4


def test_a_host_says_what_failed_and_what_holds_it_off(run: Run, bmc: Bmc) -> None:
    failed = HostPowerFailure(
        action=HostPowerAction.GRACEFUL_OFF,
        patience_seconds=60.0,
        current=HostState.ON,
        advice="The operating system does not shut down; use force-off to cut the power",
        time=Timestamp(seconds=1_800_000_000),
    )
    bmc.hosts["host.0"] = Host(name="host.0", power_failure=failed, trip_reason="cpu0_temp 105 Cel")
    shown = [" ".join(line.split()) for line in run("host", "show").stdout.splitlines()]
    assert "failed action graceful off" in shown
    assert "failed at 2027-01-15 08:00:00Z" in shown
    assert f"why it failed {failed.advice}" in shown
    assert "trip reason cpu0_temp 105 Cel" in shown


@pytest.mark.parametrize(
    ("word", "action"),
    [
        ("on", HostPowerAction.ON),
        ("off", HostPowerAction.GRACEFUL_OFF),
        ("reboot", HostPowerAction.REBOOT),
        ("force-off", HostPowerAction.FORCE_OFF),
        ("force-restart", HostPowerAction.FORCE_RESTART),
        ("nmi", HostPowerAction.NMI),
    ],
)
def test_each_power_action_is_the_right_one(run: Run, bmc: Bmc, word: str, action: HostPowerAction) -> None:
    result = run("host", word)
    assert result.exit_code == 0, result.output
    assert bmc.actions == [action]
    assert result.stdout == "host.0: powering on (task t1)\n"


def test_a_task_is_followed_to_its_end(run: Run) -> None:
    result = run("host", "on", "--wait", "--json")
    assert result.exit_code == 0, result.output
    content = json.loads(result.stdout)
    assert content["task"]["state"] == "TASK_STATE_COMPLETED"
    assert content["host"]["state"] == "HOST_STATE_ON"


def test_a_task_that_fails_is_1(run: Run, bmc: Bmc) -> None:
    bmc.task_end = TaskState.FAILED
    result = run("host", "on", "--wait")
    assert result.exit_code == 1
    assert result.stderr == "ubmc: power-good came late\n"


def test_a_task_that_does_not_end_is_6(run: Run, bmc: Bmc) -> None:
    bmc.task_asks = 1_000_000
    result = run("host", "on", "--wait", "--timeout", "0.3")
    assert result.exit_code == 6
    assert "goes on still after 0.3 s; see: ubmc task show t1" in result.stderr


@pytest.mark.parametrize(
    ("code", "exit_code"),
    [
        (Code.FAILED_PRECONDITION, 5),
        (Code.ABORTED, 5),
        (Code.PERMISSION_DENIED, 3),
        (Code.INTERNAL, 1),
        (Code.DEADLINE_EXCEEDED, 6),
    ],
)
def test_what_the_bmc_refuses_is_told(run: Run, bmc: Bmc, code: Code, exit_code: int) -> None:
    bmc.failures.append(ConnectError(code, "because\nof \x1b[31mthis"))
    result = run("host", "on", "host.0")
    assert result.exit_code == exit_code
    assert result.stderr == "ubmc: because\ufffdof \ufffd[31mthis\n"
    assert result.stdout == ""


def test_a_session_that_ended_is_3(run: Run, server: Server) -> None:
    result = run("host", "list", "--token", "old")
    assert result.exit_code == 3
    assert "ubmc login" in result.stderr


def test_another_url_gets_neither_token_nor_pin(run: Run, bmc: Bmc) -> None:
    result = run("host", "list", "--url", "https://127.0.0.1:1")
    assert result.exit_code == 3
    assert "not logged in at https://127.0.0.1:1" in result.stderr
    assert bmc.seen == []


def test_the_environment_is_enough(run: Run, server: Server, certificate: Certificate) -> None:
    session.forget()
    env = {"UBMC_URL": server.url, "UBMC_TOKEN": TOKEN, "UBMC_FINGERPRINT": certificate.fingerprint}
    assert run("host", "list", env=env).exit_code == 0
    assert run("host", "list", env=env | {"UBMC_FINGERPRINT": "00" * 32}).exit_code == 7


@pytest.mark.parametrize(
    ("args", "mode", "target"),
    [
        (["pxe"], BootOverrideMode.ONCE, BootTarget.PXE),
        (["setup", "host.0", "--continuous"], BootOverrideMode.CONTINUOUS, BootTarget.FIRMWARE_SETUP),
        (["--clear"], BootOverrideMode.DISABLED, BootTarget.UNSPECIFIED),
        (["--clear", "host.0"], BootOverrideMode.DISABLED, BootTarget.UNSPECIFIED),
    ],
)
def test_boot_overrides(run: Run, bmc: Bmc, args: list[str], mode: BootOverrideMode, target: BootTarget) -> None:
    result = run("host", "boot", *args)
    assert result.exit_code == 0, result.output
    [(host, mask)] = bmc.updates
    assert host.boot_override is not None
    assert (host.name, host.boot_override.mode, host.boot_override.target) == ("host.0", mode, target)
    assert mask == ["boot_override"]
    assert result.stdout.startswith("host.0: boot override ")


def test_restore_policy(run: Run, bmc: Bmc) -> None:
    assert run("host", "policy", "last-state").stdout == "host.0: restore policy last state\n"
    [(host, mask)] = bmc.updates
    assert (host.restore_policy, mask) == (RestorePolicy.LAST_STATE, ["restore_policy"])


def test_a_watch_prints_a_line_for_each_update(run: Run) -> None:
    lines = run("host", "watch", "--json").stdout.splitlines()
    assert [json.loads(line)["cursor"] for line in lines] == ["1", "2", "3", "4", "5", "6"]
    assert run("host", "watch").stdout.splitlines()[0].split() == ["host.0", "on", "-", "-"]


def test_the_last_events_are_listed_the_oldest_first(run: Run, bmc: Bmc) -> None:
    bmc.events = [event(number) for number in range(1, 251)]
    lines = run("event", "list", "--limit", "150").stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["ID", *map(str, range(101, 251))]
    content = json.loads(run("event", "list", "--limit", "2", "--reverse", "--json").stdout)
    assert [item["id"] for item in content["events"]] == ["250", "249"]


def test_events_are_filtered(run: Run, bmc: Bmc) -> None:
    bmc.events = [event(1), event(2, severity=Severity.CRITICAL, message="on fire")]
    result = run("event", "list", "--severity", "warning")
    assert "on fire" in result.stdout
    assert len(result.stdout.splitlines()) == 2


def test_events_cannot_write_to_the_terminal(run: Run, bmc: Bmc) -> None:
    bmc.events = [event(1, message="\x1b[2J\u202egone\nfake line")]
    for args in (["event", "list"], ["event", "watch"], ["event", "list", "--json"], ["event", "watch", "--json"]):
        shown = run(*args).stdout
        assert "gone" in shown
        assert not {"\x1b", "\u202e"} & set(shown)
    assert len(run("event", "list").stdout.splitlines()) == 2


def test_metrics_are_text_without_escapes(run: Run) -> None:
    assert run("metrics").stdout == 'up{part="a\tb"} 1\n\ufffd]0;pwned\ufffd 2\n# EOF\n'


def test_health_is_an_exit_code(run: Run, bmc: Bmc) -> None:
    bmc.services = [ServiceHealth(name="statemgr", process="managers", state=ServiceState.READY)]
    assert run("health").exit_code == 0
    bmc.services.append(ServiceHealth(name="ledmgr", state=ServiceState.DEGRADED, reason="no light"))
    result = run("health")
    assert result.exit_code == 1
    assert "degraded" in result.stdout


def test_no_colour_where_no_terminal_is(run: Run) -> None:
    assert "\x1b" not in run("host", "list").stdout


def test_violations_are_told(run: Run) -> None:
    result = run("user", "add", "bob", "--password-stdin", input="short\n")
    assert result.exit_code == 2
    assert result.stderr == "ubmc: the request is wrong (newPassword: must be at least 8 characters)\n"


def test_a_user_is_made(run: Run) -> None:
    result = run("user", "add", "bob", "--role", "operator", "--password-stdin", "--json", input="long enough\n")
    assert result.exit_code == 0, result.output
    user = json.loads(result.stdout)["user"]
    wanted = {"name": "bob", "role": "Operator", "enabled": True, "mustChangePassword": True}
    assert wanted.items() <= user.items()


def program(*args: str) -> subprocess.Popen[bytes]:
    def heed() -> None:  # whoever runs the tests in the background has it ignored
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    command = [sys.executable, "-m", "ubmc", *args]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=heed)  # noqa: PLW1509


def test_ctrl_c_is_130_and_silent(run: Run, bmc: Bmc) -> None:
    bmc.task_asks = 1_000_000
    process = program("host", "on", "--wait")
    deadline = time.monotonic() + 20
    while bmc.task_asks == 1_000_000 and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out, err.strip()) == (130, b"", b"")


def test_a_reader_that_has_read_enough_is_no_error(run: Run, bmc: Bmc) -> None:
    bmc.events = [event(number, message="x" * 2000) for number in range(1, 400)]
    process = program("event", "watch")
    assert process.stdout is not None
    assert process.stderr is not None
    assert process.stdout.readline()
    process.stdout.close()
    err = process.stderr.read()
    process.stderr.close()
    assert (process.wait(20), err) == (141, b"")
