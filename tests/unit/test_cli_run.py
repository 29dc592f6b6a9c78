"""`ubmc run` before it runs: where the state is, what to type, and what a person is told."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from ubmc.cli.exits import explain
from ubmc.cli.main import cli
from ubmc.cli.run import Banner, own_name, state_directory
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
