"""The tasks of all services: the youngest first, in pages that survive what comes meanwhile."""

from __future__ import annotations

from typing import Any, cast

import pytest
from ulid import ULID

from ubmc.kit.errors import Invalid
from ubmc.services.operator.service import MAX_TASKS, Operator
from ubmc.v1alpha1.system_pb import System
from ubmc.v1alpha1.task_pb import ListTasksRequest, Task, TaskChange


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


async def test_only_the_last_ones_are_kept() -> None:
    operator, ids = await operator_with(MAX_TASKS + 3)
    page = await operator.list_tasks(ListTasksRequest(page_size=1000))
    assert [task.id for task in page.tasks] == ids[:2:-1]
    with pytest.raises(Invalid, match="pageToken"):
        await operator.list_tasks(ListTasksRequest(page_token="!"))
