"""Changes an account for ever, so that a test can kill it: each change sets password, role and history together."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import replace
from pathlib import Path

from ubmc.kit.database import Database
from ubmc.services.usermgr import credential_rules, rules, tokens
from ubmc.services.usermgr.accounts import Account
from ubmc.services.usermgr.roles import OPERATOR, READ_ONLY
from ubmc.services.usermgr.sessions import SessionOptions
from ubmc.services.usermgr.store import Change, State, Store

NAME = "olga"


def numbered(state: State, number: int) -> Change:
    """The account in its version of this number: every part says which one it is."""
    account = replace(
        state.accounts[NAME],
        password=f"hash-{number}",
        role=OPERATOR if number % 2 else READ_ONLY,
        password_set=float(number),
        history=(f"hash-{number - 1}",),
    )
    token, _ = tokens.make(NAME, f"token-{number}", (), 0.0, 1e12)
    return Change(account=account, token=token, revoked=tuple(state.tokens))


async def main(path: Path) -> None:
    database = Database(path)
    database.open()
    store = Store(database, SessionOptions())
    await store.load()
    if NAME not in store.state.accounts:
        made = Account(NAME, READ_ONLY, True, False, False, "hash-0", 0.0, 0.0, history=("hash--1",))
        await store.change(lambda state: rules.create(state, made))
        first, _ = tokens.make(NAME, "token-0", (), 0.0, 1e12)
        await store.change(lambda state: credential_rules.make_token(state, first))
    number = int(store.state.accounts[NAME].password_set)
    while True:
        number += 1
        await store.change(lambda state: numbered(state, number))  # noqa: B023  it is called before the next turn
        print(number, flush=True)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
