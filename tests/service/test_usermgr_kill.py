"""kill -9 in the middle of account changes leaves the old or the new one, never neither and never a mixture."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from tests.service.usermgr_child import NAME

from ubmc.kit.database import Database
from ubmc.services.usermgr.roles import OPERATOR, READ_ONLY
from ubmc.services.usermgr.sessions import SessionOptions
from ubmc.services.usermgr.store import Store

KILLS = 8


async def killed(path: Path, after: int, delay: float) -> int:
    """Run the child, kill it some changes later at an odd moment; gives the last change that it saw on disk."""
    child = Path(__file__).with_name("usermgr_child.py")
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(child), str(path), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    last = 0
    async with asyncio.timeout(60):
        for _ in range(after):
            last = int(await process.stdout.readline())
        await asyncio.sleep(delay)
        process.kill()
        rest = await process.stdout.read()
        await process.wait()
    lines = rest.decode().splitlines(keepends=True)
    whole = [int(line) for line in lines if line.endswith("\n")]
    return whole[-1] if whole else last


async def test_a_kill_leaves_the_old_or_the_new(tmp_path: Path) -> None:
    path = tmp_path / "precious.db"
    for turn in range(KILLS):
        said = await killed(path, 2 + turn, turn * 0.0007)
        database = Database(path)
        database.open()
        try:
            assert database.set_aside is None
            store = Store(database, SessionOptions())
            await store.load()
        finally:
            database.close()
        account = store.state.accounts[NAME]
        number = int(account.password_set)
        assert number in (said, said + 1)
        assert account.password == f"hash-{number}"
        assert account.history == (f"hash-{number - 1}",)
        assert account.role == (OPERATOR if number % 2 else READ_ONLY)
        assert [token.name for token in store.state.tokens] == [f"token-{number}"]
