"""Follows a task to its end (`--wait`)."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import ClassVar

from ubmc.cli.terminal import note, printable
from ubmc.client import Client
from ubmc.kit.errors import NotFound, TimedOut, UbmcError, Unavailable
from ubmc.v1alpha1.task_pb import GetTaskRequest, Task, TaskState
from ubmc.v1alpha1.task_rpc import TaskService

WAIT_SECONDS = 600.0
_FIRST_WAIT, _LONGEST_WAIT = 0.1, 1.0
_SILENCE_SECONDS = 5.0


class TaskFailed(UbmcError):  # noqa: N818 - the errors of the house are the plain word
    """What was asked for was accepted, and ended otherwise."""

    name: ClassVar[str] = "failed"


def follow(client: Client, task: Task, *, timeout_seconds: float, pause: Callable[[float], None] = time.sleep) -> Task:
    """The task as it ended; a BMC that is away for a while is waited for.

    Raises:
        TimedOut: it goes on still.
        NotFound: the BMC has forgotten it.
    """
    began = time.monotonic()
    deadline = began + timeout_seconds
    wait, silent = _FIRST_WAIT, True
    while task.state is TaskState.RUNNING:
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimedOut(f"{task.title} goes on still after {timeout_seconds:g} s; see: ubmc task show {task.id}")
        pause(min(wait, left))
        wait = min(wait * 1.5, _LONGEST_WAIT)
        if silent and time.monotonic() - began > _SILENCE_SECONDS:
            silent = False
            note(f"{printable(task.title)} goes on; Ctrl-C ends the waiting, not the task")
        try:
            task = client.ask(TaskService.GetTask, GetTaskRequest(id=task.id), timeout_seconds=10.0).task or task
        except NotFound as error:
            raise NotFound("the BMC has forgotten the task (it was restarted?); look at the state itself") from error
        except (Unavailable, TimedOut):
            continue  # until the deadline
    return task


def raise_failure(task: Task) -> None:
    """Raise what the task ended with, unless it was completed.

    Raises:
        TaskFailed: the task failed or was cancelled.
    """
    if task.state is not TaskState.COMPLETED:
        raise TaskFailed(task.message or f"{task.title} did not end as asked for")
