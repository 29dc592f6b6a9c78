"""The thread of a wire: order, deadlines, bounds, and calls that hang."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from ubmc.hw.worker import Worker
from ubmc.kit.errors import NotFound, Unavailable

Left = Callable[[], bool]


class Hang:
    """A call that hangs until it is let go."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.go = threading.Event()
        self.left = False

    def __call__(self, left: Left) -> str:
        self.begun.set()
        assert self.go.wait(30)
        self.left = left()
        return "done"


@pytest.fixture
def worker() -> Iterator[Worker]:
    made = Worker("i2c-3")
    yield made
    made.close()


@pytest.fixture
def hang() -> Iterator[Hang]:
    made = Hang()
    yield made
    made.go.set()


async def hanging(worker: Worker, hang: Hang) -> asyncio.Task[str]:
    task = asyncio.create_task(worker.call(hang, within_seconds=30))
    await asyncio.to_thread(hang.begun.wait, 10)
    return task


async def test_results_and_errors_come_back(worker: Worker) -> None:
    assert await worker.call(lambda _: threading.current_thread().name, within_seconds=10) == "wire-i2c-3"

    def fail(_: Left) -> None:
        raise NotFound("nothing")

    with pytest.raises(NotFound, match="nothing"):
        await worker.call(fail, within_seconds=10)


async def test_calls_run_in_order_on_one_thread(worker: Worker) -> None:
    seen: list[tuple[int, int]] = []

    def see(number: int, _: Left) -> None:
        seen.append((number, threading.get_ident()))

    calls = (worker.call(partial(see, number), within_seconds=10) for number in range(10))
    await asyncio.gather(*calls)
    assert [number for number, _ in seen] == list(range(10))
    assert len({thread for _, thread in seen}) == 1


async def test_a_deadline_leaves_the_call_and_the_next_waits(worker: Worker, hang: Hang) -> None:
    with pytest.raises(Unavailable, match="i2c-3 does not answer: a call hangs"):
        await worker.call(hang, within_seconds=0.02)
    following = asyncio.create_task(worker.call(lambda left: left(), within_seconds=30))
    await asyncio.sleep(0.02)
    assert not following.done()
    hang.go.set()
    assert await following is False
    assert hang.left  # nobody waited for it any more, and it could know


async def test_who_gave_up_before_it_began_is_never_run(worker: Worker, hang: Hang) -> None:
    first = await hanging(worker, hang)
    ran: list[int] = []
    given_up = asyncio.create_task(worker.call(lambda _: ran.append(1), within_seconds=30))
    with pytest.raises(Unavailable):
        await worker.call(lambda _: ran.append(2), within_seconds=0.01)
    given_up.cancel()
    await asyncio.wait([given_up])
    hang.go.set()
    assert await first == "done"
    await worker.call(lambda _: ran.append(3), within_seconds=10)
    assert ran == [3]


async def test_only_so_many_wait(worker: Worker, hang: Hang) -> None:
    first = await hanging(worker, hang)
    waiting = [asyncio.create_task(worker.call(lambda _: None, within_seconds=30)) for _ in range(16)]
    await asyncio.sleep(0)
    with pytest.raises(Unavailable, match="16 calls wait"):
        await worker.call(lambda _: None, within_seconds=30)
    waiting.pop().cancel()
    await asyncio.sleep(0)
    waiting.append(asyncio.create_task(worker.call(lambda _: None, within_seconds=30)))
    hang.go.set()
    await asyncio.gather(first, *waiting)


async def test_another_wire_does_not_wait(worker: Worker, hang: Hang) -> None:
    first = await hanging(worker, hang)
    other = Worker("i2c-4")
    assert await other.call(lambda _: 7, within_seconds=10) == 7
    assert not first.done()
    other.close()


async def test_close_frees_those_who_wait_and_joins_nobody(worker: Worker, hang: Hang) -> None:
    first = await hanging(worker, hang)
    second = asyncio.create_task(worker.call(lambda _: None, within_seconds=30))
    await asyncio.sleep(0)
    worker.close()
    for task in (first, second):
        with pytest.raises(Unavailable, match="closed"):
            await task
    with pytest.raises(Unavailable, match="closed"):
        await worker.call(lambda _: None, within_seconds=1)
    assert not hang.go.is_set()
    worker.close()


def test_a_call_that_comes_back_after_its_loop_is_gone_harms_nobody(worker: Worker, hang: Hang) -> None:
    async def give_up() -> None:
        with pytest.raises(Unavailable):
            await worker.call(hang, within_seconds=0.02)

    asyncio.run(give_up())
    hang.go.set()
    assert asyncio.run(worker.call(lambda _: 5, within_seconds=10)) == 5


async def test_an_idle_thread_ends_with_close() -> None:
    worker = Worker("ends")
    await worker.call(lambda _: None, within_seconds=10)
    [thread] = [thread for thread in threading.enumerate() if thread.name == "wire-ends"]
    worker.close()
    await asyncio.to_thread(thread.join, 10)
    assert not thread.is_alive()
