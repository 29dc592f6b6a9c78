"""What other people's IPMI clients get, with both cipher suites; each answer is checked. For each kind of board.

REQUIRED.md beside the checkout says what they must get; `required` says which test covers which line of it.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from tests.harness.program import until
from tests.harness.terminal import Terminal
from tests.ipmi import freeipmi_rows, ipmitool_rows, pyghmi_rows
from tests.ipmi.board import Board
from tests.ipmi.clients import console
from tests.ipmi.rows import Row, check

SUITES = (17, 3)
OPERATOR, OPERATOR_SECRET, SHORT_SECRET = "night-shift", "for the night 20 byt", "sixteen bytes no"
UNSAFE = (0, 1, 2, 6, 7, 8, 11, 12)
CONSOLES = {"ipmitool": b"[SOL Session operational", "ipmiconsole": b"[SOL established]"}
AWAKE_SECONDS = 60.0
"""Clients that show the serial line, and how they begin."""
BREAK, LEAVE = b"~B", b"\r~."
"""Escape sequences. ipmitool sends a BREAK before what was typed with it in one go."""
suites = pytest.mark.parametrize("suite", SUITES)


class Matrix:
    """The tests. A module that has a fixture `board` has a class of these."""

    @suites
    @pytest.mark.parametrize("group", ipmitool_rows.GROUPS)
    def test_ipmitool(self, board: Board, group: str, suite: int) -> None:
        check(board, ipmitool_rows.GROUPS[group], suite=suite)

    @suites
    @pytest.mark.parametrize("group", freeipmi_rows.GROUPS)
    def test_freeipmi(self, board: Board, group: str, suite: int) -> None:
        check(board, freeipmi_rows.GROUPS[group], suite=suite)

    def test_pings(self, board: Board) -> None:
        if not board.login.alone:
            pytest.skip("rmcpping and ipmiping speak to port 623 only, which needs root")
        check(board, freeipmi_rows.PINGS)

    def test_pyghmi(self, board: Board) -> None:
        """It chooses the cipher suite itself."""
        check(board, pyghmi_rows.GROUPS["pyghmi"])

    def test_the_client_finds_the_cipher_suite_by_itself(self, board: Board) -> None:
        check(board, FINDS_SUITE, suite=None)

    @suites
    def test_a_user_made_over_ipmi_logs_in(self, board: Board, suite: int) -> None:
        check(board, USERS, suite=suite)

    def test_the_password_of_an_account_is_not_that_of_ipmi(self, board: Board) -> None:
        rows = (Row("ipmitool mc info", fails=True, login={"secret": str(board.program.password)[:20]}), *OTHER_SECRET)
        before = board.login.secret
        try:
            check(board, rows)
            login = {"user": "admin", "password": "the secret of IPMI x"}
            answer = board.program.request("POST", "/api/v1alpha1/sessions:login", login, token="")
            assert answer.status_code == 401
        finally:
            secret = board.do("POST", "users/admin:resetIpmiSecret", {})["secret"]
            board.login = replace(board.login, secret=secret)
        assert before != secret

    @suites
    def test_who_is_not_let_in(self, board: Board, suite: int) -> None:
        try:
            check(board, STRANGERS, suite=suite)
        finally:
            board.do("POST", "users/admin:unlock", {})

    def test_unsafe_sessions_are_refused(self, board: Board) -> None:
        try:
            check(board, REFUSED)
        finally:
            board.do("POST", "users/admin:unlock", {})

    @suites
    @pytest.mark.parametrize("client", CONSOLES)
    async def test_serial_over_lan(self, board: Board, client: str, suite: int) -> None:
        """A marker is typed and another comes back, a BREAK arrives, and it ends in both ways that there are."""
        login = replace(board.login, suite=suite)
        if client == "ipmiconsole" and not login.alone:
            pytest.skip("ipmiconsole speaks to port 623 only, which needs root")
        await asyncio.to_thread(board.awake)
        async with Terminal(*console(login, client)) as terminal:
            await terminal.see(CONSOLES[client])
            await terminal.see(b"\n")
            await self.talk(terminal)
            if suite == SUITES[0]:
                terminal.type(LEAVE)
                assert await terminal.ended() == 0
            else:
                said = await asyncio.to_thread(board.say, "ipmitool sol deactivate", suite=suite)
                assert said.code == 0, said.text
                if client == "ipmiconsole":  # ipmitool does not look at what says so
                    await terminal.ended()
        await asyncio.to_thread(check, board, AFTER_SOL, suite=suite)

    async def talk(self, terminal: Terminal) -> None:
        """Talk with the host of such a board."""
        raise NotImplementedError

    def restart(self, board: Board, how: str, suite: int) -> None:
        """A restart of the BMC leaves the host and what was set."""
        board.power("ON")
        before = board.started()
        check(board, RESTART[how], suite=suite)
        until(lambda: board.started() not in ("", before), AWAKE_SECONDS, "the BMC has started anew")
        until(lambda: board.say("ipmitool mc info").code == 0, AWAKE_SECONDS, "IPMI answers again")
        check(board, AFTER_RESTART, suite=suite)


# --- rows -------------------------------------------------------------------------------------------------------------


def as_operator(secret: str = OPERATOR_SECRET, **more: object) -> dict[str, object]:
    """Log in as the user whom the rows make."""
    return {"user": OPERATOR, "secret": secret, "level": "OPERATOR", **more}


def account(board: Board) -> dict[str, Any]:
    """That user, seen by the other door."""
    return dict(board.rest(f"users/{OPERATOR}")["user"])


def gone(board: Board) -> bool:
    """Whether there is no such user any more."""
    return all(user["name"] != OPERATOR for user in board.rest("users")["users"])


STATUS = "ipmitool chassis power status"
FINDS_SUITE = (Row("ipmitool mc info", r"IPMI Version"), Row("ipmipower --stat", r": (on|off)$"))
USERS = (
    Row("ipmitool user list 1", r"^2\s+admin\s+.*ADMINISTRATOR"),
    Row(f"ipmitool user set name 5 {OPERATOR}", truth=lambda board: account(board)["serviceAccount"]),
    Row(f"ipmitool user set password 5 '{OPERATOR_SECRET}' 20"),
    Row(STATUS, fails=True, login=as_operator()),
    Row("ipmitool channel setaccess 1 5 link=on ipmi=on callin=on privilege=3", r"successful"),
    Row("ipmitool user enable 5"),
    Row("ipmitool user list 1", rf"^5\s+{OPERATOR}\s+.*OPERATOR"),
    Row(
        "ipmitool user summary 1",
        r"^Enabled User Count\s+: 2$",
        truth=lambda board: account(board)["role"] == "Operator",
    ),
    Row(STATUS, r"Chassis Power is", login=as_operator()),
    Row("ipmitool chassis identify 1", login=as_operator()),
    Row("ipmitool user set name 6 nobody", r"[Ii]nsufficient", fails=True, login=as_operator()),
    Row("ipmitool mc info", fails=True, login=as_operator(level="ADMINISTRATOR")),
    Row(f"ipmitool user test 5 20 '{OPERATOR_SECRET}'", r"Success"),
    Row("ipmitool user test 5 20 'another secret'", r"incorrect", fails=True),
    Row(f"ipmitool user test 5 16 '{SHORT_SECRET}'", r"wrong password size|incorrect", fails=True),
    Row(f"ipmitool user set password 5 '{SHORT_SECRET}' 16", r"successful"),
    Row(f"ipmitool user test 5 16 '{SHORT_SECRET}'", r"Success"),
    Row(STATUS, fails=True, login=as_operator()),
    Row(STATUS, r"Chassis Power is", login=as_operator(SHORT_SECRET)),
    Row("ipmitool user priv 5 2 1", truth=lambda board: account(board)["role"] == "ReadOnly"),
    Row(STATUS, fails=True, login=as_operator(SHORT_SECRET)),
    Row(STATUS, r"Chassis Power is", login=as_operator(SHORT_SECRET, level="USER")),
    Row("ipmitool user disable 5"),
    Row(STATUS, fails=True, login=as_operator(SHORT_SECRET, level="USER")),
    Row("ipmitool user set name 5 ''", truth=gone),
)
OTHER_SECRET = (
    Row("ipmitool user set password 2 'the secret of IPMI x' 20", r"successful"),
    Row("ipmitool mc info", r"IPMI Version", login={"secret": "the secret of IPMI x"}),
)
STRANGERS = (
    Row("ipmitool mc info", r"RAKP|[Uu]nable to establish", fails=True, login={"secret": "not the secret"}),
    Row("ipmitool mc info", r"RAKP|[Uu]nable to establish", fails=True, login={"user": "nobody"}),
    Row("ipmitool mc info", r"IPMI Version"),
)
REFUSED = (
    Row("ipmitool mc info", fails=True, login={"interface": "lan", "suite": None}),
    *(
        Row(
            "ipmitool mc info",
            r"[Ee]rror in open session response|no matching cipher|invalid|[Uu]nable",
            fails=True,
            login={"suite": suite},
        )
        for suite in UNSAFE
    ),
    Row("ipmitool mc info", r"IPMI Version"),
)
AFTER_SOL = (Row("ipmitool sol deactivate", r"already de-activated", fails=True),)
RESTART = {
    how: (Row("ipmitool raw 0 8 3 9"), Row(f"ipmitool mc reset {how}", rf"Sent {how} reset command to MC"))
    for how in ("warm", "cold")
}
AFTER_RESTART = (
    # ipmisrv answers before the services behind it do; until then it says that it is busy
    Row("ipmitool chassis power status", r"Chassis Power is on", patience=AWAKE_SECONDS),
    Row("ipmitool raw 0 9 3 0 0", r"^ 01 03 09$", patience=AWAKE_SECONDS),
    Row("ipmitool user list 1", r"^2\s+admin", patience=AWAKE_SECONDS),
)
