"""What other people's IPMI clients get from a simulated board, with both cipher suites; each answer is checked."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.program import until
from tests.ipmi import freeipmi_rows, ipmitool_rows, pyghmi_rows
from tests.ipmi.board import Board, running
from tests.ipmi.clients import need_clients
from tests.ipmi.rows import Row, check

SUITES = (17, 3)
PUBLIC_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIM7/vmAjH9DfjqfipAIHAKovXqScjAd/+ien80s6Egjm olga@desk"
OPERATOR, OPERATOR_SECRET = "night-shift", "for the night 20 byt"


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Board]:
    need_clients()
    folder = Path(tmp_path_factory.mktemp("ipmi"))
    with running(folder) as found:
        yield found


@pytest.mark.parametrize("suite", SUITES)
@pytest.mark.parametrize("group", ipmitool_rows.GROUPS)
def test_ipmitool(board: Board, group: str, suite: int) -> None:
    check(board, ipmitool_rows.GROUPS[group], suite=suite)


@pytest.mark.parametrize("suite", SUITES)
@pytest.mark.parametrize("group", freeipmi_rows.GROUPS)
def test_freeipmi(board: Board, group: str, suite: int) -> None:
    check(board, freeipmi_rows.GROUPS[group], suite=suite)


def test_pyghmi(board: Board) -> None:
    check(board, pyghmi_rows.GROUPS["pyghmi"])


def test_the_client_finds_the_cipher_suite_by_itself(board: Board) -> None:
    rows = (Row("ipmitool mc info", r"IPMI Version"), Row("ipmipower --stat", r": (on|off)$"))
    check(board, rows, suite=None)


# --- users ------------------------------------------------------------------------------------------------------------


def as_operator(secret: str = OPERATOR_SECRET) -> dict[str, object]:
    return {"user": OPERATOR, "secret": secret, "level": "OPERATOR"}


def account(board: Board) -> dict[str, object]:
    return dict(board.rest(f"users/{OPERATOR}")["user"])


@pytest.mark.parametrize("suite", SUITES)
def test_a_user_made_over_ipmi_logs_in(board: Board, suite: int) -> None:
    short = "sixteen bytes no"
    rows = (
        Row("ipmitool user list 1", r"^2\s+admin\s+.*ADMINISTRATOR"),
        Row(f"ipmitool user set name 5 {OPERATOR}", truth=lambda board: account(board)["serviceAccount"]),
        Row(f"ipmitool user set password 5 '{OPERATOR_SECRET}' 20"),
        Row("ipmitool chassis power status", fails=True, login=as_operator()),
        Row("ipmitool channel setaccess 1 5 link=on ipmi=on callin=on privilege=3", r"successful"),
        Row("ipmitool user enable 5"),
        Row("ipmitool user list 1", rf"^5\s+{OPERATOR}\s+.*OPERATOR"),
        Row(
            "ipmitool user summary 1",
            r"^Enabled User Count\s+: 2$",
            truth=lambda board: account(board)["role"] == "Operator",
        ),
        Row("ipmitool chassis power status", r"Chassis Power is", login=as_operator()),
        Row("ipmitool chassis identify 1", login=as_operator()),
        Row("ipmitool user set name 6 nobody", r"[Ii]nsufficient", fails=True, login=as_operator()),
        Row("ipmitool mc info", fails=True, login=as_operator() | {"level": "ADMINISTRATOR"}),
        Row(f"ipmitool user test 5 20 '{OPERATOR_SECRET}'", r"Success"),
        Row("ipmitool user test 5 20 'another secret'", r"incorrect", fails=True),
        Row(f"ipmitool user test 5 16 '{short}'", r"wrong password size|incorrect", fails=True),
        Row(f"ipmitool user set password 5 '{short}' 16", r"successful"),
        Row("ipmitool chassis power status", fails=True, login=as_operator()),
        Row("ipmitool chassis power status", r"Chassis Power is", login=as_operator(short)),
        Row("ipmitool user priv 5 2 1", truth=lambda board: account(board)["role"] == "ReadOnly"),
        Row("ipmitool chassis power status", fails=True, login=as_operator(short)),
        Row("ipmitool chassis power status", r"Chassis Power is", login=as_operator(short) | {"level": "USER"}),
        Row("ipmitool user disable 5"),
        Row("ipmitool chassis power status", fails=True, login=as_operator(short) | {"level": "USER"}),
        Row("ipmitool user set name 5 ''", truth=lambda board: not any_user(board, OPERATOR)),
    )
    check(board, rows, suite=suite)


def any_user(board: Board, name: str) -> bool:
    return any(user["name"] == name for user in board.rest("users")["users"])


def test_the_password_of_an_account_is_not_that_of_ipmi(board: Board) -> None:
    password = str(board.program.password)
    rows = (
        Row("ipmitool mc info", fails=True, login={"secret": password[:20]}),
        Row("ipmitool user set password 2 'the secret of IPMI x' 20", r"successful"),
        Row("ipmitool mc info", r"IPMI Version", login={"secret": "the secret of IPMI x"}),
    )
    before = board.login.secret
    try:
        check(board, rows)
        board.program.login()
        answer = board.program.request(
            "POST", "/api/v1alpha1/sessions:login", {"user": "admin", "password": "the secret of IPMI x"}, token=""
        )
        assert answer.status_code == 401
    finally:
        secret = board.do("POST", "users/admin:resetIpmiSecret", {})["secret"]
        board.login = type(board.login)(board.login.port, "admin", secret, board.login.folder)
    assert before != secret


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
    assert "no SSH keys" in ubmc(board, "user", "ssh-key", "list")
    assert "SHA256:" in ubmc(board, "user", "ssh-key", "add", "-", typed=PUBLIC_KEY)
    listed = ubmc(board, "user", "ssh-key", "list", "--user", "admin")
    assert "ssh-ed25519" in listed
    ubmc(board, "user", "ssh-key", "delete", listed.split()[0])
    assert board.rest("users/admin/ssh-keys")["keys"] == []


# --- what is refused --------------------------------------------------------------------------------------------------


def test_who_is_not_let_in(board: Board) -> None:
    rows = (
        Row("ipmitool mc info", r"RAKP|[Uu]nable to establish", fails=True, login={"secret": "not the secret"}),
        Row("ipmitool mc info", r"RAKP|[Uu]nable to establish", fails=True, login={"user": "nobody"}),
        Row("ipmitool mc info", fails=True, login={"interface": "lan", "suite": None}),
        *(
            Row(
                "ipmitool mc info",
                r"[Ee]rror in open session response|no matching cipher|invalid|[Uu]nable",
                fails=True,
                login={"suite": each},
            )
            for each in (0, 1, 2, 6, 7, 8, 11, 12)
        ),
        Row("ipmitool mc info", r"IPMI Version"),
    )
    try:
        check(board, rows)
    finally:
        board.do("POST", "users/admin:unlock", {})


# --- restarts ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["warm", "cold"])
def test_a_restart_of_the_bmc_leaves_the_host_and_what_was_set(board: Board, how: str) -> None:
    board.power("ON")
    rows = (
        Row("ipmitool raw 0 8 3 9"),
        Row(f"ipmitool mc reset {how}", rf"Sent {how} reset command to MC"),
    )
    check(board, rows)
    after = (
        Row("ipmitool chassis power status", r"Chassis Power is on"),
        Row("ipmitool raw 0 9 3 0 0", r"^ 01 03 09$"),
        Row("ipmitool user list 1", r"^2\s+admin"),
    )
    until(lambda: board.say("ipmitool mc info").code == 0, 60.0, "IPMI answers again")
    check(board, after)
