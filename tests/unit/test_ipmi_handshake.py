"""Sessions over IPMI as they are opened: what strangers cannot find out, and limits that hold for those who hurry."""

from __future__ import annotations

import asyncio
import time

import pytest
from tests.harness.ipmi import Keys
from tests.harness.ipmi_door import SECRET, Door, Ledger

from ubmc.services.ipmisrv.limits import Limits

FLOOR_SECONDS = 0.01


async def times(door: Door, name: bytes, secret: bytes) -> tuple[float, float]:
    """How long the answers to RAKP 1 and RAKP 3 took, of several tries the shortest."""
    found = []
    for _ in range(10):
        keys = Keys(17, name, secret)
        began = time.perf_counter()
        await door.greet(keys)
        second = time.perf_counter()
        fourth = await door.answer(keys.rakp3())
        assert fourth[17] == 0x0F  # the integrity check is wrong
        found.append((second - began, time.perf_counter() - second))
    return min(each[0] for each in found), min(each[1] for each in found)


async def test_how_long_an_account_takes_to_be_found_does_not_show() -> None:
    door = Door(Limits(), Ledger(find_seconds=0.008))
    try:
        known, unknown = await times(door, b"olga", b"wrong"), await times(door, b"nobody", b"wrong")
        for took in (*known, *unknown):
            assert FLOOR_SECONDS <= took < FLOOR_SECONDS + 0.007, "it is neither left out nor added"
    finally:
        await door.close()


async def test_a_name_without_an_account_has_one_key_that_nobody_else_has() -> None:
    """Were it another one each time a second try with the same numbers would show that there is no account."""
    doors = [Door(Limits()), Door(Limits())]
    try:
        keys: list[bytes] = []
        for door, name in ((doors[0], b"nobody"), (doors[0], b"nobody"), (doors[0], b"noone"), (doors[1], b"nobody")):
            client = Keys(17, name, b"x")
            await door.greet(client)
            exchange = door.handshake._half[client.system_id].exchange
            assert exchange is not None
            keys.append(exchange.key)
        assert keys[0] == keys[1]
        assert len(set(keys)) == 3
    finally:
        for door in doors:
            await door.close()


@pytest.mark.parametrize("limits", [Limits(sessions=2), Limits(per_user=2), Limits(per_address=2)])
async def test_who_comes_with_many_at_once_gets_no_more_than_the_limit(limits: Limits) -> None:
    """All of them ask for their proof while there is still room."""
    door = Door(limits)
    try:
        clients = [Keys(17, b"olga", SECRET) for _ in range(6)]
        for client in clients:
            await door.greet(client)
        door.ledger.opens.clear()
        for client in clients:
            assert door.feed(client.rakp3()) == []
        async with asyncio.timeout(10):
            while len(door.ledger.asked) < 6:
                await asyncio.sleep(0.001)
        door.ledger.opens.set()
        answers: list[bytes] = []
        async with asyncio.timeout(10):
            while len(answers) < 6:
                await asyncio.sleep(0.001)
                answers += door.wire.taken()
        assert sorted(each[17] for each in answers) == [0x00] * 2 + [0x0B] * 4  # not enough resources for the role
        assert len(door.sessions.active()) == 2
        assert len(set(door.ledger.ended)) == 4, "their sessions at usermgr have ended"
    finally:
        await door.close()
