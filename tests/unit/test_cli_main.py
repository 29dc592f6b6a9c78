"""The root command: what it imports, its exit codes, and how errors are told."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from ubmc.boards.load import targets_folder
from ubmc.cli import event as event_module
from ubmc.cli.exits import CODES, exit_code, explain
from ubmc.cli.main import COMMANDS, cli
from ubmc.client import NotTrusted
from ubmc.kit.errors import ERRORS, Invalid, Unauthenticated, Violation


@pytest.fixture
def runner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CliRunner:
    for name in [name for name in os.environ if name.startswith("UBMC_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    return CliRunner()


def test_every_error_has_an_exit_code() -> None:
    assert set(ERRORS) | {NotTrusted.name} == set(CODES)
    assert exit_code(NotTrusted("x")) == 7


def test_errors_are_one_line_with_fields_and_advice() -> None:
    error = Invalid("wrong\nrequest\x1b[2J", violations=[Violation("newPassword", "min_len", "must be longer")])
    assert explain(error) == "wrong\ufffdrequest\ufffd[2J (newPassword: must be longer)"
    assert explain(Invalid("a: b", violations=[Violation("a", "r", "b")])) == "a: b"
    assert explain(Unauthenticated("expired")) == "expired; log in with: ubmc login URL"


@pytest.mark.parametrize(
    ("args", "forbidden"),
    [
        (["--version"], {"httpx", "rich", "protobuf", "pydantic", "ubmc.client", "asyncio"}),
        (["--help"], {"httpx", "rich", "protobuf", "pydantic", "ubmc.client"}),
        (["board", "show"], {"httpx", "rich", "ubmc.client"}),
        (["run", "--help"], {"httpx", "rich", "ubmc.client"}),
    ],
)
def test_a_command_imports_only_what_it_needs(args: list[str], forbidden: set[str]) -> None:
    code = (
        "import sys\n"
        "from ubmc.cli.main import cli\n"
        f"code = cli.main({args!r}, standalone_mode=False)\n"
        f"print(code, sorted({forbidden!r} & set(sys.modules)), file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stderr == "0 []\n"
    assert done.stdout


def test_the_module_is_the_program() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "ubmc", "--version"], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.startswith("ubmc 0.")


@pytest.mark.parametrize("name", list(COMMANDS))
def test_every_command_has_help(runner: CliRunner, name: str) -> None:
    result = runner.invoke(cli, [name, "--help"])
    assert result.exit_code == 0, result.output
    assert result.output.startswith(f"Usage: ubmc {name}")
    ctx = click.Context(cli)
    command = cli.get_command(ctx, name)
    if isinstance(command, click.Group):
        for inner in command.list_commands(ctx):
            assert runner.invoke(cli, [name, inner, "--help"]).exit_code == 0


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        ([], 2, "Usage: ubmc"),
        (["nonsense"], 2, "ubmc: No such command 'nonsense'. (see: ubmc --help)"),
        (["host", "on", "a", "b"], 2, "ubmc host on --help"),
        (["host", "list"], 3, "ubmc: not logged in; run: ubmc login URL"),
        (["--url", "bmc:1", "host", "list"], 3, "not logged in at https://bmc:1; run: ubmc login https://bmc:1"),
        (["--url", "http://bmc", "host", "list"], 2, "is not https"),
        (["host", "list", "--url", "a", "--token", "t", "--fingerprint", "12"], 2, "64 hexadecimal digits"),
        (["host", "list", "--url", "a", "--token", "t", "--fingerprint", "12", "--insecure"], 2, "exclude each other"),
        (["host", "list", "--url", "a", "--token", "t", "--cacert", "/nonexistent"], 2, "does not exist"),
        (["host", "boot"], 2, "say where to boot from: pxe, disk, cd, usb, setup, http, diagnostics, safe; or --clear"),
        (["host", "boot", "pxe", "host.0", "host.1"], 2, "too many words: host.1"),
        (["host", "policy", "sometimes"], 2, "sometimes"),
        (["event", "list", "--since", "yesterday"], 2, "yesterday is no time"),
        (["login", "https://127.0.0.1:1"], 2, "--password-stdin"),
        (["logout"], 3, "no stored session"),
        (["user", "password"], 2, "--password-stdin"),
        (["board", "show", "nonsense"], 4, "there is no board and no file"),
    ],
)  # fmt: skip
def test_mistakes_are_told_in_one_line(runner: CliRunner, args: list[str], code: int, words: str) -> None:
    result = runner.invoke(cli, args)
    assert result.exit_code == code, result.output
    assert words in result.stderr
    assert result.stdout == ""
    if args:
        assert result.stderr.count("\n") == 1


def test_nobody_there_is_6(runner: CliRunner) -> None:
    result = runner.invoke(cli, ["host", "list", "--url", "https://127.0.0.1:1", "--token", "t", "--insecure"])
    assert result.exit_code == 6
    assert "warning: the certificate of https://127.0.0.1:1 is not checked" in result.stderr
    assert "cannot reach https://127.0.0.1:1" in result.stderr


def test_options_may_stand_before_and_behind(runner: CliRunner) -> None:
    for args in (["--json", "board", "show"], ["board", "--json", "show"], ["board", "show", "--json"]):
        result = runner.invoke(cli, args)
        assert json.loads(result.stdout)["boards"]


def test_boards_are_checked(runner: CliRunner, tmp_path: Path) -> None:
    good = runner.invoke(cli, ["board", "check", str(targets_folder() / "sim")])
    assert good.exit_code == 0
    assert "is good" in good.stdout
    bad = tmp_path / "bad.toml"
    bad.write_text('[board]\nname = "\x7f"\n'.replace("\x7f", "x"))
    result = runner.invoke(cli, ["board", "check", str(bad)])
    assert result.exit_code == 1
    assert "mistake" in result.stderr
    as_json = runner.invoke(cli, ["board", "check", str(bad), "--json"])
    assert as_json.exit_code == 1
    assert json.loads(as_json.stdout)["ok"] is False
    shown = runner.invoke(cli, ["board", "show", "sim", "--json"])
    assert json.loads(shown.stdout)["board"]["hosts"][0]["name"] == "host.0"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts(runner: CliRunner, shell: str) -> None:
    result = runner.invoke(cli, ["completion", shell])
    assert result.exit_code == 0
    assert "_UBMC_COMPLETE" in result.stdout


def test_completion_knows_commands_and_options() -> None:
    def complete(*words: str) -> str:
        env = os.environ | {
            "_UBMC_COMPLETE": "bash_complete",
            "COMP_WORDS": " ".join(words),
            "COMP_CWORD": str(len(words) - 1),
        }
        done = subprocess.run(
            [sys.executable, "-m", "ubmc"], env=env, capture_output=True, text=True, timeout=60, check=False
        )
        return done.stdout

    assert "plain,chassis" in complete("ubmc", "ch")
    assert "plain,force-off" in complete("ubmc", "host", "force")
    assert "plain,last-state" in complete("ubmc", "host", "policy", "l")


def test_times() -> None:
    from datetime import UTC, datetime

    now = datetime(2026, 1, 31, 12, tzinfo=UTC)
    assert event_module.parse_time("90m", now).to_datetime() == datetime(2026, 1, 31, 10, 30, tzinfo=UTC)
    assert event_module.parse_time("2026-01-31", now).to_datetime() == datetime(2026, 1, 31, tzinfo=UTC)
    moment = event_module.parse_time("2026-01-31T12:00:00+02:00", now).to_datetime()
    assert moment == datetime(2026, 1, 31, 10, tzinfo=UTC)
