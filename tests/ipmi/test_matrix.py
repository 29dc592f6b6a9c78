"""What other people's IPMI clients get from a simulated board."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.terminal import Terminal
from tests.ipmi.board import Board, running
from tests.ipmi.clients import need_clients
from tests.ipmi.matrix import BREAK, Matrix
from tests.ipmi.rows import Row, check

PUBLIC_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIM7/vmAjH9DfjqfipAIHAKovXqScjAd/+ien80s6Egjm olga@desk"


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Board]:
    need_clients()
    folder = Path(tmp_path_factory.mktemp("ipmi"))
    with running(folder) as found:
        yield found


class TestSimulatedBoard(Matrix):
    """All of it."""

    async def talk(self, terminal: Terminal) -> None:
        """With the shell of the simulated host, which may still be booting."""
        terminal.type(b"\r")
        for prompt, answer in ((b"login: ", b"root\r"), (b"Password: ", b"x\r"), (b"# ", b"echo a marker\r")):
            await terminal.see(prompt, 60)
            terminal.type(answer)
        await terminal.see(b"echo a marker\r\na marker\r\n")  # the host's echo, and what the host made of it
        terminal.type(b"raw\r")
        await terminal.see(b"raw\r\n")
        terminal.type(b"12345\r")
        await terminal.see(b"12345\r")
        terminal.type(BREAK)
        await terminal.see(b"ended by BREAK after 6 bytes")
        await terminal.see(b"# ")
        terminal.type(b"exit\r")
        await terminal.see(b"login: ")

    @pytest.mark.parametrize(("how", "suite"), [("warm", 17), ("cold", 3)])
    def test_restart(self, board: Board, how: str, suite: int) -> None:
        self.restart(board, how, suite)


# --- the command line -------------------------------------------------------------------------------------------------


def ubmc(board: Board, *arguments: str, typed: str = "") -> str:
    program = board.program
    program.login()
    known = {"UBMC_URL": program.url, "UBMC_TOKEN": program.token, "HOME": str(board.folder)}
    done = subprocess.run(
        [sys.executable, "-m", "ubmc", "--fingerprint", program.fingerprint, *arguments],
        input=typed,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env=os.environ | known,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_command_line_limits_what_an_account_may_over_ipmi(board: Board) -> None:
    ubmc(board, "user", "ipmi", "admin", "operator")
    shown = ubmc(board, "user", "show", "admin")
    assert "IPMI user id" in shown
    check(board, (Row("ipmitool mc info", fails=True), Row("ipmitool mc info", login={"level": "OPERATOR"})))
    ubmc(board, "user", "ipmi", "admin", "disable")
    check(board, (Row("ipmitool mc info", fails=True, login={"level": "USER"}),))
    ubmc(board, "user", "ipmi", "admin", "enable")
    ubmc(board, "user", "ipmi", "admin", "role")
    board.do("POST", "users/admin:unlock", {})
    check(board, (Row("ipmitool mc info", r"IPMI Version"),))


def test_the_command_line_knows_ssh_keys(board: Board) -> None:
    assert len(ubmc(board, "user", "ssh-key", "list").splitlines()) == 1
    assert "SHA256:" in ubmc(board, "user", "ssh-key", "add", "-", typed=PUBLIC_KEY)
    titles, key = ubmc(board, "user", "ssh-key", "list", "--user", "admin").splitlines()
    assert titles.split() == ["ID", "KIND", "FINGERPRINT", "ADDED", "COMMENT"]
    assert "ssh-ed25519" in key
    ubmc(board, "user", "ssh-key", "delete", key.split()[0])
    assert board.rest("users/admin/ssh-keys")["keys"] == []
