"""`ubmc task`."""

from __future__ import annotations

from ubmc.cli.resource import Resource, add_list, add_show
from ubmc.cli.settings import Noun
from ubmc.cli.text import columns
from ubmc.v1alpha1.task_rpc import TaskService

TASKS = Resource(
    noun="task",
    list=TaskService.ListTasks,
    items="tasks",
    get=TaskService.GetTask,
    item="task",
    columns=columns("id", "task: title", "state", "began: start_time", "user"),
    facts=columns("id", "task: title", "component", "state", "message", "began: start_time", "ended: end_time", "user"),
    key="id",
)

task = Noun("task", help="Tasks: what goes on after a command was accepted.")
add_list(task, TASKS)
add_show(task, TASKS, optional=False)
