"""Commands about accounts: recovery on the device, values of policies, roles and tokens."""

from __future__ import annotations

import fcntl
import json
import os
import threading
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from ubmc.cli import policy
from ubmc.cli.main import cli
from ubmc.kit.errors import Invalid
from ubmc.services.usermgr import recovery
from ubmc.v1alpha1.account_pb import AccountPolicy, Ldap


def run(*args: str, stdin: str = "") -> Result:
    return CliRunner().invoke(cli, list(args), input=stdin)


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in [name for name in os.environ if name.startswith("UBMC_")]:
        monkeypatch.delenv(name)
    (tmp_path / "managers").mkdir()
    (tmp_path / "managers" / "precious.db").touch()
    return tmp_path


def test_recovery_leaves_a_hash_for_the_next_start(state: Path) -> None:
    result = run("user", "recover", "--state", str(state), "--password-stdin", stdin="found on the device\n")
    assert result.exit_code == 0, result.output
    assert "when it starts" in result.stdout
    request = recovery.take(state / "managers")
    assert request is not None
    assert (request.name, request.remove_second_factor) == ("admin", False)
    assert request.password.startswith("$argon2id$")
    assert "found on the device" not in request.password


@pytest.mark.parametrize("problem", ["", "there is no account olga"])
def test_recovery_waits_for_a_bmc_that_runs(state: Path, problem: str) -> None:
    descriptor = os.open(state / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    ended = threading.Event()

    def answer() -> None:
        while not ended.wait(0.02):
            request = recovery.take(state / "managers")
            if request is not None:
                assert request.remove_second_factor
                recovery.answer(state / "managers", request, problem)

    bmc = threading.Thread(target=answer)
    bmc.start()
    try:
        password = state / "password"
        password.write_text("found on the device\n")
        args = ["--state", str(state), "--password-file", str(password), "--remove-second-factor"]
        result = run("user", "recover", "olga", *args)
    finally:
        ended.set()
        bmc.join(10)
        os.close(descriptor)
    if problem:
        assert result.exit_code != 0
        assert problem in result.stderr
    else:
        assert result.exit_code == 0, result.output
        assert "olga is changed" in result.stdout


@pytest.mark.parametrize("password", ["short", "password1", ""])
def test_recovery_keeps_the_rules_for_passwords(state: Path, password: str) -> None:
    result = run("user", "recover", "--state", str(state), "--password-stdin", stdin=f"{password}\n")
    assert result.exit_code != 0
    assert recovery.take(state / "managers") is None


def test_recovery_where_no_bmc_is(tmp_path: Path) -> None:
    result = run(
        "user", "recover", "--state", str(tmp_path / "none"), "--password-stdin", stdin="found on the device\n"
    )
    assert result.exit_code != 0
    assert "--state" in result.stderr


def test_values_of_a_policy() -> None:
    values = ("min-password-length=12", "deny_common_passwords=false", 'second_factor_roles=["Administrator"]')
    wanted, mask = policy.parsed(AccountPolicy, values)
    assert list(mask.paths) == ["min_password_length", "deny_common_passwords", "second_factor_roles"]
    assert json.loads(wanted.to_json()) == {"minPasswordLength": 12, "secondFactorRoles": ["Administrator"]}
    settings = ("security=LDAP_SECURITY_STARTTLS", "user_dn_template=uid={user},ou=people", "enabled=true")
    directory, _ = policy.parsed(Ldap, settings)
    assert (directory.user_dn_template, directory.enabled) == ("uid={user},ou=people", True)


@pytest.mark.parametrize("value", ["nonsense=1", "min_password_length", "min_password_length=many", "enabled=perhaps"])
def test_values_that_cannot_be(value: str) -> None:
    with pytest.raises(Invalid):
        policy.parsed(AccountPolicy if "password" in value else Ldap, (value,))


def test_the_password_of_the_directory_is_no_argument() -> None:
    result = run("ldap", "set", "bind_password=secret")
    assert result.exit_code == 2
    assert "--bind-password-stdin" in result.stderr


def test_privileges_are_named_as_redfish_does() -> None:
    result = run("role", "add", "Auditor", "ConfigureEverything")
    assert result.exit_code == 2
    assert "ConfigureManager" in result.stderr
