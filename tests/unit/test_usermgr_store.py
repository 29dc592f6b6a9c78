"""The store: memory follows the database, never the other way round."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from ubmc.kit.database import Database
from ubmc.kit.errors import Refused, Unavailable
from ubmc.services.usermgr import rules
from ubmc.services.usermgr.accounts import Account
from ubmc.services.usermgr.sessions import Moment, SessionOptions, open_session
from ubmc.services.usermgr.ssh_keys import SshKey
from ubmc.services.usermgr.store import MIGRATIONS, OWNER, Change, State, Store

OPTIONS = SessionOptions()
OLGA = Account("olga", "ReadOnly", True, False, False, "hash", 1.0, 1.0)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    made = Database(tmp_path / "precious.db")
    made.open()
    yield made
    made.close()


async def loaded(database: Database) -> Store:
    store = Store(database, OPTIONS)
    await store.load()
    return store


async def test_what_was_changed_is_there_after_a_restart(database: Database) -> None:
    store = await loaded(database)
    await store.change(lambda state: rules.create(state, OLGA))
    session, token = open_session("olga", "192.0.2.1", Moment.now(), OPTIONS)
    await store.change(lambda state: rules.login(state, OLGA, session, OPTIONS))
    again = (await loaded(database)).state
    assert again.accounts == {"olga": OLGA}
    found = again.sessions.find(token)
    assert found is not None
    assert (found.id, found.user) == (session.id, "olga")
    assert found.expires == pytest.approx(session.expires, abs=1)


async def test_secrets_of_earlier_versions_get_user_ids_in_the_order_of_the_names(database: Database) -> None:
    names = [f"user{number:02}" for number in range(17)]
    await database.migrate(OWNER, MIGRATIONS[:2])

    def earlier(connection: sqlite3.Connection) -> None:
        for name in reversed(names):
            columns = "name, role, enabled, must_change, unclaimed, password, created, password_set, ipmi"
            secret = b"" if name == "user03" else b"sealed"
            values = (name, "ReadOnly", 1, 0, 0, "hash", 1.0, 1.0, secret)
            connection.execute(f"INSERT INTO usermgr_users ({columns}) VALUES ({', '.join('?' * 9)})", values)

    await database.run(earlier)
    accounts = (await loaded(database)).state.accounts
    ids = [accounts[name].ipmi_id for name in names]
    assert ids == [2, 3, 4, 0, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 0, 0]


async def test_ssh_keys_go_with_their_account(database: Database) -> None:
    store = await loaded(database)
    await store.change(lambda state: rules.create(state, OLGA))
    key = SshKey("0123", "olga", "ssh-ed25519", b"key", "olga@desk", 1.0)
    await store.change(lambda _state: Change(added_key=key))
    assert (await loaded(database)).state.ssh_keys == {"olga": (key,)}
    await store.change(lambda _state: Change(removed=OLGA))
    assert store.state.ssh_keys == {}
    assert (await loaded(database)).state.ssh_keys == {}


async def test_refusal_changes_nothing(database: Database) -> None:
    store = await loaded(database)

    def refuse(_state: State) -> Change:
        raise Refused("not now")

    with pytest.raises(Refused):
        await store.change(refuse)
    assert store.state.accounts == {}


async def test_memory_does_not_change_when_the_database_refuses(database: Database) -> None:
    store = await loaded(database)
    database.close()
    with pytest.raises(Unavailable):
        await store.change(lambda state: rules.create(state, OLGA))
    assert store.state.accounts == {}


async def test_changes_see_each_other(database: Database) -> None:
    store = await loaded(database)
    outcomes = await asyncio.gather(
        *(store.change(lambda state: rules.create(state, OLGA)) for _ in range(5)), return_exceptions=True
    )
    assert sum(isinstance(outcome, Change) for outcome in outcomes) == 1


async def test_uses_are_written_at_most_once_a_minute(database: Database) -> None:
    store = await loaded(database)
    await store.change(lambda state: rules.create(state, OLGA))
    session, _token = open_session("olga", "", Moment.now(), OPTIONS)
    await store.change(lambda state: rules.login(state, OLGA, session, OPTIONS))
    assert store.write_due() is None
    began = Moment.now().monotonic
    assert store.use(session, began)
    assert not store.use(session, began + 1)
    due = store.write_due()
    assert due is not None
    assert began < due <= began + OPTIONS.write_seconds
    await store.write_times()
    assert store.write_due() is None
    store.use(session, began + 2)
    due = store.write_due()
    assert due is not None
    assert due >= began + OPTIONS.write_seconds


async def test_uses_that_could_not_be_written_are_due_later(database: Database) -> None:
    store = await loaded(database)
    database.close()
    with pytest.raises(Unavailable):
        await store.write_times()
    due = store.write_due()
    assert due is not None
    assert due > Moment.now().monotonic + OPTIONS.write_seconds / 2
