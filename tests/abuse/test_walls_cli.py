"""`ubmc security` against the whole program."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography import x509
from tests.harness.authority import Authority
from tests.harness.program import KILLS_PEERS, Program, until

from ubmc.kit import walls

pytestmark = KILLS_PEERS
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    with Program(tmp_path_factory.mktemp("walls") / "state") as running:
        running.login()
        yield running


@pytest.fixture
def run(program: Program, tmp_path: Path) -> Run:
    env = {name: value for name, value in os.environ.items() if not name.startswith("UBMC_")}
    env |= {"UBMC_URL": program.url, "UBMC_TOKEN": program.token, "XDG_CONFIG_HOME": str(tmp_path)}

    def ubmc(*arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "ubmc", "security", *arguments]
        command += ["--fingerprint", program.fingerprint]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, env=env)
        assert done.returncode == code, done.stdout + done.stderr
        return done

    return ubmc


def test_the_self_test_says_a_line_for_each_control_and_fails_by_it(run: Run) -> None:
    """Pytest's folders can be passed by their owner only, so the processes have no users of their own here."""
    document = json.loads(run("selftest", "--json", code=1).stdout)
    states = {each["id"]: each["state"] for each in document["controls"]}
    lines = run("selftest", code=1).stdout.splitlines()
    shown = {line.split()[0]: line.split()[1] for line in lines if line.startswith("CSI-")}
    assert shown == {key: state.removeprefix("CONTROL_STATE_").lower() for key, state in states.items()}
    assert shown["CSI-3.8"] == "fail"
    good = ("CSI-1.2", "CSI-3.1", "CSI-3.4", "CSI-3.10", "CSI-3.11", "CSI-5.1", "CSI-5.2")
    assert {key: shown[key] for key in good} == dict.fromkeys(good, "pass")
    if walls.landlock_version():
        assert shown["CSI-3.12"] == "pass", "Landlock needs no root and no folders that others can pass"


def test_the_policy_is_set_and_seen_by_the_self_test(run: Run) -> None:
    run("policy", "set", code=2)
    shown = run("policy", "set", "--tls-1-2", "--origin", "https://a.example", "--no-basic").stdout
    assert "https://a.example" in shown
    states = {each["id"]: each["state"] for each in json.loads(run("selftest", "--json", code=1).stdout)["controls"]}
    assert (states["CSI-3.1"], states["CSI-3.5"]) == ("CONTROL_STATE_FAIL", "CONTROL_STATE_FAIL")
    run("policy", "set", "--no-tls-1-2", "--no-origins", "--basic")
    policy = json.loads(run("policy", "show", "--json").stdout)["policy"]
    assert not policy.get("tls12")
    assert not policy.get("allowedOrigins")
    assert policy["basicAuth"] is True


def test_whom_to_trust(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    file.write_bytes(Authority().pem)
    added = run("trust", "add", str(file)).stdout
    fingerprint = added.split()[-1]
    assert fingerprint in run("trust", "list").stdout
    run("trust", "add", str(file), code=5)
    run("trust", "remove", fingerprint)
    assert fingerprint not in run("trust", "list").stdout
    run("trust", "remove", fingerprint, code=4)


def test_acme_is_shown_and_set(run: Run) -> None:
    run("acme", "set", code=2)
    run("acme", "renew", code=5)
    shown = run("acme", "set", "--directory", "https://acme.example/directory", "--domain", "bmc.example").stdout
    assert "https://acme.example/directory" in shown
    assert "bmc.example" in run("acme", "show").stdout


def test_a_certificate_is_asked_for_and_replaced(run: Run, program: Program) -> None:
    pem = run("cert", "csr", "bmc.example", "--san", "192.0.2.1").stdout
    request = x509.load_pem_x509_csr(pem.encode())
    assert request.subject.rfc4514_string() == "CN=bmc.example"
    before = run("cert", "show", "--pem").stdout
    assert before.startswith("-----BEGIN CERTIFICATE-----")
    shown = json.loads(run("cert", "reset", "--json").stdout)["certificate"]["fingerprint"]
    assert shown != program.fingerprint
    program.fingerprint = shown
    pem_path = program.state / "tls" / "server.pem"
    until(lambda: pem_path.read_text() != before, why="the new one is shown to clients on this machine")
    assert run("cert", "show").stdout.count(shown) == 1


def test_the_audit_trail_is_listed_verified_and_exported(run: Run) -> None:
    def listed() -> str:
        return run("audit", "list").stdout

    until(lambda: "SecurityService.UpdateSecurityPolicy" in listed() or None, why="the trail follows")
    assert "whole" in run("audit", "verify").stdout
    rows = list(csv.DictReader(run("audit", "export").stdout.splitlines()))
    assert [int(row["id"]) for row in rows] == sorted(int(row["id"]) for row in rows)
    assert {row["user"] for row in rows} >= {"admin"}
    records = json.loads(run("audit", "export", "--format", "json").stdout)["records"]
    assert [record["hash"] for record in records[: len(rows)]] == [row["hash"] for row in rows]
