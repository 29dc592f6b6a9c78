"""`ubmc run` before it runs: where the state is, what to type, and what a person is told."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from ubmc.cli.exits import explain
from ubmc.cli.main import cli
from ubmc.cli.run import Banner, _again, own_name, state_directory
from ubmc.compose.lock import locked
from ubmc.kit.errors import Invalid, Violation


def test_the_state_is_where_it_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", "not/absolute")
    assert state_directory(None) == tmp_path / ".local" / "state" / "ubmc"
    monkeypatch.setenv("XDG_STATE_HOME", "/var/tmp/x")
    assert state_directory(None) == Path("/var/tmp/x/ubmc")
    monkeypatch.setenv("STATE_DIRECTORY", "/var/lib/ubmc:/other")
    assert state_directory(None) == Path("/var/lib/ubmc")
    assert state_directory(tmp_path) == tmp_path


def test_people_are_told_a_name_that_their_shell_finds(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = tmp_path / "ubmc"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "argv", [str(program), "run"])
    monkeypatch.setenv("PATH", "/nonexistent")
    assert own_name() == str(program)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert own_name() == "ubmc"
    monkeypatch.setattr(sys, "argv", ["/x/__main__.py", "run"])
    assert own_name() == "ubmc"


@pytest.mark.parametrize(("end", "told"), [(None, "and its machine"), ("ubmc machine end --board q", "--board q")])
def test_the_banner_says_how_it_ends(end: str | None, told: str, capsys: pytest.CaptureFixture[str]) -> None:
    Banner("it", end, Path("/nonexistent")).show()
    assert told in capsys.readouterr().out


def test_the_banner_shows_the_host_key_below_its_door(capsys: pytest.CaptureFixture[str]) -> None:
    banner = Banner("it", None, Path("/nonexistent"))
    banner.said("ssh", {"host": "127.0.0.1", "port": 2222, "fingerprint": "SHA256:abc"})
    banner.said("ipmi", {"host": "127.0.0.1", "port": 6230})
    banner.show()
    shown = capsys.readouterr().out
    assert "  SSH       127.0.0.1 port 2222\n  host key  SHA256:abc\n\n  IPMI      127.0.0.1 port 6230\n\n" in shown


@pytest.mark.parametrize(
    ("started", "level", "told"),
    [
        ("ubmc run", "1", "make run ARGS='--listen 127.0.0.1:8444'"),
        ("ubmc run", "", "ubmc run --listen 127.0.0.1:8444"),
        ("__main__.py run --board q", "1", "ubmc run --board q --listen 127.0.0.1:8444"),
        (
            "ubmc run --listen 127.0.0.1:8443 --ssh 127.0.0.1:84",
            "",
            "ubmc run --listen 127.0.0.1:8444 --ssh 127.0.0.1:84",
        ),
        ("ubmc run --listen=127.0.0.1:8443", "1", "make run ARGS=--listen=127.0.0.1:8444"),
    ],
)
def test_what_to_type_instead(started: str, level: str, told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", started.split())
    monkeypatch.delenv("MAKELEVEL", raising=False)
    if level:
        monkeypatch.setenv("MAKELEVEL", level)
    monkeypatch.setattr("ubmc.cli.run.own_name", lambda: "ubmc")
    assert _again("--listen", "127.0.0.1:8443", "127.0.0.1:8444") == told


def test_a_machine_is_ended_only_when_its_bmc_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ubmc.compose.lock.LOCK_SECONDS", 0.1)
    end = ["machine", "end", "--state", str(tmp_path / "state")]
    result = CliRunner().invoke(cli, end)
    assert (result.exit_code, result.stdout) == (0, "there is no machine that runs\n")
    assert not (tmp_path / "state").exists(), "looking makes nothing"
    with locked(tmp_path / "state"):
        result = CliRunner().invoke(cli, end)
        assert (result.exit_code, result.stdout) == (5, "")
        assert "the BMC runs on" in result.stderr
        assert "end it first" in result.stderr
        assert CliRunner().invoke(cli, [*end, "--force"]).exit_code == 0
    assert CliRunner().invoke(cli, end).exit_code == 0


def test_a_second_one_is_refused_before_anything_is_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ubmc.compose.lock.LOCK_SECONDS", 0.1)
    with locked(tmp_path):
        result = CliRunner().invoke(cli, ["run", "--state", str(tmp_path), "--board", "no-such-board"])
    assert result.exit_code == 5
    assert f"another u-bmc runs on {tmp_path}" in result.stderr


def test_the_file_of_the_first_password_goes_when_that_is_changed_but_not_the_owners(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "first-password"
    ours, theirs = Banner("it", None, tmp_path), Banner("it", None, tmp_path, tmp_path / "x" / ".." / file.name)
    (tmp_path / "x").mkdir()
    ours.said("first-password", {"user": "admin", "password": "not that secret"})
    ours.show()
    assert "not that secret" not in capsys.readouterr().out
    assert file.read_text() == "not that secret\n"
    theirs.said("first-password-changed", {})
    assert file.exists()
    for _ in range(2):
        ours.said("first-password-changed", {})
        assert not file.exists()


def test_a_state_directory_that_cannot_be_made_is_one_line() -> None:
    result = CliRunner().invoke(cli, ["run", "--state", "/proc/x"])
    assert result.exit_code == 6
    assert result.stderr.startswith("ubmc: cannot make the state directory /proc/x: ")
    assert result.stderr.count("\n") == 1


def test_each_mistake_stands_on_a_line() -> None:
    result = CliRunner().invoke(cli, ["run", "--listen", "nonsense"])
    assert result.exit_code == 2
    assert "\n  listen[0]: " in result.stderr
    assert "\ufffd" not in result.stderr


def test_a_violation_is_said_once() -> None:
    assert explain(Invalid("f: short", violations=[Violation("f", "r", "f: short")])) == "f: short"
