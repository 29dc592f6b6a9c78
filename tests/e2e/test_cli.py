"""`ubmc` against the whole program: what an operator types on the first day."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

pytestmark = pytest.mark.e2e

PASSWORD = "first day at work"
Ubmc = Callable[..., subprocess.CompletedProcess[str]]


@dataclass(frozen=True)
class Running:
    """A BMC that answers."""

    url: str
    fingerprint: str


@pytest.fixture(scope="module")
def bmc() -> Iterator[Running]:
    """The program on the simulated board, ended together with its machine."""
    with tempfile.TemporaryDirectory(prefix="ubmc-") as state:
        env = os.environ | {"UBMC_ADMIN_PASSWORD": PASSWORD}
        command = [sys.executable, "-m", "ubmc", "run", "--ephemeral", "--state", state, "--listen", "127.0.0.1:0"]
        process = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True)
        overdue = threading.Timer(60, process.kill)
        overdue.start()
        try:
            assert process.stdout is not None
            shown = ""
            for line in process.stdout:
                shown += line
                if "Ctrl-C" in line:
                    break
            overdue.cancel()
            url = re.search(r"https://\S+", shown)
            fingerprint = re.search(r"SHA-256\s+(\S+)", shown)
            assert url, f"it did not start: {shown}"
            assert fingerprint, shown
            yield Running(url[0], fingerprint[1])
        finally:
            overdue.cancel()
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=30)


@pytest.fixture
def ubmc(bmc: Running, tmp_path: Path) -> Ubmc:
    """Run a command as somebody who has logged in."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("UBMC_")}
    env["XDG_CONFIG_HOME"] = str(tmp_path)

    def run(*args: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "ubmc", *args]
        return subprocess.run(command, env=env, input=stdin, capture_output=True, text=True, timeout=60, check=False)

    done = run("login", bmc.url, "--fingerprint", bmc.fingerprint, "--password-stdin", stdin=PASSWORD)
    assert done.returncode == 0, done.stderr
    return run


def test_the_host_is_powered_on_and_off(ubmc: Ubmc) -> None:
    done = ubmc("host", "on", "--wait", "--json")
    assert done.returncode == 0, done.stderr
    content = json.loads(done.stdout)
    assert content["host"]["state"] == "HOST_STATE_ON"
    assert content["task"]["state"] == "TASK_STATE_COMPLETED"
    assert ubmc("host", "on").returncode == 5  # it is on
    done = ubmc("host", "force-off", "--wait")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("host.0: off")
    events = json.loads(ubmc("event", "list", "--kind", "Host.StateChanged", "--json").stdout)["events"]
    assert [event["component"] for event in events] == ["host.0"] * len(events)
    assert len(events) >= 4
    assert [int(event["id"]) for event in events] == sorted(int(event["id"]) for event in events)


def test_everything_can_be_shown(ubmc: Ubmc) -> None:
    for args in (
        ["whoami"], ["host", "list"], ["host", "show"], ["chassis", "list"], ["chassis", "show"], ["bmc", "show"],
        ["task", "list"], ["user", "list"], ["user", "show", "admin"], ["session", "list"], ["health"], ["metrics"],
    ):  # fmt: skip
        done = ubmc(*args)
        assert done.returncode == 0, (args, done.stdout, done.stderr)
        assert done.stdout
        done = ubmc(*args, "--json")
        assert done.returncode == 0, (args, done.stderr)
        assert json.loads(done.stdout)


def test_mistakes_have_their_exit_codes(ubmc: Ubmc, bmc: Running) -> None:
    assert ubmc("host", "show", "host.9").returncode == 4
    assert ubmc("host", "show", "x" * 33).returncode == 2
    assert ubmc("login", bmc.url, "--fingerprint", "00" * 32, "--password-stdin", stdin=PASSWORD).returncode == 7
    wrong = ubmc("login", bmc.url, "--fingerprint", bmc.fingerprint, "--password-stdin", stdin="wrong")
    assert wrong.returncode == 3
    assert "Traceback" not in wrong.stderr


def test_an_account_is_made_used_and_removed(ubmc: Ubmc, bmc: Running) -> None:
    made = ubmc("user", "add", "bob", "--role", "Operator", "--password-stdin", stdin="bob's password\n")
    assert made.returncode == 0, made.stderr
    trust = ("--fingerprint", bmc.fingerprint)
    done = ubmc("login", bmc.url, *trust, "-u", "bob", "--password-stdin", stdin="bob's password\nbob's secret\n")
    assert done.returncode == 0, done.stderr
    assert json.loads(ubmc("whoami", "--json").stdout)["session"]["user"] == "bob"
    assert ubmc("user", "delete", "bob").returncode == 3
    assert ubmc("logout").returncode == 0
    assert ubmc("whoami").returncode == 3
    assert ubmc("login", bmc.url, *trust, "--password-stdin", stdin=PASSWORD).returncode == 0
    assert ubmc("user", "disable", "bob").returncode == 0
    assert ubmc("user", "delete", "bob").returncode == 0
    assert ubmc("user", "show", "bob").returncode == 4


def test_a_light_is_lit(ubmc: Ubmc) -> None:
    done = ubmc("chassis", "identify")
    assert done.stdout == "chassis.0: identify on\n", done.stderr
    assert ubmc("chassis", "identify", "off").stdout == "chassis.0: identify off\n"
