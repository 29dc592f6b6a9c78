"""The tasks of all services: the youngest first, in pages that survive what comes meanwhile."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest
from ulid import ULID

from ubmc.kit.errors import Invalid
from ubmc.services.operator.service import MAX_TASKS, Operator
from ubmc.v1alpha1.system_pb import System
from ubmc.v1alpha1.task_pb import ListTasksRequest, Task, TaskChange, TaskState, WatchTasksRequest


async def operator_with(count: int) -> tuple[Operator, list[str]]:
    """An operator that has heard of so many tasks, and their ids."""
    operator = Operator(cast("Any", None), System())  # the tasks need no process tree
    ids = [str(ULID.from_timestamp(1_700_000_000 + number)) for number in range(count)]
    for task_id in ids:
        await operator.follow_task(TaskChange(task=Task(id=task_id)))
    return operator, ids


async def test_pages_go_back_in_time_whatever_comes_meanwhile() -> None:
    operator, ids = await operator_with(250)
    seen: list[str] = []
    token = ""
    while True:
        page = await operator.list_tasks(ListTasksRequest(page_token=token))
        seen += [task.id for task in page.tasks]
        token = page.next_page_token
        if not token:
            break
        assert len(page.tasks) == 100
        await operator.follow_task(TaskChange(task=Task(id=str(ULID()))))  # a new one shifts nothing
    assert seen == ids[::-1]


async def test_a_task_that_goes_on_is_kept_longer_than_those_that_ended() -> None:
    operator, _ = await operator_with(0)
    await operator.follow_task(TaskChange(task=Task(id="0", state=TaskState.RUNNING)))
    for number in range(MAX_TASKS + 5):
        await operator.follow_task(TaskChange(task=Task(id=f"1{number:04}", state=TaskState.COMPLETED)))
    page = await operator.list_tasks(ListTasksRequest(page_size=1000))
    assert len(page.tasks) == MAX_TASKS
    assert page.tasks[-1].id == "0"


async def test_watchers_see_tasks_begin_end_and_go() -> None:
    operator, ids = await operator_with(MAX_TASKS)
    watch = operator.watch_tasks(WatchTasksRequest())
    snapshot = [await anext(watch) for _ in range(MAX_TASKS)]
    assert [update.task.id for update in snapshot if update.task] == ids
    await operator.follow_task(TaskChange(task=Task(id="z", state=TaskState.RUNNING)))
    told = [await anext(watch), await anext(watch)]
    assert [(update.task.id, update.gone) for update in told if update.task] == [("z", False), (ids[0], True)]
    later = operator.watch_tasks(WatchTasksRequest(cursor=told[0].cursor))
    assert (await anext(later)).gone
    fresh = operator.watch_tasks(WatchTasksRequest(id=ids[0]))
    coming = asyncio.ensure_future(anext(fresh))
    done, _ = await asyncio.wait((coming,), timeout=0.05)
    assert not done  # it is not kept any more
    coming.cancel()
    await asyncio.gather(coming, return_exceptions=True)


async def test_only_the_last_ones_are_kept() -> None:
    operator, ids = await operator_with(MAX_TASKS + 3)
    page = await operator.list_tasks(ListTasksRequest(page_size=1000))
    assert [task.id for task in page.tasks] == ids[:2:-1]
    with pytest.raises(Invalid, match="pageToken"):
        await operator.list_tasks(ListTasksRequest(page_token="!"))
