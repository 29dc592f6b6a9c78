"""The feed of watch calls: snapshots, changes, resuming, slow watchers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ubmc.kit.feed import CAPACITY, Feed, Update

Watching = AsyncGenerator[Update[int], None]


async def take(watching: Watching, count: int) -> list[tuple[int, bool]]:
    async with asyncio.timeout(30):
        return [(update.item, update.snapshot) for update in [await anext(watching) for _ in range(count)]]


async def test_snapshot_then_changes() -> None:
    feed: Feed[int] = Feed()
    feed.publish("b", 1)
    feed.publish("a", 2)
    feed.publish("b", 3)
    watching = feed.watch()
    assert await take(watching, 2) == [(2, True), (3, True)]
    feed.publish("a", 4)
    assert await take(watching, 1) == [(4, False)]
    assert feed.items() == {"a": 4, "b": 3}
    assert feed.latest("a") == 4
    assert feed.latest("c") is None
    await watching.aclose()


async def test_a_waiting_watcher_is_woken() -> None:
    feed: Feed[int] = Feed()
    watching = [feed.watch() for _ in range(3)]
    tasks = [asyncio.ensure_future(anext(one)) for one in watching]
    await asyncio.sleep(0)
    assert not any(task.done() for task in tasks)
    feed.publish("a", 1)
    async with asyncio.timeout(30):
        assert [update.item for update in await asyncio.gather(*tasks)] == [1, 1, 1]
    for one in watching:
        await one.aclose()


async def test_known_cursor_gives_only_what_was_missed() -> None:
    feed: Feed[int] = Feed()
    feed.publish("a", 1)
    watching = feed.watch()
    cursor = (await anext(watching)).cursor
    await watching.aclose()
    feed.publish("a", 2)
    feed.publish("b", 3)
    watching = feed.watch(cursor)
    assert await take(watching, 2) == [(2, False), (3, False)]
    await watching.aclose()


async def test_leaving_in_the_middle_of_a_snapshot_misses_nothing() -> None:
    feed: Feed[int] = Feed()
    for number, key in enumerate("abc"):
        feed.publish(key, number)
    watching = feed.watch()
    cursor = (await anext(watching)).cursor
    await watching.aclose()
    watching = feed.watch(cursor)
    assert [item for item, _ in await take(watching, 2)] == [1, 2]
    await watching.aclose()


@pytest.mark.parametrize(
    "cursor", ["nonsense", ":", "0:1", "{epoch}:", "{epoch}:-1", "{epoch}:²", "{epoch}:9", "{epoch}:" + "9" * 5000]
)
async def test_unknown_cursor_gives_a_snapshot(cursor: str) -> None:
    feed: Feed[int] = Feed()
    feed.publish("a", 1)
    first = await anext(feed.watch())
    watching = feed.watch(cursor.replace("{epoch}", first.cursor.partition(":")[0]))
    assert await take(watching, 1) == [(1, True)]
    await watching.aclose()


async def test_cursor_of_another_life_gives_a_snapshot() -> None:
    old: Feed[int] = Feed()
    old.publish("a", 1)
    new: Feed[int] = Feed()
    new.publish("a", 2)
    watching = new.watch((await anext(old.watch())).cursor)
    assert await take(watching, 1) == [(2, True)]
    await watching.aclose()


async def test_slow_watcher_gets_a_snapshot_and_holds_up_nobody() -> None:
    feed: Feed[int] = Feed()
    feed.publish("a", 0)
    slow, quick = feed.watch(), feed.watch()
    await take(slow, 1)
    await take(quick, 1)
    for number in range(1, CAPACITY + 2):
        feed.publish("a", number)
        assert await take(quick, 1) == [(number, False)]
    assert await take(slow, 1) == [(CAPACITY + 1, True)]
    feed.publish("a", -1)
    assert await take(slow, 1) == [(-1, False)]
    for watching in (slow, quick):
        await watching.aclose()


async def completes(watching: Watching, count: int) -> list[tuple[int, bool]]:
    async with asyncio.timeout(30):
        return [(update.item, update.complete) for update in [await anext(watching) for _ in range(count)]]


async def test_the_last_of_a_snapshot_says_so_and_so_does_the_last_of_what_was_missed() -> None:
    feed: Feed[int] = Feed()
    for number, key in enumerate("abc"):
        feed.publish(key, number)
    watching = feed.watch()
    assert await completes(watching, 1) == [(0, False)]
    feed.publish("a", 3)  # does not belong to the snapshot any more
    assert await completes(watching, 2) == [(1, False), (2, True)]
    assert await completes(watching, 1) == [(3, True)]
    cursor = ""
    for number in (4, 5, 6):
        feed.publish("b", number)
        cursor = cursor or (await anext(watching)).cursor
    await watching.aclose()
    watching = feed.watch(cursor)
    assert await completes(watching, 2) == [(5, False), (6, True)]
    await watching.aclose()


async def test_of_one_key_only_that_one_counts() -> None:
    feed: Feed[int] = Feed()
    for number, key in enumerate("abab"):
        feed.publish(key, number)
    watching = feed.watch(key="a")
    assert await completes(watching, 1) == [(2, True)]
    for number, key in enumerate("aabb", 4):
        feed.publish(key, number)
    assert await completes(watching, 2) == [(4, False), (5, True)]
    await watching.aclose()


async def test_one_key() -> None:
    feed: Feed[int] = Feed()
    for number in range(4):
        feed.publish("ab"[number % 2], number)
    watching = feed.watch(key="a")
    update = await anext(watching)
    assert (update.item, update.snapshot) == (2, True)
    feed.publish("b", 5)
    feed.publish("a", 6)
    assert await take(watching, 1) == [(6, False)]
    await watching.aclose()
    watching = feed.watch(update.cursor, key="a")
    assert await take(watching, 1) == [(6, False)]
    await watching.aclose()


async def test_forgotten_key_is_in_no_snapshot() -> None:
    feed: Feed[int] = Feed()
    feed.publish("a", 1)
    feed.publish("b", 2)
    feed.forget("b")
    feed.forget("never")
    assert feed.items() == {"a": 1}
    watching = feed.watch()
    assert await take(watching, 1) == [(1, True)]
    feed.publish("b", 3)
    assert await take(watching, 1) == [(3, False)]
    await watching.aclose()


class Watcher:
    """Reads one update at a time, never waits for one, and checks each against what it was given before."""

    def __init__(self, feed: Feed[int]) -> None:
        self.feed = feed
        self.cursor = ""
        self.watching = feed.watch()
        self.pending: asyncio.Future[Update[int]] | None = None
        self.seen: set[int] = set()
        self.state: dict[int, int] = {}

    async def read(self) -> bool:
        if self.pending is None:
            self.pending = asyncio.ensure_future(anext(self.watching))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        if not self.pending.done():
            return False
        update, self.pending = self.pending.result(), None
        key, number = update.item % 10, update.item // 10
        assert number >= self.state.get(key, 0), "went back in time"
        assert update.snapshot or update.item not in self.seen, "told twice"
        self.seen.add(update.item)
        self.state[key] = number
        self.cursor = update.cursor
        return True

    async def resume(self) -> None:
        await self.leave()
        self.watching = self.feed.watch(self.cursor)

    async def leave(self) -> None:
        if self.pending is not None:
            self.pending.cancel()
            await asyncio.gather(self.pending, return_exceptions=True)
            self.pending = None
        await self.watching.aclose()


@given(st.lists(st.one_of(st.integers(0, 3), st.sampled_from(["read", "read", "resume"])), max_size=60))
def test_whoever_resumes_at_random_points_ends_with_the_latest_state(steps: list[int | str]) -> None:
    async def main() -> None:
        feed: Feed[int] = Feed(capacity=4)
        watcher = Watcher(feed)
        latest: dict[int, int] = {}
        for number, step in enumerate(steps, 1):
            if isinstance(step, int):
                feed.publish(str(step), number * 10 + step)
                latest[step] = number
            elif step == "read":
                await watcher.read()
            else:
                await watcher.resume()
        while await watcher.read():
            pass
        await watcher.leave()
        assert watcher.state == latest

    asyncio.run(main())
