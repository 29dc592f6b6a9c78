"""How long sessions live, across restarts and steps of the time of day; pages; what is stored."""

from __future__ import annotations

import base64
import hashlib
import sqlite3
from collections.abc import Iterator

import pytest

from ubmc.kit.errors import Invalid
from ubmc.services.usermgr import accounts, sessions, shapes
from ubmc.services.usermgr.accounts import Account
from ubmc.services.usermgr.policy import AccountPolicy
from ubmc.services.usermgr.sessions import Moment, Session, SessionOptions, SessionTable, open_session
from ubmc.services.usermgr.store import MIGRATIONS

OPTIONS = SessionOptions(idle_seconds=1800, absolute_seconds=43200)
OLGA = Account("olga", "ReadOnly", True, False, False, "hash", 1.0, 1.0)


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    made = sqlite3.connect(":memory:")
    made.execute("PRAGMA foreign_keys=ON")
    made.executescript(";".join(MIGRATIONS))
    accounts.write(made, OLGA)
    yield made
    made.close()


def stored(connection: sqlite3.Connection, now: Moment) -> Session:
    session, _token = open_session("olga", "192.0.2.1", now, OPTIONS)
    sessions.write(connection, session, now)
    return session


def test_token_is_random_and_only_its_hash_is_kept(connection: sqlite3.Connection) -> None:
    now = Moment(0.0, 1e9)
    session, token = open_session("olga", "", now, OPTIONS)
    assert len(base64.urlsafe_b64decode(token + "=")) == 32
    assert session.token_hash == hashlib.sha256(token.encode()).digest()
    assert open_session("olga", "", now, OPTIONS)[1] != token
    sessions.write(connection, session, now)
    dump = "\n".join(connection.iterdump())
    assert token not in dump
    assert session.token_hash.hex() in dump.lower()
    table = SessionTable()
    table.add(session)
    assert table.find(token) is session
    assert table.find(token + "x") is None
    table.discard(session)
    assert table.find(token) is None


def test_limits() -> None:
    session, _ = open_session("olga", "", Moment(100.0, 1e9), OPTIONS)
    assert session.ending(1899.9, OPTIONS) == ""
    assert session.ending(1900.0, OPTIONS) == "idle"
    session.used = 43_000.0
    assert session.ending(43_299.9, OPTIONS) == ""
    assert session.ending(43_300.0, OPTIONS) == "expired"
    assert session.ends(OPTIONS) == 43_300.0


@pytest.mark.parametrize(
    ("away", "idle_left", "left"),
    [
        (600.0, 1200.0, 42_600.0),  # an ordinary restart
        (50_000.0, -48_200.0, -6_800.0),  # too long
        (-5e8, 1800.0, 43_200.0),  # the time of day went back: as if no time had passed
    ],
)
def test_restart(connection: sqlite3.Connection, away: float, idle_left: float, left: float) -> None:
    before = stored(connection, Moment(9000.0, 1e9))
    (after,) = sessions.read(connection, Moment(7.0, 1e9 + away), OPTIONS)
    assert (after.id, after.token_hash, after.user, after.source) == (
        before.id,
        before.token_hash,
        "olga",
        "192.0.2.1",
    )
    assert after.used + OPTIONS.idle_seconds - 7.0 == pytest.approx(idle_left)
    assert after.expires - 7.0 == pytest.approx(left)


def test_step_of_the_time_of_day_is_healed_by_the_next_write(connection: sqlite3.Connection) -> None:
    session = stored(connection, Moment(100.0, 50.0))  # no battery: it is 1970
    session.used = 300.0
    assert session.ending(300.0, OPTIONS) == ""
    stepped = Moment(400.0, 1.8e9)  # the network told the time
    sessions.write_times(connection, [(stepped.to_wall(session.used), stepped.to_wall(session.expires), session.id)])
    (after,) = sessions.read(connection, Moment(10.0, 1.8e9 + 60.0), OPTIONS)
    assert 10.0 - after.used == pytest.approx(160.0)
    assert after.expires - 10.0 == pytest.approx(43_200.0 - 360.0)


def test_tighter_limits_hold_for_stored_sessions(connection: sqlite3.Connection) -> None:
    stored(connection, Moment(0.0, 1e9))
    (after,) = sessions.read(connection, Moment(0.0, 1e9), SessionOptions(idle_seconds=60, absolute_seconds=600))
    assert after.expires == pytest.approx(600.0)


def test_account_takes_its_rows_along(connection: sqlite3.Connection) -> None:
    stored(connection, Moment(0.0, 1e9))
    assert accounts.read(connection) == [OLGA]
    accounts.remove(connection, "olga")
    assert accounts.read(connection) == []
    assert sessions.read(connection, Moment(0.0, 1e9), OPTIONS) == []


def test_shape_says_minutes_and_no_secret() -> None:
    wall = 1_000_000_020.0  # a full minute
    session, token = open_session("olga", "192.0.2.1", Moment(0.0, wall + 5), OPTIONS)
    session.used = 130.0
    message = shapes.session(session, OLGA, Moment(200.0, wall + 205))
    assert message.last_used_time is not None
    assert message.last_used_time.to_seconds() == wall + 120
    assert message.expire_time is not None
    assert message.expire_time.to_seconds() == wall + 5 + 43_200
    assert token not in message.to_json()
    assert "hash" not in shapes.user(OLGA, AccountPolicy(), 0.0, ssh_keys=0).to_json()


@pytest.mark.parametrize(
    "options",
    [
        {"idle_seconds": 0.0},
        {"idle_seconds": 100.0, "absolute_seconds": 50.0},
        {"keep_seconds": 40.0},
        {"per_user": 0},
        {"per_user": 10, "in_all": 5},
    ],
)
def test_limits_that_let_nobody_in(options: dict[str, float]) -> None:
    with pytest.raises(Invalid):
        SessionOptions(**options)  # type: ignore[arg-type]
