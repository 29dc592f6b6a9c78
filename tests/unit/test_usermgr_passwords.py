"""Passwords: argon2id with the right parameters, off the loop, bounded; the rules for new ones."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from ubmc.kit.errors import Exhausted, Invalid
from ubmc.services.usermgr import passwords
from ubmc.services.usermgr.passwords import Hasher


@pytest.fixture
def hasher() -> Iterator[Hasher]:
    made = Hasher()
    yield made
    made.close()


async def test_right_and_wrong(hasher: Hasher) -> None:
    hashed = await hasher.hash("correct horse")
    assert hashed.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert await hasher.verify(hashed, "correct horse")
    assert not await hasher.verify(hashed, "correct horsf")
    assert await hasher.hash("correct horse") != hashed


async def test_composed_and_decomposed_letters_are_the_same(hasher: Hasher) -> None:
    hashed = await hasher.hash("caf\u00e9 am Eck")
    assert await hasher.verify(hashed, "cafe\u0301 am Eck")


async def test_damaged_hash_is_no_match_and_said(hasher: Hasher, caplog: pytest.LogCaptureFixture) -> None:
    assert not await hasher.verify("nonsense", "correct horse")
    assert "cannot be verified" in caplog.text


async def test_loop_goes_on_while_hashing(hasher: Hasher) -> None:
    hashing = asyncio.gather(*(hasher.hash("correct horse") for _ in range(4)))
    ticks = 0
    while not hashing.done():
        await asyncio.sleep(0)
        ticks += 1
    assert ticks > 100  # on the loop itself it would be a handful
    await hashing


async def test_waiting_is_bounded_and_frees_itself(hasher: Hasher) -> None:
    limit = passwords.AT_ONCE + passwords.WAITING
    hashing = [asyncio.create_task(hasher.hash("correct horse")) for _ in range(limit)]
    await asyncio.sleep(0)
    with pytest.raises(Exhausted, match="try again"):
        await hasher.hash("one too many")
    for task in hashing:
        task.cancel()  # those who wait give up; what runs is counted until it ends
    await asyncio.gather(*hashing, return_exceptions=True)
    async with asyncio.timeout(30):
        while True:
            results = await asyncio.gather(*(hasher.hash("again") for _ in range(limit)), return_exceptions=True)
            if not any(isinstance(result, Exhausted) for result in results):
                break


@pytest.mark.parametrize("password", ["short", "", "x" * 129, "administrator", "AdMinistrator"])
def test_refused_as_new(password: str) -> None:
    with pytest.raises(Invalid) as caught:
        passwords.check_new("administrator", password, "newPassword")
    assert caught.value.violations[0].field == "newPassword"
    assert not password or password not in caught.value.message.removeprefix("newPassword")


def test_accepted_as_new() -> None:
    passwords.check_new("olga", "kuzpumba", "password")
    passwords.check_new("olga", "a house of straw " * 7, "password")


def test_random_password_is_long_readable_and_new() -> None:
    made = {passwords.random_password() for _ in range(200)}
    assert len(made) == 200
    assert {len(password) for password in made} == {16}
    assert not set("".join(made)) & set("0O1lI")
    passwords.check_new("admin", made.pop(), "password")
