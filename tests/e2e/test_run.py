"""`ubmc run` as a user or systemd starts it: passwords, the lock, addresses, and the end."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from tests.harness.program import Program, until

VARIABLE = "UBMC_ADMIN_PASSWORD"
SECRET = "development password 1"


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


@contextlib.contextmanager
def running(state: Path, *arguments: str, password: str | None = None) -> Iterator[Program]:
    with Program(state, *arguments, password=password) as program:
        yield program


def everybody(program: Program) -> dict[str, int]:
    return {"operator": program.pid, **program.processes()}


def alive(pid: int) -> bool:
    """Whether it runs; what nobody has reaped does not."""
    try:
        return (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_the_password_of_the_environment_is_hidden_before_anything_else(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, SECRET)
    with running(state) as program:
        holders = set()
        for name, pid in everybody(program).items():
            proc = Path("/proc") / str(pid)
            for file in ("environ", "cmdline"):
                content = (proc / file).read_bytes()
                assert SECRET.encode() not in content, name
                assert f"{VARIABLE}=".encode() not in content, name
            if any("admin-password" in str(entry.readlink()) for entry in (proc / "fd").iterdir()):
                holders.add(name)
        assert holders == {"operator", "managers"}
        assert SECRET not in program.output + program.log.read_text()
        program.login(password=SECRET)
        assert program.host()["name"] == "host.0", "it was set by its owner, so it need not be changed"


def test_a_random_password_is_told_once_and_must_be_changed(state: Path) -> None:
    with running(state) as program:
        shown = re.search(r"^  password  in (\S+); to be changed", program.output, re.MULTILINE)
        assert shown is not None, "there is no terminal here, so it is in a file"
        file = Path(shown[1])
        assert file.stat().st_mode & 0o777 == 0o600
        password = file.read_text().strip()
        assert len(password) >= 12
        assert password not in program.output + program.log.read_text()
        program.login(password=password)
        answer = program.request("GET", "/api/v1alpha1/hosts/host.0")
        assert answer.status_code == 403
        assert "change your password first" in answer.text
        body = {"currentPassword": password, "newPassword": "another password 1"}
        answer = program.request("POST", "/api/v1alpha1/users/admin:changePassword", body)
        assert answer.status_code == 200, answer.text
        assert program.stop() == 0
        program.start()
        assert "  password  " not in program.output
        program.login(password="another password 1")
        assert program.host()["name"] == "host.0"


def test_a_credential_of_systemd(state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "admin-password").write_text("from systemd 123\n")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    with running(state) as program:
        assert "password" not in program.output
        program.login(password="from systemd 123")


def test_a_second_one_on_the_same_state_is_refused(state: Path) -> None:
    with running(state) as program:
        second = subprocess.run(
            [sys.executable, "-m", "ubmc", "run", "--state", str(state), "--listen", "127.0.0.1:0"],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert second.returncode not in {0, -signal.SIGKILL}
        assert f"another u-bmc runs on {state}" in second.stderr
        assert "Traceback" not in second.stderr
        with program.client() as client:
            assert client.get("/").status_code == 200


@pytest.mark.parametrize("flag", ["--listen", "--ssh", "--ipmi"])
def test_a_taken_address_is_refused_at_once(state: Path, flag: str) -> None:
    kind = socket.SOCK_DGRAM if flag == "--ipmi" else socket.SOCK_STREAM
    with socket.socket(type=kind) as holder:
        holder.bind(("127.0.0.1", 0))
        if kind == socket.SOCK_STREAM:
            holder.listen()
        address = f"127.0.0.1:{holder.getsockname()[1]}"
        arguments = ["--state", str(state), *([] if flag == "--listen" else ["--listen", "127.0.0.1:0"]), flag, address]
        done = subprocess.run(
            [sys.executable, "-m", "ubmc", "run", *arguments], capture_output=True, text=True, timeout=30, check=False
        )
    assert done.returncode == 5
    assert re.search(rf"^ubmc: {address} is taken; another: ubmc run .*{flag} 127", done.stderr, re.MULTILINE)
    assert (done.stdout, "Traceback" in done.stderr) == ("", False)
    assert not (state / "machine").exists(), "nothing was started"


def test_a_machine_is_not_pulled_away_from_its_bmc(state: Path) -> None:
    command = [sys.executable, "-m", "ubmc", "machine", "end", "--state", str(state)]
    with running(state, password="some password 1") as program:
        refused = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
        assert (refused.returncode, refused.stdout) == (5, "")
        assert "the BMC runs on" in refused.stderr
        program.login()
        assert program.host()["name"] == "host.0"
        assert program.stop() == 0
        for told in ("the machine has ended\n", "there is no machine that runs\n"):
            done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
            assert (done.returncode, done.stdout, done.stderr) == (0, told, "")


def test_a_killed_operator_leaves_a_state_that_the_next_one_can_take(state: Path) -> None:
    with running(state, password="some password 1") as program:
        children = program.processes()
        program.kill()
        program.start()
        assert program.processes().keys() == children.keys()
        program.login()
        for pid in children.values():
            assert not alive(pid)


def test_two_addresses(state: Path) -> None:
    with running(state, "--listen", "127.0.0.1:0", password="some password 1") as program:
        urls = re.findall(r"^  (https://\S+)$", program.output, re.MULTILINE)
        assert len(set(urls)) == 2
        for url in urls:
            with program.client() as client:
                answer: httpx.Response = client.get(url + "/")
                assert answer.status_code == 200


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_end_is_in_order_and_soon(state: Path, number: signal.Signals) -> None:
    with running(state, password="some password 1") as program:
        children = program.processes()
        assert children.keys() == {"guardian", "nats-server", "safety", "managers", "websrv", "consolesrv"}
        assert len(list((Path("/proc") / str(program.pid) / "task").iterdir())) == 1
        began = time.monotonic()
        os.kill(program.pid, number)
        assert program.stop() == 0
        assert time.monotonic() - began < 6.0
        until(lambda: not any(alive(pid) for pid in children.values()) or None, 2)
        assert "Traceback" not in program.log.read_text()
        assert "killed" not in program.log.read_text()


def test_what_cannot_be_run_is_said_in_words(state: Path, tmp_path: Path) -> None:
    broken = tmp_path / "board.toml"
    broken.write_text("[board]\nnonsense = 1\n")
    for arguments, wanted in (
        (["--board", str(broken)], "nonsense"),
        (["--board", "no-such-board"], "no-such-board"),
        (["--listen", "nonsense"], "listen"),
        (["--admin-password-file", str(tmp_path / "missing")], "missing"),
    ):
        done = subprocess.run(
            [sys.executable, "-m", "ubmc", "run", "--state", str(state), *arguments],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert done.returncode not in {0, -signal.SIGKILL}, arguments
        assert wanted in done.stderr
        assert "Traceback" not in done.stderr
