"""Name and password with each request: proven once for some seconds, and anew as soon as anything might differ."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio
from protobuf import Message
from tests.service.redfish_house import SYSTEM, House, house

from ubmc.services.websrv.identities import KEPT, Identities
from ubmc.services.websrv.peer import Basic
from ubmc.v1alpha1.account_pb import AccountPolicyChange
from ubmc.v1alpha1.user_pb import RoleChange, SecondFactorChange, SourceLocked, UserChange, UserLocked

pytestmark = pytest.mark.asyncio(loop_scope="module")

OF_OLGA: tuple[Message[Any], ...] = (
    UserChange(name="olga", what="given a new password"),
    UserLocked(name="olga", source="192.0.2.1", seconds=60),
    SecondFactorChange(name="olga", what="set up"),
    SourceLocked(source="127.0.0.1", seconds=60),
    RoleChange(name="Operator", what="updated"),
    AccountPolicyChange(what="policy", fields="second_factor_roles"),
)
OF_OTHERS: tuple[Message[Any], ...] = (
    UserChange(name="ruth", what="given a new password"),
    UserLocked(name="ruth", source="127.0.0.1", seconds=60),
    SecondFactorChange(name="ruth", what="set up"),
    SourceLocked(source="192.0.2.1", seconds=60),
)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def one_house() -> AsyncIterator[House]:
    """One door for all tests of this file."""
    async with house() as opened:
        yield opened


@pytest.fixture
def h(one_house: House) -> House:
    """The door, which has seen nobody yet."""
    identities(one_house).forget_passwords()
    one_house.users.proven.clear()
    one_house.users.keep_seconds = 30.0
    return one_house


def identities(h: House) -> Identities:
    """What the door remembers."""
    assert h.server._forwarder is not None
    return h.server._forwarder.identities


def basic(user: str = "olga", password: str = "right") -> dict[str, str]:
    return {"authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


async def ask(client: httpx.AsyncClient, user: str = "olga", password: str = "right") -> int:
    """The status of a request with name and password."""
    return (await client.get(SYSTEM, headers=basic(user, password))).status_code


async def test_a_password_is_proven_once_for_many_requests(h: House) -> None:
    client = h.client("")
    assert [await ask(client) for _ in range(20)] == [200] * 20
    assert h.users.proven == [("olga", "127.0.0.1")]
    done = await client.patch(SYSTEM, json={"PowerRestorePolicy": "AlwaysOn"}, headers=basic())
    assert (done.status_code, h.machines.changed[-1]) == (200, ("olga", "update restore_policy"))
    assert len(h.users.proven) == 1


async def test_only_exactly_that_name_and_password_from_that_address_are_known(h: House) -> None:
    client = h.client("")
    assert await ask(client) == 200
    for user, password in (("olga", "Right"), ("olga", ""), ("olg", "aright"), ("ruth", "right"), ("OLGA", "right")):
        assert await ask(client, user, password) == 401
        assert await ask(client, user, password) == 401
    assert len(h.users.proven) == 1 + 2 * 5  # what is wrong is proven wrong each time, so that each counts
    assert await ask(client) == 200
    proofs = len(h.users.proven)
    transport = httpx.AsyncHTTPTransport(local_address="127.0.0.9", verify=h.context)
    async with httpx.AsyncClient(base_url=h.url, transport=transport, timeout=10) as elsewhere:
        assert await ask(elsewhere) == 200
    assert h.users.proven[proofs:] == [("olga", "127.0.0.9")]


async def test_a_failure_has_the_right_password_proven_again_for_it_may_have_locked(h: House) -> None:
    client = h.client("")
    assert await ask(client) == await ask(client) == 200
    assert await ask(client, "olga", "wrong") == 401
    assert await ask(client) == 200
    assert len(h.users.proven) == 3


async def test_no_password_is_kept(h: House) -> None:
    client = h.client("")
    h.users.passwords["olga"] = "a very long secret"
    try:
        assert await ask(client, "olga", "a very long secret") == 200
    finally:
        h.users.passwords["olga"] = "right"
    kept = identities(h)
    assert len(kept._known) == 1
    assert "very long" not in repr(vars(kept))
    assert basic("olga", "a very long secret")["authorization"].split()[1] not in repr(vars(kept))


@pytest.mark.parametrize("news", OF_OLGA, ids=lambda news: type(news).__name__)
async def test_news_of_the_account_have_it_proven_again(h: House, news: Message[Any]) -> None:
    client = h.client("")
    assert await ask(client) == 200
    h.users.passwords["olga"] = "another"
    try:
        assert await ask(client) == 200  # nobody has told yet
        h.users.bus.tell("bmc.0", news)
        async with asyncio.timeout(30):
            while await ask(client) == 200:
                await asyncio.sleep(0.005)
        assert len(h.users.proven) == 2
    finally:
        h.users.passwords["olga"] = "right"


async def test_news_of_others_do_not(h: House) -> None:
    client = h.client("")
    assert await ask(client) == await ask(client, "ruth", "Right") == 200
    for news in (*OF_OTHERS, UserChange(name="ruth", what="disabled")):
        await h.users.bus.tell("bmc.0", news)
    async with asyncio.timeout(30):
        while h.users.proven[-1] != ("ruth", "127.0.0.1") or len(h.users.proven) < 3:
            await ask(client, "ruth", "Right")
    assert await ask(client) == 200
    assert [user for user, _ in h.users.proven].count("olga") == 1


async def test_what_was_told_during_the_proof_counts(h: House) -> None:
    client = h.client("")
    h.users.may_prove.clear()
    asking = asyncio.create_task(ask(client))
    async with asyncio.timeout(30):
        while not h.users.proven:
            await asyncio.sleep(0.005)
    told = identities(h)._news
    h.users.bus.tell("bmc.0", UserLocked(name="olga", source="192.0.2.1", seconds=60))
    async with asyncio.timeout(30):
        while identities(h)._news == told:
            await asyncio.sleep(0.005)
    h.users.may_prove.set()
    assert await asking == 200  # usermgr said so
    assert await ask(client) == 200
    assert len(h.users.proven) == 2


async def test_it_is_kept_no_longer_than_usermgr_says_and_not_too_many(h: House) -> None:
    client = h.client("")
    h.users.keep_seconds = 0.0
    assert await ask(client) == await ask(client) == 200
    assert len(h.users.proven) == 2
    h.users.keep_seconds = 0.05
    assert await ask(client) == 200
    await asyncio.sleep(0.06)
    assert await ask(client) == 200
    assert len(h.users.proven) == 4
    h.users.keep_seconds = 30.0
    for number in range(KEPT + 10):
        h.users.passwords[f"user{number}"] = "right"
        await identities(h).identify(Basic(f"user{number}", "right"), "127.0.0.1")
    assert len(identities(h)._known) == KEPT
